"""G1, G2: the whole path, from files to durable logs, through Redis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.context import Context, same_files
from benchmarks.data import Ticks
from benchmarks.processes import Finished
from benchmarks.results import Goal, Result

LOGS: Final = ("mid_prices.log", "errors.log")
NAIVE_TICKS: Final = 200_000
NAIVE_TICKS_QUICK: Final = 40_000
NAIVE_PAIRS_MAX: Final = 3
LARGE, LARGE_PAIRS = 4, 3
"""The large input is this many times the usual one, compared so often."""
PLAIN_PAIRS: Final = 3
LOG_BYTES_PER_TICK: Final = 64
PER_TICK: Final = ("replay engine", "price engine", "redis")
"""The roles whose work grows with the ticks."""


@dataclass(frozen=True)
class Run:
    """One `midstream replay --json`."""

    seconds: float
    """First byte read to last line durable, as the command itself reports it."""
    finished: Finished
    logs: tuple[Path, ...]


def ours(context: Context, ticks: Ticks) -> Run:
    """Replay `ticks` with the command as a user would."""
    out = context.clean_directory("ours")
    finished = context.python("services.cli", "replay", *ticks.paths, "--out", str(out), "--json")
    report = json.loads(finished.stdout)
    if report["rows_in"] != ticks.count or not report["complete"]:
        raise AssertionError(f"not every tick was accounted for: {report}")
    return Run(ticks.count / report["ticks_per_second"], finished, tuple(out / name for name in LOGS))


def g1(context: Context) -> list[Result]:
    """Files -> Redis -> both logs, against polars."""
    results = [_against_polars(context, context.data, context.pairs, "G1", Goal(2.8, 4))]
    if not context.quick:
        large = context.data_of(LARGE * context.ticks)
        results.append(_against_polars(context, large, LARGE_PAIRS, "G1b", Goal(3.3, 5)))
        results.append(_against_polars(context, context.data, PLAIN_PAIRS, "G1c", Goal(2.5, 5), style="plain"))
    return [result for each in results for result in each]


def _against_polars(
    context: Context, ticks: Ticks, pairs: int, name: str, goal: Goal | None, *, style: str = "tuned"
) -> list[Result]:
    """Pairs of runs; also what a tick costs in the processes that every tick passes."""
    reserve_pages(context.scratch, 2 * ticks.count * LOG_BYTES_PER_TICK)
    cpu_ratios: list[float] = []
    rates: list[float] = []
    cpu_by_role: dict[str, list[float]] = {}
    mine: list[Run] = []

    def run_ours() -> float:
        mine.append(ours(context, ticks))
        rates.append(ticks.count / mine[-1].seconds / 1e6)
        for role, usage in mine[-1].finished.by_role().items():
            cpu_by_role.setdefault(role, []).append(usage.cpu_s)
        return mine[-1].seconds

    def run_polars() -> float:
        out = context.clean_directory("polars")
        finished = context.python("benchmarks.competitors.polars_replay", style, str(out), *ticks.paths)
        same_files(mine[-1].logs, [out / name for name in LOGS])
        cpu_ratios.append(finished.cpu_s / mine[-1].finished.cpu_s)
        return float(json.loads(finished.stdout)["seconds"])

    ratios = context.pairs_of(run_ours, run_polars, pairs=pairs)
    shares = ", ".join(f"{role} {median(seconds):.2f}" for role, seconds in sorted(cpu_by_role.items()))
    compared = Result(
        id=name,
        what=f"files -> Redis -> logs, {ticks.count / 1e6:g}M ticks",
        against="polars, tuned" if style == "tuned" else "polars, plain (try_parse_dates)",
        values=tuple(ratios),
        goal=goal,
        note=(
            f"{median(rates):.2f} M ticks/s; both logs byte-equal, ours synced to disk, polars' not. "
            f"CPU of all processes, imports included: polars takes {median(cpu_ratios):.2f} times ours (s: {shares})"
        ),
    )
    if style != "tuned":
        return [compared]
    per_tick = [sum(each) / ticks.count * 1e9 for each in zip(*(cpu_by_role[role] for role in PER_TICK), strict=True)]
    what = f"CPU per tick, {' + '.join(PER_TICK)}, {ticks.count / 1e6:g}M ticks"
    cost = Result(f"{name}-cpu", what, "", tuple(per_tick), Goal(380, 250, lower_is_better=True), unit=" ns")
    return [compared, cost]


def reserve_pages(scratch: Path, size: int) -> None:
    """Write a file and delete it.

    In a virtual machine the first write to a page that the guest never had costs ten times what later ones do; whoever comes first
    would pay that for the others.
    """
    path, block = scratch / "pages", bytes(1 << 20)
    with path.open("wb", buffering=0) as file:
        for _ in range(-(-size // len(block))):
            file.write(block)
    path.unlink()


def g2(context: Context) -> list[Result]:
    """The same work as it is usually glued together."""
    ticks = context.data_of(NAIVE_TICKS_QUICK if context.quick else NAIVE_TICKS)
    pairs = min(context.pairs, NAIVE_PAIRS_MAX)
    return [
        _against_naive(context, ticks, pairs, "G2", pipelined=100),
        _against_naive(context, ticks, pairs, "G2b", pipelined=1),
    ]


def _against_naive(context: Context, ticks: Ticks, pairs: int, name: str, *, pipelined: int) -> Result:
    mine: list[Run] = []
    rates: list[float] = []

    def run_ours() -> float:
        mine.append(ours(context, ticks))
        return mine[-1].seconds

    def run_naive() -> float:
        out = context.clean_directory("naive")
        module = "benchmarks.competitors.naive_replay"
        seconds = float(context.answer(module, str(out), str(pipelined), *ticks.paths)["seconds"])
        same_files(mine[-1].logs, [out / name for name in LOGS])
        rates.append(ticks.count / seconds)
        return seconds

    ratios = context.pairs_of(run_ours, run_naive, pairs=pairs)
    how = "un-pipelined" if pipelined == 1 else f"pipelined by {pipelined}"
    return Result(
        id=name,
        what=f"files -> Redis -> logs, {ticks.count // 1000}k ticks",
        against=f"heapq, one XADD ({how}) and one line per tick",
        values=tuple(ratios),
        goal=Goal(50, 200),
        note=(
            f"the naive pipeline does {median(rates):,.0f} ticks/s at any size; ours takes "
            f"{median([run.seconds for run in mine]):.3f} s here, mostly to begin and to end"
        ),
    )


def median(values: Sequence[float]) -> float:
    """The middle one; 0 of none."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0

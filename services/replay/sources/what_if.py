"""What two latency models change of recorded files: read once, put in order twice, and compared. Nothing is played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fastpath.columns import Block, Tickers
from fastpath.rules import UnsortedSource
from fastpath.whatif import Comparison
from services.replay.sources.errors import UnusableInput
from services.replay.sources.inputs import InputFile, open_inputs
from services.replay.sources.latency_kernels import source_latencies
from services.replay.sources.latency_models import split_entries
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.prescan import plan_latencies
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Reading

READ_ROWS: Final = 8192
TICKS_MAX: Final = 20_000_000
"""Some 1.6 GB of memory."""
PAIRED_TICKERS: Final = 15
"""Inversions are counted ticker by ticker for the busiest; all others are taken together."""
OTHERS: Final = "all others"
SHARES: Final = ((1, 2), (99, 100))


@dataclass(frozen=True)
class Latencies:
    """Latencies of all ticks under one model, in milliseconds, waiting for the row before included; percentiles within 0.1 %."""

    min: float
    p50: float
    p99: float
    max: float
    waited: int
    """Ticks that waited for the row before them."""


@dataclass(frozen=True)
class Staleness:
    """How old the latest mid of a ticker was, in milliseconds since its event, weighted by time."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True)
class TickerChange:
    """One ticker under both models."""

    ticker: str
    ticks: int
    late: tuple[int, int]
    mids: tuple[int, int]
    staleness_s: float
    """For how long the ages were looked at; 0: the ticker has no mid under one of the models."""
    staleness_ms: tuple[Staleness, Staleness] | None


@dataclass(frozen=True)
class PairChange:
    """Ticks of two tickers that change places: one of `first` that came before one of `second` under the first model comes behind it."""

    first: str
    second: str
    inversions: int


@dataclass(frozen=True)
class WhatIfReport:
    """What changes from the first model to the second."""

    files: tuple[str, ...]
    models: tuple[str, str]
    ticks: int
    rejected: int
    """Rows that cannot be used, whatever the model."""
    unusable: int
    """Ticks that arrive outside of the years 1678 to 2261 under one of the models."""
    skipped: int
    """Rows that the filters leave out."""
    only_tickers: tuple[str, ...]
    """Tickers that are compared; none: all."""
    start_time_ns: int | None
    """What arrives from here on and before the end is compared, as the files have it; None is unbounded."""
    end_time_ns: int | None
    latency_threshold_ms: float
    latency_ms: tuple[Latencies, Latencies] | None
    inversions: int
    """Pairs of ticks whose order differs, counted exactly."""
    pairs: int
    """All pairs."""
    moved: int
    """Ticks that have another place in the order."""
    late: tuple[int, int]
    """Ticks later than the threshold."""
    late_in_both: int
    tickers: tuple[TickerChange, ...]
    """The busiest first."""
    ticker_pairs: tuple[PairChange, ...]
    """Those with most inversions first."""
    damage: tuple[str, ...]
    """What could not be read, for people."""

    def to_dict(self) -> dict[str, object]:
        """Return JSON values under the names of the fields."""
        return asdict(self)


@dataclass(frozen=True)
class WhatIf:
    """The report, and what it was made from, for whoever draws it."""

    report: WhatIfReport
    comparison: Comparison
    tickers: tuple[int, ...]
    """Numbers of the report's tickers."""


def what_if(
    paths: Sequence[str],
    models: tuple[str, str],
    *,
    chosen: HistoricalOptions | None = None,
    latency_threshold_ms: float = 20.0,
    ticks_max: int = TICKS_MAX,
    temp_dir: Path | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> WhatIf:
    """Read every file once and compare two models, each written as in MIDSTREAM_LATENCY. Raises UnusableInput.

    `chosen` says which tickers are compared, and which arrivals, those that the files have: both models have the same ticks. Of the other
    options it has the unit of fractions. `on_progress` is told every so often how many rows were read since it was told last.
    """
    chosen = HistoricalOptions() if chosen is None else chosen
    # Everything is read, as the others wait for what is left out. A latency that is declared need not be looked for.
    options = HistoricalOptions(fraction_unit_us=chosen.fraction_unit_us, min_latency_ms=0.0)
    tickers, damage = Tickers(), []
    comparison = Comparison(
        latency_threshold_ns=round(latency_threshold_ms * 1e6),
        start_time_ns=chosen.start_ns,
        end_time_ns=chosen.end_ns,
        only_tickers=chosen.tickers,
    )
    inputs = open_inputs(paths)
    try:
        names = [opened.name for opened in inputs]
        first, second = (source_latencies(HistoricalOptions(latency=split_entries(model)), names) for model in models)
        plans = plan_latencies(inputs, options, temp_dir)
        for rank, (opened, plan) in enumerate(zip(inputs, plans, strict=True)):
            comparison.add_source(first[rank].kernel, second[rank].kernel)
            reading = Reading(
                tickers,
                options,
                opened.content.beginning,
                rank=rank,
                latency_bound_ns=LATENCY_BOUND_MIN,
                end=plan.scanned.damage,
            )
            problem = _read(opened, reading, comparison, ticks_max, on_progress)
            damage += [f"{opened.name}: {problem}"] if problem else []
    finally:
        for opened in inputs:
            opened.close()
    comparison.finish()
    return _report(comparison, tickers, names, models, latency_threshold_ms, chosen, damage)


def _read(
    opened: InputFile,
    reading: Reading,
    comparison: Comparison,
    ticks_max: int,
    on_progress: Callable[[int], None] | None,
) -> str:
    """Add the rows of one file; return why the file ended too early."""
    rows = opened.content.read(reading)
    block = Block(reading.tickers)
    while not rows.finished:
        try:
            rows.feed(block, READ_ROWS)
        except UnsortedSource as problem:
            raise UnusableInput(
                f"{opened.name}: line {problem.line} is sorted neither by event time nor by arrival time, so which row was sent before "
                "which is not known; sort the file by its timestamps first"
            ) from problem
        comparison.add(block)
        if on_progress is not None:
            on_progress(len(block))
        block.clear()
        if len(comparison) > ticks_max:
            raise UnusableInput(
                f"{opened.name}: more than {ticks_max:,} ticks do not fit into memory at once; compare a part of them, by --ticker, "
                "--start or --end"
            )
    return rows.damage


def _report(
    comparison: Comparison,
    tickers: Tickers,
    names: Sequence[str],
    models: tuple[str, str],
    latency_threshold_ms: float,
    chosen: HistoricalOptions,
    damage: Sequence[str],
) -> WhatIf:
    counted = comparison.ticker_counts()
    busiest = sorted(counted, key=lambda number: (-counted[number][0], tickers.name(number)))
    changes = [_ticker_change(comparison, number, tickers.name(number), counted[number]) for number in busiest]
    groups = [tickers.name(number) for number in busiest[:PAIRED_TICKERS]]
    group_of = [len(groups)] * len(tickers)
    for group, number in enumerate(busiest[:PAIRED_TICKERS]):
        group_of[number] = group
    groups.append(OTHERS)
    pairs, moved = comparison.inversions(group_of, len(groups))
    changed = [
        PairChange(groups[place // len(groups)], groups[place % len(groups)], count)
        for place, count in enumerate(pairs)
        if count
    ]
    rejected, unusable, skipped = comparison.left_out()
    late, late_in_both, waited = comparison.counts()
    report = WhatIfReport(
        files=tuple(names),
        models=models,
        ticks=len(comparison),
        rejected=rejected,
        unusable=unusable,
        skipped=skipped,
        only_tickers=chosen.tickers,
        start_time_ns=chosen.start_time_ns,
        end_time_ns=chosen.end_time_ns,
        latency_threshold_ms=latency_threshold_ms,
        latency_ms=(_latencies(comparison, 0, waited[0]), _latencies(comparison, 1, waited[1])) if changes else None,
        inversions=sum(pairs),
        pairs=len(comparison) * (len(comparison) - 1) // 2,
        moved=moved,
        late=late,
        late_in_both=late_in_both,
        tickers=tuple(changes),
        ticker_pairs=tuple(sorted(changed, key=lambda pair: -pair.inversions)),
        damage=tuple(damage),
    )
    return WhatIf(report, comparison, tuple(busiest))


def _latencies(comparison: Comparison, model: int, waited: int) -> Latencies:
    low, p50, p99, high = (comparison.latency_quantile(model, share) / 1e6 for share in (0.0, 0.5, 0.99, 1.0))
    return Latencies(low, p50, p99, high, waited)


def _ticker_change(
    comparison: Comparison, number: int, name: str, counted: tuple[int, tuple[int, int], tuple[int, int]]
) -> TickerChange:
    ticks, late, mids = counted
    first, second = (comparison.ages(number, model, SHARES) for model in (0, 1))
    if first is None or second is None:
        return TickerChange(name, ticks, late, mids, 0.0, None)
    ages = tuple(Staleness(p50 / 1e6, p99 / 1e6, high / 1e6) for _, (p50, p99), high in (first, second))
    return TickerChange(name, ticks, late, mids, first[0] / 1e9, (ages[0], ages[1]))

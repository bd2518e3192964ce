"""Measure against the alternatives and print ratios: `python -m benchmarks [--ticks N] [--pairs N] [--quick] [ID...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import page
from benchmarks.context import Context, scratch_directory
from benchmarks.crowd import crowd
from benchmarks.dashboard import dashboard_storm
from benchmarks.decoding import g3
from benchmarks.growth import g8
from benchmarks.live import g10
from benchmarks.machine import this_machine
from benchmarks.ordering import g4
from benchmarks.orders import orders_storm
from benchmarks.pacing import g9
from benchmarks.partitions import g18
from benchmarks.pipeline import g1, g2
from benchmarks.power_listener import deals_burst
from benchmarks.queueing import g5
from benchmarks.recording import g17
from benchmarks.results import Result, markdown, table, write_json
from benchmarks.starting import g11
from benchmarks.streaming import g7
from benchmarks.text import g6
from benchmarks.weaving import g16

PART: Final = Path("build", "bench-results.json")
"""Where a run goes that is not whole; a whole one goes into the tree."""
BENCHMARKS: Final[dict[str, Callable[[Context], list[Result]]]] = {
    "G1": g1,
    "G2": g2,
    "G3": g3,
    "G4": g4,
    "G5": g5,
    "G6": g6,
    "G7": g7,
    "G8": g8,
    "G9": g9,
    "G10": g10,
    "G11": g11,
    "G12": dashboard_storm,
    "G13": orders_storm,
    "G14": deals_burst,
    "G15": crowd,
    "G16": g16,
    "G17": g17,
    "G18": g18,
}
TICKS, TICKS_QUICK = 5_000_000, 500_000
PAIRS, PAIRS_QUICK = 5, 2
SECONDS_PER_ROW, SECONDS_PER_ROW_QUICK = 45.0, 8.0


def main() -> int:
    """Run what was asked for; returns 1 when a benchmark could not be run or the answers differed."""
    options = _parse()
    machine = this_machine()
    results: list[Result] = []
    failed = False
    with scratch_directory(options.scratch) as scratch:
        context = Context(
            ticks=options.ticks,
            pairs=options.pairs,
            quick=options.quick,
            scratch=scratch,
            seconds_per_row=SECONDS_PER_ROW_QUICK if options.quick else SECONDS_PER_ROW,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        for name in options.ids:
            started = time.monotonic()
            context.say(f"{name} ...")
            try:
                results += BENCHMARKS[name](context)
            except Exception as exc:  # noqa: BLE001  one that fails must not take the others' figures with it
                context.say(f"{name} FAILED: {type(exc).__name__}: {exc}")
                failed = True
            context.say(f"{name} took {time.monotonic() - started:.0f} s")
    print(table(results, machine))
    whole = not failed and not options.quick and options.ids == list(BENCHMARKS)
    if not whole:
        PART.parent.mkdir(exist_ok=True)
    taken = {"ticks": options.ticks, "pairs": options.pairs, "quick": options.quick}
    write_json(page.RESULTS if whole else PART, results, machine, taken)
    if whole:
        page.write()
    if options.markdown is not None:
        options.markdown.write_text(markdown(results, machine))
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"what to run, of {' '.join(BENCHMARKS)}; default all")
    parser.add_argument("--ticks", type=int, help=f"ticks of the usual input (default {TICKS:,})")
    parser.add_argument("--pairs", type=int, help=f"runs of each side, alternating (default {PAIRS})")
    parser.add_argument("--quick", action="store_true", help="a small input and two pairs: about two minutes")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    parser.add_argument("--scratch", type=Path, help="where logs are written; default the system's temporary directory")
    options = parser.parse_args()
    options.ids = [name.upper() for name in options.ids] or list(BENCHMARKS)
    unknown = [name for name in options.ids if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown: {' '.join(unknown)}; there are {' '.join(BENCHMARKS)}")
    options.ticks = options.ticks or (TICKS_QUICK if options.quick else TICKS)
    options.pairs = options.pairs or (PAIRS_QUICK if options.quick else PAIRS)
    return options


if __name__ == "__main__":
    sys.exit(main())

"""What has to be known of a source before its first row leaves: its lowest latency, whether it is whole, and what tickers it has.

Rows leave in arrival order as soon as nothing still unread can arrive before them. For a file sorted by event time that
needs a lower bound of its latencies: zero, unless a negative latency stands somewhere. That no field at all starts with
a `-` proves it cheaply; otherwise the latencies are read once, and what was found is kept for the next time. What is
compressed is read to its check sums, so that no row of a damaged part is played as a good one.

No single pass could know it: the last row of a file may have the latency that puts it before all others, and what left
cannot be called back. So a file is read twice, once for its bytes alone, unless a latency was declared or is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fastpath.columns import AFTER_EVERYTHING, Block, Tickers
from fastpath.latency import LatencyModel
from fastpath.rules import UnsortedSource
from services.replay.sources.inputs import InputFile
from services.replay.sources.integrity import find_damage
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Damage, FileTickers, Reading
from services.replay.sources.scan_cache import Scanned, one_at_a_time, read_cache, write_cache

SCAN_ROWS = 8192
THREADS = 2
TICKERS_ALONE_FROM: Final = 3
"""Partitions from which on a file is looked through for its tickers when nothing else has to be known of it: for fewer it costs as much as
it saves the first time."""


@dataclass(frozen=True)
class LatencyPlan:
    """What a source's decoder is told."""

    shift_ns: int
    latency_bound_ns: int
    scanned: Scanned


@dataclass(frozen=True)
class Wanted:
    """What has to be known of one file."""

    latency: bool
    order: bool
    check: bool
    tickers: bool
    is_worth_a_look: bool
    """Otherwise only what is kept is taken."""

    @property
    def anything(self) -> bool:
        """Tell whether something has to be known at all."""
        return self.latency or self.order or self.check or self.tickers

    def is_in(self, scanned: Scanned | None) -> bool:
        """Tell whether all of it was looked for."""
        return (
            scanned is not None
            and (not self.latency or scanned.latency_ns_min is not None)
            and (not self.order or scanned.unsorted_line is not None)
            and (not self.tickers or scanned.tickers is not None)
        )


def plan_latencies(
    inputs: Sequence[InputFile],
    options: HistoricalOptions,
    cache_dir: Path | None,
    models: Sequence[LatencyModel] | None = None,
    *,
    growing: bool = False,
    in_hurry: bool = False,
) -> list[LatencyPlan]:
    """Find what each source's decoder needs to know, reading as little as that takes. No `models`: all arrive as recorded.

    `growing` files are not looked through for their tickers: others may come. Nor are, `in_hurry`, those of which nothing else is wanted.
    """
    if models is None:
        models = [LatencyModel()] * len(inputs)
    count = len(inputs)
    # The engines of a server have the same files: each begins with others, and finds what the others have found.
    first = options.partition.number * count // options.partition.of.count
    order = [(first + place) % count for place in range(count)]

    def scan(number: int) -> Scanned:
        wanted = _wanted(inputs[number], options, models[number], growing=growing, in_hurry=in_hurry)
        return _scan(inputs[number], wanted, options, cache_dir)

    with ThreadPoolExecutor(THREADS) as pool:
        scanned = dict(zip(order, pool.map(scan, order), strict=True))
    return [_plan_one(scanned[number], options, model) for number, model in enumerate(models)]


def _plan_one(scanned: Scanned, options: HistoricalOptions, model: LatencyModel) -> LatencyPlan:
    lowest = options.min_latency_ns
    if lowest is None:
        lowest = 0 if scanned.latency_ns_min is None else scanned.latency_ns_min
    lowest = model.lowest_ns(min(lowest, 0))
    if options.negative_latency == "keep":
        return LatencyPlan(0, lowest, scanned)
    if options.negative_latency == "clamp":
        return LatencyPlan(0, 0, scanned)
    return LatencyPlan(max(0, -lowest), max(0, lowest), scanned)


def _scan(opened: InputFile, wanted: Wanted, options: HistoricalOptions, cache_dir: Path | None) -> Scanned:
    if not wanted.anything:
        return Scanned(None, None)
    cached = read_cache(opened, options, cache_dir)
    if cached is not None and wanted.is_in(cached):
        return cached
    if not wanted.is_worth_a_look:
        return Scanned(None, None)
    if options.partition.is_all:
        return _look(opened, options, cache_dir, wanted)
    with one_at_a_time(opened, cache_dir):
        cached = read_cache(opened, options, cache_dir)
        return cached if cached is not None and wanted.is_in(cached) else _look(opened, options, cache_dir, wanted)


def _wanted(
    opened: InputFile, options: HistoricalOptions, model: LatencyModel, *, growing: bool, in_hurry: bool
) -> Wanted:
    is_from_file = model.follows_file or not model.changes
    latency = (
        options.min_latency_ms is None
        and is_from_file
        and (
            options.negative_latency == "shift"
            or (options.negative_latency == "keep" and not opened.content.by_arrival)
        )
    )
    order = options.unsorted == "sort"
    check = opened.content.compressed
    partitions = options.partition.of.count
    alone = partitions >= TICKERS_ALONE_FROM and not in_hurry
    return Wanted(latency, order, check, partitions > 1 and not growing, latency or order or check or alone)


def _look(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None, wanted: Wanted) -> Scanned:
    damage, is_not_negative, tickers = None, False, None
    if wanted.check or not wanted.order or wanted.tickers:
        negatives = wanted.latency and not wanted.order
        skim = opened.content.skim(negatives=negatives, tickers=wanted.tickers)
        damage, is_not_negative = find_damage(opened, options, skim), skim.surely_not_negative
        tickers = None if not wanted.tickers else FileTickers() if skim.damage else skim.tickers or FileTickers()
    if wanted.order or (wanted.latency and not is_not_negative):
        scanned = _decode_all(opened, options, damage, find_order=wanted.order)
    else:
        scanned = Scanned(0, 0, damage=damage) if wanted.latency else Scanned(None, None, damage=damage)
    scanned = replace(scanned, tickers=tickers)
    write_cache(opened, options, cache_dir, scanned)
    return scanned


def _decode_all(opened: InputFile, options: HistoricalOptions, damage: Damage | None, *, find_order: bool) -> Scanned:
    # The policy and the filters are left out: what is wanted is what the file says.
    as_is = HistoricalOptions(fraction_unit_us=options.fraction_unit_us)
    lowest, negative_rows, unsorted_line = _decode(opened, as_is, damage, check_order=find_order)
    if unsorted_line:
        lowest, negative_rows, _ = _decode(opened, as_is, damage, check_order=False)
    return Scanned(lowest, negative_rows, unsorted_line if find_order else None, damage)


def _decode(
    opened: InputFile, options: HistoricalOptions, damage: Damage | None, *, check_order: bool
) -> tuple[int, int, int]:
    tickers = Tickers()
    content = opened.content
    rows = content.read(
        Reading(
            tickers,
            options,
            content.beginning,
            latency_bound_ns=LATENCY_BOUND_MIN,
            check_order=check_order,
            end=damage,
        )
    )
    scratch = Block(tickers)
    unsorted_line = 0
    try:
        while not rows.finished:
            rows.feed(scratch, SCAN_ROWS)
            scratch.clear()
    except UnsortedSource as problem:
        unsorted_line = problem.line
    lowest = rows.latency_ns_min
    return 0 if lowest == AFTER_EVERYTHING else lowest, rows.negative_latencies, unsorted_line

"""What has to be known of a source before its first row leaves: its lowest latency, and whether it is whole.

Rows leave in arrival order as soon as nothing still unread can arrive before them. For a file sorted by event time that
needs a lower bound of its latencies: zero, unless a negative latency stands somewhere. That no field at all starts with
a `-` proves it cheaply; otherwise the latencies are read once, and what was found is kept for the next time. What is
compressed is read to its check sums, so that no row of a damaged part is played as a good one.

No single pass could know it: the last row of a file may have the latency that puts it before all others, and what left
cannot be called back. So a file is read twice, once for its bytes alone, unless a latency was declared or is remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastpath.columns import AFTER_EVERYTHING, Block, Tickers
from fastpath.latency import LatencyModel
from fastpath.rules import UnsortedSource
from services.replay.sources.inputs import InputFile
from services.replay.sources.integrity import find_damage
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import LATENCY_BOUND_MIN, Damage, Reading
from services.runtime.json_text import read_json

SCAN_ROWS = 8192
THREADS = 2
CACHE_VERSION = 3


@dataclass(frozen=True)
class Scanned:
    """What is known of one source before it is read."""

    latency_ns_min: int | None
    """None: not looked for."""
    negative_rows: int | None
    unsorted_line: int | None = None
    """First row that is sorted by neither time; 0: none. None: not looked for."""
    damage: Damage | None = None
    """Where rows stop being believable."""


@dataclass(frozen=True)
class LatencyPlan:
    """What a source's decoder is told."""

    shift_ns: int
    latency_bound_ns: int
    scanned: Scanned


def plan_latencies(
    inputs: Sequence[InputFile],
    options: HistoricalOptions,
    cache_dir: Path | None,
    models: Sequence[LatencyModel] | None = None,
) -> list[LatencyPlan]:
    """Find what each source's decoder needs to know, reading as little as that takes. No `models`: all arrive as recorded."""
    if models is None:
        models = [LatencyModel()] * len(inputs)
    with ThreadPoolExecutor(THREADS) as pool:
        scanned = list(pool.map(lambda opened, model: _scan(opened, options, cache_dir, model), inputs, models))
    return [_plan_one(result, options, model) for result, model in zip(scanned, models, strict=True)]


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


def _scan(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None, model: LatencyModel) -> Scanned:
    is_from_file = model.follows_file or not model.changes
    needs_latency = (
        options.min_latency_ms is None
        and is_from_file
        and (
            options.negative_latency == "shift"
            or (options.negative_latency == "keep" and not opened.content.by_arrival)
        )
    )
    needs_order = options.unsorted == "sort"
    needs_check = opened.content.compressed
    if not needs_latency and not needs_order and not needs_check:
        return Scanned(None, None)
    cached = _read_cache(opened, options, cache_dir)
    if (
        cached is not None
        and (not needs_latency or cached.latency_ns_min is not None)
        and (not needs_order or cached.unsorted_line is not None)
    ):
        return cached
    damage, is_not_negative = None, False
    if needs_check or not needs_order:
        skim = opened.content.skim(negatives=needs_latency and not needs_order)
        damage, is_not_negative = find_damage(opened, options, skim), skim.surely_not_negative
    if needs_order or (needs_latency and not is_not_negative):
        scanned = _decode_all(opened, options, damage, find_order=needs_order)
    else:
        scanned = Scanned(0, 0, damage=damage) if needs_latency else Scanned(None, None, damage=damage)
    _write_cache(opened, options, cache_dir, scanned)
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


# The cache only saves time: whatever is wrong with it, the file is scanned again. What it says is not believed beyond that: each row is
# held to it as it is read, and one that breaks it ends the replay and what is kept.


def forget_scan(opened: InputFile, cache_dir: Path | None) -> None:
    """Have the next replay of this file scan it again: what was found is not true any more."""
    if cache_dir is not None:
        with contextlib.suppress(OSError):
            _cache_file(opened, cache_dir).unlink()


def _cache_file(opened: InputFile, cache_dir: Path) -> Path:
    name = hashlib.sha256(os.path.abspath(opened.name).encode(errors="surrogateescape")).hexdigest()[:32]
    return cache_dir / f"latency-{name}.json"


def _cache_key(opened: InputFile, options: HistoricalOptions) -> list[object]:
    head = [opened.size, opened.mtime_ns, *opened.identity, opened.head_digest]
    how = [options.fraction_unit_us, options.unsorted]
    return [CACHE_VERSION, os.path.abspath(opened.name), *head, *how]


def _read_cache(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None) -> Scanned | None:
    if cache_dir is None:
        return None
    try:
        stored = read_json(_cache_file(opened, cache_dir).read_bytes())
        if stored["key"] != _cache_key(opened, options):
            return None
        return _scanned(stored["scanned"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _scanned(stored: dict[str, Any]) -> Scanned:
    damage = stored["damage"]
    numbers = [stored[name] for name in ("latency_ns_min", "negative_rows", "unsorted_line")]
    if any(number is not None and not isinstance(number, int) for number in numbers):
        raise TypeError("no numbers")
    lowest, negative_rows, unsorted_line = numbers
    found = None if damage is None else Damage(str(damage["reason"]), int(damage["offset"]))
    return Scanned(lowest, negative_rows, unsorted_line, found)


def _write_cache(opened: InputFile, options: HistoricalOptions, cache_dir: Path | None, scanned: Scanned) -> None:
    if cache_dir is None or not opened.is_unchanged:
        return
    path = _cache_file(opened, cache_dir)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps({"key": _cache_key(opened, options), "scanned": asdict(scanned)}))
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink()

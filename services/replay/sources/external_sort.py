"""Files that are sorted by neither time: sorted in runs on disk before anything is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastpath.columns import Tickers
from fastpath.merge import Merger
from services.replay.sources.file_source import FileSource
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.row_reader import Reading
from services.replay.sources.spill import SpilledRun, SpillFile

RUN_ROWS = 1_000_000
READ_ROWS = 8192


@dataclass(frozen=True)
class SortedRun:
    """One sorted run on disk, ready to be merged."""

    stored: SpilledRun
    row_count: int
    oldest_rows: Mapping[int, int]
    """Per rank, the lowest row number in it; -1: none."""


def sort_file(
    file: FileSource,
    tickers: Tickers,
    options: HistoricalOptions,
    *,
    rank: int,
    spill: SpillFile,
    interrupted: Callable[[], bool],
) -> list[SortedRun]:
    """Write the rows of a file as sorted runs. What an interruption leaves is incomplete and must not be played.

    A resume sorts again from the start: the place of a row in the file says nothing about when it leaves.
    """
    content = file.opened.content
    rows = content.read(
        Reading(
            tickers,
            options,
            content.beginning,
            rank=rank,
            shift_ns=file.plan.shift_ns,
            latency_bound_ns=file.plan.latency_bound_ns,
            end=file.plan.scanned.damage,
            check_order=False,
        )
    )
    # A merger that is never told a bound settles nothing: it only collects, sorts and serialises.
    collector = Merger(tickers, rank + 1)
    pending = collector.pending(rank)
    runs: list[SortedRun] = []
    first_line = rows.line
    while not rows.finished and not interrupted():
        rows.feed(pending, READ_ROWS)
        held = collector.in_flight
        if held >= RUN_ROWS or (rows.finished and held):
            runs.append(SortedRun(spill.append(collector.spill()), held, {rank: first_line}))
            first_line = rows.line
    file.skipped_on_disk = rows.skipped
    if rows.finished:
        file.note_end(rows)
    return runs

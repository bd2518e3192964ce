"""G4: arrival order of eight files, against sorting everything in memory.

Ours is timed in the merger's own calls, fed from the decoder as the merger recommends; decoding is not counted, as reading
the arrays is not counted for numpy. It moves every column of a row, so the fair comparison is argsort and gather.

Each side does its work several times in a process, and the first time does not count: it is the one that writes to pages which a
virtual machine may never have had, and these cost it up to ten times what all others do. Whoever needs most memory would pay most.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.competitors.polars_replay import FILE_TIME
from benchmarks.context import Context
from benchmarks.data import Ticks
from benchmarks.results import Goal, Result
from benchmarks.wire import columns
from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder
from fastpath.frame import MODE_HISTORICAL, encode_batch
from fastpath.header import Header
from fastpath.merge import Merger

ROWS_IN_FLIGHT: Final = 4096
"""Rows of all sources together that the merger recommends to read at a time; a feed brings this much divided by the files."""
TAKE_ROWS: Final = 4096
BUFFER_BYTES: Final = 256 * 1024
TURNS: Final = 4
"""How often a side does its work in one process: once to meet its memory, and the fastest of the others counts."""
MICROSECOND_NS: Final = 1000
ROW_BYTES: Final = 64
"""What the merger moves of every row."""
COLUMNS: Final = ("event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount")


class Feeder:
    """Decodes one file in pieces."""

    def __init__(self, path: str, rank: int, tickers: Tickers) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  (closed with the last row)
        header = self._file.readline()
        self.decoder = Decoder(Header(header), tickers, source_rank=rank, offset=len(header), line=2)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        self.finished = False

    def feed(self, into: Block, rows: int) -> None:
        """Append up to `rows` rows."""
        while not self.finished:
            used = self.decoder.feed(self._buffer[self._start : self._end], into, row_limit=rows)
            self._start += used
            if used:
                return
            left = self._end - self._start
            self._buffer[:left] = bytes(self._buffer[self._start : self._end])
            count = self._file.readinto(self._buffer[left:])
            self._start, self._end = 0, left + count
            if count == 0:
                self.finished = True
                self._file.close()


class Ordered:
    """What one pass of the merger brought."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.in_flight_max = 0
        self.parts: list[dict[str, Any]] = []


def merge(ticks: Ticks, *, keep: bool = False) -> Ordered:
    """Merge all files; the time is that of the merger's calls."""
    tickers, ordered = Tickers(), Ordered()
    sources = [Feeder(path, rank, tickers) for rank, path in enumerate(ticks.paths)]
    merger, block = Merger(tickers, len(sources)), Block(tickers)
    rows_each, feeds = ROWS_IN_FLIGHT // len(sources), 2 * len(sources)
    clock, seconds, asked = time.thread_time, 0.0, 0
    rank = merger.laggard()
    while rank >= 0:
        for _ in range(feeds):
            source = sources[rank]
            source.feed(merger.pending(rank), rows_each)
            bound_ns = source.decoder.bound_ns
            before = clock()
            merger.advance(rank, bound_ns, finished=source.finished)
            rank = merger.laggard()
            # Asking for the time costs as much as these calls, so they are timed together, and what it costs is taken off.
            seconds += clock() - before
            asked += 1
            if rank < 0:
                break
        before = clock()
        while merger.take(block, TAKE_ROWS):
            if keep:
                ordered.parts.append(_columns(block))
            block.clear()
        seconds += clock() - before
        asked += 1
    ordered.seconds, ordered.in_flight_max = seconds - asked * _clock_s(), merger.in_flight_max
    return ordered


def _clock_s() -> float:
    """What asking for the time twice adds to a duration: half a microsecond where it takes a call of the system."""
    clock = time.thread_time
    return min(-(clock() - clock()) for _ in range(1000))


def g4(context: Context) -> list[Result]:
    """Compare with a stable argsort of all arrivals, alone and with gathering the columns; every round in new processes."""
    ticks = context.data
    _compare(ticks, _load(ticks))
    in_flight: list[int] = []
    alone: list[float] = []
    gathered: list[float] = []
    copied: list[float] = []
    for _ in context.rounds():
        ours, theirs = (context.answer("benchmarks.ordering", side, *ticks.paths) for side in ("ours", "numpy"))
        in_flight.append(ours["in_flight_max"])
        alone.append(theirs["sorted_s"] / ours["seconds"])
        gathered.append(theirs["gathered_s"] / ours["seconds"])
        copied.append(theirs["copied_s"] / ours["seconds"])
        context.say(
            f"  ours {ours['seconds']:.3f} s, argsort {theirs['sorted_s']:.3f} s, and gather {theirs['gathered_s']:.3f} s"
        )
    what = "arrival order of 8 files, rows moved"
    note = f"CPU time; at most {max(in_flight):,} rows in memory for {ticks.count:,} ticks (numpy: all of them)"
    bound = f"to copy as many bytes as our rows have, in one piece, takes {median(copied):.2f} of our time"
    return [
        Result("G4", what, "numpy argsort (stable), nothing moved", tuple(alone), Goal(1.8, 3), note=note),
        Result("G4b", what, "numpy argsort and gather of the columns", tuple(gathered), Goal(6, 10), note=bound),
    ]


def main() -> None:
    """Run one side once: `python -m benchmarks.ordering ours|numpy FILE...`."""
    side, paths = sys.argv[1], tuple(sys.argv[2:])
    if side == "ours":
        turns = [merge(Ticks(0, paths)) for _ in range(TURNS)][1:]
        print(json.dumps({"seconds": min(turn.seconds for turn in turns), "in_flight_max": turns[0].in_flight_max}))
        return
    arrays = _load(Ticks(0, paths))
    sorted_s, gathered_s = zip(*[_sort(arrays) for _ in range(TURNS)][1:], strict=True)
    copied_s = _copy(len(arrays["arrival_time_ns"]) * ROW_BYTES)
    print(json.dumps({"sorted_s": min(sorted_s), "gathered_s": min(gathered_s), "copied_s": copied_s}))


def _sort(arrays: dict[str, Any]) -> tuple[float, float]:
    """Sort and gather everything; the time until it is sorted, and until it is gathered."""
    before = time.thread_time()
    order = np.argsort(arrays["arrival_time_ns"], kind="stable")
    sorted_s = time.thread_time() - before
    rows = {name: column[order] for name, column in arrays.items()}
    gathered_s = time.thread_time() - before
    assert len(rows["arrival_time_ns"]) == len(order)
    return sorted_s, gathered_s


def _copy(size: int) -> float:
    """Copy so many bytes, from memory to memory, in pages that are there."""
    source: Any = np.ones(size, np.uint8)
    target = source.copy()
    seconds: list[float] = []
    for _ in range(TURNS):
        before = time.thread_time()
        np.copyto(target, source)
        seconds.append(time.thread_time() - before)
    return min(seconds)


def _load(ticks: Ticks) -> dict[str, Any]:
    """Every column in the order of files and rows, read with polars."""
    frame = (
        pl.scan_csv(ticks.paths)
        .with_columns(
            event_time_ns=pl.col("timestamp").str.to_datetime(FILE_TIME, time_unit="us").to_physical() * MICROSECOND_NS
        )
        .with_columns(
            arrival_time_ns=pl.col("event_time_ns") + (pl.col("latency") * 1e6).round().cast(pl.Int64),
        )
        .select(*COLUMNS, "ticker")
        .collect()
    )
    arrays = {name: frame[name].to_numpy() for name in COLUMNS}
    return arrays | {"ticker_index": frame["ticker"].cast(pl.Categorical).to_physical().to_numpy()}


def _compare(ticks: Ticks, arrays: dict[str, Any]) -> None:
    """Raise AssertionError unless the merger's rows are those of the argsort, one after the other."""
    order = np.argsort(arrays["arrival_time_ns"], kind="stable")
    parts = merge(ticks, keep=True).parts
    for name in COLUMNS:
        column = arrays[name]
        if not np.array_equal(np.concatenate([part[name] for part in parts]), column[order]):
            raise AssertionError(f"the merger's order is not that of a stable sort: `{name}` differs")


def _columns(block: Block) -> dict[str, Any]:
    encoded, rows, _ = encode_batch(
        block, 0, len(block), epoch="e", mode=MODE_HISTORICAL, first_sequence=1, sources=[str(n) for n in range(64)]
    )
    assert rows == len(block)
    return columns(encoded)


if __name__ == "__main__":
    main()

"""Random histories for the tests of the merge, and a driver that plays them through any merger."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fastpath.columns import Block, Tickers
from tests.reference.merge import Row, append

if TYPE_CHECKING:
    from fastpath.columns import Key, TickRow

BEFORE_EVERYTHING = -(2**63)
AFTER_EVERYTHING = 2**63 - 1
HOUR_NS = 3600 * 10**9


@dataclass(frozen=True)
class History:
    """Per source its rows in file order, and the lowest latency that any of them has."""

    rows: list[list[Row]]
    events: list[list[int]]
    latency_ns_min: int

    def expected(self) -> list[Row]:
        """Sort everything stably, as the order is defined."""
        return sorted((row for rows in self.rows for row in rows), key=lambda row: row[0])

    def bound_after(self, rank: int, count: int) -> int:
        """Give the lowest arrival that a row behind the first `count` can have, as a decoder knows it."""
        events = [event for event in self.events[rank][:count] if event is not None]
        return max(events) + self.latency_ns_min if events else BEFORE_EVERYTHING


def tick(arrival_ns: int, rank: int, row: int, *, event_ns: int | None = None, ticker: str = "BTC") -> TickRow:
    """Make a tick whose prices tell it from every other."""
    event = arrival_ns if event_ns is None else event_ns
    return ((arrival_ns, rank, row), event, ticker, row + 0.5, rank + 0.25, row + 1.5, math.pi)


def random_history(seed: int, *, source_count_max: int = 6, rows_max: int = 300) -> History:
    """Make sources sorted by event time, with ties, negative and hour-long latencies and rejections."""
    rng = random.Random(seed)
    resolution = rng.choice([1, 1000, 10**6, 10**8])
    latency_ns_min = rng.choice([0, 0, -(10**9)])
    rows: list[list[Row]] = []
    events: list[list[Any]] = []
    for rank in range(rng.randint(1, source_count_max)):
        source: list[Row] = []
        source_events: list[int | None] = []
        event = rng.choice([0, -(10**9), 10**18]) if rng.random() < 0.1 else 10**18
        place = BEFORE_EVERYTHING
        for number in range(1, rng.randint(0, rows_max) + 1):
            if rng.random() < 0.05:
                source.append(((place, rank, number), f"reason {number}", bytes([number % 256, rank])))
                source_events.append(None)
                continue
            event += rng.choice([0, 0, rng.randrange(10**8), rng.randrange(5)]) // resolution * resolution
            latency = rng.randrange(3 * 10**7) if rng.random() < 0.9 else rng.randrange(latency_ns_min, 10**9)
            if rng.random() < 0.02:
                latency += HOUR_NS
            place = event + max(latency_ns_min, latency // resolution * resolution)
            source.append(tick(place, rank, number, event_ns=event, ticker=f"T{rng.randrange(9)}"))
            source_events.append(event)
        rows.append(source)
        events.append(source_events)
    return History(rows, events, latency_ns_min)


@dataclass
class Drive:
    """Feeds a merger in pieces of random sizes and takes in random amounts; spills now and then when asked to."""

    module: ModuleType
    history: History
    rng: random.Random
    resume_after: Key | None = None
    spill_chance: float = 0.0

    def run(self) -> list[Row]:
        return [row for rows in self.batches() for row in rows]

    def batches(self) -> Iterator[list[Row]]:
        tickers = Tickers()
        sources = self.history.rows
        self.merger = self.module.Merger(tickers, len(sources), resume_after=self.resume_after)
        self.fed = [0] * len(sources)
        self.runs: dict[int, bytes] = {}
        into = Block(tickers)
        while (number := self.merger.laggard()) >= 0:
            # Any unfinished source may be fed, not only the one that holds the others back.
            if number < len(sources) and self.rng.random() < 0.3:
                number = self.rng.choice([rank for rank in range(len(sources)) if not self._finished(rank)])
            self._feed(number)
            if self.rng.random() < self.spill_chance:
                self._spill()
            if self.rng.random() < 0.6:
                yield from self._take(into, all_of_it=False)
        yield from self._take(into, all_of_it=True)

    def _finished(self, rank: int) -> bool:
        return self.fed[rank] < 0

    def _feed(self, number: int) -> None:
        if number in self.runs:
            left = self.runs[number]
            size = self.rng.choice([0, 1, 30, 500, len(left)])
            piece = left[:size]
            final = size >= len(left)
            used = self.merger.feed_run(number, piece, final=final)
            self.runs[number] = left[used:]
            return
        start = self.fed[number]
        stop = start + self.rng.choice([0, 1, 2, 7, 50, 400])
        for row in self.history.rows[number][start:stop]:
            append(self.merger.pending(number), row)
        finished = stop >= len(self.history.rows[number])
        self.fed[number] = -1 if finished else stop
        self.merger.advance(number, self.history.bound_after(number, stop), finished=finished)

    def _spill(self) -> None:
        count = self.merger.in_flight
        oldest = {rank: self.merger.oldest_row(rank) for rank in range(len(self.fed))}
        serialised = self.merger.spill()
        self.runs[self.merger.add_run(count, oldest_rows=oldest)] = serialised

    def _take(self, into: Block, *, all_of_it: bool) -> Iterator[list[Row]]:
        while self.merger.take(into, self.rng.choice([1, 3, 64, 5000])):
            rows = into.to_rows()
            into.clear()
            yield rows
            if not all_of_it and self.rng.random() < 0.3:
                return

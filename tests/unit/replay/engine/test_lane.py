"""Rows that wait to be published, and the place from which they could be read again."""

from __future__ import annotations

import random

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX
from services.replay.engine.history import History
from services.replay.engine.lane import POLL_ROWS, HistoricalLane, Lane
from services.replay.sources import Complaints, Poll
from services.runtime.session.line_counts import LineCounts

ROWS = 300_000


class Counting:
    """Hands out rows 0, 1, 2 ... in odd lots, rejections among them; its cursor is the first row of the last poll."""

    names = ("a.csv",)
    mode = 1
    complaints = Complaints()
    line_counts: tuple[LineCounts, ...] = ()
    fingerprint = ""
    first_read_monotonic_ns = skipped = 0
    damaged: tuple[str, ...] = ()

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._next = self._polled_from = 0

    def start(self, wake: object) -> None: ...
    def stop(self) -> None: ...
    def interrupt(self) -> None: ...

    def poll(self, into: Block, limit: int) -> Poll:
        self._polled_from = self._next
        rows = min(limit, self._rng.choice([0, 1, 100, 5000, limit]), ROWS - self._next)
        for row in range(self._next, self._next + rows):
            if row % 1000 == 7:
                into.append_rejection(arrival_time_ns=row, row=row, reason=f"reason {row}")
            else:
                into.append_tick(
                    "T",
                    arrival_time_ns=row,
                    event_time_ns=row,
                    bid_price=1,
                    bid_amount=1,
                    ask_price=1,
                    ask_amount=1,
                    row=row,
                )
        self._next += rows
        return Poll(rows=rows, ended=self._next == ROWS)

    def cursor_sources(self) -> bytes:
        return b"%d" % self._polled_from


def lane_of(seed: int) -> HistoricalLane:
    tickers = Tickers()
    return HistoricalLane(Counting(seed), tickers, cursor=b"0", last_key=None, history=History(tickers))


@pytest.mark.parametrize("seed", range(3))
def test_every_batch_but_the_last_is_full_and_the_block_holds_little_more(seed: int) -> None:
    lane = lane_of(seed)
    published = 0

    while not lane.finished:
        lane.fill(100)
        rows = min(lane.remaining, BATCH_ROWS_MAX)
        assert rows == BATCH_ROWS_MAX or lane.ended
        assert len(lane.block) < BATCH_ROWS_MAX + POLL_ROWS
        assert lane.block.key(lane.start)[2] == published
        assert lane.advance(rows)[2] == published + rows - 1
        published += rows

    assert published == ROWS


@pytest.mark.parametrize("seed", range(3))
def test_the_cursor_misses_no_row_that_waits_and_follows_what_was_published(seed: int) -> None:
    lane = lane_of(seed)
    rng = random.Random(seed)
    published = 0

    while not lane.finished:
        lane.fill(rng.randrange(1, 4))
        place = int(lane.cursor_sources())
        assert published - POLL_ROWS <= place <= published
        rows = rng.randrange(min(lane.remaining, BATCH_ROWS_MAX) + 1)
        if rows:
            lane.advance(rows)
        published += rows
        assert int(lane.cursor_sources()) <= published


def test_a_lane_without_rows_forgets_what_was_published() -> None:
    lane = Lane(Counting(1), Tickers())
    while lane.remaining == 0:
        lane.poll()
    rows = lane.remaining
    lane.advance(rows)

    lane.poll()

    assert lane.start == 0
    assert len(lane.block) == 0 or lane.block.key(0)[2] == rows

"""Rows that were polled and not yet published."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from fastpath.columns import Block, Tickers
from fastpath.frame import BATCH_ROWS_MAX, decode_cursor, encode_cursor
from fastpath.records import Cursor
from services.replay.engine.history import History
from services.replay.engine.ports import FeedSource, RecordedSource
from services.replay.engine.rows import copy_rows
from services.replay.sources import Poll, TickSource

if TYPE_CHECKING:
    from fastpath.columns import Key

POLL_ROWS: Final = 16_384
"""Rows asked for at a time: four batches. A block holds these and less than a batch that was left."""
PACED_POLL_ROWS: Final = 2_048
"""The same while rows are paced: what falls due during a poll waits for its end, and that is 0.2 ms."""


class Lane:
    """One source, its block, and how much of it has been published.

    What was polled stays here while the other source is active, so that the session goes on exactly behind the last row that left.
    """

    def __init__(self, source: TickSource, tickers: Tickers) -> None:
        self.source = source
        self.block = Block(tickers)
        self.start = 0
        self.ended = False
        self.failure: Exception | None = None

    @property
    def remaining(self) -> int:
        """Rows that wait to be published."""
        return len(self.block) - self.start

    def poll(self, rows: int = POLL_ROWS) -> Poll:
        """Poll the source once; rows that were published are forgotten first."""
        self.forget(self.start)
        return self.source.poll(self.block, rows)

    def forget(self, rows: int) -> None:
        """Drop the first rows of the block, among them all that were published."""
        self.block.drop(rows)
        self.start = 0

    def advance(self, rows: int) -> Key:
        """Account for published rows; return the key of the last one."""
        self.start += rows
        return self.block.key(self.start - 1)


class LiveLane(Lane):
    """A lane whose rows exist once."""

    def __init__(self, source: FeedSource, tickers: Tickers) -> None:
        super().__init__(source, tickers)
        self.source: FeedSource = source
        self._back: tuple[Poll, Block] | None = None
        self.screen: Callable[[Block, int], int] | None = None
        """Takes rows that history had out of the block, from this row on, and returns how many are left; None when there are none."""

    def poll(self, rows: int = POLL_ROWS) -> Poll:
        poll = self._poll_back() if self._back is not None else super().poll(rows)
        if self.screen is None or not poll.rows:
            return poll
        return replace(poll, rows=self.screen(self.block, len(self.block) - poll.rows))

    def put_back(self, poll: Poll) -> None:
        """Have the last poll come again, once the rows before it are gone."""
        rows = Block(self.block.tickers)
        stop = len(self.block)
        copy_rows(self.block, rows, stop - poll.rows, stop)
        kept = Block(self.block.tickers)
        copy_rows(self.block, kept, 0, stop - poll.rows)
        self.block, self._back = kept, (poll, rows)

    def _poll_back(self) -> Poll:
        assert self._back is not None
        (poll, rows), self._back = self._back, None
        self.forget(self.start)
        copy_rows(rows, self.block, 0, len(rows))
        return poll

    def discard(self) -> int:
        """Drop what was received and not published; return how many frames that were."""
        if self._back is not None:
            self._poll_back()
        lost = self.source.discard()
        if self.remaining:
            lost += self.block.key(len(self.block) - 1)[2] - self.block.key(self.start)[2] + 1
            self.forget(len(self.block))
        return lost


class _Mark(NamedTuple):
    row: int
    """First row of the block for which the cursor is valid: all rows before it were published then."""
    cursor: bytes


class HistoricalLane(Lane):
    """A lane that also knows where to read again."""

    def __init__(
        self, source: RecordedSource, tickers: Tickers, *, cursor: bytes, last_key: Key | None, history: History
    ) -> None:
        super().__init__(source, tickers)
        self.source: RecordedSource = source
        self.last_key = last_key
        self._history = history
        self._marks = deque([_Mark(0, cursor)])

    @property
    def finished(self) -> bool:
        """Tell whether everything was polled and published."""
        return self.ended and self.remaining == 0

    def cursor_sources(self) -> bytes:
        """Return the newest place that misses none of the rows that still wait."""
        marks = self._marks
        while len(marks) > 1 and marks[1].row <= self.start:
            marks.popleft()
        return marks[0].cursor

    def cursor(self) -> bytes:
        """Return where to read on behind the last row that was published."""
        places = self.cursor_sources()
        if self.last_key is None:
            return places
        return encode_cursor(Cursor(self.last_key, decode_cursor(places).sources if places else ()))

    def fill(self, polls_max: int, *, rows: int = POLL_ROWS) -> None:
        """Poll until there is a full batch to publish, at most `polls_max` times.

        An error of the source is kept in `failure` until everything before it was published.
        """
        for _ in range(polls_max):
            if self.ended or self.failure is not None or self.remaining >= BATCH_ROWS_MAX:
                break
            try:
                poll = self.poll(rows)
            except Exception as exc:  # noqa: BLE001  whatever it is, what was polled before it goes out first
                self.failure = exc
                break
            self.ended = poll.ended
            cursor = self.source.cursor_sources()
            if cursor != self._marks[-1].cursor:
                self._marks.append(_Mark(len(self.block) - poll.rows, cursor))

    def forget(self, rows: int) -> None:
        super().forget(rows)
        self._marks = deque(mark._replace(row=mark.row - rows) for mark in self._marks)

    def advance(self, rows: int) -> Key:
        start = self.start
        self.last_key = super().advance(rows)
        self._history.note(self.block, start, self.start, self.cursor_sources())
        return self.last_key

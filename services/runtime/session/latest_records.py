"""The latest record of each ticker of a stream, for those who begin with it or conflate. It costs nothing until somebody asks.

From then on it takes every batch that the tail reads, so that nothing that retention trims is missing from it. What was trimmed before
it was first asked for is in it only where it is known from elsewhere (`Seed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from services.runtime.session.batch_format import Batch, BatchFormat, LatestTable
from services.runtime.session.stream_entries import FellBehind, StreamEntries, UnreadableEntry
from services.runtime.session.versions import NewerVersion

NEWS_MAX: Final = 64
"""Answers that are kept for others who are at the same place, until the next batch."""
LOOK_AGAIN_S: Final = 0.05

Seed = Callable[[], LatestTable | None]
"""A table as of the tail's end, made of what is known from elsewhere; None where it is not known."""
End = tuple[str, int]


class News(NamedTuple):
    """What is new, and where whoever got it is then."""

    batches: list[Batch]
    last_sequence: int
    epoch: str


class LatestRecords:
    """A table of the latest records, kept up to date by the tail. Made for one event loop."""

    def __init__(
        self,
        entries: StreamEntries,
        batches: BatchFormat,
        *,
        read: Callable[[int | None, str], Awaitable[list[Batch]]],
        end: Callable[[], End],
        seed: Seed | None,
    ) -> None:
        """`read` gives what follows a position, without waiting; `end` is where the tail is."""
        self._entries = entries
        self._batches = batches
        self._read = read
        self._end = end
        self._seed = seed
        self._table: LatestTable | None = None
        self._making = asyncio.Lock()
        self._news: dict[int, list[Batch]] = {}

    async def since(self, position: int, epoch: str) -> News:
        """What is new since a position; everything for one of another epoch. Raises UnreadableEntry."""
        table = self._table or await self._made()
        after = position if epoch in ("", table.epoch) else 0
        news = self._news.get(after)
        if news is None:
            news = [self._batches.head(first, payload) for first, _, payload in table.since(after)]
            if len(self._news) < NEWS_MAX:
                self._news[after] = news
        return News(news, table.last_sequence, table.epoch)

    def note(self, batch: Batch) -> None:
        """Take the next batch of the stream, if there is a table."""
        self._news.clear()
        if self._table is not None and batch.payload:
            try:
                self._table.take(batch.payload)
            except ValueError:
                # Whoever asks next makes a new one, and hears what is wrong.
                self._table = None

    async def catch_up(self, epoch: str, to: int) -> None:
        """Take what came up to a sequence while the tail did not read."""
        table = self._table
        if table is None:
            return
        try:
            await self._read_on(table, lambda: (epoch, to))
        except (UnreadableEntry, NewerVersion):
            self._table = None
        self._news.clear()

    async def _made(self) -> LatestTable:
        async with self._making:
            if self._table is None:
                table = self._seed() if self._seed is not None else None
                if table is None:
                    table = self._batches.table()
                    await self._read_on(table, self._end)
                self._table = table
                self._news.clear()
            return self._table

    async def _read_on(self, table: LatestTable, end: Callable[[], End]) -> None:
        """Read until the table is where `end` says, or at the end of the stream where that is not known."""
        while True:
            epoch, last_sequence = end()
            if epoch and epoch == table.epoch and last_sequence <= table.last_sequence:
                return
            try:
                batches = await self._read(table.last_sequence or None, table.epoch)
            except FellBehind as exc:
                # What was trimmed is gone for everybody.
                oldest = await self._entries.beginning_at(exc.oldest_sequence)
                batches = [oldest] if oldest is not None else []
            for batch in batches:
                self._take(table, batch)
            if not batches:
                if not self._end()[0]:
                    return
                await asyncio.sleep(LOOK_AGAIN_S)

    def _take(self, table: LatestTable, batch: Batch) -> None:
        try:
            if batch.payload:
                table.take(batch.payload)
        except ValueError as exc:
            self._entries.cannot_read(batch.first_sequence, exc)

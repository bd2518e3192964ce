"""A bounded queue between socket and database that numbers what passes."""

from __future__ import annotations

import asyncio
from collections import deque

from clients.power.deals.model import Item
from services.power.listener.feed_entry import FeedEntry, Mark


class FeedQueue:
    """Hands on items in order. A full one makes `put` wait, so that the socket is not read: nothing is thrown away."""

    def __init__(self, run: str, *, items_max: int = 10_000) -> None:
        self._run = run
        self._items_max = items_max
        self._entries: deque[FeedEntry] = deque()
        self._number = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries)

    async def put(self, item: Item, *, moves_cursor: bool = True) -> None:
        """Append an item once there is room."""
        while len(self._entries) >= self._items_max:
            self._emptied.clear()
            await self._emptied.wait()
        self._number += 1
        self._entries.append(FeedEntry(Mark(self._run, self._number), item, moves_cursor))
        self._filled.set()

    async def take(self, count: int, *, timeout_s: float | None = None) -> list[FeedEntry]:
        """Return up to `count` of the oldest entries as soon as there is one; none after the timeout or once closed and empty."""
        if not self._entries and not self._closed:
            self._filled.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._filled.wait()
            except TimeoutError:
                return []
        taken = [self._entries.popleft() for _ in range(min(count, len(self._entries)))]
        self._emptied.set()
        return taken

    @property
    def done(self) -> bool:
        """Whether nothing will ever come again."""
        return self._closed and not self._entries

    def close(self) -> None:
        """Take nothing more in; what is there can still be taken out."""
        self._closed = True
        self._filled.set()

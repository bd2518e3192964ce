"""The one list of messages that every client of the exchange gets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice

MESSAGES_MAX = 500_000
"""Older ones are forgotten: several days at the default pace, and some 200 MB."""


class DealList:
    """Grows at the end; a place is a number that stays with a message for good."""

    def __init__(self, *, messages_max: int = MESSAGES_MAX) -> None:
        self._messages_max = messages_max
        self._messages: dict[int, tuple[str, str]] = {}
        self._places: dict[str, int] = {}
        self._first = 0
        self._end = 0
        self._grown = asyncio.Event()

    @property
    def first(self) -> int:
        """Place of the oldest message that is still here."""
        return self._first

    @property
    def end(self) -> int:
        """Place of the message that comes next."""
        return self._end

    @property
    def last_id(self) -> str:
        """Id of the newest deal; empty while there is none."""
        return self._messages[self._end - 1][0] if self._messages else ""

    def post(self, deal_id: str, message: str) -> None:
        """Append a message; whoever waits gets it."""
        self._messages[self._end] = (deal_id, message)
        self._places[deal_id] = self._end
        self._end += 1
        if len(self._messages) > self._messages_max:
            forgotten, _ = self._messages.pop(self._first)
            if self._places.get(forgotten) == self._first:
                del self._places[forgotten]
            self._first += 1
        self._grown.set()

    def place_after(self, deal_id: str) -> int | None:
        """Return where the list goes on behind a deal; the beginning for an empty id; None for one that is not here."""
        if not deal_id:
            return self._first
        place = self._places.get(deal_id)
        return None if place is None else place + 1

    def read(self, place: int, count: int) -> Sequence[str]:
        """Return up to `count` messages from a place on."""
        return [self._messages[number][1] for number in islice(range(place, self._end), count)]

    def ids(self) -> list[str]:
        """Return the ids of all deals that are here, in order."""
        return [deal_id for deal_id, _ in self._messages.values()]

    async def wait_beyond(self, place: int) -> None:
        """Return when there is a message at this place."""
        while self._end <= place:
            self._grown.clear()
            await self._grown.wait()

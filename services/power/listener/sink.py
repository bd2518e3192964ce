"""The interface between the listener and its database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.power.listener.feed_entry import FeedEntry

__all__ = ["Committed", "Cursor", "DealSink"]


@dataclass(frozen=True)
class Cursor:
    """The place where the feed was left: the last committed deal and when it was received."""

    last_deal_id: str
    updated_time_ns: int


@dataclass(frozen=True)
class Committed:
    """The outcome of a batch."""

    deals: int = 0
    fetched: int = 0
    """Those of `deals` that the feed had skipped: taken from the exchange's list."""
    duplicates: int = 0
    """Deals that the feed delivered although they were here already."""
    unusable: int = 0
    gaps: int = 0
    repeated: int = 0
    """Items that an earlier commit, whose answer was lost, had written already."""
    revised: int = 0
    """Those of `deals` that correct or cancel an earlier revision."""


class DealSink(Protocol):
    """The tables of one feed. Any method may raise DatabaseUnavailable."""

    async def cursor(self) -> Cursor | None:
        """Return where the feed was left; None before the first deal."""
        ...

    async def commit(self, entries: Sequence[FeedEntry]) -> Committed:
        """Write a batch, all of it or nothing, with the cursor. Repeating a batch, or parts of it, changes nothing."""
        ...

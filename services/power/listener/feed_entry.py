"""An item on its way to the database, with the number that makes repeating it harmless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clients.power.deals.model import Item

__all__ = ["NONE_COMMITTED", "FeedEntry", "Mark"]


@dataclass(frozen=True, slots=True)
class Mark:
    """An item's number and the run of the listener that gave it. Kept in the database beside the cursor."""

    run: str
    number: int

    def covers(self, other: Mark) -> bool:
        """Tell whether an item with the other mark is committed when this one is the last committed mark."""
        return self.run == other.run and other.number <= self.number

    def spelt(self) -> str:
        """Return the form in the database."""
        return f"{self.run}:{self.number}"

    @staticmethod
    def parse(text: str) -> Mark:
        """Read `spelt` back."""
        run, _, number = text.rpartition(":")
        return Mark(run, int(number))


NONE_COMMITTED: Final = Mark("", 0)


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An item and its mark."""

    mark: Mark
    item: Item
    moves_cursor: bool = True
    """False for what was fetched beside the feed: the feed does not go on behind it."""

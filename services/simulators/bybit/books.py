"""Books as they were published last: every frame and every answer of one moment has the same number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.simulators.bybit.spelling import price_text, size_text
from services.simulators.venue.liquidity import Book, Level, Liquidity
from services.simulators.venue.listing import Listing

Rows = list[list[str]]


@dataclass(frozen=True)
class BookState:
    """A book and its numbers."""

    book: Book
    number: int
    """`u`: one more with every change that was published."""
    sequence: int


class Books:
    """The states of all listings; a book moves on when it is asked for after it changed."""

    def __init__(self, liquidity: Liquidity) -> None:
        self._liquidity = liquidity
        self._states: dict[tuple[str, str], BookState] = {}

    def state(self, listing: Listing) -> BookState:
        """Return the present state."""
        place = (listing.market, listing.symbol)
        known, book = self._states.get(place), self._liquidity.book(listing)
        if known is not None and known.book == book:
            return known
        number = 18_000_000 if known is None else known.number + 1
        made = self._states[place] = BookState(book, number, 9_000_000_000 + self._liquidity.update_id(listing))
        return made


def level_rows(listing: Listing, levels: Sequence[Level], depth: int) -> Rows:
    """Return the best levels of a side."""
    return [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in levels[:depth]]


def changed_rows(before: Rows, now: Rows) -> Rows:
    """Return what makes the one side of a book out of the other: a size of 0 takes a level away."""
    sizes, kept = {row[0]: row[1] for row in before}, {row[0] for row in now}
    gone = [[price, "0"] for price in sizes if price not in kept]
    return [*gone, *(row for row in now if sizes.get(row[0]) != row[1])]

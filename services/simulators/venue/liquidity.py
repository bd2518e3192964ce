"""The book that orders trade against: made anew at each step, around the price of that step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from services.simulators.venue.book_log import BookChange, BookLog
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Side
from services.simulators.venue.prices import PriceWalk

LEVELS: Final = 20
FIRST_ID: Final = 1_000_000
_NEVER: Final = -1


@dataclass(frozen=True)
class Level:
    """One price and what is there."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True)
class Book:
    """Best first on both sides."""

    bids: Sequence[Level]
    asks: Sequence[Level]

    def against(self, side: Side) -> Sequence[Level]:
        """Return what an order of this side trades with."""
        return self.asks if side is Side.BUY else self.bids


@dataclass(frozen=True)
class _Shown:
    """A book, the step it was made for, and its number among the books of its listing."""

    step: int
    book: Book
    number: int


class Liquidity:
    """Makes the books of all listings; what was taken from a step's book stays taken until the next step."""

    def __init__(self, walk: PriceWalk, *, seed: int, depth: Decimal = Decimal(1)) -> None:
        self._walk = walk
        self._seed = seed
        self._depth = depth
        self._books: dict[str, _Shown] = {}
        self._logs: dict[str, BookLog] = {}

    @property
    def step(self) -> int:
        """The step that the books are of."""
        return self._walk.step

    def mark(self, listing: Listing) -> Decimal:
        """Return the fair price: the underlying's, with the listing's premium, unrounded to ticks but short."""
        fair = Decimal(self._walk.price(listing.base)) * (1 + listing.premium)
        return round(fair, max(2, -int(listing.tick.as_tuple().exponent)))

    def last_price(self, listing: Listing) -> Decimal:
        """Return the price of the last trade: one side of the spread."""
        book = self.book(listing)
        side = book.bids if self._walk.step % 2 == 0 else book.asks
        return side[0].price if side else listing.round_down(self.mark(listing))

    def is_far(self, listing: Listing, highest_bid: float, lowest_ask: float) -> bool:
        """Whether orders at these prices are surely out of the book's reach at this step: cheap, so that it can be asked at each."""
        fair = self._walk.price(listing.base) * (1 + float(listing.premium))
        reach = float(listing.tick) * (listing.spread_ticks + 2)
        return highest_bid < fair - reach and lowest_ask > fair + reach

    def book(self, listing: Listing) -> Book:
        """Return the book of the current step."""
        return self._shown(listing).book

    def update_id(self, listing: Listing) -> int:
        """Return a number that grows by one with each change of the book."""
        return self._shown(listing).number

    def follow(self, listing: Listing, key: object) -> None:
        """Begin to note the changes of a book for somebody; without effect where the key follows already."""
        number = self.update_id(listing)
        self._logs.setdefault(_key(listing), BookLog()).follow(key, number)

    def leave(self, listing: Listing, key: object) -> None:
        """Note nothing more for somebody."""
        self._logs[_key(listing)].leave(key)

    def changes(self, listing: Listing, key: object) -> BookChange | None:
        """Return what changed since a follower asked last; None when nothing did."""
        shown = self._shown(listing)
        return self._logs[_key(listing)].take(key, shown.number, shown.book.bids, shown.book.asks)

    def take(self, listing: Listing, side: Side, price: Decimal, quantity: Decimal) -> None:
        """Remove what an order of `side` took at that price."""
        book = self.book(listing)
        left = tuple(
            Level(level.price, level.quantity - quantity) if level.price == price else level
            for level in book.against(side)
        )
        left = tuple(level for level in left if level.quantity > 0)
        self._show(_key(listing), Book(book.bids, left) if side is Side.BUY else Book(left, book.asks))

    def quantity_for(self, listing: Listing, side: Side, value: Decimal) -> Decimal:
        """Return how much an order of that value buys or sells, as far as the book goes."""
        left, quantity = value, Decimal(0)
        for level in self.book(listing).against(side):
            worth = listing.notional(level.price, level.quantity)
            if worth >= left:
                return quantity + listing.lots(left / (level.price * listing.unit))
            left -= worth
            quantity += level.quantity
        return quantity

    def forget(self) -> None:
        """Make the books anew: the price was moved by hand."""
        for key, shown in self._books.items():
            self._books[key] = _Shown(_NEVER, shown.book, shown.number)

    def _shown(self, listing: Listing) -> _Shown:
        key = _key(listing)
        known = self._books.get(key)
        if known is not None and known.step == self._walk.step:
            return known
        return self._show(key, self._make(listing, key))

    def _show(self, key: str, book: Book) -> _Shown:
        before = self._books.get(key)
        log = self._logs.get(key)
        if log is not None and before is not None and log.is_followed:
            log.note((before.book.bids, before.book.asks), (book.bids, book.asks))
        shown = _Shown(self._walk.step, book, FIRST_ID if before is None else before.number + 1)
        self._books[key] = shown
        return shown

    def _make(self, listing: Listing, key: str) -> Book:
        random = Random(f"{self._seed}:{key}:{self._walk.step}")
        mid = self.mark(listing)
        bid = listing.round_down(mid - listing.tick * listing.spread_ticks / 2)
        ask = bid + listing.tick * listing.spread_ticks
        bids, asks = [], []
        below, above = 0, 0
        for number in range(LEVELS):
            bids.append(Level(bid - listing.tick * below, self._quantity(listing, random, number)))
            asks.append(Level(ask + listing.tick * above, self._quantity(listing, random, number)))
            below += random.randint(1, 3)
            above += random.randint(1, 3)
        return Book(tuple(level for level in bids if level.price > 0), tuple(asks))

    def _quantity(self, listing: Listing, random: Random, number: int) -> Decimal:
        wanted = listing.typical_quantity * self._depth * (1 + number) * Decimal(round(random.uniform(0.3, 1.7), 3))
        return max(listing.lot, listing.lots(wanted))


def _key(listing: Listing) -> str:
    return f"{listing.market}:{listing.symbol}"

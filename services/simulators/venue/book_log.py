"""What changed in a book since a client last heard of it: the prices that were touched, with what is there now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol


class _Level(Protocol):
    @property
    def price(self) -> Decimal: ...
    @property
    def quantity(self) -> Decimal: ...


@dataclass
class Follower:
    """One reader of changes. Its `seen` is the number of the book it was told of last."""

    seen: int
    bids: set[Decimal] = field(default_factory=set)
    asks: set[Decimal] = field(default_factory=set)


@dataclass(frozen=True)
class BookChange:
    """All changes behind `before`, up to `number`. A quantity of 0 says that nothing is left at the price."""

    before: int
    number: int
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


class BookLog:
    """Followers of one book. A price that changed and changed back is told of, too: who looked in between has to hear it."""

    def __init__(self) -> None:
        self._followers: dict[object, Follower] = {}

    def follow(self, key: object, number: int) -> None:
        """Begin to note changes behind the book of that number; without effect where the key follows already."""
        self._followers.setdefault(key, Follower(number))

    def leave(self, key: object) -> None:
        """Note nothing more for a key."""
        self._followers.pop(key, None)

    @property
    def is_followed(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._followers)

    def note(
        self, before: tuple[Iterable[_Level], Iterable[_Level]], after: tuple[Iterable[_Level], Iterable[_Level]]
    ) -> None:
        """Take a change of the book: its bids and asks before and after."""
        touched = [_differing(old, new) for old, new in zip(before, after, strict=True)]
        for follower in self._followers.values():
            follower.bids |= touched[0]
            follower.asks |= touched[1]

    def take(self, key: object, number: int, bids: Iterable[_Level], asks: Iterable[_Level]) -> BookChange | None:
        """Return what a follower has not heard of, given the book of now; None when there is nothing."""
        follower = self._followers[key]
        if follower.seen == number:
            return None
        there = ({one.price: one.quantity for one in bids}, {one.price: one.quantity for one in asks})
        change = BookChange(
            follower.seen,
            number,
            tuple((price, there[0].get(price, Decimal(0))) for price in sorted(follower.bids, reverse=True)),
            tuple((price, there[1].get(price, Decimal(0))) for price in sorted(follower.asks)),
        )
        self._followers[key] = Follower(number)
        return change


def _differing(old: Iterable[_Level], new: Iterable[_Level]) -> set[Decimal]:
    before = {(one.price, one.quantity) for one in old}
    after = {(one.price, one.quantity) for one in new}
    return {price for price, _ in before ^ after}

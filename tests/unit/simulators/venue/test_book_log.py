"""A client that is told of changes alone holds the book that there is."""

from __future__ import annotations

import itertools
from decimal import Decimal
from random import Random

import pytest

from services.simulators.venue.book_log import BookChange
from services.simulators.venue.liquidity import Book
from services.simulators.venue.orders import Side
from tests.unit.simulators.venue.engine_support import SPOT, Market

Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]


def held(book: Book) -> Sides:
    """Return a book as a client holds it."""
    return {one.price: one.quantity for one in book.bids}, {one.price: one.quantity for one in book.asks}


def apply(sides: Sides, change: BookChange) -> None:
    """Do what a client does with changes."""
    for side, told in zip(sides, (change.bids, change.asks), strict=True):
        for price, quantity in told:
            if quantity:
                side[price] = quantity
            else:
                side.pop(price, None)


@pytest.mark.quick
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_book_kept_by_changes_is_the_book_whenever_its_snapshot_was_taken(seed: int) -> None:
    random = Random(seed)
    market = Market(seed=seed, volatility=30)
    market.liquidity.follow(SPOT, "me")
    snapshot: tuple[int, Sides] | None = None
    told: list[BookChange] = []
    for number in range(200):
        for _ in range(random.randint(0, 3)):
            best = random.choice(market.liquidity.book(SPOT).asks[:3])
            market.liquidity.take(SPOT, Side.BUY, best.price, best.quantity * random.choice([Decimal("0.5"), 1]))
        if number == 50:
            snapshot = market.liquidity.update_id(SPOT), held(market.liquidity.book(SPOT))
        if random.random() < 0.7:
            market.pass_steps(random.randint(1, 3))
        if random.random() < 0.5 and (change := market.liquidity.changes(SPOT, "me")) is not None:
            told.append(change)
            if snapshot is not None and change.number > snapshot[0]:
                apply(snapshot[1], change)
                assert snapshot[1] == held(market.liquidity.book(SPOT)), number

    assert len(told) > 50
    assert all(later.before == earlier.number for earlier, later in itertools.pairwise(told))


def test_a_quantity_that_changed_and_changed_back_is_told() -> None:
    market = Market()
    market.liquidity.follow(SPOT, "me")
    market.liquidity.changes(SPOT, "me")
    first = market.liquidity.book(SPOT)
    best = first.asks[0]

    market.liquidity.take(SPOT, Side.BUY, best.price, best.quantity / 2)
    market.liquidity.forget()
    change = market.liquidity.changes(SPOT, "me")

    assert market.liquidity.book(SPOT) == first
    assert change is not None
    assert change.asks == ((best.price, best.quantity),)
    assert change.number - change.before == 2


def test_nothing_changed_is_told_as_nothing_and_who_left_is_forgotten() -> None:
    market = Market()
    market.liquidity.follow(SPOT, "me")

    assert market.liquidity.changes(SPOT, "me") is None
    market.liquidity.leave(SPOT, "me")
    with pytest.raises(KeyError):
        market.liquidity.changes(SPOT, "me")


def test_followers_are_told_each_for_itself_and_following_again_loses_nothing() -> None:
    market = Market(volatility=30)
    market.liquidity.follow(SPOT, "fast")
    market.liquidity.follow(SPOT, "slow")
    start = held(market.liquidity.book(SPOT))
    fast, slow = ({**start[0]}, {**start[1]}), ({**start[0]}, {**start[1]})
    for number in range(30):
        market.pass_steps()
        if (change := market.liquidity.changes(SPOT, "fast")) is not None:
            apply(fast, change)
        market.liquidity.follow(SPOT, "slow")
        if number % 10 == 9 and (change := market.liquidity.changes(SPOT, "slow")) is not None:
            apply(slow, change)

    assert fast == slow == held(market.liquidity.book(SPOT))

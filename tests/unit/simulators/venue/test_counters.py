"""Windows, buckets and bans."""

from __future__ import annotations

import pytest

from services.simulators.venue.limits import Ban, WindowCounter
from services.simulators.venue.orderbook import OrderBook
from tests.unit.simulators.venue.engine_support import Market

SECOND = 1_000_000_000


@pytest.mark.quick
def test_window_counts_from_minute_to_minute() -> None:
    counter = WindowCounter(window_s=60, limit=10)
    counter.add(9, 30 * SECOND)

    assert not counter.over(1, 59 * SECOND)
    assert counter.over(2, 59 * SECOND)
    assert not counter.over(10, 60 * SECOND)
    assert counter.left_s(59 * SECOND) == 1


def test_window_gives_back_but_never_below_nothing() -> None:
    counter = WindowCounter(window_s=60, limit=10)
    counter.add(2, 0)
    counter.add(-5, 0)

    assert counter.used(0) == 0


def test_ban_comes_after_the_tolerance_and_grows() -> None:
    ban = Ban(first_s=120, longest_s=1000, tolerance=2)
    assert [ban.offend(0) for _ in range(3)] == [False, False, True]
    assert ban.until_ns == 120 * SECOND

    assert [ban.offend(200 * SECOND) for _ in range(3)] == [False, False, True]
    assert ban.until_ns == (200 + 360) * SECOND
    for _ in range(3):
        ban.offend(900 * SECOND)
    assert ban.until_ns == (900 + 1000) * SECOND


def test_order_book_forgets_closed_orders_first() -> None:
    market = Market()
    market.engine.book = OrderBook(orders_max=3)
    resting = market.place(market.ticket(price="64000", quantity="0.01"))

    placed = [market.place(market.ticket(quantity="0.01", client_id=str(number))) for number in range(5)]

    assert market.engine.book.get(resting.id) is resting
    assert market.engine.book.get(placed[0].id) is None
    assert market.engine.book.by_client_id("me", "spot", "BTCUSDT", "0") == []
    assert market.engine.book.get(placed[4].id) is placed[4]

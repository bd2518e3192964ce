"""The random walk and the books around it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.simulators.venue.listing import quarter_ends
from services.simulators.venue.orders import Side
from services.simulators.venue.prices import START_PRICES, PriceWalk
from tests.unit.simulators.venue.engine_support import SPOT, START_NS, STEP_NS, Market


def walked(seed: int, pauses: list[int]) -> dict[str, float]:
    walk = PriceWalk(seed=seed, start_ns=START_NS, step_ns=STEP_NS)
    now_ns = START_NS
    for pause in pauses:
        now_ns += pause * STEP_NS
        for _ in range(walk.due(now_ns)):
            walk.take()
    return {asset: walk.price(asset) for asset in START_PRICES}


@pytest.mark.quick
def test_price_is_a_function_of_seed_and_step_whoever_asked_when() -> None:
    assert walked(3, [10, 1, 89]) == walked(3, [1] * 100)
    assert walked(3, [100]) != walked(4, [100])


def test_prices_stay_within_an_exchanges_filters_for_a_month() -> None:
    walk = PriceWalk(seed=11, start_ns=START_NS, step_ns=STEP_NS)
    for _ in range(30):
        walk.jump(86_400 * 4)
        for asset, start in START_PRICES.items():
            assert start / 2 < walk.price(asset) < start * 2


def test_zero_volatility_stands_still() -> None:
    market = Market()
    before = market.liquidity.book(SPOT).bids[0].price

    market.pass_steps(500)

    assert market.liquidity.book(SPOT).bids[0].price == before


def test_book_is_sorted_uncrossed_and_of_legal_prices_and_quantities() -> None:
    market = Market(volatility=50)
    for _ in range(50):
        market.pass_steps(3)
        book = market.liquidity.book(SPOT)
        bids, asks = [level.price for level in book.bids], [level.price for level in book.asks]
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        assert all(price % SPOT.tick == 0 for price in bids + asks)
        assert all(level.quantity > 0 and level.quantity % SPOT.lot == 0 for level in (*book.bids, *book.asks))


def test_update_id_grows_with_every_change() -> None:
    market = Market()
    ids = [market.liquidity.update_id(SPOT)]
    for _ in range(5):
        best = market.liquidity.book(SPOT).asks[0]
        market.liquidity.take(SPOT, Side.BUY, best.price, best.quantity / 2)
        ids.append(market.liquidity.update_id(SPOT))
        market.pass_steps()
        ids.append(market.liquidity.update_id(SPOT))

    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-09T00:00:00", ["2026-12-25", "2027-03-26"]),
        ("2026-12-24T07:00:00", ["2026-12-25", "2027-03-26"]),
        ("2026-12-24T09:00:00", ["2027-03-26", "2027-06-25"]),
        ("2027-03-27T00:00:00", ["2027-06-25", "2027-09-24"]),
    ],
    ids=["in between", "a day before", "less than a day before", "a day after"],
)
def test_dated_contracts_end_on_last_fridays_that_are_still_to_come(now: str, expected: list[str]) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)

    ends = quarter_ends(int(moment.timestamp() * 1e9), hour=8)

    assert [f"{end:%Y-%m-%d}" for end in ends] == expected
    assert all(end.hour == 8 and end.weekday() == 4 for end in ends)


def test_premium_keeps_spot_and_derivatives_consistent() -> None:
    market = Market(volatility=50)
    market.pass_steps(1000)
    underlying = Decimal(market.walk.price("BTC"))

    assert abs(market.liquidity.mark(SPOT) / underlying - 1) < Decimal("0.001")

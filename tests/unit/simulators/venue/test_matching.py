"""The matching engine against the simulated book."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulators.venue.clearing import profit
from services.simulators.venue.orders import EventKind, Lifetime, Reason, Refusal, Side, Status
from tests.unit.simulators.venue.engine_support import DEPOSITS, INVERSE, LINEAR, SPOT, STEP_NS, Market

D = Decimal


@pytest.mark.quick
def test_market_order_walks_the_book_level_by_level() -> None:
    market = Market()
    asks = market.liquidity.book(SPOT).asks
    wanted = asks[0].quantity + asks[1].quantity / 2

    order = market.place(market.ticket(quantity=str(SPOT.lots(wanted))))

    fills = list(market.engine.book.fills)
    assert order.status is Status.FILLED
    assert [fill.price for fill in fills] == [asks[0].price, asks[1].price]
    assert fills[0].quantity == asks[0].quantity
    assert market.liquidity.book(SPOT).asks[0].quantity == asks[1].quantity - fills[1].quantity


def test_market_order_beyond_the_book_fills_in_part_and_expires() -> None:
    market = Market()
    market.clearing.holdings["me"].add("spot", "USDT", D(10) ** 9)
    there = sum((level.quantity for level in market.liquidity.book(SPOT).asks), D(0))

    order = market.place(market.ticket(quantity=str(there + 1)))

    assert (order.status, order.filled) == (Status.EXPIRED, there)


def test_limit_order_inside_the_book_rests_and_fills_when_the_price_comes() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000"))
    market.pass_steps(5)
    assert order.status is Status.NEW

    market.move_to(63_000)

    assert order.status is Status.FILLED
    assert order.average_price == D(64_000), "a resting order fills at its own price"
    assert market.events[-1].fill is not None
    assert market.events[-1].fill.maker


def test_resting_order_larger_than_the_book_fills_in_parts_over_steps() -> None:
    market = Market()
    market.clearing.holdings["me"].add("spot", "USDT", D(10) ** 9)
    order = market.place(market.ticket(quantity="200", price="64000"))

    market.move_to(63_999)
    after_one = order.filled
    market.pass_steps(50)

    assert 0 < after_one < 200
    assert order.filled > after_one
    assert order.status in (Status.PARTIALLY_FILLED, Status.FILLED)


def test_ioc_takes_what_is_there_and_expires() -> None:
    market = Market()
    best = market.liquidity.book(SPOT).asks[0]

    order = market.place(market.ticket(quantity=str(best.quantity + 1), price=best.price, lifetime=Lifetime.IOC))

    assert (order.status, order.filled) == (Status.EXPIRED, best.quantity)


def test_fok_that_cannot_fill_is_refused_without_a_trace() -> None:
    market = Market()
    best = market.liquidity.book(SPOT).asks[0]

    with pytest.raises(Refusal) as refused:
        market.place(market.ticket(quantity=str(best.quantity + 1), price=best.price, lifetime=Lifetime.FOK))

    assert refused.value.reason is Reason.CANNOT_FILL
    assert not market.events
    assert market.liquidity.book(SPOT).asks[0] == best


@pytest.mark.parametrize("tolerant", [False, True], ids=["refused", "accepted and ended"])
def test_post_only_that_would_take_never_trades(tolerant: bool) -> None:
    market = Market()
    ticket = market.ticket(price="66000", post_only=True)

    if tolerant:
        order = market.engine.place(ticket, market.now_ns, tolerant=True)
        assert (order.status, order.why) == (Status.EXPIRED, Reason.WOULD_TAKE.value)
    else:
        with pytest.raises(Refusal):
            market.place(ticket)

    assert not market.engine.book.fills


def test_order_without_funds_is_refused_and_open_orders_hold_funds_back() -> None:
    market = Market()
    market.place(market.ticket(quantity="15", price="60000"))

    with pytest.raises(Refusal) as refused:
        market.place(market.ticket(quantity="2", price="60000"))

    assert refused.value.reason is Reason.INSUFFICIENT_FUNDS
    assert refused.value.needed == D(120_000)


def test_cancel_of_a_filled_order_is_refused() -> None:
    market = Market()
    order = market.place(market.ticket())

    with pytest.raises(Refusal) as refused:
        market.engine.cancel(order, market.now_ns)

    assert refused.value.reason is Reason.NOT_OPEN


def test_amend_loses_the_place_in_the_queue_and_reduction_may_keep_it() -> None:
    market = Market()
    first = market.place(market.ticket(price="64000", quantity="0.5"))
    second = market.place(market.ticket(price="64000", quantity="0.5"))

    market.engine.amend(first, quantity=D("0.4"), price=None, now_ns=market.now_ns, keep_rank=True)
    assert first.rank < second.rank
    market.engine.amend(first, quantity=D("0.3"), price=None, now_ns=market.now_ns)

    assert first.rank > second.rank
    assert first.quantity == D("0.3")


def test_orders_at_one_price_fill_in_the_order_of_their_rank() -> None:
    market = Market()
    second = market.place(market.ticket(price="64000", quantity="0.5", client_id="b"))
    first = market.place(market.ticket(price="64000", quantity="0.5", client_id="a"))
    market.engine.amend(second, quantity=D("0.4"), price=None, now_ns=market.now_ns)

    market.move_to(63_000)

    assert next(fill.client_id for fill in market.engine.book.fills) == first.client_id


def test_amend_to_what_is_filled_cancels() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000", quantity="1"))
    market.engine.fill_by_hand(order, D("0.6"), None, market.now_ns)

    market.engine.amend(order, quantity=D("0.6"), price=None, now_ns=market.now_ns)

    assert (order.status, order.filled) == (Status.CANCELED, D("0.6"))


def test_amend_that_changes_nothing_is_refused() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000"))

    with pytest.raises(Refusal) as refused:
        market.engine.amend(order, quantity=order.quantity, price=order.price, now_ns=market.now_ns)

    assert refused.value.reason is Reason.NO_CHANGE


def test_amend_through_the_book_trades_at_once() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000"))

    market.engine.amend(order, quantity=order.quantity, price=D(66_000), now_ns=market.now_ns)

    assert order.status is Status.FILLED
    assert order.average_price < D(65_100)


def test_amend_of_a_post_only_order_into_the_book_cancels_it_and_nothing_trades() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000", post_only=True))

    market.engine.amend(order, quantity=order.quantity, price=D(66_000), now_ns=market.now_ns)

    assert (order.status, order.why) == (Status.CANCELED, Reason.WOULD_TAKE.value)
    assert not market.engine.book.fills


def test_reduce_only_needs_a_position_and_never_turns_it() -> None:
    market = Market()
    with pytest.raises(Refusal) as refused:
        market.place(market.ticket(Side.SELL, listing=LINEAR, reduce_only=True))
    assert refused.value.reason is Reason.NOTHING_TO_REDUCE
    market.place(market.ticket(quantity="0.1", listing=LINEAR))

    order = market.place(market.ticket(Side.SELL, quantity="0.4", listing=LINEAR, reduce_only=True))

    assert (order.status, order.filled) == (Status.EXPIRED, D("0.1"))
    assert market.clearing.holdings["me"].position(LINEAR).quantity == 0


def test_held_engine_fills_nothing_until_released() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000"))
    market.engine.held = True
    market.move_to(63_000)
    assert order.status is Status.NEW

    market.engine.held = False
    market.pass_steps()

    assert order.status is Status.FILLED


def test_dead_man_timer_cancels_at_its_time_and_not_when_refreshed() -> None:
    market = Market()
    order = market.place(market.ticket(price="64000"))
    market.engine.timers.arm("me", "spot", None, market.now_ns + 4 * STEP_NS)
    market.pass_steps(3)
    market.engine.timers.arm("me", "spot", None, market.now_ns + 4 * STEP_NS)
    market.pass_steps(3)
    assert order.status is Status.NEW

    market.pass_steps(1)

    assert order.status is Status.CANCELED


def test_inverse_positions_average_and_pay_in_coin() -> None:
    market = Market()
    held = market.clearing.holdings["me"]
    order = market.place(market.ticket(quantity="10", listing=INVERSE))
    entry = order.filled / order.coin_value

    market.move_to(70_000)
    closing = market.place(market.ticket(Side.SELL, quantity="10", listing=INVERSE))

    price = closing.filled / closing.coin_value
    fees = sum((fill.fee for fill in market.engine.book.fills), D(0))
    expected = D(10) * 100 * (1 / entry - 1 / price) - fees
    assert abs(held.balance("coinm", "BTC") - (10 + expected)) < D("1e-18")


def test_same_seed_repeats_every_event() -> None:
    def play() -> list[tuple[object, ...]]:
        market = Market(volatility=30, touch_chance=0.3)
        for number in range(30):
            side = Side.BUY if number % 2 else Side.SELL
            offset = 30 if side is Side.SELL else -30
            price = market.liquidity.mark(SPOT).quantize(D(1)) + offset
            market.place(market.ticket(side, price=price, client_id=str(number)))
            market.pass_steps(7)
        return [(event.kind, event.order.id, event.order.filled, event.time_ns) for event in market.events]

    first, second = play(), play()

    assert first == second
    assert {kind for kind, *_ in first} == {EventKind.NEW, EventKind.TRADE}


@given(
    seed=st.integers(0, 1000),
    actions=st.lists(
        st.tuples(
            st.sampled_from(["market", "limit", "cancel", "amend", "wait"]),
            st.sampled_from([Side.BUY, Side.SELL]),
            st.integers(1, 900),
            st.integers(-400, 400),
        ),
        max_size=25,
    ),
)
def test_books_balance_whatever_happens(seed: int, actions: list[tuple[str, Side, int, int]]) -> None:
    market = Market(seed=seed, volatility=20, touch_chance=0.3)
    for action, side, size, offset in actions:
        open_orders = market.engine.book.open_of("me")
        try:
            if action == "market":
                market.place(market.ticket(side, quantity=str(D(size) / 1000), listing=LINEAR))
            elif action == "limit":
                price = market.liquidity.mark(LINEAR).quantize(D(1)) + offset
                market.place(market.ticket(side, quantity=str(D(size) / 1000), price=price, listing=LINEAR))
            elif action == "cancel" and open_orders:
                market.engine.cancel(open_orders[size % len(open_orders)], market.now_ns)
            elif action == "amend" and open_orders:
                order = open_orders[size % len(open_orders)]
                market.engine.amend(order, quantity=D(size) / 1000, price=None, now_ns=market.now_ns)
        except Refusal:
            pass
        market.pass_steps(size % 7)

    fills, held = list(market.engine.book.fills), market.clearing.holdings["me"]
    position = held.position(LINEAR)
    assert position.quantity == sum((fill.quantity * fill.side.sign for fill in fills), D(0))
    for order in market.engine.book.all():
        own = [fill for fill in fills if fill.order_id == order.id]
        assert order.filled == sum((fill.quantity for fill in own), D(0)) <= order.quantity or order.amends
        assert order.status.is_open == (order in market.engine.book.open_of("me"))
    gained = sum((fill.realized - fill.fee for fill in fills), D(0))
    # Averages have 28 digits, so sums agree to fewer.
    assert abs(held.balance("usdm", "USDT") - DEPOSITS["usdm", "USDT"] - gained) < D("1e-12")
    # What was paid and received, with the rest valued at any price, is the same money counted twice.
    price = D(65_000)
    flow = sum((-fill.side.sign * fill.quantity * fill.price for fill in fills), D(0)) + position.quantity * price
    counted = (
        gained + sum((fill.fee for fill in fills), D(0)) + profit(LINEAR, position.quantity, position.entry, price)
    )
    assert abs(flow - counted) < D("1e-12")
    assert [event.number for event in market.events] == list(range(1, len(market.events) + 1))

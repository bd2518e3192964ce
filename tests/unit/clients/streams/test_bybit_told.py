"""What Bybit's statements do to an order here: executed once, ended once, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import count, permutations
from typing import Any

import pytest

from clients.exchanges.trading import OrderReport, OrderType, Side, TimeInForce
from services.orders.domain import Cause, TradingMode
from services.orders.domain.events import Event, Intended
from services.orders.domain.fold import apply
from services.orders.domain.order import Order
from services.orders.domain.statements import mismatch, news
from services.orders.domain.states import OrderState
from tests.support.socket_links import ScriptedDialer
from tests.support.virtual_time import START_NS, VirtualLoop
from tests.unit.clients.bybit.stage import NOW_MS, execution_row
from tests.unit.clients.streams.test_bybit_user import frame, order, play


def intended(**changes: Any) -> Order:
    """Return an order whose intent is journalled, and nothing else."""
    words: dict[str, Any] = {
        "owner": "o",
        "client_order_id": "c",
        "venue_client_order_id": "ours-1",
        "exchange": "bybit",
        "market": "linear",
        "symbol": "BTC/USDT:USDT",
        "exchange_symbol": "BTCUSDT",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "quantity": Decimal("0.010"),
        "price": Decimal("60000.10"),
        "time_in_force": TimeInForce.GTC,
        "post_only": False,
        "reduce_only": False,
        "mode": TradingMode.SIMULATOR,
        "send_until_ns": START_NS,
        "resend_allowed": False,
        "any_exchange": False,
    }
    return apply(None, Event("order", 1, START_NS, Cause.CALLER, Intended(**words | changes)))


def folded(order_: Order, reports: list[OrderReport]) -> Order:
    """Return the order after these statements, taken in as the order service does."""
    revisions = count(order_.revision + 1)
    for report in reports:
        assert mismatch(order_, report) == ""
        found = news(order_, report)
        if found is not None:
            event = Event("order", next(revisions), START_NS, Cause.STREAM, found.body)
            order_ = apply(order_, event, found)
    return order_


def told(*frames: str) -> list[OrderReport]:
    """Return the statements that these frames make."""

    async def act(loop: VirtualLoop, dialer: ScriptedDialer) -> None:
        for one in frames:
            dialer.links[0].receive(one)

    return [made for made in play(act) if isinstance(made, OrderReport)]


STATEMENTS = [
    order(),
    frame("execution", execution_row(category="linear")),
    order(orderStatus="PartiallyFilled", cumExecQty="0.004", updatedTime=str(NOW_MS + 6)),
    frame("execution", execution_row(category="linear", execId="e-2", execQty="0.006", leavesQty="0")),
    order(orderStatus="Filled", cumExecQty="0.010", updatedTime=str(NOW_MS + 7)),
]


def test_in_whatever_order_and_however_often_they_come_an_order_is_filled_once() -> None:
    reports = told(*STATEMENTS)
    assert len(reports) == 5

    for turn in permutations(reports):
        after = folded(intended(), [*turn, *turn])
        assert (after.state, after.filled, after.fills_quantity) == (
            OrderState.FILLED,
            Decimal("0.010"),
            Decimal("0.010"),
        )


def test_a_second_end_of_a_raced_cancel_reopens_nothing() -> None:
    """Filled comes twice, the second time with the words of the cancel that came too late."""
    reports = told(
        *STATEMENTS,
        order(
            orderStatus="Filled",
            cumExecQty="0.010",
            cancelType="CancelByUser",
            rejectReason="EC_OrigClOrdIDDoesNotExist",
            updatedTime=str(NOW_MS + 9),
        ),
        order(orderStatus="New", updatedTime=str(NOW_MS + 10)),
    )

    after = folded(intended(), reports)

    assert (after.state, after.filled, after.reason) == (OrderState.FILLED, Decimal("0.010"), "")


@pytest.mark.parametrize(
    ("changes", "row", "state"),
    [
        ({"post_only": True}, {"rejectReason": "EC_PostOnlyWillTakeLiquidity"}, OrderState.REJECTED),
        ({"time_in_force": TimeInForce.IOC}, {"rejectReason": "EC_NoImmediateQtyToFill"}, OrderState.EXPIRED),
        ({"time_in_force": TimeInForce.FOK}, {"rejectReason": "EC_CancelForNoFullFill"}, OrderState.EXPIRED),
        ({}, {"cancelType": "CancelByUser"}, OrderState.CANCELED),
        ({}, {"cancelType": "CancelByReduceOnly"}, OrderState.EXPIRED),
    ],
    ids=str,
)
def test_an_end_has_the_word_that_the_same_end_has_everywhere(
    changes: dict[str, Any], row: dict[str, str], state: OrderState
) -> None:
    reports = told(order(orderStatus="Cancelled", **row))

    after = folded(intended(**changes), reports)

    assert (after.state, after.venue_state) == (state, "Cancelled")
    assert next(iter(row.values())) in after.reason


@pytest.mark.parametrize(
    ("side", "price", "problem"),
    [
        (Side.BUY, "59999.00", ""),
        (Side.SELL, "60001.00", ""),
        (Side.BUY, "60001.00", "price is 60001.00"),
        (Side.SELL, "59999.00", "price is 59999.00"),
    ],
)
def test_a_price_that_the_exchange_moved_is_taken_as_such_towards_the_market_only(
    side: Side, price: str, problem: str
) -> None:
    (report,) = told(order(price=price, side=side.value.title()))
    placed = intended(side=side)

    assert problem in mismatch(placed, report)
    assert bool(mismatch(placed, report)) is bool(problem)
    if not problem:
        after = folded(placed, [report])
        assert after.price == Decimal(price)
        assert f"moved the price from 60000.10 to {price}" in after.reason
    # Where no exchange moves prices, it is another order.
    assert mismatch(placed, replace(report, price_may_move=False)) != ""

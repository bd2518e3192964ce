"""Rows of orders, executions and positions, made and recorded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.bybit.markets import MARKETS
from clients.exchanges.bybit.parsing import newest, parse_execution, parse_fill, parse_order, parse_position
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.trading import EndedBy, OrderReport, OrderType, Side, TimeInForce, VenueState
from tests.support.contracts import recorded
from tests.unit.clients.bybit.stage import NOW_MS, execution_row, order_row


def order(market: str = "linear", **changes: Any) -> OrderReport:
    """Return a changed row as a statement."""
    return parse_order(MARKETS[market], "X", order_row(**changes), source="query")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("raw", "filled", "state"),
    [
        ("New", "0", VenueState.NEW),
        ("New", "0.004", VenueState.PARTIALLY_FILLED),
        ("Untriggered", "0", VenueState.NEW),
        ("Triggered", "0", VenueState.NEW),
        ("Created", "0", VenueState.NEW),
        ("Active", "0", VenueState.NEW),
        ("PendingCancel", "0.001", VenueState.PARTIALLY_FILLED),
        ("PartiallyFilled", "0.004", VenueState.PARTIALLY_FILLED),
        ("Filled", "0.010", VenueState.FILLED),
        ("Cancelled", "0", VenueState.CANCELED),
        ("Cancelled", "0.004", VenueState.CANCELED),
        ("PartiallyFilledCanceled", "0.004", VenueState.CANCELED),
        ("Deactivated", "0", VenueState.CANCELED),
        ("Rejected", "0", VenueState.REJECTED),
        ("Rejected", "0.004", VenueState.REJECTED),
    ],
)
def test_every_state_has_our_word_and_what_is_executed_counts_in_each(raw: str, filled: str, state: VenueState) -> None:
    made = order(orderStatus=raw, cumExecQty=filled)

    assert (made.state, made.raw_state, made.filled_quantity) == (state, raw, Decimal(filled))


@pytest.mark.parametrize("raw", ["", "new", "Expired", None, 1])
def test_a_state_that_nobody_knows_is_no_guess(raw: Any) -> None:
    with pytest.raises(MalformedAnswer, match="orderStatus"):
        order(orderStatus=raw)


@pytest.mark.parametrize(
    ("changes", "ended_by", "reason"),
    [
        ({"rejectReason": "EC_PostOnlyWillTakeLiquidity"}, EndedBy.POST_ONLY, "EC_PostOnlyWillTakeLiquidity"),
        ({"rejectReason": "EC_NoImmediateQtyToFill"}, EndedBy.TIME_IN_FORCE, "EC_NoImmediateQtyToFill"),
        ({"rejectReason": "EC_CancelForNoFullFill"}, EndedBy.TIME_IN_FORCE, "EC_CancelForNoFullFill"),
        ({"rejectReason": "EC_NoEnoughQtyToFill"}, EndedBy.TIME_IN_FORCE, "EC_NoEnoughQtyToFill"),
        ({"cancelType": "CancelByReduceOnly"}, EndedBy.REDUCE_ONLY, "CancelByReduceOnly"),
        ({"cancelType": "CancelByPrepareLiq"}, EndedBy.LIQUIDATION, "CancelByPrepareLiq"),
        ({"cancelType": "CancelAllBeforeAdl"}, EndedBy.DELEVERAGING, "CancelAllBeforeAdl"),
        ({"cancelType": "CancelByDCP"}, None, "CancelByDCP"),
        ({"cancelType": "CancelByUser"}, None, "CancelByUser"),
        (
            {"cancelType": "CancelByUser", "rejectReason": "EC_PerCancelRequest"},
            None,
            "EC_PerCancelRequest, CancelByUser",
        ),
        ({}, None, ""),
    ],
    ids=str,
)
def test_why_it_ended_is_said_in_both_words(changes: dict[str, str], ended_by: EndedBy | None, reason: str) -> None:
    made = order(orderStatus="Cancelled", **changes)

    assert (made.ended_by, made.reason) == (ended_by, reason)
    # Of an order that lives or was filled, the same words are about something else.
    for raw in ("New", "Filled"):
        alive = order(orderStatus=raw, **changes)
        assert (alive.ended_by, alive.reason) == (None, "")


def test_an_empty_text_is_unknown_and_never_zero() -> None:
    names = ("cumExecQty", "cumExecValue", "avgPrice", "updatedTime", "createdTime", "rejectReason", "orderLinkId")
    made = order(**dict.fromkeys(names, ""))

    assert (made.filled_quantity, made.average_price, made.update_time_ns, made.create_time_ns) == (None,) * 4
    assert (made.reason, made.client_order_id) == ("", "")
    assert order(avgPrice=None).average_price is None
    assert order(avgPrice="0").average_price is None


def test_times_are_nanoseconds() -> None:
    made = order()

    assert (made.create_time_ns, made.update_time_ns) == (NOW_MS * 1_000_000, (NOW_MS + 5) * 1_000_000)


@pytest.mark.parametrize(
    ("market", "value", "average"),
    [("linear", "600.5", "60050"), ("spot", "600.5", "60050"), ("inverse", "0.005", "2")],
)
def test_an_average_that_is_not_stated_is_what_was_paid(market: str, value: str, average: str) -> None:
    made = order(market, cumExecQty="0.01", cumExecValue=value, avgPrice="")

    assert made.average_price == Decimal(average)
    assert order(market, cumExecQty="0.01", cumExecValue=value, avgPrice="7").average_price == 7


@pytest.mark.parametrize(
    ("word", "life"),
    [("GTC", "GTC"), ("IOC", "IOC"), ("FOK", "FOK"), ("PostOnly", "GTC"), ("RPI", "GTC"), ("Day", None)],
)
def test_times_in_force_have_our_words(word: str, life: str | None) -> None:
    assert order(timeInForce=word).time_in_force == (None if life is None else TimeInForce(life))


def test_a_price_of_a_market_order_is_its_bound_and_not_shown() -> None:
    made = order(orderType="Market", price="72.5", timeInForce="IOC")

    assert (made.type, made.price) == (OrderType.MARKET, None)


@pytest.mark.parametrize(
    ("market", "kind", "moves"),
    [("linear", "Limit", True), ("inverse", "Limit", True), ("spot", "Limit", False), ("linear", "Market", False)],
)
def test_prices_of_contracts_may_have_been_moved_by_the_exchange(market: str, kind: str, moves: bool) -> None:
    assert order(market, orderType=kind).price_may_move is moves


@pytest.mark.parametrize(
    ("changes", "quantity", "state"),
    [
        ({"marketUnit": "quoteCoin"}, None, VenueState.FILLED),
        ({"marketUnit": "quoteCoin", "side": "Sell"}, None, VenueState.FILLED),
        # An older row does not say; nobody has to know whether it was all.
        ({"marketUnit": ""}, None, VenueState.CANCELED),
        ({"marketUnit": "", "side": "Sell"}, "10", VenueState.CANCELED),
        ({"marketUnit": "baseCoin"}, "10", VenueState.CANCELED),
    ],
    ids=str,
)
def test_an_amount_of_money_is_no_quantity(changes: dict[str, str], quantity: str | None, state: VenueState) -> None:
    words = {"orderType": "Market", "qty": "10", "cumExecQty": "58.1", "orderStatus": "PartiallyFilledCanceled"}

    made = order("spot", **words | changes)

    assert (made.quantity, made.state) == (None if quantity is None else Decimal(quantity), state)
    assert made.filled_quantity == Decimal("58.1")


@pytest.mark.parametrize("changes", [{"side": "None"}, {"side": ""}, {"orderId": ""}, {"qty": "NaN"}, {"price": []}])
def test_a_broken_order_names_its_field(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match=next(iter(changes))):
        order(**changes)


def test_an_execution_says_what_was_executed_and_not_what_the_order_is() -> None:
    made = parse_execution(MARKETS["linear"], "X", "USDT", execution_row(leavesQty="0"))

    assert made is not None
    assert made.fill is not None
    # An IOC order that was cancelled after it leaves nothing either.
    assert (made.state, made.filled_quantity, made.raw_state) == (VenueState.PARTIALLY_FILLED, None, "Trade")
    assert (made.quantity, made.price, made.side) == (Decimal("0.010"), Decimal("60000.10"), Side.BUY)
    assert (made.fill.trade_id, made.fill.client_order_id, made.fill.fee_currency) == ("e-1", "ours-1", "USDT")


@pytest.mark.parametrize("kind", ["Funding", "Settle", "Delivery", "MovePosition", "", None])
def test_what_is_no_execution_of_an_order_is_left_out(kind: Any) -> None:
    row = execution_row(execType=kind, orderType="UNKNOWN", side="", orderQty="0.000")

    assert parse_execution(MARKETS["linear"], "X", "USDT", row) is None


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("Delivery", EndedBy.DELISTING),
        ("BustTrade", EndedBy.LIQUIDATION),
        ("AdlTrade", EndedBy.DELEVERAGING),
    ],
)
def test_an_execution_of_the_exchange_itself_is_all_that_is_told_of_its_order(kind: str, cause: EndedBy) -> None:
    whole = parse_execution(MARKETS["linear"], "X", "USDT", execution_row(execType=kind, leavesQty="0"))
    part = parse_execution(MARKETS["linear"], "X", "USDT", execution_row(execType=kind, leavesQty="0.006"))

    assert whole is not None
    assert part is not None
    assert (whole.state, whole.ended_by) == (VenueState.FILLED, cause)
    assert (part.state, part.ended_by) == (VenueState.PARTIALLY_FILLED, None)


@pytest.mark.parametrize(
    ("creator", "cause"),
    [
        ("CreateByLiq", EndedBy.LIQUIDATION),
        ("CreateByTakeOver_PassThrough", EndedBy.LIQUIDATION),
        ("CreateByAdl_PassThrough", EndedBy.DELEVERAGING),
        ("CreateBySettle", EndedBy.DELISTING),
        ("CreateByAdminClosing", EndedBy.EXCHANGE),
        ("CreateByUser", None),
        ("", None),
    ],
)
def test_an_order_with_which_the_exchange_closes_a_position_says_why(creator: str, cause: EndedBy | None) -> None:
    filled = {"orderStatus": "Filled", "createType": creator, "cancelType": "CancelByUser"}

    made = parse_order(MARKETS["linear"], "X", order_row(**filled), source="query")
    trade = parse_execution(MARKETS["linear"], "X", "USDT", execution_row(createType=creator, leavesQty="0"))

    assert (made.state, made.ended_by) == (VenueState.FILLED, cause)
    assert trade is not None
    assert trade.ended_by is cause


def test_the_newest_of_none_is_none() -> None:
    assert newest([]) is None


ORDERS = [
    ("linear", "rest/docs/order_open-order.1.json"),
    ("linear", "rest/docs/order_order-list.1.json"),
    ("linear", "rest/bybitnet/GetOrders.json"),
    ("linear", "rest/bybitnet/GetOrderHistory.json"),
    ("linear", "rest/nautilus/http_get_orders_history.json"),
    ("linear", "rest/nautilus/http_get_orders_history_with_duplicate.json"),
    ("linear", "rest/nautilus/http_get_orders_realtime.json"),
    ("linear", "rest/nautilus/http_get_order_partially_filled_rejected.json"),
    ("linear", "ws/nautilus/ws_account_order.json"),
    ("linear", "ws/nautilus/ws_account_order_filled.json"),
    ("spot", "ws/nautilus/ws_account_order_partially_filled_rejected.json"),
    ("linear", "ws/docs/websocket_private_order.2.json"),
]


def _rows(file: str) -> list[dict[str, Any]]:
    document = recorded(f"bybit/{file}").exact
    rows: list[dict[str, Any]] = document["result"]["list"] if "result" in document else document["data"]
    return rows


@pytest.mark.parametrize(("market", "file"), ORDERS)
@pytest.mark.needs("recordings")
def test_recorded_orders_are_read(market: str, file: str) -> None:
    rows = _rows(file)

    assert rows
    for row in rows:
        made = parse_order(MARKETS[market], "X", row, source="query")
        assert (made.exchange_order_id, made.raw_state) == (row["orderId"], row["orderStatus"])
        assert made.filled_quantity == Decimal(row["cumExecQty"])
        assert made.quantity == Decimal(row["qty"])
        assert made.side.value.title() == row["side"]


@pytest.mark.needs("recordings")
def test_a_recorded_rejection_keeps_what_was_executed() -> None:
    (row,) = _rows("ws/nautilus/ws_account_order_partially_filled_rejected.json")

    made = parse_order(MARKETS["spot"], "X", row, source="stream")

    assert (made.state, made.filled_quantity, made.reason) == (VenueState.REJECTED, Decimal("50.0"), "")


@pytest.mark.parametrize(
    "file",
    [
        "rest/docs/order_execution.1.json",
        "rest/nautilus/http_get_executions.json",
        "rest/bybitnet/GetUserTrades.json",
        "ws/docs/websocket_private_execution.2.json",
        "ws/nautilus/ws_account_execution.json",
        "ws/nautilus/ws_account_execution_adl.json",
    ],
)
@pytest.mark.needs("recordings")
def test_recorded_executions_are_read(file: str) -> None:
    rows = _rows(file)

    fills = [parse_fill(MARKETS["linear"], "X", "USDT", row) for row in rows]

    assert fills
    for row, fill in zip(rows, fills, strict=True):
        assert fill is not None
        assert (fill.trade_id, str(fill.quantity), str(fill.price)) == (row["execId"], row["execQty"], row["execPrice"])
        assert str(fill.fee) == row["execFee"]
        assert fill.fee_currency == "USDT"


@pytest.mark.parametrize(
    "file",
    [
        "rest/docs/position_position.1.json",
        "rest/bybitnet/GetPositions.json",
        "rest/nautilus/http_get_positions.json",
        "rest/nautilus/http_get_positions_with_open_time.json",
    ],
)
@pytest.mark.needs("recordings")
def test_recorded_positions_are_read(file: str) -> None:
    for row in _rows(file):
        made = parse_position(MARKETS["inverse"], "X", row)
        size = Decimal(row["size"])
        assert (made is None) is (size == 0)
        if made is not None:
            assert made.quantity == (size if row["side"] == "Buy" else -size)
            assert made.entry_price == Decimal(row["avgPrice"])

"""Cancel-replace of spot: every way in which the two halves can end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from clients.exchanges.errors import CallerMustAct, ExchangeError
from clients.exchanges.trading import OrderType, Replaced, Side, TimeInForce, VenueOrder, VenueState
from clients.http.transport import ResponseLost
from clients.resilience.outcome import Outcome
from tests.support.binance_wire import BinanceWire
from tests.support.contracts import documents
from tests.support.exchange_wire import Reply, reply

D = Decimal
ROUTE = "POST /api/v3/order/cancelReplace"
OLD = {
    "symbol": "BTCUSDT", "orderId": 7, "origClientOrderId": "mine", "clientOrderId": "its-own", "status": "CANCELED", "side": "BUY",
    "origQty": "2", "executedQty": "0", "price": "50", "type": "LIMIT", "transactTime": 6_000,
}  # fmt: skip
NEW = {
    "symbol": "BTCUSDT", "orderId": 8, "clientOrderId": "next", "status": "NEW", "side": "BUY", "origQty": "3", "executedQty": "0",
    "price": "51", "type": "LIMIT", "transactTime": 6_000, "fills": [],
}  # fmt: skip
BROKE = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
GONE = {"code": -2011, "msg": "Unknown order sent."}


def halves(cancel: str, place: str, canceled: Any, placed: Any) -> dict[str, Any]:
    return {"cancelResult": cancel, "newOrderResult": place, "cancelResponse": canceled, "newOrderResponse": placed}


def failed(code: int, data: dict[str, Any]) -> Reply:
    return reply(
        {"code": code, "msg": "Order cancel-replace failed.", "data": data}, status=409 if code == -2021 else 400
    )


async def replaced(wire: BinanceWire, **changes: Any) -> Replaced:
    instrument = await wire.client.instruments.by_symbol("BTC/USDT")
    values: dict[str, Any] = {"time_in_force": TimeInForce.GTC, **changes}
    order = VenueOrder(instrument, "next", Side.BUY, OrderType.LIMIT, D(3), D(51), **values)
    return await wire.trading.replace(order, client_order_id="mine", exchange_order_id="7", deadline_s=5)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_both_halves_are_reported(wrapped: bool) -> None:
    body = halves("SUCCESS", "SUCCESS", OLD, NEW)
    wire = BinanceWire({ROUTE: reply({"data": body} if wrapped else body)})

    done = await replaced(wire)

    assert (done.old.exchange_order_id, done.old.client_order_id, done.old.state) == ("7", "mine", VenueState.CANCELED)
    assert done.new is not None
    assert (done.new.exchange_order_id, done.new.client_order_id, done.new.price) == ("8", "next", D(51))
    assert done.refused is None
    form = wire.asked[0].form
    assert (form["cancelReplaceMode"], form["cancelRestrictions"]) == ("STOP_ON_FAILURE", "ONLY_NEW")
    assert (form["cancelOrderId"], form["newClientOrderId"], form["quantity"], form["price"]) == (
        "7",
        "next",
        "3",
        "51",
    )


async def test_a_post_only_order_stays_one() -> None:
    wire = BinanceWire({ROUTE: reply(halves("SUCCESS", "SUCCESS", OLD, NEW))})

    await replaced(wire, post_only=True)

    assert wire.asked[0].form["type"] == "LIMIT_MAKER"


async def test_documented_successes_are_read() -> None:
    for document in documents("binance/spot/replaced"):
        wire = BinanceWire({ROUTE: reply(document.plain)})

        done = await replaced(wire)

        assert (done.old.state, done.refused) == (VenueState.CANCELED, None), document
        assert done.new is not None


async def test_a_refused_new_order_is_told_beside_the_cancelled_one() -> None:
    wire = BinanceWire({ROUTE: failed(-2021, halves("SUCCESS", "FAILURE", OLD, BROKE))})

    done = await replaced(wire)

    assert (done.old.state, done.new) == (VenueState.CANCELED, None)
    assert done.refused is not None
    assert (done.refused.outcome, done.refused.code) == (Outcome.REJECTED, "-2010")
    assert "insufficient balance" in done.refused.text


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (failed(-2022, halves("FAILURE", "NOT_ATTEMPTED", GONE, None)), Outcome.NOT_FOUND),
        (failed(-2022, halves("FAILURE", "NOT_ATTEMPTED", {"code": -1007, "msg": "Timeout"}, None)), Outcome.UNKNOWN),
        (failed(-2021, halves("SUCCESS", "FAILURE", OLD, {"code": -1007, "msg": "Timeout"})), Outcome.UNKNOWN),
        (failed(-2021, halves("FAILURE", "SUCCESS", GONE, NEW)), Outcome.UNKNOWN),
        (failed(-2021, {}), Outcome.UNKNOWN),
        (reply({"code": -2021, "msg": "partly"}, status=409), Outcome.UNKNOWN),
        (reply(b"{", status=409), Outcome.UNKNOWN),
        (reply(halves("SUCCESS", "SUCCESS", OLD, None)), Outcome.UNKNOWN),
        (reply({"code": -1013, "msg": "Filter failure: PRICE_FILTER"}, status=400), Outcome.REJECTED),
        (reply({"code": -1015, "msg": "Too many new orders"}, status=429), Outcome.THROTTLED),
        (reply({"code": -1003, "msg": "banned"}, status=418), Outcome.THROTTLED),
        (reply({"code": -1007, "msg": "Timeout"}, status=504), Outcome.UNKNOWN),
        (ResponseLost("reset"), Outcome.UNKNOWN),
    ],
)  # fmt: skip
async def test_an_error_says_whether_anything_was_done(answer: Reply, outcome: Outcome) -> None:
    wire = BinanceWire({ROUTE: answer})

    with pytest.raises(ExchangeError) as error:
        await replaced(wire)

    assert error.value.outcome is outcome
    assert error.value.sent is not None
    assert len(wire.asked) == 1, "it is never repeated here"


async def test_futures_are_not_replaced() -> None:
    wire = BinanceWire()
    instrument = await wire.client.instruments.by_symbol("BTC/USDT:USDT")
    order = VenueOrder(instrument, "next", Side.BUY, OrderType.LIMIT, D(3), D(51), TimeInForce.GTC)

    with pytest.raises(CallerMustAct) as error:
        await wire.trading.replace(order, client_order_id="mine", exchange_order_id="7", deadline_s=5)

    assert (error.value.code, wire.asked) == ("AMEND_UNSUPPORTED", [])

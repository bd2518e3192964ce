"""Orders that wait for a price: out of the book before it, in it from then on, on every exchange that has them."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.simulated_calls import BinanceCalls, BybitCalls, admin, virtual_binance, virtual_bybit
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_streams import user_socket

D = Decimal
SEEN_S = 1.0
STOP = {"side": "SELL", "type": "STOP_LOSS_LIMIT", "stopPrice": "60000", "price": "59000"}


def to_price(venue: Any, price: int) -> None:
    admin(venue, "PUT", "/sim/prices", {"BTC": price})


async def spot_order(calls: BinanceCalls, name: str) -> Any:
    return (await calls.signed("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=name)).payload


async def free(calls: BinanceCalls, asset: str) -> Decimal:
    rows = (await calls.signed("GET", "/api/v3/account")).payload["balances"]
    return next(D(row["free"]) for row in rows if row["asset"] == asset)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("terms", "away", "there"),
    [
        (STOP, 60_500, 59_500),
        ({"side": "SELL", "type": "TAKE_PROFIT_LIMIT", "stopPrice": "70000", "price": "69000"}, 69_500, 70_500),
        ({"side": "BUY", "type": "STOP_LOSS_LIMIT", "stopPrice": "70000", "price": "71000"}, 69_500, 70_500),
        ({"side": "BUY", "type": "TAKE_PROFIT_LIMIT", "stopPrice": "60000", "price": "61000"}, 60_500, 59_500),
    ],
    ids=["stop-sell", "profit-sell", "stop-buy", "profit-buy"],
)
def test_a_stop_of_spot_waits_for_its_price_and_trades_then(terms: dict[str, str], away: int, there: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        to_price(calls.venue, 65_000)
        before = await free(calls, "BTC")
        placed = await calls.limit(newClientOrderId="stop", **terms)
        to_price(calls.venue, away)
        # Another order keeps the engine looking at the book.
        await calls.limit(newClientOrderId="near", side="BUY", price=f"{away - 1}.99")
        admin(calls.venue, "POST", "/sim/matching/advance", {"steps": 3})
        waiting = await spot_order(calls, "stop")
        truth = admin(calls.venue, "GET", "/sim/orders?client_id=stop")[0]
        listed = (await calls.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT")).payload
        held = before - await free(calls, "BTC")
        await calls.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="near")
        await asyncio.sleep(1)
        to_price(calls.venue, there)
        after = await spot_order(calls, "stop")

        assert placed.status == 200, placed.payload
        assert (waiting["status"], waiting["isWorking"], waiting["workingTime"]) == ("NEW", False, -1)
        assert (waiting["type"], D(waiting["stopPrice"])) == (terms["type"], D(terms["stopPrice"]))
        assert [row["clientOrderId"] for row in listed] == ["stop", "near"]
        assert (truth["trigger"], truth["waiting"]) == (terms["stopPrice"], True)
        assert held == (D("0.002") if terms["side"] == "SELL" else 0)
        assert (after["status"], after["isWorking"]) == ("FILLED", True)
        assert after["workingTime"] > after["time"]

    run_virtual(main)


def test_a_stop_of_spot_is_told_of_and_cancelled_as_any_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        to_price(calls.venue, 65_000)
        socket = await user_socket(calls)
        await calls.limit(newClientOrderId="a", **STOP)
        await calls.limit(newClientOrderId="b", **STOP)
        canceled = await calls.signed("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="a")
        to_price(calls.venue, 59_500)
        await asyncio.sleep(SEEN_S)
        told = []
        while not socket.is_idle:
            event = json.loads(await socket.recv())
            event = event.get("event", event)
            if event["e"] == "executionReport":
                told.append((event["C"] or event["c"], event["x"], event["X"], event["w"], D(event["P"])))

        assert canceled.payload["status"] == "CANCELED"
        assert told[:4] == [
            ("a", "NEW", "NEW", False, D(60000)),
            ("b", "NEW", "NEW", False, D(60000)),
            ("a", "CANCELED", "CANCELED", False, D(60000)),
            ("b", "NEW", "NEW", True, D(60000)),
        ]
        assert {what[1:3] for what in told[4:]} <= {("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED")}
        assert told[-1][2] == "FILLED"

    run_virtual(main)


@pytest.mark.parametrize(
    ("terms", "code", "says"),
    [
        ({**STOP, "stopPrice": "66000"}, -2010, "would trigger immediately"),
        ({**STOP, "stopPrice": "60000.001"}, -1013, "PRICE_FILTER"),
        ({**STOP, "stopPrice": ""}, -1102, "stopPrice"),
        ({**STOP, "trailingDelta": "100"}, -2010, "Trailing stop"),
        ({**STOP, "quantity": "100"}, -2010, "insufficient balance"),
        ({"stopPrice": "60000"}, -1106, "'stopPrice' sent when not required"),
        ({**STOP, "type": "STOP_LOSS"}, -1106, "'price' sent when not required"),
    ],
)
def test_a_stop_of_spot_that_cannot_be_is_refused(terms: dict[str, str], code: int, says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        to_price(calls.venue, 65_000)

        refused = await calls.limit(**terms)

        assert (refused.status, refused.code) == (400, code), refused.payload
        assert says in refused.payload["msg"]
        assert (await calls.signed("GET", "/api/v3/openOrders")).payload == []

    run_virtual(main)


def test_no_more_stops_of_spot_than_the_filter_says() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        to_price(calls.venue, 65_000)
        found = [(await calls.limit(**STOP)).status for _ in range(6)]

        assert found == [200] * 5 + [400]
        assert (await calls.limit()).status == 200

    run_virtual(main)


CONDITIONAL = {"side": "Sell", "orderType": "Market", "price": "", "triggerPrice": "60000", "triggerDirection": 2}


async def shown(calls: BybitCalls, name: str) -> Any:
    await asyncio.sleep(SEEN_S)
    (row,) = await calls.orders(orderLinkId=name)
    return row


@pytest.mark.parametrize("by", ["LastPrice", "MarkPrice"])
def test_a_conditional_order_of_bybit_waits_and_trades_then(by: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        to_price(calls.venue, 65_000)
        placed = await calls.create(orderLinkId="stop", triggerBy=by, **CONDITIONAL)
        waiting = await shown(calls, "stop")
        to_price(calls.venue, 59_500)
        after = await shown(calls, "stop")

        assert placed.ret[0] == 0, placed.payload
        assert (waiting["orderStatus"], waiting["triggerPrice"], waiting["triggerBy"]) == (
            "Untriggered",
            "60000.00",
            by,
        )
        assert (waiting["stopOrderType"], waiting["triggerDirection"]) == ("Stop", 2)
        assert after["orderStatus"] == "Filled"

    run_virtual(main)


def test_a_conditional_order_that_is_cancelled_before_its_trigger_never_trades() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        to_price(calls.venue, 65_000)
        await calls.create(orderLinkId="stop", **CONDITIONAL)
        await asyncio.sleep(SEEN_S)
        filtered = [len(await calls.orders(symbol="BTCUSDT", orderFilter=one)) for one in ("Order", "StopOrder")]
        await calls.named("cancel", "stop")
        to_price(calls.venue, 59_500)
        row = await shown(calls, "stop")

        assert filtered == [0, 1]
        assert (row["orderStatus"], row["cumExecQty"]) == ("Deactivated", "0.000")

    run_virtual(main)


def test_a_reduce_only_stop_without_a_position_ends_when_it_is_reached() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        to_price(calls.venue, 65_000)
        placed = await calls.create(orderLinkId="stop", reduceOnly=True, **CONDITIONAL)
        to_price(calls.venue, 59_500)
        row = await shown(calls, "stop")

        assert placed.ret[0] == 0
        assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByReduceOnly")

    run_virtual(main)


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"triggerPrice": "66000"}, 110093),
        ({"triggerDirection": 1}, 110092),
        ({"triggerDirection": 0}, 10001),
        ({"triggerPrice": "60000.05"}, 10001),
        ({"triggerBy": "IndexPrice"}, 10001),
        ({"category": "spot"}, 10001),
    ],
    ids=str,
)
def test_a_conditional_order_that_cannot_be_is_refused(terms: dict[str, Any], code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        to_price(calls.venue, 65_000)

        assert (await calls.create(**{**CONDITIONAL, **terms})).ret[0] == code

    run_virtual(main)


def test_a_conditional_order_of_spot_is_found_and_cancelled_under_its_own_kind_alone() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        to_price(calls.venue, 65_000)
        terms = {**CONDITIONAL, "triggerDirection": 0, "category": "spot", "orderFilter": "StopOrder"}
        placed = await calls.create(orderLinkId="stop", **terms)
        await asyncio.sleep(SEEN_S)
        as_any = await calls.named("cancel", "stop", category="spot")
        as_stop = await calls.named("cancel", "stop", category="spot", orderFilter="StopOrder")

        assert placed.ret[0] == 0, placed.payload
        assert (as_any.ret[0], as_stop.ret[0]) == (170213, 0)

    run_virtual(main)


def test_a_conditional_limit_rests_once_its_trigger_is_reached() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        to_price(calls.venue, 65_000)
        await calls.create(orderLinkId="stop", **{**CONDITIONAL, "orderType": "Limit", "price": "64000"})
        to_price(calls.venue, 59_500)
        row = await shown(calls, "stop")

        assert (row["orderStatus"], row["price"], row["leavesQty"]) == ("New", "64000.00", row["qty"])

    run_virtual(main)

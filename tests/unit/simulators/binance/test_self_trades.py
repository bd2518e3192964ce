"""Self-trade prevention of the simulated Binance: what an order of an account makes of another one of the same account."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, SPOT, USDM
from services.simulators.venue.clearing import Account
from tests.support.simulated_calls import BinanceCalls, Reply, virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_account import arrived, futures_socket
from tests.unit.simulators.binance.test_streams import user_socket

D = Decimal
SYMBOLS = {SPOT: "BTCUSDT", USDM: "BTCUSDT", COINM: "BTCUSD_PERP"}
LOTS = {SPOT: "0.01", USDM: "0.01", COINM: "5"}
marketwise = pytest.mark.parametrize("market", [SPOT, USDM, COINM])


async def best_ask(calls: BinanceCalls, market: str) -> str:
    row = (await calls.get(f"{PREFIXES[market]}/depth", symbol=SYMBOLS[market], limit=5)).payload
    return str(row["asks"][0][0])


async def order(calls: BinanceCalls, market: str, side: str, price: str = "", **more: str) -> Reply:
    asked = {"symbol": SYMBOLS[market], "side": side, "quantity": LOTS[market], "newOrderRespType": "RESULT"}
    kind = {"type": "LIMIT", "timeInForce": "GTC", "price": price} if price else {"type": "MARKET"}
    return await calls.signed("POST", f"{PREFIXES[market]}/order", at_ms=None, **{**asked, **kind, **more})


async def state(calls: BinanceCalls, market: str, placed: Reply) -> Any:
    named = {"symbol": SYMBOLS[market], "orderId": placed.payload["orderId"]}
    return (await calls.signed("GET", f"{PREFIXES[market]}/order", at_ms=None, **named)).payload


@pytest.mark.quick
@marketwise
@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("", "EXPIRED_IN_MATCH", "FILLED"),
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "FILLED"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
@pytest.mark.parametrize("kind", ["LIMIT", "MARKET"])
def test_the_incoming_order_says_which_of_both_ends(market: str, mode: str, maker: str, taker: str, kind: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        ask = await best_ask(calls, market)
        resting = await order(calls, market, "SELL", ask)
        more = {"selfTradePreventionMode": mode} if mode else {}
        incoming = await order(calls, market, "BUY", ask if kind == "LIMIT" else "", **more)
        rows = [await state(calls, market, one) for one in (resting, incoming)]

        assert [row["status"] for row in rows] == [maker, taker]
        assert incoming.payload["status"] == taker
        assert rows[1]["selfTradePreventionMode"] == (mode or "EXPIRE_MAKER")
        assert D(rows[0]["executedQty"]) == 0
        if market == SPOT and taker != "FILLED":
            assert D(rows[1]["preventedQuantity"]) == D(LOTS[market])

    run_virtual(main)


@marketwise
def test_what_does_not_meet_is_left_alone(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        ask = await best_ask(calls, market)
        other = Account("other", "other-key", "other-secret")
        calls.venue.clearing.open(other)
        theirs = await order(BinanceCalls(calls.venue, other), market, "SELL", ask)
        above = await order(calls, market, "SELL", str(D(ask) + 50))
        below = await order(calls, market, "BUY", str(D(ask) - 50))
        bought = await order(calls, market, "BUY", ask)

        rows = [await state(calls, market, one) for one in (above, below, bought)]
        assert [row["status"] for row in rows] == ["NEW", "NEW", "FILLED"]
        assert (await state(BinanceCalls(calls.venue, other), market, theirs))["status"] == "NEW"

    run_virtual(main)


def test_orders_at_better_prices_than_the_own_one_are_taken_first() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        depth = (await calls.get("/api/v3/depth", symbol="BTCUSDT", limit=5)).payload["asks"]
        resting = await order(calls, SPOT, "SELL", depth[2][0])
        before = D(depth[0][1]) + D(depth[1][1])
        incoming = await order(
            calls, SPOT, "BUY", depth[3][0], quantity=f"{before + 1:.5f}", selfTradePreventionMode="EXPIRE_TAKER"
        )

        assert incoming.payload["status"] == "EXPIRED_IN_MATCH"
        assert D(incoming.payload["executedQty"]) == before
        assert (await state(calls, SPOT, resting))["status"] == "NEW"

    run_virtual(main)


def test_a_post_only_order_that_would_meet_its_own_account_is_refused() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        symbol = next(name for name in calls.venue.listings(USDM) if name.startswith("BTCUSDT_"))
        depth = (await calls.get("/fapi/v1/depth", symbol=symbol, limit=5)).payload
        bid, ask = D(depth["bids"][0][0]), D(depth["asks"][0][0])
        between = str(ask - D("0.1"))
        assert D(between) > bid
        await order(calls, USDM, "SELL", between, symbol=symbol)
        refused = await order(calls, USDM, "BUY", between, symbol=symbol, timeInForce="GTX")
        passing = await order(
            calls, USDM, "BUY", between, symbol=symbol, timeInForce="GTX", selfTradePreventionMode="NONE"
        )

        assert refused.code == -5022
        assert passing.payload["status"] == "NEW"

    run_virtual(main)


@pytest.mark.parametrize(
    ("market", "mode", "code"),
    [(SPOT, "NONE", -2010), (SPOT, "EXPIRE_NOBODY", -1130), (USDM, "EXPIRE_NOBODY", -1130)],
)
def test_modes_that_there_are_not_are_refused(market: str, mode: str, code: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        assert (await order(virtual_binance(loop), market, "BUY", selfTradePreventionMode=mode)).code == code

    run_virtual(main)


def test_events_and_the_list_of_spot_name_the_meeting() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await user_socket(calls)
        ask = await best_ask(calls, SPOT)
        resting = await order(calls, SPOT, "SELL", ask)
        incoming = await order(calls, SPOT, "BUY", ask, selfTradePreventionMode="EXPIRE_BOTH")
        events = [event for event in await arrived(socket) if event.get("x") == "TRADE_PREVENTION"]
        ids = [resting.payload["orderId"], incoming.payload["orderId"]]
        path, asked = "/api/v3/myPreventedMatches", {"symbol": "BTCUSDT"}
        rows = [(await calls.signed("GET", path, **asked, orderId=one)).payload for one in ids]
        by_number = (await calls.signed("GET", path, **asked, preventedMatchId=1)).payload
        later = (await calls.signed("GET", path, **asked, orderId=ids[0], fromPreventedMatchId=2)).payload
        neither = await calls.signed("GET", path, **asked)

        assert [(event["i"], event["U"], event["X"]) for event in events] == [
            (ids[0], ids[1], "EXPIRED_IN_MATCH"),
            (ids[1], ids[0], "EXPIRED_IN_MATCH"),
        ]
        assert {event["v"] for event in events} == {1}
        assert rows[0] == rows[1] == by_number
        assert (rows[0][0]["takerOrderId"], rows[0][0]["makerOrderId"]) == (ids[1], ids[0])
        assert D(rows[0][0]["makerPreventedQuantity"]) == D(LOTS[SPOT])
        assert later == []
        assert neither.code == -1102

    run_virtual(main)


def test_events_of_the_futures_say_expired_in_match() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await futures_socket(calls, USDM)
        ask = await best_ask(calls, USDM)
        await order(calls, USDM, "SELL", ask)
        await order(calls, USDM, "BUY", ask, selfTradePreventionMode="EXPIRE_BOTH")
        bodies = [event["o"] for event in await arrived(socket) if event["e"] == "ORDER_TRADE_UPDATE"]

        assert [(body["x"], body["X"]) for body in bodies[2:]] == [("EXPIRED", "EXPIRED_IN_MATCH")] * 2

    run_virtual(main)

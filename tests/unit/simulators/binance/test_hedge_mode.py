"""Hedge mode of the simulated Binance: long and short are held apart, over routes, events and funding."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from services.simulators.binance.listings import COINM, PREFIXES, USDM
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import CALM, BinanceCalls, Reply, admin, virtual_binance
from tests.support.simulated_venues import moving
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.binance.test_account import SYMBOLS, arrived, futures_socket, initial_margin

D = Decimal
futureswise = pytest.mark.parametrize("market", [USDM, COINM])


def sized(market: str, lots: int) -> str:
    return str(lots) if market == COINM else str(D(lots) / 100)


async def mode(calls: BinanceCalls, market: str, dual: bool) -> Any:
    path = f"{PREFIXES[market]}/positionSide/dual"
    return (await calls.signed("POST", path, dualSidePosition=str(dual).lower())).payload["code"]


async def order(calls: BinanceCalls, market: str, side: str, leg: str, lots: int = 2, **more: str) -> Reply:
    asked = {"symbol": SYMBOLS[market], "side": side, "type": "MARKET", "quantity": sized(market, lots), **more}
    if leg:
        asked["positionSide"] = leg
    return await calls.signed("POST", f"{PREFIXES[market]}/order", at_ms=None, **asked)


async def held(calls: BinanceCalls, market: str) -> dict[str, Decimal]:
    rows = (await calls.signed("GET", f"{PREFIXES[market]}/positionRisk", symbol=SYMBOLS[market])).payload
    return {row["positionSide"]: D(row["positionAmt"]) for row in rows}


@pytest.mark.quick
@futureswise
def test_long_and_short_are_opened_and_closed_apart(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        assert await mode(calls, market, True) == 200
        socket = await futures_socket(calls, market)
        bought = await order(calls, market, "BUY", "LONG", 3)
        await order(calls, market, "SELL", "SHORT", 2)
        both = await held(calls, market)
        margin = await initial_margin(calls, market)
        await order(calls, market, "SELL", "LONG", 1)
        closed = await order(calls, market, "BUY", "SHORT", 5, newOrderRespType="RESULT")
        after = await held(calls, market)
        trades = (await calls.signed("GET", f"{PREFIXES[market]}/userTrades", symbol=SYMBOLS[market])).payload
        events = await arrived(socket)

        unit = D(sized(market, 1))
        assert bought.payload["positionSide"] == "LONG"
        assert both == {"LONG": 3 * unit, "SHORT": -2 * unit}
        assert after == {"LONG": 2 * unit, "SHORT": 0}
        # An order for a leg that closes it never turns it round.
        assert (D(closed.payload["executedQty"]), closed.payload["status"]) == (2 * unit, "EXPIRED")
        assert await initial_margin(calls, market) < margin
        assert [row["positionSide"] for row in trades] == ["LONG", "SHORT", "LONG", "SHORT"]
        told = [event["a"]["P"][0] for event in events if event["e"] == "ACCOUNT_UPDATE"]
        assert [(row["ps"], D(row["pa"]) / unit) for row in told] == [
            ("LONG", 3),
            ("SHORT", -2),
            ("LONG", 2),
            ("SHORT", 0),
        ]
        assert {event["o"]["ps"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"} == {"LONG", "SHORT"}

    run_virtual(main)


@futureswise
def test_an_order_has_to_name_its_leg_and_only_in_hedge_mode(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        one_way = [(await order(calls, market, "BUY", leg)).code for leg in ("LONG", "SHORT", "NEITHER")]
        await mode(calls, market, True)
        hedged = [(await order(calls, market, "BUY", leg)).code for leg in ("", "BOTH")]
        closing = await order(calls, market, "SELL", "LONG")
        reducing = await order(calls, market, "BUY", "LONG", reduceOnly="true")

        assert one_way == [-4061, -4061, -4060]
        assert hedged == [-4061, -4061]
        assert (closing.code, reducing.code) == (-2022, -1106)

    run_virtual(main)


@futureswise
def test_the_mode_changes_only_while_nothing_is_open(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        path = f"{PREFIXES[market]}/positionSide/dual"
        same = await mode(calls, market, False)
        placed = await order(calls, market, "BUY", "", type="LIMIT", timeInForce="GTC", price="60000")
        with_order = await mode(calls, market, True)
        admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {})
        with_position = await mode(calls, market, True)
        await order(calls, market, "SELL", "")
        changed = await mode(calls, market, True)
        said = (await calls.signed("GET", path)).payload
        await order(calls, market, "BUY", "LONG")
        back = await mode(calls, market, False)

        assert [same, with_order, with_position, changed, back] == [-4059, -4067, -4068, 200, -4068]
        assert said == {"dualSidePosition": True}
        other = COINM if market == USDM else USDM
        elsewhere = (await calls.signed("GET", f"{PREFIXES[other]}/positionSide/dual")).payload
        assert elsewhere == {"dualSidePosition": False}

    run_virtual(main)


@futureswise
def test_each_leg_pays_its_funding(market: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, VenueOptions(volatility=0, touch_chance=0, step_s=30))
        await mode(calls, market, True)
        async with moving(calls.venue):
            await order(calls, market, "BUY", "LONG", 3)
            await order(calls, market, "SELL", "SHORT", 2)
            await asyncio.sleep(9 * 3600)
            rows = (await calls.signed("GET", f"{PREFIXES[market]}/income", incomeType="FUNDING_FEE")).payload

        paid, got = (D(row["income"]) for row in rows)
        assert paid < 0 < got
        assert abs(paid / got + D("1.5")) < D("0.05")

    run_virtual(main)


def test_the_simulators_own_page_shows_the_legs() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, CALM)
        await mode(calls, USDM, True)
        await order(calls, USDM, "SELL", "SHORT")

        assert (
            admin(calls.venue, "GET", "/sim/accounts")["demo"]["positions"]["usdm:BTCUSDT:SHORT"]["quantity"] == "-0.02"
        )

    run_virtual(main)

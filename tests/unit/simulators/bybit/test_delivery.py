"""A dated contract of the simulated Bybit comes to its end while orders and positions stand on it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.support.simulated_calls import BybitCalls, admin, virtual_bybit
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.bybit.test_private_stream import frames, opened

D = Decimal
INSTRUMENTS = "/v5/market/instruments-info"


async def dated(calls: BybitCalls, category: str) -> list[Any]:
    """Return the dated contracts in BTC, the nearest first."""
    rows = (await calls.get(INSTRUMENTS, category=category, limit=1000)).rows
    found = [row for row in rows if row["contractType"].endswith("Futures") and row["baseCoin"] == "BTC"]
    return sorted(found, key=lambda row: (int(row["deliveryTime"]), row["symbol"]))


@pytest.mark.quick
@pytest.mark.parametrize("category", ["linear", "inverse"])
def test_orders_end_positions_are_settled_and_the_next_quarter_is_listed(category: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        before = await dated(calls, category)
        symbol, end_ms = before[0]["symbol"], int(before[0]["deliveryTime"])
        amount = {"linear": "0.01", "inverse": "100"}[category]
        named = {"category": category, "symbol": symbol}
        await calls.create(**named, orderType="Market", qty=amount)
        await calls.create(**named, qty=amount, price="50000", orderLinkId="resting")
        await asyncio.sleep(1)
        socket = await opened(calls, "execution", "order", "position")

        seconds = end_ms // 1000 - loop.wall_ns() // 1_000_000_000 + 1
        admin(calls.venue, "PUT", "/sim/clock", {"forward_seconds": seconds})
        told = await frames(socket)
        (resting,) = await calls.orders(orderLinkId="resting", **named)
        (row,) = (await calls.signed("GET", "/v5/execution/list", category=category, execType="Delivery")).rows
        (position,) = (await calls.signed("GET", "/v5/position/list", **named)).rows
        after = await dated(calls, category)
        late = await calls.create(**named, orderType="Market", qty=amount)
        closed = (await calls.get(INSTRUMENTS, category=category, status="Closed")).rows

        assert (resting["orderStatus"], resting["cancelType"]) == ("Cancelled", "CancelBySettle")
        assert (row["symbol"], row["side"], D(row["execQty"])) == (symbol, "Sell", D(amount))
        assert (position["side"], D(position["size"])) == ("", 0)
        kinds = {(one["topic"], one["data"][0].get("execType", "")) for one in told}
        assert {("execution", "Delivery"), ("position", "")} <= kinds
        assert [one["data"][0]["orderLinkId"] for one in told if one["topic"] == "order"] == ["resting"]
        assert symbol not in {one["symbol"] for one in after}
        assert len(after) == len(before)
        assert int(after[-1]["deliveryTime"]) > int(before[-1]["deliveryTime"])
        assert late.ret == (110074, "This contract is not live")
        assert symbol in {one["symbol"] for one in closed}
        assert {one["status"] for one in closed} == {"Closed"}

    run_virtual(main)


def test_what_is_listed_anew_trades_and_has_candles() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        end_ms = int((await dated(calls, "linear"))[0]["deliveryTime"])
        admin(
            calls.venue, "PUT", "/sim/clock", {"forward_seconds": end_ms // 1000 - loop.wall_ns() // 1_000_000_000 + 1}
        )
        fresh = (await dated(calls, "linear"))[-1]["symbol"]

        bought = await calls.create(symbol=fresh, orderType="Market")
        (ticker,) = (await calls.get("/v5/market/tickers", category="linear", symbol=fresh)).rows
        marks = (
            await calls.get("/v5/market/mark-price-kline", category="linear", symbol=fresh, interval="1", limit=1)
        ).rows

        assert bought.ret[0] == 0
        assert D(ticker["bid1Price"]) > 0
        assert len(marks) == 1

    run_virtual(main)

"""Queries over time: windows, pages, retention, replication lag."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.simulated_calls import admin, set_faults, virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

API, FAPI, DAPI = "/api/v3", "/fapi/v1", "/dapi/v1"
HOUR_MS = 3_600_000
DAY_S = 86_400


def test_windows_longer_than_the_market_allows_are_refused() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        now_ms = calls.venue.exchange_ns() // 1_000_000

        async def ask(path: str, hours: int) -> object:
            answer = await calls.signed(
                "GET", path, symbol="BTCUSDT", startTime=now_ms - hours * HOUR_MS, endTime=now_ms
            )
            return answer.status if answer.status == 200 else answer.code

        assert [await ask(f"{API}/{one}", 24) for one in ("allOrders", "myTrades")] == [200, 200]
        assert [await ask(f"{API}/{one}", 25) for one in ("allOrders", "myTrades")] == [-1127, -1127]
        assert [await ask(f"{FAPI}/{one}", 167) for one in ("allOrders", "userTrades")] == [200, 200]
        assert [await ask(f"{FAPI}/{one}", 168) for one in ("allOrders", "userTrades")] == [-4166, -4166]

    run_virtual(main)


@pytest.mark.quick
def test_all_orders_pages_by_time_and_by_id() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = []
        for number in range(5):
            answer = await calls.limit(newClientOrderId=f"n{number}")
            placed.append((answer.payload["orderId"], answer.payload["transactTime"]))
            await asyncio.sleep(60)

        async def ids(**parameters: int) -> list[int]:
            answer = await calls.signed("GET", f"{API}/allOrders", symbol="BTCUSDT", **parameters)
            return [row["orderId"] for row in answer.payload]

        numbers = [order_id for order_id, _ in placed]
        assert await ids() == numbers
        assert await ids(limit=2) == numbers[-2:]
        assert await ids(startTime=placed[1][1], limit=2) == numbers[1:3]
        assert await ids(orderId=numbers[2]) == numbers[2:]
        assert await ids(startTime=placed[1][1], endTime=placed[3][1]) == numbers[1:4]

    run_virtual(main)


def test_coin_margined_history_needs_a_symbol_or_a_pair_and_no_id_with_a_pair() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.limit(f"{DAPI}/order", symbol="BTCUSD_PERP", quantity="2")

        nothing = await calls.signed("GET", f"{DAPI}/allOrders")
        pair = await calls.signed("GET", f"{DAPI}/allOrders", pair="BTCUSD")
        both = await calls.signed("GET", f"{DAPI}/allOrders", pair="BTCUSD", orderId="1")
        usdm = await calls.signed("GET", f"{FAPI}/allOrders")

        assert (nothing.code, both.code) == (-1102, -1128)
        assert [row["symbol"] for row in pair.payload] == ["BTCUSD_PERP"]
        assert usdm.payload == []

    run_virtual(main)


def test_what_never_filled_is_forgotten_after_days_on_futures_and_months_on_spot() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        found = {}
        for key in (API, FAPI):
            placed = await calls.limit(f"{key}/order")
            await calls.signed("DELETE", f"{key}/order", symbol="BTCUSDT", orderId=placed.payload["orderId"])
            traded = await calls.limit(f"{key}/order")
            admin(calls.venue, "POST", f"/sim/orders/{traded.payload['orderId']}/fill", {})
            found[key] = (placed.payload["orderId"], traded.payload["orderId"])

        async def codes(key: str) -> list[object]:
            answers = [
                await calls.signed("GET", f"{key}/order", symbol="BTCUSDT", orderId=number) for number in found[key]
            ]
            return [answer.status if answer.status == 200 else answer.code for answer in answers]

        await asyncio.sleep(4 * DAY_S)
        assert await codes(API) == [200, 200]
        assert await codes(FAPI) == [-2013, 200]
        await asyncio.sleep(87 * DAY_S)
        assert await codes(API) == [-2026, 200]
        assert await codes(FAPI) == [-2013, -2013]

    run_virtual(main)


def test_replication_lag_hides_a_new_order_from_queries_and_not_from_cancels() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        set_faults(calls.venue, f"lag=2@GET {API}/*")
        placed = await calls.limit(newClientOrderId="mine")
        number = placed.payload["orderId"]

        hidden = await calls.signed("GET", f"{API}/order", symbol="BTCUSDT", orderId=number)
        listed = await calls.signed("GET", f"{API}/openOrders", symbol="BTCUSDT")
        duplicate = await calls.limit(newClientOrderId="mine")
        await asyncio.sleep(2)
        seen = await calls.signed("GET", f"{API}/order", symbol="BTCUSDT", orderId=number)

        assert (hidden.code, listed.payload, duplicate.code) == (-2013, [], -2010)
        assert seen.payload["clientOrderId"] == "mine"

    run_virtual(main)


def test_absent_from_open_orders_may_mean_filled() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        placed = await calls.limit(f"{FAPI}/order")
        admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {})

        listed = await calls.signed("GET", f"{FAPI}/openOrders", symbol="BTCUSDT")
        asked = await calls.signed("GET", f"{FAPI}/order", symbol="BTCUSDT", orderId=placed.payload["orderId"])
        still = await calls.signed("GET", f"{FAPI}/openOrder", symbol="BTCUSDT", orderId=placed.payload["orderId"])

        assert listed.payload == []
        assert (asked.payload["status"], still.code) == ("FILLED", -2013)

    run_virtual(main)

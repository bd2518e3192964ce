"""Weights, order counts, bans, and what headers say of them."""

from __future__ import annotations

import asyncio

import pytest

from services.simulators.binance.limits import LimitOptions
from services.simulators.binance.listings import MARKETS, PREFIXES
from tests.support.simulated_calls import BinanceCalls, admin, virtual_binance
from tests.support.virtual_time import VirtualLoop, run_virtual

API, FAPI, DAPI = "/api/v3/order", "/fapi/v1/order", "/dapi/v1/order"


@pytest.mark.parametrize(
    ("method", "path", "parameters", "weight"),
    [
        ("GET", "/api/v3/ping", {}, 1),
        ("GET", "/api/v3/exchangeInfo", {}, 20),
        ("GET", "/api/v3/ticker/bookTicker", {"symbol": "BTCUSDT"}, 2),
        ("GET", "/api/v3/ticker/bookTicker", {}, 4),
        ("GET", "/fapi/v1/ticker/bookTicker", {}, 5),
        ("GET", "/fapi/v2/ticker/price", {"symbol": "BTCUSDT"}, 1),
        ("GET", "/dapi/v1/exchangeInfo", {}, 1),
        ("GET", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": "1"}, 4),
        ("GET", "/api/v3/openOrders", {"symbol": "BTCUSDT"}, 6),
        ("GET", "/api/v3/openOrders", {}, 80),
        ("GET", "/fapi/v1/openOrders", {}, 40),
        ("GET", "/api/v3/allOrders", {"symbol": "BTCUSDT"}, 20),
        ("GET", "/api/v3/myTrades", {"symbol": "BTCUSDT", "orderId": "1"}, 5),
        ("GET", "/api/v3/rateLimit/order", {}, 40),
        ("POST", "/fapi/v1/countdownCancelAll", {"symbol": "BTCUSDT", "countdownTime": "0"}, 10),
        ("DELETE", "/api/v3/order", {"symbol": "BTCUSDT", "orderId": "1"}, 1),
        ("POST", "/api/v3/order", {"symbol": "NOSUCH"}, 1),
    ],
)
def test_routes_cost_what_the_sheet_says(method: str, path: str, parameters: dict[str, str], weight: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        answer = await calls.signed(method, path, **parameters)

        assert answer.headers["x-mbx-used-weight-1m"] == str(weight)

    run_virtual(main)


@pytest.mark.quick
def test_successful_spot_orders_and_cancels_cost_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)

        placed = await calls.limit()
        canceled = await calls.signed("DELETE", API, symbol="BTCUSDT", orderId=placed.payload["orderId"])
        failed = await calls.signed("DELETE", API, symbol="BTCUSDT", orderId=placed.payload["orderId"])

        used = [answer.headers["x-mbx-used-weight-1m"] for answer in (placed, canceled, failed)]
        assert used == ["0", "0", "1"]

    run_virtual(main)


def test_futures_markets_share_one_pool_that_spot_has_no_part_in() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        await calls.get("/fapi/v1/ticker/bookTicker")

        coin = await calls.get("/dapi/v1/time")
        spot = await calls.get("/api/v3/time")

        assert coin.headers["x-mbx-used-weight-1m"] == "6"
        assert spot.headers["x-mbx-used-weight-1m"] == "1"

    run_virtual(main)


def test_over_the_limit_is_429_until_the_minute_ends_and_a_growing_ban_for_who_goes_on() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, limits=LimitOptions(spot_weight=10, ban_tolerance=3))
        for _ in range(5):
            assert (await calls.get("/api/v3/ticker/bookTicker", symbol="BTCUSDT")).status == 200

        over = await calls.get("/api/v3/time")
        wait_s = int(over.headers["Retry-After"])
        assert (over.status, over.code) == (429, -1003)
        await asyncio.sleep(wait_s)
        assert (await calls.get("/api/v3/time")).status == 200

        bans = []
        for _ in range(2):
            while (answer := await calls.get("/api/v3/time")).status != 418:
                pass
            assert f"banned until {answer.payload['msg'].split('until ')[1][:13]}" in answer.payload["msg"]
            bans.append(int(answer.headers["Retry-After"]))
            assert (await calls.get("/fapi/v1/time")).status == 418, "a ban is for the address"
            assert (await BinanceCalls(calls.venue, address="10.0.0.2").get("/api/v3/time")).status == 200
            await asyncio.sleep(bans[-1])
        assert bans == [120, 360]

    run_virtual(main)


def test_order_counts_are_announced_and_filled_orders_give_theirs_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, limits=LimitOptions(spot_orders_10s=2))

        first, second = await calls.limit(), await calls.limit()
        third = await calls.limit()
        admin(calls.venue, "POST", f"/sim/orders/{first.payload['orderId']}/fill", {})
        fourth = await calls.limit()

        assert second.headers["x-mbx-order-count-10s"] == "2"
        assert (third.status, third.code) == (429, -1015)
        assert fourth.status == 200
        usage = (await calls.signed("GET", "/api/v3/rateLimit/order")).payload
        assert [(one["interval"], one["limit"], one["count"]) for one in usage] == [
            ("SECOND", 2, 2),
            ("DAY", 200_000, 2),
        ]

    run_virtual(main)


def test_exchange_info_states_the_limits_that_are_enforced() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, limits=LimitOptions(spot_weight=77, futures_weight=78))

        weights = {}
        for market in MARKETS:
            info = (await calls.get(f"{PREFIXES[market]}/exchangeInfo")).payload
            weights[market] = info["rateLimits"][0]["limit"]

        assert weights == {"spot": 77, "usdm": 78, "coinm": 78}

    run_virtual(main)

"""Public websockets of the simulated Bybit, without a socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import admin, set_faults, virtual_bybit
from tests.support.simulated_venues import SimulatedSocket, connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

LIVELY = VenueOptions(volatility=20, touch_chance=0)
SLOW = VenueOptions(volatility=0, touch_chance=0, step_s=30)
"""Books stand still for half a minute."""


async def take(socket: SimulatedSocket, count: int = 1, *, topic: str | None = None) -> list[Any]:
    """Return the next frames, of a topic where one is named."""
    found: list[Any] = []
    while len(found) < count:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 40))
        if topic is None or frame.get("topic") == topic:
            found.append(frame)
    return found


async def tell(socket: SimulatedSocket, operation: str, *arguments: object, req_id: str | None = "r1") -> None:
    own = {} if req_id is None else {"req_id": req_id}
    await socket.send(json.dumps({**own, "op": operation, "args": list(arguments)}))


@pytest.mark.quick
def test_pings_and_subscriptions_are_answered_as_each_category_does() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        answers: dict[str, Any] = {}
        for category in ("spot", "linear", "option"):
            socket = connect(calls.venue, f"/v5/public/{category}")
            await socket.send('{"op":"ping"}')
            await tell(socket, "subscribe", "publicTrade.BTCUSDT")
            await tell(socket, "unsubscribe", "publicTrade.BTCUSDT")
            await socket.send("nonsense")
            answers[category] = await take(socket, 4)

        pong, subscribed, unsubscribed, refused = answers["spot"]
        name = pong["conn_id"]
        assert pong == {"success": True, "ret_msg": "pong", "conn_id": name, "op": "ping"}
        assert subscribed == {
            "success": True,
            "ret_msg": "subscribe",
            "conn_id": name,
            "req_id": "r1",
            "op": "subscribe",
        }
        assert (unsubscribed["success"], unsubscribed["op"]) == (True, "unsubscribe")
        assert refused["success"] is False
        pong, subscribed, *_ = answers["linear"]
        assert (pong["ret_msg"], pong["req_id"], subscribed["ret_msg"]) == ("pong", "", "")
        pong, subscribed, *_ = answers["option"]
        assert set(pong) == {"args", "op"}
        assert (subscribed["type"], subscribed["data"]["successTopics"]) == ("COMMAND_RESP", ["publicTrade.BTCUSDT"])

    run_virtual(main)


def test_one_bad_topic_refuses_all_and_spot_takes_ten_at_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        spot, linear = connect(calls.venue, "/v5/public/spot"), connect(calls.venue, "/v5/public/linear")

        await tell(
            spot,
            "subscribe",
            *(f"orderbook.{depth}.{coin}USDT" for depth in (1, 50, 200, 1000) for coin in ("BTC", "ETH", "SOL")),
        )
        await tell(linear, "subscribe", "tickers.BTCUSDT", "tickers.NOSUCH")
        await tell(linear, "subscribe", "tickers.BTCUSDT")
        await tell(linear, "subscribe", "tickers.BTCUSDT")
        await tell(linear, "subscribe")
        await tell(linear, "subscribe", "orderbook.2.BTCUSDT")
        (long,) = await take(spot)
        bad, good, ticker, twice, empty, depth = await take(linear, 6)

        assert (long["success"], long["ret_msg"]) == (False, "args size >10")
        assert (bad["success"], bad["ret_msg"]) == (False, "error:handler not found,topic:tickers.NOSUCH")
        assert (good["success"], ticker["type"]) == (True, "snapshot")
        assert [one["success"] for one in (twice, empty, depth)] == [False] * 3

    run_virtual(main)


@pytest.mark.quick
def test_tickers_of_contracts_are_deltas_that_merge_into_what_rest_says() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", "tickers.BTCUSDT")
            _, first, *deltas = await take(socket, 12)
            merged = dict(first["data"])
            for delta in deltas:
                merged |= delta["data"]
            (row,) = (await calls.get("/v5/market/tickers", category="linear", symbol="BTCUSDT")).rows

        assert first["type"] == "snapshot"
        assert {one["type"] for one in deltas} == {"delta"}
        assert all(set(one["data"]) < set(first["data"]) for one in deltas), "only what changed"
        assert all("fundingRate" not in one["data"] for one in deltas)
        assert merged["lastPrice"] != first["data"]["lastPrice"]
        assert {name: row[name] for name in merged if name in row} == {
            name: merged[name] for name in merged if name in row
        }
        assert [one["cs"] for one in deltas] == sorted(one["cs"] for one in deltas)

    run_virtual(main)


def test_tickers_of_spot_are_whole_and_without_bid_and_ask() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/spot")
            await tell(socket, "subscribe", "tickers.BTCUSDT")
            _, *frames = await take(socket, 4)
        (row,) = (await calls.get("/v5/market/tickers", category="spot", symbol="BTCUSDT")).rows

        assert {one["type"] for one in frames} == {"snapshot"}
        assert not any(name.startswith(("bid1", "ask1")) for one in frames for name in one["data"])
        assert {"bid1Price", "ask1Price"} <= set(row), "over REST it has them"

    run_virtual(main)


def test_dated_contracts_tell_their_end_as_text_on_the_stream_and_as_a_number_over_rest() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        rows = (await calls.get("/v5/market/instruments-info", category="inverse", limit=1000)).rows
        dated = next(one for one in rows if one["contractType"] == "InverseFutures")
        socket = connect(calls.venue, "/v5/public/inverse")
        await tell(socket, "subscribe", f"tickers.{dated['symbol']}")
        _, ticker = await take(socket, 2)
        (row,) = (await calls.get("/v5/market/tickers", category="inverse", symbol=dated["symbol"])).rows

        assert ticker["data"]["deliveryTime"] == "2025-12-26T08:00:00Z"
        assert row["deliveryTime"] == dated["deliveryTime"] == "1766736000000"
        assert (ticker["data"]["fundingRate"], ticker["data"]["nextFundingTime"]) == ("", "")

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize("depth", [50, 200])
def test_book_deltas_make_the_book_that_rest_has(depth: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", f"orderbook.{depth}.BTCUSDT")
            _, first, *deltas = await take(socket, 20)
            rest = (await calls.get("/v5/market/orderbook", category="linear", symbol="BTCUSDT", limit=depth)).result
        sides = {name: dict(first["data"][name]) for name in "ba"}
        for delta in deltas:
            for name, side in sides.items():
                for price, size in delta["data"][name]:
                    if size == "0":
                        del side[price]
                    else:
                        side[price] = size

        assert first["type"] == "snapshot"
        assert {one["type"] for one in deltas} == {"delta"}
        assert sides == {name: dict(rest[name]) for name in "ba"}
        numbers = [one["data"]["u"] for one in [first, *deltas]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "one more with each frame"
        assert rest["u"] == numbers[-1]

    run_virtual(main)


@pytest.mark.quick
def test_depth_one_is_always_whole_and_said_again_after_three_seconds_without_a_change() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, SLOW)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", "orderbook.1.BTCUSDT", "orderbook.50.BTCUSDT")
            frames = await take(socket, 6, topic="orderbook.1.BTCUSDT")
            times = [one["ts"] for one in frames]
            numbers = {one["data"]["u"] for one in frames}
            await calls.create(orderType="Market")
            changed = await take(socket, 8, topic="orderbook.1.BTCUSDT")

        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert all(3000 <= gap <= 3300 for gap in gaps), gaps
        assert len(numbers) == 1, "the same number: nothing changed"
        assert {one["type"] for one in [*frames, *changed]} == {"snapshot"}
        assert {one["data"]["u"] for one in changed} - numbers, "the order took from the book"

    run_virtual(main)


def test_silence_keeps_the_heartbeat_back_as_well() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, SLOW)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", "orderbook.1.BTCUSDT")
            await take(socket, 2)
            set_faults(calls.venue, "silence@WS /v5/public/linear")
            await asyncio.sleep(20)

            assert socket.is_idle

    run_virtual(main)


def test_a_client_that_says_nothing_for_ten_minutes_is_left_and_one_that_pings_is_not() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, SLOW)
        async with moving(calls.venue):
            quiet, pings = connect(calls.venue, "/v5/public/linear"), connect(calls.venue, "/v5/public/linear")
            short = connect(calls.venue, "/v5/private", "max_active_time=30s")
            for _ in range(31):
                await asyncio.sleep(20)
                await pings.send('{"op":"ping"}')
            await take(pings, 31)

            for ended in (quiet, short):
                with pytest.raises(ConnectionError, match="no ping"):
                    await ended.recv()
            assert [
                one["path"] for one in ({"path": path} for path in admin(calls.venue, "GET", "/sim")["sockets"])
            ] == ["/v5/public/linear"]

    run_virtual(main)


def test_trades_limits_of_prices_and_incidents_have_topics() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/v5/public/linear")
            await tell(socket, "subscribe", "publicTrade.BTCUSDT", "priceLimit.BTCUSDT", "allLiquidation.BTCUSDT")
            _, limit = await take(socket, 2)
            (trade,) = await take(socket, 1, topic="publicTrade.BTCUSDT")
            status = connect(calls.venue, "/v5/public/misc/status")
            await tell(status, "subscribe", "system.status")
            await take(status)
            admin(calls.venue, "PUT", "/sim/system-status", {"state": "scheduled"})
            (incident,) = await take(status)

        assert set(limit["data"]) == {"symbol", "buyLmt", "sellLmt"}
        assert {"T", "s", "S", "v", "p", "L", "i", "BT"} <= set(trade["data"][0])
        assert incident["data"][0]["state"] == "scheduled"
        with pytest.raises(ConnectionError, match="404"):
            connect(calls.venue, "/v5/public/futures")

    run_virtual(main)

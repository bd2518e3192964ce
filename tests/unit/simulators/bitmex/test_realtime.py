"""The websocket of the simulated BitMEX, without a socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import pytest

from services.simulators.bitmex.limits import LimitOptions
from services.simulators.bitmex.realtime import KEYS
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BITMEX_DEMO, BitmexCalls, admin, virtual_bitmex
from tests.support.simulated_venues import SimulatedSocket, connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

LIVELY = VenueOptions(volatility=20, touch_chance=0)


async def take(socket: SimulatedSocket, count: int) -> list[Any]:
    """Return the next frames."""
    return [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(count)]


async def tell(socket: SimulatedSocket, operation: str, *arguments: object) -> None:
    await socket.send(json.dumps({"op": operation, "args": list(arguments)}))


async def authenticate(calls: BitmexCalls, socket: SimulatedSocket) -> None:
    expires = calls.venue.exchange_ns() // 1_000_000_000 + 60
    signature = hmac.new(BITMEX_DEMO.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    await tell(socket, "authKeyExpires", BITMEX_DEMO.api_key, expires, signature)


@pytest.mark.quick
def test_welcome_acknowledgement_partial_and_inserts_come_in_this_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/realtime")
            await tell(socket, "subscribe", "quote:XBTUSD", "quote:NOSUCH", "nosuch", "order")
            frames = await take(socket, 8)

        welcome, acknowledged, partial, *refused = frames[:6]
        assert welcome["info"].startswith("Welcome")
        assert welcome["limit"] == {"remaining": 59}
        assert (acknowledged["success"], acknowledged["subscribe"]) == (True, "quote:XBTUSD")
        assert acknowledged["request"]["args"][0] == "quote:XBTUSD"
        assert (partial["action"], partial["keys"], partial["filter"]) == ("partial", [], {"symbol": "XBTUSD"})
        assert [one["status"] for one in refused] == [400, 400, 401]
        assert {one["action"] for one in frames[6:]} == {"insert"}
        assert set(frames[7]["data"][0]) == {"timestamp", "symbol", "bidSize", "bidPrice", "askPrice", "askSize"}

    run_virtual(main)


def test_topics_in_the_address_and_plain_text_pings() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        socket = connect(calls.venue, "/realtime", "subscribe=quote:XBTUSD,trade:XBTUSD")
        frames = await take(socket, 5)
        await socket.send("ping")

        assert [one.get("subscribe") or one.get("table") for one in frames[1:]] == [
            "quote:XBTUSD",
            "quote",
            "trade:XBTUSD",
            "trade",
        ]
        assert await socket.recv() == "pong"
        await tell(socket, "unsubscribe", "quote:XBTUSD")
        assert (await take(socket, 1))[0]["unsubscribe"] == "quote:XBTUSD"
        await socket.send("nonsense")
        assert (await take(socket, 1))[0]["status"] == 400

    run_virtual(main)


def test_book_of_deltas_is_always_the_book() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/realtime", "subscribe=orderBookL2_25:XBTUSD")
            kept: dict[tuple[int, str], dict[str, Any]] = {}
            for frame in (await take(socket, 60))[2:]:
                for row in frame["data"]:
                    key = (row["id"], row["side"])
                    if frame["action"] == "delete":
                        del kept[key]
                    elif frame["action"] == "update":
                        kept[key] = {**kept[key], **row}
                    else:
                        assert key not in kept or frame["action"] == "partial"
                        kept[key] = row
            while not socket.is_idle:
                frame = json.loads(await socket.recv())
                for row in frame["data"]:
                    key = (row["id"], row["side"])
                    if frame["action"] == "delete":
                        del kept[key]
                    else:
                        kept[key] = {**kept.get(key, {}), **row}

        told = (await calls.get("/api/v1/orderBook/L2", symbol="XBTUSD", depth=25)).payload
        assert {(row["id"], row["side"]): row["size"] for row in told} == {
            key: row["size"] for key, row in kept.items()
        }

    run_virtual(main)


@pytest.mark.quick
def test_order_table_inserts_updates_with_changes_only_and_begins_with_open_orders() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        socket = connect(calls.venue, "/realtime")
        await calls.limit(clOrdID="before")
        await calls.limit(clOrdID="closed")
        await calls.signed("DELETE", "/api/v1/order", {"clOrdID": "closed"})
        await authenticate(calls, socket)
        await authenticate(calls, socket)
        await tell(socket, "subscribe", "order", "execution", "position")
        frames = await take(socket, 9)
        assert frames[1]["success"] is True
        assert frames[2]["status"] == 400, "authenticating twice is an error"
        assert [row["clOrdID"] for row in frames[4]["data"]] == ["before"]

        await calls.limit(clOrdID="mine")
        number = admin(calls.venue, "GET", "/sim/orders?client_id=mine")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{number}/fill", {})
        inserted, execution, updated, trade, position = await take(socket, 5)

        assert (inserted["table"], inserted["action"]) == ("order", "insert")
        assert execution["data"][0]["execType"] == "New"
        changed = updated["data"][0]
        assert (updated["action"], changed["ordStatus"], changed["cumQty"]) == ("update", "Filled", 100)
        assert "orderQty" not in changed
        assert "side" not in changed
        assert changed["orderID"] == inserted["data"][0]["orderID"]
        assert (trade["data"][0]["execType"], trade["data"][0]["lastQty"]) == ("Trade", 100)
        assert position["data"][0]["currentQty"] == 100

    run_virtual(main)


def test_dead_man_switch_can_be_armed_over_the_socket_once_authenticated() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        socket = connect(calls.venue, "/realtime")
        await tell(socket, "cancelAllAfter", 1000)
        await authenticate(calls, socket)
        await tell(socket, "cancelAllAfter", 1000)
        await calls.limit()

        frames = await take(socket, 4)
        await asyncio.sleep(2)

        assert frames[1]["status"] == 401
        assert "cancelTime" in frames[3]
        assert (await calls.signed("GET", "/api/v1/order", filter='{"open":true}')).payload == []

    run_virtual(main)


def test_headers_authenticate_and_wrong_ones_close() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop)
        expires = str(calls.venue.exchange_ns() // 1_000_000_000 + 60)
        signature = hmac.new(BITMEX_DEMO.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        headers = {"api-key": BITMEX_DEMO.api_key, "api-expires": expires, "api-signature": signature}

        socket = connect(calls.venue, "/realtime", "subscribe=order", headers)
        wrong = connect(calls.venue, "/realtime", "", {**headers, "api-signature": "0"})

        assert [one.get("action") for one in await take(socket, 3)] == [None, None, "partial"]
        assert (await take(wrong, 2))[1]["status"] == 401
        with pytest.raises(ConnectionError, match="1008"):
            await wrong.recv()

    run_virtual(main)


def test_connections_are_limited_per_hour() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, limits=LimitOptions(sockets_per_hour=2))
        for left in (1, 0):
            welcome = (await take(connect(calls.venue, "/realtime"), 1))[0]
            assert welcome["limit"]["remaining"] == left

        with pytest.raises(ConnectionError, match="429"):
            connect(calls.venue, "/realtime")
        await asyncio.sleep(1800)
        connect(calls.venue, "/realtime")

    run_virtual(main)


@pytest.mark.parametrize("table", list(KEYS))
def test_every_table_that_is_acknowledged_begins_and_changes(table: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/realtime")
            await authenticate(calls, socket)
            await tell(socket, "subscribe", table)
            _, _, acknowledged, partial = await take(socket, 4)
            await calls.limit(price=80000)
            change = (await take(socket, 1))[0]

        assert acknowledged["success"] is True
        assert (partial["table"], partial["action"], change["table"]) == (table, "partial", table)
        assert change["action"] in ("insert", "update", "delete")

    run_virtual(main)


@pytest.mark.parametrize(
    "topic", ["quoteBin1m", "tradeBin1m:XBTUSD", "liquidation", "orderBookL2_50:XBTUSD", "quote:xbtusd", "chat"]
)
def test_topics_that_are_not_served_are_refused(topic: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bitmex(loop, LIVELY)
        socket = connect(calls.venue, "/realtime")
        await tell(socket, "subscribe", topic)

        refused = (await take(socket, 2))[1]

        assert refused["status"] == 400
        assert topic.partition(":")[2 if topic.startswith("quote:") else 0] in refused["error"]

    run_virtual(main)

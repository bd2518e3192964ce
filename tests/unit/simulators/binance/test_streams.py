"""Websockets of the simulated Binance, without sockets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import pytest

from services.simulators.venue import sockets
from services.simulators.venue.exchange import VenueOptions
from tests.support.simulated_calls import BINANCE_DEMO, CALM, BinanceCalls, admin, set_faults, virtual_binance
from tests.support.simulated_venues import SimulatedSocket, connect, moving
from tests.support.virtual_time import VirtualLoop, run_virtual

API, FAPI = "/api/v3/order", "/fapi/v1/order"
LIVELY = VenueOptions(volatility=20, touch_chance=0)


async def frames(socket: SimulatedSocket, within_s: float) -> list[Any]:
    """Return what arrives within that time."""
    found = []
    deadline = asyncio.get_running_loop().time() + within_s
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        try:
            found.append(json.loads(await asyncio.wait_for(socket.recv(), left)))
        except TimeoutError:
            break
    return found


async def drain(socket: SimulatedSocket) -> None:
    """Read until the end, which raises."""
    while True:
        await asyncio.wait_for(socket.recv(), 10)


async def ask(socket: SimulatedSocket, payload: object) -> Any:
    """Send a control message and return the next frame that has an id or an error."""
    await socket.send(payload if isinstance(payload, str) else json.dumps(payload))
    while True:
        frame = json.loads(await socket.recv())
        if "id" in frame or "error" in frame:
            return frame


async def user_socket(calls: BinanceCalls) -> SimulatedSocket:
    """Open the spot user stream."""
    socket = connect(calls.venue, "/ws-api/v3")
    parameters: dict[str, object] = {
        "apiKey": BINANCE_DEMO.api_key,
        "timestamp": calls.venue.exchange_ns() // 1_000_000,
    }
    text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    parameters["signature"] = hmac.new(BINANCE_DEMO.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    answer = await ask(socket, {"id": "s", "method": "userDataStream.subscribe.signature", "params": parameters})
    assert answer["result"] == {"subscriptionId": 0}
    return socket


def kinds(events: list[Any]) -> list[tuple[str, str]]:
    """Return what happened to which order."""
    found = []
    for event in events:
        body = event["event"] if "event" in event else event.get("o", event)
        if "x" not in body:
            continue  # Of the account, not of an order.
        found.append((body["x"], body["c"] if body["x"] != "CANCELED" or not body.get("C") else body["C"]))
    return found


SPOT_FIELDS = {"u", "s", "b", "B", "a", "A"}
FUTURES_FIELDS = SPOT_FIELDS | {"e", "T", "E", "st", "ps"}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/ws/btcusdt@bookTicker", SPOT_FIELDS),
        ("/fstream/public/ws/btcusdt@bookTicker", FUTURES_FIELDS),
        ("/fstream/ws/btcusdt@bookTicker", FUTURES_FIELDS),
        ("/fstream/all/ws/btcusdt@bookTicker", FUTURES_FIELDS),
        ("/dstream/ws/btcusd_perp@bookTicker", FUTURES_FIELDS),
        ("/fstream/ws/btcusdt@aggTrade", None),
        ("/ws/0", None),
    ],
)
def test_streams_have_the_fields_of_their_market_and_are_silent_on_the_retired_address_of_another_part(
    path: str, fields: set[str] | None
) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            found = await frames(connect(calls.venue, path), 3)

        if fields is None:
            assert found == []
        else:
            assert len(found) >= 10
            assert set(found[0]) == fields
            ids = [one["u"] for one in found]
            assert ids == sorted(set(ids))

    run_virtual(main)


def test_combined_streams_are_wrapped_and_raw_ones_are_not() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/stream", "streams=btcusdt@bookTicker/ethusdt@bookTicker")
            found = await frames(socket, 1)

        assert {one["stream"] for one in found} == {"btcusdt@bookTicker", "ethusdt@bookTicker"}
        assert all(set(one["data"]) == SPOT_FIELDS for one in found)

    run_virtual(main)


def test_control_messages_are_answered_with_their_id() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, "/ws")

        assert await ask(socket, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}) == {
            "result": None,
            "id": 1,
        }
        listed = await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": "x"})
        assert listed == {"result": ["btcusdt@trade"], "id": "x"}
        for name in ("btcusdt@trade", "nosuch@stream"):
            assert await ask(socket, {"method": "UNSUBSCRIBE", "params": [name], "id": None}) == {
                "result": None,
                "id": None,
            }
        await asyncio.sleep(1)
        assert await ask(socket, {"method": "LIST_SUBSCRIPTIONS", "id": 2}) == {"result": [], "id": 2}
        assert "error" in await ask(socket, {"method": "SUBSCRIBE", "params": ["x"], "id": 1.5})
        assert "error" in await ask(socket, "not json")

    run_virtual(main)


def test_too_many_control_messages_a_second_end_the_connection() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, "/ws")

        for number in range(6):
            await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))

        with pytest.raises(ConnectionError, match="1008"):
            await drain(socket)

    run_virtual(main)


def test_slow_reader_is_disconnected_instead_of_filling_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "QUEUE_FRAMES", 100)

    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/ws/btcusdt@bookTicker")
            await asyncio.sleep(30)

        with pytest.raises(ConnectionError, match="slow consumer"):
            await drain(socket)

    run_virtual(main)


def test_connections_end_after_their_lifetime() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, CALM, socket_lifetime_s=60)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/ws")
            with pytest.raises(ConnectionError, match="1001"):
                await asyncio.wait_for(socket.recv(), 62)

    run_virtual(main)


def test_shutdown_is_announced_on_spot_before_the_close() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        spot, futures = connect(calls.venue, "/stream"), connect(calls.venue, "/dstream/ws")

        admin(calls.venue, "POST", "/sim/streams/close", {"code": 1001, "announce": True})

        said = json.loads(await spot.recv())
        assert (said["stream"], said["data"]["e"]) == ("!serverShutdown", "serverShutdown")
        for socket in (spot, futures):
            with pytest.raises(ConnectionError, match="1001"):
                await socket.recv()

    run_virtual(main)


@pytest.mark.quick
def test_spot_user_stream_tells_the_life_of_an_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await user_socket(calls)
        placed = await calls.limit(newClientOrderId="mine")
        admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {"quantity": "0.001"})
        await calls.signed("DELETE", API, symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="cancel-id")

        events = await frames(socket, 1)

        assert kinds(events) == [("NEW", "mine"), ("TRADE", "mine"), ("CANCELED", "mine")]
        bodies = [event["event"] for event in events if event["event"]["e"] == "executionReport"]
        assert [one["X"] for one in bodies] == ["NEW", "PARTIALLY_FILLED", "CANCELED"]
        assert [one["z"] for one in bodies] == ["0.00000000", "0.00100000", "0.00100000"]
        assert (bodies[2]["c"], bodies[2]["C"]) == ("cancel-id", "mine")
        assert bodies[1]["t"] > 0

    run_virtual(main)


def test_websocket_api_refuses_a_wrong_signature_and_places_orders_with_a_right_one() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = connect(calls.venue, "/ws-api/v3")
        parameters: dict[str, object] = {
            "apiKey": BINANCE_DEMO.api_key,
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "MARKET",
            "quantity": "0.001",
            "timestamp": calls.venue.exchange_ns() // 1_000_000,
        }
        text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
        good = hmac.new(BINANCE_DEMO.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

        wrong = await ask(socket, {"id": 1, "method": "order.place", "params": {**parameters, "signature": "0" * 64}})
        right = await ask(socket, {"id": 2, "method": "order.place", "params": {**parameters, "signature": good}})
        unknown = await ask(socket, {"id": 3, "method": "order.explode"})

        assert (wrong["status"], wrong["error"]["code"]) == (400, -1022)
        assert (right["status"], right["result"]["status"]) == (200, "FILLED")
        assert unknown["error"]["code"] == -1020

    run_virtual(main)


def test_futures_user_stream_needs_a_listen_key_that_expires() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        none = await calls.keyed("PUT", "/fapi/v1/listenKey")
        key = (await calls.keyed("POST", "/fapi/v1/listenKey")).payload["listenKey"]
        assert (await calls.keyed("POST", "/fapi/v1/listenKey")).payload["listenKey"] == key
        async with moving(calls.venue):
            socket = connect(calls.venue, f"/fstream/private/ws/{key}")
            by_query = connect(calls.venue, "/fstream/private/ws", f"listenKey={key}")
            together = connect(calls.venue, f"/fstream/all/ws/{key}")
            misrouted = connect(calls.venue, f"/fstream/public/ws/{key}")
            placed = await calls.limit(FAPI, newClientOrderId="mine")
            admin(calls.venue, "POST", f"/sim/orders/{placed.payload['orderId']}/fill", {})
            events = await frames(socket, 1)
            assert kinds([one for one in events if one["e"] == "ORDER_TRADE_UPDATE"]) == [
                ("NEW", "mine"),
                ("TRADE", "mine"),
            ]
            assert [one["e"] for one in events].count("TRADE_LITE") == 1
            assert len(await frames(by_query, 1)) == 4
            assert len(await frames(together, 1)) == 4
            assert await frames(misrouted, 1) == []
            await asyncio.sleep(3590)
            expired = await frames(socket, 20)

        assert none.code == -1125
        assert [one["e"] for one in expired] == ["listenKeyExpired"]
        assert (await calls.keyed("PUT", "/fapi/v1/listenKey")).code == -1125

    run_virtual(main)


async def place_three(calls: BinanceCalls) -> None:
    for name in "abc":
        await calls.limit(newClientOrderId=name)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("gap@USER,after=1,count=1", ["a", "c"]),
        ("repeat@USER,count=1", ["a", "a", "b", "c"]),
        ("reorder@USER,count=1", ["b", "a", "c"]),
        ("delay=0.1@USER,count=1", ["b", "c", "a"]),
        ("silence@WS /ws-api/v3", []),
    ],
)
def test_user_events_go_wrong_as_planned(plan: str, expected: list[str]) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        socket = await user_socket(calls)
        set_faults(calls.venue, plan)

        await place_three(calls)

        assert [name for _, name in kinds(await frames(socket, 1))] == expected

    run_virtual(main)


def test_event_that_waits_for_another_one_is_sent_with_the_next_step() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop)
        async with moving(calls.venue):
            socket = await user_socket(calls)
            set_faults(calls.venue, "reorder@USER,count=1")
            await calls.limit(newClientOrderId="alone")
            assert kinds(await frames(socket, 1)) == [("NEW", "alone")]

    run_virtual(main)


@pytest.mark.parametrize(
    ("plan", "says"),
    [("stream-drop@WS /ws/*,after=2,count=1", "closed with None"), ("flap=2/2@WS *", "closed with None")],
)
def test_planned_breaks_end_a_stream_without_a_word(plan: str, says: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/ws/btcusdt@bookTicker")
            set_faults(calls.venue, plan)
            with pytest.raises(ConnectionError, match=says):
                await drain(socket)

    run_virtual(main)


def test_garbage_frames_and_refused_handshakes() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_binance(loop, LIVELY)
        async with moving(calls.venue):
            socket = connect(calls.venue, "/ws/btcusdt@bookTicker")
            set_faults(calls.venue, "stream-garbage@WS /ws/*,count=1; error=503@WS *,count=1; drop@WS *,count=1")
            with pytest.raises(ValueError, match=r"."):
                json.loads(await socket.recv())
            assert set(json.loads(await socket.recv())) == SPOT_FIELDS
            for status in (0, 503):
                with pytest.raises(ConnectionError, match=f"HTTP {status}"):
                    connect(calls.venue, "/ws")
            connect(calls.venue, "/ws")
            with pytest.raises(ConnectionError, match="404"):
                connect(calls.venue, "/nowhere")

    run_virtual(main)

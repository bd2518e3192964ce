"""The websocket of the simulated Bybit that takes orders, without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.simulated_calls import BybitCalls, admin, set_faults, virtual_bybit
from tests.support.simulated_venues import SimulatedSocket, connect
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.bybit.test_private_stream import login
from tests.unit.simulators.bybit.test_public_stream import take

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.001",
    "price": "60000",
}


async def opened(calls: BybitCalls) -> SimulatedSocket:
    """Return a socket that is logged in."""
    socket = connect(calls.venue, "/v5/trade")
    answer = await login(calls, socket)
    assert (answer["retCode"], answer["retMsg"], answer["op"]) == (0, "OK", "auth")
    return socket


async def ask(
    calls: BybitCalls, socket: SimulatedSocket, op: str, req_id: str, *, late_ms: int = 0, **order: Any
) -> Any:
    """Send a command; return its answer."""
    await send(calls, socket, op, req_id, late_ms=late_ms, **order)
    return (await take(socket))[0]


async def send(
    calls: BybitCalls, socket: SimulatedSocket, op: str, req_id: str, *, late_ms: int = 0, **order: Any
) -> None:
    timestamp = str(calls.venue.exchange_ns() // 1_000_000 - late_ms)
    header = {"X-BAPI-TIMESTAMP": timestamp, "X-BAPI-RECV-WINDOW": "5000"}
    usual = {} if "request" in order else ORDER
    await socket.send(json.dumps({"reqId": req_id, "header": header, "op": op, "args": [{**usual, **order}]}))


@pytest.mark.quick
def test_orders_are_placed_amended_and_canceled() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls)

        placed = await ask(calls, socket, "order.create", "1", orderLinkId="mine")
        amended = await ask(calls, socket, "order.amend", "2", orderLinkId="mine", price="59000")
        await asyncio.sleep(1)
        (row,) = await calls.orders()
        canceled = await ask(calls, socket, "order.cancel", "3", orderLinkId="mine")
        await asyncio.sleep(1)
        gone = await ask(calls, socket, "order.cancel", "4", orderLinkId="mine")

        assert set(placed) == {"reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId"}
        assert (placed["reqId"], placed["retCode"], placed["retMsg"], placed["op"]) == ("1", 0, "OK", "order.create")
        assert placed["data"]["orderLinkId"] == "mine"
        assert placed["header"]["X-Bapi-Limit-Status"] == "9"
        assert {"X-Bapi-Limit", "X-Bapi-Limit-Reset-Timestamp", "Traceid", "Timenow"} <= set(placed["header"])
        assert (amended["data"], canceled["data"]) == (placed["data"], placed["data"])
        assert row["price"] == "59000.00"
        assert (gone["retCode"], gone["data"]) == (110001, {})
        assert gone["header"]["X-Bapi-Limit-Status"] == "9", "a refusal tells the limit as well"

    run_virtual(main)


def test_rest_and_stream_share_the_limit() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls)
        for _ in range(6):
            await calls.create()

        codes = [(await ask(calls, socket, "order.create", str(number)))["retCode"] for number in range(5)]

        assert codes == [0, 0, 0, 0, 10006]

    run_virtual(main)


@pytest.mark.quick
def test_what_is_refused_before_it_is_an_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        stranger = connect(calls.venue, "/v5/trade")
        unknown = await ask(calls, stranger, "order.create", "1")
        socket = await opened(calls)
        await socket.send('{"op":"ping","reqId":"p"}')
        (pong,) = await take(socket)
        again = await login(calls, socket)

        first = await ask(calls, socket, "order.create", "1", orderLinkId="a")
        repeated = await ask(calls, socket, "order.create", "1", orderLinkId="b")
        late = await ask(calls, socket, "order.create", "2", late_ms=5001, orderLinkId="c")
        operation = await ask(calls, socket, "order.destroy", "3")
        long = await ask(calls, socket, "order.create", "x" * 37)
        await socket.send("nonsense")
        (nonsense,) = await take(socket)

        assert (unknown["retCode"], again["retCode"]) == (10003, 20001)
        assert (pong["op"], pong["data"], pong["reqId"]) == ("pong", [str(loop.wall_ns() // 1_000_000)], "p")
        assert [one["retCode"] for one in (first, repeated, late, operation, long, nonsense)] == [
            0, 20006, 10002, 10404, 10001, 10001,
        ]  # fmt: skip
        assert [one["client_id"] for one in admin(calls.venue, "GET", "/sim/orders")] == ["a"]

    run_virtual(main)


def test_batches_have_their_codes_beside_them() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls)
        orders = [{**ORDER, "orderLinkId": "a"}, {**ORDER, "orderLinkId": "b", "positionIdx": 1}]

        answer = await ask(calls, socket, "order.create-batch", "1", category="linear", request=orders)

        assert answer["retCode"] == 0
        assert [bool(one["orderId"]) for one in answer["data"]["list"]] == [True, False]
        assert answer["retExtInfo"]["list"][1] == {"code": 10001, "msg": "position idx not match position mode"}
        assert answer["header"]["X-Bapi-Limit-Status"] == "8"

    run_virtual(main)


def test_the_plan_of_faults_reaches_commands() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        create = "WS /v5/trade/order.create"
        socket = await opened(calls)
        set_faults(calls.venue, f"swallow@{create},count=1; stall@{create},count=1,after=0")
        await send(calls, socket, "order.create", "1", orderLinkId="swallowed")
        await send(calls, socket, "order.create", "2", orderLinkId="stalled")
        silent = socket.is_idle
        set_faults(calls.venue, f"error=server-error@{create},executed=yes,count=1")
        failed = await ask(calls, socket, "order.create", "3", orderLinkId="failed")
        set_faults(calls.venue, f"error=bad-gateway@{create},count=1")
        await send(calls, socket, "order.create", "4", orderLinkId="cut")

        assert silent
        assert (failed["retCode"], failed["reqId"]) == (10016, "3")
        with pytest.raises(ConnectionError):
            await socket.recv()
        assert [one["client_id"] for one in admin(calls.venue, "GET", "/sim/orders")] == ["stalled", "failed"]

    run_virtual(main)

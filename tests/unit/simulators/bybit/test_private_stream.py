"""The private websocket of the simulated Bybit, without a socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import pytest

from services.simulators.bybit.sightings import RowDelays
from services.simulators.venue.clearing import Account
from tests.support.simulated_calls import BYBIT_DEMO, BybitCalls, admin, set_faults, virtual_bybit
from tests.support.simulated_venues import SimulatedSocket, connect
from tests.support.virtual_time import VirtualLoop, run_virtual
from tests.unit.simulators.bybit.test_public_stream import take, tell


async def login(calls: BybitCalls, socket: SimulatedSocket, *, ahead_s: int = 10, account: Account = BYBIT_DEMO) -> Any:
    """Log in; return the answer."""
    expires = calls.venue.exchange_ns() // 1_000_000 + ahead_s * 1000
    signature = hmac.new(account.secret.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    await tell(socket, "auth", account.api_key, expires, signature, req_id=None)
    return (await take(socket))[0]


async def opened(calls: BybitCalls, *topics: str) -> SimulatedSocket:
    """Return a socket that is logged in and listens."""
    socket = connect(calls.venue, "/v5/private")
    assert (await login(calls, socket))["success"] is True
    await tell(socket, "subscribe", *topics)
    assert (await take(socket))[0]["success"] is True
    return socket


async def frames(socket: SimulatedSocket) -> list[Any]:
    """Return what waits after all delays are over."""
    await asyncio.sleep(1)
    found = []
    while not socket.is_idle:
        found += await take(socket)
    return found


@pytest.mark.quick
def test_login_pings_and_refusals() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = connect(calls.venue, "/v5/private")
        await socket.send('{"req_id":"p","op":"ping"}')
        await tell(socket, "subscribe", "order")
        pong, early = await take(socket, 2)

        late = await login(calls, socket, ahead_s=0)
        stranger = await login(calls, socket, account=Account("x", "x", "x"))
        forged = await login(calls, socket, account=Account("demo", BYBIT_DEMO.api_key, "x"))
        well = await login(calls, socket)
        await tell(socket, "subscribe", "order", "order.linear")
        await tell(socket, "subscribe", "order.linear", "wallet")
        await tell(socket, "subscribe", "order.linear")
        await tell(socket, "subscribe", "orders")
        both, parts, twice, unknown = await take(socket, 4)

        assert set(pong) == {"req_id", "op", "args", "conn_id"}
        assert (pong["op"], pong["args"]) == ("pong", [str(loop.wall_ns() // 1_000_000)])
        assert (early["success"], early["ret_msg"]) == (False, "Request not authorized")
        assert [one["retCode"] for one in (late, stranger, forged)] == [10004, 10003, 10004]
        assert [one["success"] for one in (late, stranger, forged)] == [False] * 3
        assert (well["success"], well["ret_msg"], well["op"]) == (True, "", "auth")
        assert [one["success"] for one in (both, parts, twice, unknown)] == [False, True, False, False]

    run_virtual(main)


@pytest.mark.quick
def test_nothing_is_told_of_before_and_everything_after_with_its_delay() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, delays=RowDelays(row_s=(0.1, 0.1)))
        await calls.create(orderLinkId="before")
        await asyncio.sleep(1)
        socket = await opened(calls, "order", "execution", "position", "wallet")
        assert socket.is_idle

        answered_ns = loop.wall_ns()
        await calls.create(orderLinkId="mine", orderType="Market", qty="0.002")
        assert socket.is_idle
        (first,) = await take(socket)
        seen_ns = loop.wall_ns()
        rest = await frames(socket)

        assert 0.1 <= (seen_ns - answered_ns) / 1e9 < 0.11
        told = [first, *rest]
        orders = [row for one in told if one["topic"] == "order" for row in one["data"]]
        fills = [row for one in told if one["topic"] == "execution" for row in one["data"]]
        position = [one for one in told if one["topic"] == "position"][-1]
        wallet = [one for one in told if one["topic"] == "wallet"][-1]
        assert [one["orderStatus"] for one in orders] == ["New", "Filled"]
        assert {one["category"] for one in [*orders, *fills]} == {"linear"}
        assert [(one["orderLinkId"], one["execQty"], one["isMaker"]) for one in fills] == [("mine", "0.002", False)]
        assert (position["data"][0]["side"], position["data"][0]["size"]) == ("Buy", "0.002")
        assert "entryPrice" in position["data"][0]
        assert "avgPrice" not in position["data"][0]
        assert {one["coin"] for one in wallet["data"][0]["coin"]} == {"USDT", "USDC", "BTC", "ETH", "SOL"}
        assert all(set(one) == {"id", "topic", "creationTime", "data"} for one in told)

    run_virtual(main)


def test_a_position_is_told_after_every_change_of_an_order_whether_it_changed_or_not() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls, "position")
        await calls.create(orderLinkId="mine")
        await calls.named("amend", "mine", price="59000")
        await calls.named("cancel", "mine")
        await calls.create(category="spot")

        told = await frames(socket)

        assert [(one["data"][0]["side"], one["data"][0]["size"]) for one in told] == [("", "0.000")] * 3

    run_virtual(main)


@pytest.mark.quick
def test_a_raced_cancel_is_told_as_a_second_filled_row() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls, "order")
        await calls.create(orderLinkId="mine")
        await frames(socket)
        admin(calls.venue, "POST", f"/sim/orders/{admin(calls.venue, 'GET', '/sim/orders')[0]['id']}/fill", {})
        await calls.named("cancel", "mine")

        rows = [one["data"][0] for one in await frames(socket)]

        assert [(one["orderStatus"], one["cancelType"], one["rejectReason"]) for one in rows] == [
            ("Filled", "UNKNOWN", "EC_NoError"),
            ("Filled", "CancelByUser", "EC_OrigClOrdIDDoesNotExist"),
        ]

    run_virtual(main)


def test_topics_by_category_and_the_fast_one_with_few_fields() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls, "order.spot", "execution.fast.linear")
        await calls.create(orderLinkId="maker")
        await calls.create(category="spot", orderLinkId="spot")
        await calls.create(orderLinkId="taker", orderType="Market")
        await asyncio.sleep(1)
        number = admin(calls.venue, "GET", "/sim/orders?client_id=maker")[0]["id"]
        admin(calls.venue, "POST", f"/sim/orders/{number}/fill", {})

        told = await frames(socket)

        assert [(one["topic"], one["data"][0]["orderLinkId"]) for one in told] == [
            ("order.spot", "spot"),
            ("execution.fast.linear", "taker"),
            ("execution.fast.linear", ""),
        ]
        assert told[2]["data"][0]["isMaker"] is True
        assert "execFee" not in told[1]["data"][0]
        assert "id" not in told[1]

    run_virtual(main)


def test_orders_and_executions_come_in_either_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls, "order", "execution")
        firsts = set()
        for _ in range(10):
            await calls.create(orderType="Market")
            told = [one["topic"] for one in await frames(socket)]
            assert sorted(told) == ["execution", "order", "order"]
            firsts.add(told[1])

        assert firsts == {"order", "execution"}

    run_virtual(main)


def test_what_the_plan_keeps_from_streams_queries_have() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        socket = await opened(calls, "order", "execution")
        set_faults(calls.venue, "gap@USER,count=2")
        await calls.create(orderLinkId="lost", orderType="Market")
        lost = await frames(socket)
        set_faults(calls.venue, "repeat@USER,count=1")
        await calls.create(orderLinkId="twice")
        twice = await frames(socket)

        (row,) = await calls.orders(orderLinkId="lost")
        fills = (await calls.signed("GET", "/v5/execution/list", category="linear")).rows

        assert lost == []
        assert [one["data"][0]["orderStatus"] for one in twice] == ["New", "New"]
        assert row["orderStatus"] == "Filled"
        assert [one["orderLinkId"] for one in fills] == ["lost"]

    run_virtual(main)


def test_accounts_hear_of_their_own_orders_only() -> None:
    async def main(loop: VirtualLoop) -> None:
        other = Account("other", "ok", "os")
        calls = virtual_bybit(loop, accounts=(BYBIT_DEMO, other))
        socket = await opened(calls, "order")
        await BybitCalls(calls.venue, other).create()

        assert await frames(socket) == []
        assert await calls.orders() == []

    run_virtual(main)

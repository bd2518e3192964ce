"""What the simulated Bybit lets in: signatures, the window of the clock, rights, buckets, bans."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.simulators.bybit.errors import BybitError
from services.simulators.bybit.limits import LimitOptions
from services.simulators.bybit.signing import check_signature, check_stream_signature, check_window
from services.simulators.venue.clearing import Account
from services.simulators.venue.messages import Request
from tests.support.contracts import SHEETS
from tests.support.simulated_calls import BYBIT_DEMO, BybitCalls, admin, reply, set_faults, virtual_bybit
from tests.support.virtual_time import VirtualLoop, run_virtual

PUBLISHED = SHEETS / "signing_vectors_bybit.json"


def vectors(scheme: str) -> list[Any]:
    """Return the published vectors of requests, or one that is skipped."""
    if not PUBLISHED.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"no vectors at {PUBLISHED}"), id="none")]
    found = json.loads(PUBLISHED.read_text(encoding="utf-8"))["vectors"]
    usable = [one for one in found if one["scheme"] == "hmac-sha256-hex" and one["status"] == "derived"]
    return [pytest.param(one, id=one["id"]) for one in usable if (one["method"] == "WS") is (scheme == "ws")]


@pytest.mark.quick
@pytest.mark.parametrize("vector", vectors("rest"))
@pytest.mark.needs("recordings")
def test_every_vector_is_accepted_and_any_change_of_it_refused(vector: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "timestamp": vector["timestamp"],
        "api_key": vector["api_key"],
        "window": vector["recv_window"],
        "payload": (vector["body"] or vector["query"]).encode(),
        "signature": vector["signature"],
    }

    check_signature(vector["secret"], **parts)

    for name, change in (("timestamp", "1"), ("api_key", "x"), ("window", "1"), ("payload", b"x"), ("signature", "é")):
        with pytest.raises(BybitError, match="error sign!"):
            check_signature(vector["secret"], **{**parts, name: change})


@pytest.mark.parametrize("vector", vectors("ws"))
@pytest.mark.needs("recordings")
def test_login_of_streams_is_checked_by_its_vector(vector: dict[str, Any]) -> None:
    expires = int(vector["string_to_sign"].removeprefix("GET/realtime"))

    assert check_stream_signature(vector["secret"], expires, vector["signature"])
    assert not check_stream_signature(vector["secret"], expires + 1, vector["signature"])


@pytest.mark.parametrize(
    ("ahead_ms", "accepted"),
    [(-5001, False), (-5000, True), (0, True), (999, True), (1000, False)],
    ids=["too late", "just in time", "now", "early", "too early"],
)
def test_window_has_exact_bounds(ahead_ms: int, accepted: bool) -> None:
    now_ms = 1_790_000_000_000
    if accepted:
        check_window(str(now_ms + ahead_ms), "5000", now_ms)
        return
    with pytest.raises(BybitError) as refused:
        check_window(str(now_ms + ahead_ms), "5000", now_ms)
    assert refused.value.code == 10002
    assert f"req_timestamp[{now_ms + ahead_ms}],server_timestamp[{now_ms}],recv_window[5000]" in refused.value.message


@pytest.mark.quick
def test_keys_clock_and_rights() -> None:
    async def main(loop: VirtualLoop) -> None:
        reader = Account("reader", "r", "rs", frozenset({"read"}))
        calls = virtual_bybit(loop, accounts=(BYBIT_DEMO, reader))
        path = "/v5/account/info"

        bare = reply(await calls.venue.handle(Request("GET", path)))
        unknown = await BybitCalls(calls.venue, Account("x", "x", "x")).signed("GET", path)
        wrong = await BybitCalls(calls.venue, Account("demo", BYBIT_DEMO.api_key, "x")).signed("GET", path)
        late = await calls.signed("GET", path, late_ms=5001)
        wide = await calls.signed("GET", path, late_ms=5001, window="20000")
        forbidden = await BybitCalls(calls.venue, reader).create()
        body = await calls.signed("GET", path, {})
        nowhere = await calls.get("/v5/nowhere")

        assert (bare.status, bare.ret[0]) == (401, 10003)
        assert (unknown.status, unknown.ret) == (200, (10003, "API key is invalid."))
        assert wrong.ret[0] == 10004
        assert BYBIT_DEMO.api_key in wrong.ret[1], "the exchange repeats what it signed: nobody may log it"
        assert late.ret[0] == 10002
        assert wide.ret[0] == 0
        assert forbidden.ret[0] == 10005
        assert (body.status, body.payload) == (403, None)
        assert nowhere.status == 404
        assert (await BybitCalls(calls.venue, reader).signed("GET", path)).ret[0] == 0

    run_virtual(main)


def test_the_clock_that_is_checked_is_the_one_that_is_shown() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        admin(calls.venue, "PUT", "/sim/clock", {"skew_seconds": 90})

        time = (await calls.get("/v5/market/time")).payload
        own = await calls.signed("GET", "/v5/account/info", late_ms=90_000)

        assert int(time["result"]["timeSecond"]) == loop.wall_ns() // 1_000_000_000 + 90
        assert time["result"]["timeNano"].startswith(str(time["time"]))
        assert own.ret[0] == 10002

    run_virtual(main)


@pytest.mark.quick
def test_each_route_has_its_bucket_told_by_three_headers_and_futures_share_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)

        answers = [
            await calls.create(category=("linear", "inverse")[n % 2], symbol=("BTCUSDT", "BTCUSD")[n % 2], qty="1")
            for n in range(11)
        ]
        first, last = answers[0], answers[10]
        spot = await calls.create(category="spot")
        cancel = await calls.named("cancel", "nosuch")
        reset_ms = int(last.headers["X-Bapi-Limit-Reset-Timestamp"])
        await asyncio.sleep(reset_ms / 1000 - loop.wall_ns() / 1e9)
        again = await calls.create()

        assert [one.ret[0] for one in answers] == [0] * 10 + [10006]
        assert (first.headers["X-Bapi-Limit"], first.headers["X-Bapi-Limit-Status"]) == ("10", "9")
        assert int(first.headers["X-Bapi-Limit-Reset-Timestamp"]) == first.payload["time"]
        assert (last.status, last.headers["X-Bapi-Limit-Status"]) == (200, "0")
        assert reset_ms == last.payload["time"] + 1000
        assert (spot.ret[0], spot.headers["X-Bapi-Limit"]) == (0, "20")
        assert cancel.ret[0] == 110001
        assert again.ret[0] == 0

    run_virtual(main)


def test_public_routes_tell_no_bucket() -> None:
    async def main(loop: VirtualLoop) -> None:
        answer = await virtual_bybit(loop).get("/v5/market/time")

        assert not [name for name in answer.headers if name.lower().startswith("x-bapi")]
        assert {"Traceid", "Timenow", "Ret_code"} <= set(answer.headers)

    run_virtual(main)


def test_an_address_that_asks_too_often_is_banned_for_ten_minutes_whatever_it_asks() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, limits=LimitOptions(address_requests=5))

        statuses = [(await calls.get("/v5/market/time")).status for _ in range(7)]
        other = await BybitCalls(calls.venue, address="10.0.0.9").get("/v5/market/time")
        order = await calls.create(orderLinkId="banned")
        await asyncio.sleep(599)
        still = await calls.get("/v5/market/time")
        await asyncio.sleep(2)
        free = await calls.get("/v5/market/time")

        assert statuses == [200] * 5 + [403] * 2
        assert (other.status, order.status, still.status, free.status) == (200, 403, 403, 200)
        assert order.payload is None, "the edge knows no JSON"
        assert admin(calls.venue, "GET", "/sim/orders") == []

    run_virtual(main)


def test_window_of_an_address_rolls() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop, limits=LimitOptions(address_requests=5))

        for _ in range(20):
            assert (await calls.get("/v5/market/time")).status == 200
            await asyncio.sleep(1.01)

    run_virtual(main)


def test_planned_errors_are_as_the_exchange_says_them() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        create = "POST /v5/order/create"
        set_faults(
            calls.venue,
            f"error=server-timeout@{create},executed=yes,count=1; error=bad-gateway@{create},count=1;"
            f"error=too-many-visits@{create},count=1; error=system-protection@{create},count=1",
        )

        timeout = await calls.create(orderLinkId="one")
        gateway = await calls.create(orderLinkId="two")
        visits = await calls.create(orderLinkId="three")
        protected = await calls.create(orderLinkId="four")

        assert (timeout.status, timeout.ret) == (200, (10000, "Server Timeout"))
        assert (gateway.status, gateway.payload) == (502, None)
        assert (visits.status, visits.ret[0]) == (200, 10006)
        assert (protected.status, protected.payload) == (429, None)
        assert [one["client_id"] for one in admin(calls.venue, "GET", "/sim/orders")] == ["one"]

    run_virtual(main)


def test_incidents_are_listed_newest_first_each_as_it_is_now() -> None:
    async def main(loop: VirtualLoop) -> None:
        calls = virtual_bybit(loop)
        before = (await calls.get("/v5/system/status")).rows
        admin(calls.venue, "PUT", "/sim/system-status", {"state": "ongoing", "seconds": 60})
        begun = (await calls.get("/v5/system/status")).rows
        admin(calls.venue, "PUT", "/sim/system-status", {"state": "scheduled", "title": "another"})
        admin(calls.venue, "PUT", "/sim/system-status", {"state": "completed"})

        rows = (await calls.get("/v5/system/status")).rows

        assert before == []
        assert int(begun[0]["end"]) - int(begun[0]["begin"]) == 60_000
        assert [one["state"] for one in rows] == ["completed", "scheduled"]
        assert (rows[0]["id"], rows[0]["begin"]) == (begun[0]["id"], begun[0]["begin"])
        assert "error" in admin(calls.venue, "PUT", "/sim/system-status", {"state": "broken"})

    run_virtual(main)

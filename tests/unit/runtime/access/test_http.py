"""HTTP requests under the same table as gRPC calls: routes, admission before the body, and ends of what is open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.runtime.access import AccessGate, Role
from services.runtime.access.current import current_identity
from services.runtime.access.http import (
    ANYONE,
    METRICS,
    HttpAccess,
    MethodNotAllowed,
    Routes,
)
from services.runtime.access.open_calls import OpenCalls
from services.runtime.errors import NotFound, PermissionDenied, Unauthenticated
from tests.support.callers import NamedCallers
from tests.support.waiting import until

READ = "midstream.control.v1.ControlService/GetState"
ROUTES = Routes(
    {
        ("GET", "/things"): READ,
        ("POST", "/things"): "midstream.control.v1.ControlService/Pause",
        ("GET", "/things/all"): "all",
        ("GET", "/things/{name}"): "one",
        ("GET", "/files/{name:path}"): ANYONE,
    }
)


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/things", ("/things", READ)), ("HEAD", "/things", ("/things", READ)),
        ("GET", "/things/all", ("/things/all", "all")), ("GET", "/things/x", ("/things/{name}", "one")),
        ("GET", "/files/a/b", ("/files/{name:path}", ANYONE)),
    ],
)  # fmt: skip
def test_a_route_is_found_by_its_template(method: str, path: str, found: tuple[str, str]) -> None:
    assert ROUTES.find(method, path) == found


@pytest.mark.parametrize("path", ["/", "", "/thing", "/things/", "/things/a/b", "//things", "/files"])
def test_what_has_no_row_does_not_exist(path: str) -> None:
    with pytest.raises(NotFound):
        ROUTES.find("GET", path)


def test_methods_without_a_row_are_refused_by_name() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        ROUTES.find("DELETE", "/things")
    assert (caught.value.allowed, caught.value.message) == ("GET, POST", "/things takes GET, POST")


class Desk:
    """A gate over named callers, and one request at a time."""

    def __init__(self, **options: Any) -> None:
        self.callers = NamedCallers(reader=(Role.READ,), steerer=(Role.CONTROL,))
        gate = AccessGate({"keys": self.callers}, wall_ns=lambda: 0)
        self.open_calls = OpenCalls(gate)
        self.access = HttpAccess(gate, self.open_calls, **options)
        self.sent: list[dict[str, Any]] = []

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def serve(self, caller: str, app: Callable[..., Awaitable[None]]) -> None:
        scope = scope_of(authorization=f"Bearer {caller}")
        identity = await self.access.admit(scope, READ)
        await self.access.serve(identity, app, scope, _nothing, self.send)


async def _nothing() -> Any:
    raise AssertionError("the body is not to be read")


def scope_of(method: str = "GET", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in {"host": "desk.test:8080", **headers}.items()}
    return {
        "type": "http", "method": method, "path": "/things", "client": ("10.0.0.9", 1), "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_routes_are_decided_by_the_row_that_they_name(desk: Desk) -> None:
    reader = scope_of(authorization="Bearer reader")

    assert (await desk.access.admit(reader, READ)).name == "reader"
    with pytest.raises(PermissionDenied):
        await desk.access.admit(reader, "midstream.control.v1.ControlService/Pause")
    with pytest.raises(PermissionDenied):
        await desk.access.admit(reader, "midstream.control.v1.ControlService/New")
    with pytest.raises(Unauthenticated):
        await desk.access.admit(scope_of(), READ)
    assert (await desk.access.admit(scope_of(), ANYONE)).roles == frozenset()
    assert desk.callers.asked[0].peer == "10.0.0.9"


@pytest.mark.parametrize(("open_metrics", "admitted"), [(True, True), (False, False)])
async def test_metrics_need_a_role_unless_they_are_open(open_metrics: bool, admitted: bool) -> None:
    desk = Desk(open_metrics=open_metrics)
    if admitted:
        await desk.access.admit(scope_of(), METRICS)
    else:
        with pytest.raises(Unauthenticated):
            await desk.access.admit(scope_of(), METRICS)
    assert (await Desk().access.admit(scope_of(authorization="Bearer reader"), METRICS)).name == "reader"


async def _begin(send: Any, kind: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})


async def _revoked_while_open(desk: Desk, app: Callable[..., Awaitable[None]]) -> None:
    reached = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        reached.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(desk.serve("reader", waits))
    await reached.wait()
    await desk.open_calls.check()
    assert not request.done()
    del desk.callers.known["reader"]
    await desk.open_calls.check()
    await request


async def test_an_event_stream_of_somebody_revoked_says_so_and_ends(desk: Desk) -> None:
    await _revoked_while_open(desk, lambda _scope, _receive, send: _begin(send, "text/event-stream; charset=utf-8"))

    event = desk.sent[-1]["body"].decode()
    assert event.startswith("event: end\ndata: ")
    assert event.endswith("\n\n")
    assert json.loads(event.splitlines()[1].removeprefix("data: "))["code"] == "UNAUTHENTICATED"
    assert desk.sent[-1]["more_body"] is False
    assert desk.open_calls.open == 0


async def test_another_answer_is_left_without_its_end(desk: Desk) -> None:
    await _revoked_while_open(desk, lambda _scope, _receive, send: _begin(send, "text/csv"))

    assert [message.get("more_body") for message in desk.sent] == [None, True]


async def test_an_answer_that_has_not_begun_is_a_refusal(desk: Desk) -> None:
    async def slow(_scope: Any, _receive: Any, _send: Any) -> None:
        return

    with pytest.raises(Unauthenticated, match="reader was revoked or has expired"):
        await _revoked_while_open(desk, slow)
    assert desk.sent == []


async def test_a_request_that_its_server_cancels_stays_cancelled(desk: Desk) -> None:
    async def waits(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.Event().wait()

    request = asyncio.create_task(desk.serve("reader", waits))
    await until(lambda: desk.open_calls.open == 1)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert desk.open_calls.open == 0


async def test_applications_know_who_asks(desk: Desk) -> None:
    names: list[str] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        names.append(current_identity().name)

    await asyncio.gather(*(asyncio.create_task(desk.serve(name, app)) for name in ("reader", "steerer")))

    assert sorted(names) == ["reader", "steerer"]

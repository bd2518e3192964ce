"""Check every request first: who sends it and whether they may, its size, its parameters. Pure ASGI, so that nothing is parsed before."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI

import clients.tracing as tracing
from services.orders.auth import SERVICE, Signed, SignedRequests, caller_of
from services.orders.rest.problems import problem, problem_of
from services.orders.rest.query import KnownQueries, check_body
from services.runtime.access import Identity
from services.runtime.access.current import set_identity
from services.runtime.access.http import ANYONE, METRICS, HttpAccess, MethodNotAllowed, Routes
from services.runtime.access.state_changes import begin_change
from services.runtime.errors import InvalidRequest, MidstreamError, NotFound, Unauthenticated
from services.runtime.logs import accept_correlation_id, correlation
from services.runtime.refusal_pace import RefusalPace
from services.runtime.room import Room, arrived, on_its_way
from services.runtime.web.held import hold

BODY_BYTES_MAX: Final = 64 * 1024
PLACE: Final = f"{SERVICE}/PlaceOrder"
PLACEMENT_BEGINS: Final = (b"POST /v1/orders ", b"POST /v1/orders?")
"""The bytes of a placement: what only begins like one, as `/v1/orders/cancel` does, is none."""
TOO_MANY: Final = 429
CORRELATION_HEADER: Final = b"x-correlation-id"
TRACEPARENT_HEADER: Final = b"traceparent"

ROUTES: Final = Routes(
    {
        ("POST", "/v1/orders"): PLACE,
        ("GET", "/v1/orders"): f"{SERVICE}/ListOrders",
        ("POST", "/v1/orders/cancel"): f"{SERVICE}/CancelOrders",
        ("GET", "/v1/orders/active"): f"{SERVICE}/ListActiveOrders",
        ("GET", "/v1/orders/events"): f"{SERVICE}/WatchOrders",
        ("GET", "/v1/orders/{order_id}"): f"{SERVICE}/GetOrder",
        ("PATCH", "/v1/orders/{order_id}"): f"{SERVICE}/AmendOrder",
        ("DELETE", "/v1/orders/{order_id}"): f"{SERVICE}/CancelOrder",
        ("POST", "/v1/orders/{order_id}/settle"): f"{SERVICE}/SettleOrder",
        ("GET", "/v1/instruments"): f"{SERVICE}/ListInstruments",
        ("GET", "/v1/prices/{symbol:path}"): "midstream.price.v1.PriceService/GetPrice",
        ("GET", "/v1/positions"): f"{SERVICE}/ListPositions",
        ("GET", "/v1/fills"): f"{SERVICE}/ListFills",
        ("GET", "/v1/kill-switch"): f"{SERVICE}/GetKillSwitch",
        ("PUT", "/v1/kill-switch"): f"{SERVICE}/SetKillSwitch",
        ("GET", "/v1/audit"): f"{SERVICE}/ExportAudit",
        ("GET", "/health"): ANYONE,
        ("GET", "/health/{exchange}"): ANYONE,
        ("GET", "/metrics"): METRICS,
        ("GET", "/openapi.json"): ANYONE,
    }
)
"""The method whose content a route gives, and whose role it needs; literal paths before those with parameters."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class TooLarge(Exception):
    """The body is larger than any request of ours."""


class RequestGate:
    """Wraps an application."""

    def __init__(
        self, app: FastAPI, access: HttpAccess, signatures: SignedRequests, room: Room, pace: RefusalPace
    ) -> None:
        """`room` is that for placements; `pace` that of those of which there are too many."""
        self._app = app
        self._room = room
        self._pace = pace
        self._access = access
        self._signatures = signatures
        self._queries = KnownQueries(app.openapi())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        template, row = _route_of(scope)
        with (
            tracing.span(
                f"{scope['method']} {template}".rstrip(),
                "server",
                parent=headers.get(TRACEPARENT_HEADER, b"").decode("latin-1"),
                attributes={"http.request.method": scope["method"], "http.route": template},
            ),
            correlation(accept_correlation_id(headers.get(CORRELATION_HEADER))) as given,
        ):
            full = self._full(scope, row)
            # A flood of what there is no room for is summed up in the log, and has no line for each.
            ended_as = None if full is not None else begin_change(row, "rest")
            status = 499

            async def tell(message: MutableMapping[str, Any]) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    if status == TOO_MANY and row == PLACE:
                        self._pace_next(scope)
                    own = [(CORRELATION_HEADER, given.encode()), (b"cache-control", b"no-store")]
                    message["headers"] = [*message.get("headers", []), *own]
                await send(message)

            try:
                if full is not None:
                    await problem_of(full)(scope, receive, tell)
                else:
                    await self._answer(scope, receive, tell, headers)
            finally:
                arrived()
                tracing.annotate("http.response.status_code", status)
                if ended_as is not None:
                    # 499: whoever asked left before there was an answer.
                    ended_as(status)

    def _full(self, scope: Scope, row: str) -> MidstreamError | None:
        """Return what a placement is told that has no room, before anything but its headers is looked at.

        Whoever was not admitted a moment ago finds out first who they are.
        """
        if row != PLACE or not self._access.knows(scope, row):
            return None
        full = self._room.refusal()
        if full is None:
            on_its_way(self._room)
        else:
            self._room.refused(full)
        return full

    def _pace_next(self, scope: Scope) -> None:
        """Have the next placement of the connection wait, unread, for its turn; everything else of it passes."""
        turn = self._pace.turn("{}:{}".format(*(scope.get("client") or ("", ""))))
        if turn is not None:
            hold(scope, PLACEMENT_BEGINS, turn)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> None:
        try:
            # Ours, not the framework's: a route that we do not know is never reached.
            path, row = ROUTES.find(scope["method"], scope["path"])
            identity, body = await self._admit(scope, row, receive, headers)
            set_identity(identity)
            if row not in (ANYONE, METRICS):
                scope.setdefault("state", {})["caller"] = caller_of(identity)
            self._queries.check(
                "GET" if scope["method"] == "HEAD" else scope["method"], path, bytes(scope["query_string"])
            )
            if body:
                check_body(body)
        except TooLarge:
            await problem(413, f"a request has at most {BODY_BYTES_MAX} bytes")(scope, receive, send)
            return
        except MethodNotAllowed as exc:
            answer = problem(405, exc.message)
            answer.headers["Allow"] = exc.allowed
            await answer(scope, receive, send)
            return
        except NotFound as exc:
            await problem_of(NotFound(f"{exc.message}; /openapi.json tells what there is"))(scope, receive, send)
            return
        except MidstreamError as exc:
            await problem_of(exc)(scope, receive, send)
            return
        try:
            # What a route raises unexpectedly was answered and logged by the application; it is raised again for servers that log it.
            with contextlib.suppress(Exception):
                await self._access.serve(identity, self._app, scope, _replayed(body, receive), send)
        except Unauthenticated as exc:
            await problem_of(exc)(scope, receive, send)

    async def _admit(
        self, scope: Scope, row: str, receive: Receive, headers: Mapping[bytes, bytes]
    ) -> tuple[Identity, bytes]:
        """Return who sends a request, and its body, of which nothing is read for somebody who may not send it."""
        if row == ANYONE or b"x-midstream-signature" not in headers:
            return await self._access.admit(scope, row), await _read(receive)
        peer = scope["client"][0] if scope.get("client") else ""
        _check_single(scope)
        head = _signed(scope, headers)
        await self._signatures.begin(head, peer)
        body = await _read(receive)
        return await self._signatures.finish(replace(head, body=body), peer, row), body


def _route_of(scope: Scope) -> tuple[str, str]:
    """Return template and row; both empty for what does not exist."""
    try:
        return ROUTES.find(scope["method"], scope["path"])
    except (NotFound, MethodNotAllowed):
        return "", ANYONE


def _check_single(scope: Scope) -> None:
    """Refuse a header that is there twice: the one that was signed need not be the one that is read."""
    names = [bytes(name).lower() for name, _ in scope["headers"]]
    for name in names:
        if (name == b"idempotency-key" or name.startswith(b"x-midstream-")) and names.count(name) > 1:
            raise InvalidRequest(name.decode("latin-1"), "is there more than once")


def _signed(scope: Scope, headers: Mapping[bytes, bytes]) -> Signed:
    def header(name: str) -> str:
        return headers.get(f"x-midstream-{name}".encode(), b"").decode("latin-1")

    return Signed(
        key_id=header("key"),
        timestamp_ms=header("timestamp"),
        nonce=header("nonce"),
        signature=header("signature"),
        method=scope["method"],
        path=bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        query=bytes(scope["query_string"]).decode("latin-1"),
        idempotency_key=headers.get(b"idempotency-key", b"").decode("latin-1"),
    )


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise TooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Hand out a body that was read already; then whatever comes, which is the disconnect."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again

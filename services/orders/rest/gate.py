"""Check every request first: its id, its size, who sends it, and whether they may. Pure ASGI, so that nothing is parsed before."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from fastapi import FastAPI
from starlette.routing import compile_path

from services.orders.auth import SERVICE, Authenticator, Signed
from services.orders.engine.commands import Caller
from services.orders.rest.problems import problem, problem_of
from services.orders.rest.query import KnownQueries, check_body
from services.runtime.access import Role
from services.runtime.errors import MidstreamError, NotFound
from services.runtime.logs import accept_correlation_id, correlation

BODY_BYTES_MAX: Final = 64 * 1024
CORRELATION_HEADER: Final = b"x-correlation-id"

ROLES: Final[Mapping[tuple[str, str], Role | None]] = {
    ("POST", "/v1/orders"): Role.TRADE,
    ("GET", "/v1/orders"): Role.READ,
    ("POST", "/v1/orders/cancel"): Role.TRADE,
    ("GET", "/v1/orders/active"): Role.READ,
    ("GET", "/v1/orders/events"): Role.READ,
    ("GET", "/v1/orders/{order_id}"): Role.READ,
    ("PATCH", "/v1/orders/{order_id}"): Role.TRADE,
    ("DELETE", "/v1/orders/{order_id}"): Role.TRADE,
    ("POST", "/v1/orders/{order_id}/settle"): Role.ADMIN,
    ("GET", "/v1/instruments"): Role.READ,
    ("GET", "/v1/prices/{symbol:path}"): Role.READ,
    ("GET", "/v1/positions"): Role.READ,
    ("GET", "/v1/fills"): Role.READ,
    ("GET", "/v1/kill-switch"): Role.READ,
    ("PUT", "/v1/kill-switch"): Role.ADMIN,
    ("GET", "/v1/audit"): Role.ADMIN,
    ("GET", "/health"): None,
    ("GET", "/health/{exchange}"): None,
    ("GET", "/metrics"): None,
    ("GET", "/openapi.json"): None,
}
"""Role per route, None for everyone; literal paths before those with parameters. What has no line here does not exist."""

_RESERVED: Final = {
    ("POST", "/v1/orders/cancel"): f"{SERVICE}/CancelOrders",
    ("DELETE", "/v1/orders/{order_id}"): f"{SERVICE}/CancelOrder",
    ("PUT", "/v1/kill-switch"): f"{SERVICE}/SetKillSwitch",
}
"""Methods behind routes that a key may use although it asks too often."""

_PATTERNS: Final = [(template, compile_path(template)[0]) for template in dict.fromkeys(path for _, path in ROLES)]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class TooLarge(Exception):
    """The body is larger than any request of ours."""


class RequestGate:
    """Wraps an application."""

    def __init__(self, app: FastAPI, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._queries = KnownQueries(app.openapi())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        given = accept_correlation_id(headers.get(CORRELATION_HEADER))
        with correlation(given):

            async def tell(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    own = [(CORRELATION_HEADER, given.encode()), (b"cache-control", b"no-store")]
                    message["headers"] = [*message.get("headers", []), *own]
                await send(message)

            await self._admit(scope, receive, tell, headers)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> None:
        try:
            body = await _read(receive)
            path = self._template(scope["path"])
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            if path is None:
                raise NotFound(f"there is no {scope['path'][:64]!r} here; /openapi.json tells what there is")
            if (method, path) not in ROLES:
                allowed = ", ".join(one for one, template in ROLES if template == path)
                answer = problem(405, f"{path} takes {allowed}")
                answer.headers["Allow"] = allowed
                await answer(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = await self._caller(scope, (method, path), headers, body)
            self._queries.check(method, path, bytes(scope["query_string"]))
            if body:
                check_body(body)
        except TooLarge:
            await problem(413, f"a request has at most {BODY_BYTES_MAX} bytes")(scope, receive, send)
            return
        except MidstreamError as exc:
            await problem_of(exc)(scope, receive, send)
            return
        # What a route raises unexpectedly was answered and logged by the application; it is raised again for servers that log it.
        with contextlib.suppress(Exception):
            await self._app(scope, _replayed(body, receive), send)

    @staticmethod
    def _template(path: str) -> str | None:
        """Return the template of a path. Ours, not the framework's: a route that we do not know is never reached."""
        return next((template for template, pattern in _PATTERNS if pattern.match(path)), None)

    async def _caller(
        self, scope: Scope, route: tuple[str, str], headers: Mapping[bytes, bytes], body: bytes
    ) -> Caller | None:
        needed, reserved = ROLES[route], _RESERVED.get(route, "")
        if needed is None:
            return None
        peer = scope["client"][0] if scope.get("client") else ""
        if b"x-midstream-signature" in headers:
            return await self._authenticator.signed(_signed(scope, headers, body), peer, needed, reserved)
        text = headers.get(b"authorization")
        return await self._authenticator.bearer(
            None if text is None else text.decode("latin-1"), peer, needed, reserved
        )


def _signed(scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> Signed:
    def header(name: str) -> str:
        return headers.get(f"x-midstream-{name}".encode(), b"").decode("latin-1")

    raw_path = bytes(scope.get("raw_path") or scope["path"].encode())
    query = bytes(scope["query_string"])
    target = raw_path + (b"?" + query if query else b"")
    return Signed(
        key_id=header("key"),
        timestamp_ms=header("timestamp"),
        nonce=header("nonce"),
        signature=header("signature"),
        method=scope["method"],
        target=target.decode("latin-1"),
        body=body,
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

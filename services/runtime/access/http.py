"""Admit HTTP requests by the table of gRPC methods: a route names the method whose content it gives. Nothing of a body is read before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, cast

from starlette.routing import compile_path

from services.runtime.access.credentials import credentials_in
from services.runtime.access.current import set_identity
from services.runtime.access.gate import AccessGate
from services.runtime.access.identity import OPEN, Identity
from services.runtime.access.open_calls import OpenCalls, no_longer_known
from services.runtime.errors import (
    MidstreamError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

__all__ = [
    "ANYONE",
    "LOGIN",
    "METRICS",
    "HttpAccess",
    "MethodNotAllowed",
    "Routes",
    "metrics_behind",
]

ANYONE: Final = ""
"""The row of a route that is open to everybody."""
METRICS: Final = "http/metrics"
"""The row of what a scraper reads."""
LOGIN: Final = (b"www-authenticate", b'Basic realm="Midstream: any name, an API key as password", charset="UTF-8"')
"""With a 401 for browsers, which then ask for name and password."""
NOBODY: Final = Identity(OPEN.kind, "nobody", "", frozenset())
"""Who uses what is open to everybody: nobody asked, so nothing is known."""
_SSE: Final = b"text/event-stream"

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class MethodNotAllowed(MidstreamError):
    """The address exists, and takes other methods."""

    def __init__(self, path: str, allowed: str) -> None:
        super().__init__(f"{path} takes {allowed}")
        self.allowed = allowed


class Routes:
    """A table of (method, template) -> `package.Service/Method`, or ANYONE. What has no row does not exist."""

    def __init__(self, table: Mapping[tuple[str, str], str]) -> None:
        """Of templates that match the same path the first one counts: literal ones stand before those with parameters."""
        self.table = dict(table)
        self._patterns = [
            (template, compile_path(template)[0]) for template in dict.fromkeys(path for _, path in table)
        ]
        self._literal = {template for _, template in table if "{" not in template}

    def find(self, method: str, path: str) -> tuple[str, str]:
        """Return template and row. HEAD is GET without the body. Raises NotFound, MethodNotAllowed."""
        template = self.template(path)
        if template is None:
            raise NotFound(f"there is no {path[:64]!r} here")
        row = self.table.get(("GET" if method == "HEAD" else method, template))
        if row is None:
            raise MethodNotAllowed(template, ", ".join(one for one, of in self.table if of == template))
        return template, row

    @property
    def known(self) -> Collection[tuple[str, str]]:
        """Every method with its template."""
        return self.table.keys()

    def template(self, path: str) -> str | None:
        """Return the template that a path matches; None where there is nothing."""
        if path in self._literal:
            return path
        return next((template for template, pattern in self._patterns if pattern.match(path)), None)


class HttpAccess:
    """The gate and the open calls of a process, as its HTTP listeners use them."""

    def __init__(self, gate: AccessGate, open_calls: OpenCalls, *, open_metrics: bool = False) -> None:
        """`open_metrics` is for a server that takes keys without being told to: who scrapes it on loopback brings none."""
        self._gate = gate
        self._open_calls = open_calls
        self._open_metrics = open_metrics

    async def admit(self, scope: Scope, row: str) -> Identity:
        """Return who may use a route, from the headers alone. Raises Unauthenticated, PermissionDenied, ResourceExhausted."""
        if row == ANYONE or (row == METRICS and self._open_metrics):
            return NOBODY
        return await self._gate.admit(credentials_in(scope), row)

    def knows(self, scope: Scope, row: str) -> bool:
        """Whether who sends this was admitted to the route a moment ago, by the same header."""
        return self._gate.knows(credentials_in(scope).authorization, row)

    async def serve(self, identity: Identity, app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        """Run `app` for somebody who was admitted, for as long as they hold.

        Then an event stream gets an event `end` that says why, and anything else that has begun is left without its end, whereupon the
        server cuts the connection: nobody takes a part for the whole. Raises Unauthenticated where nothing was sent yet.
        """
        set_identity(identity)
        answer = _Answer(send)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        ended = False

        def end() -> None:
            nonlocal ended
            ended = True
            task.cancel()

        with self._open_calls.watched(identity, end):
            try:
                await app(scope, receive, answer.send)
            except asyncio.CancelledError:
                if not ended:
                    raise
                task.uncancel()
        if ended:
            await answer.end(no_longer_known(identity))


class _Answer:
    """What of an answer has gone out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._done = False
        self._streams_events = False

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            kind = next(
                (bytes(value) for name, value in message.get("headers", ()) if bytes(name) == b"content-type"), b""
            )
            self._streams_events = kind.startswith(_SSE)
        elif message["type"] == "http.response.body":
            self._done = not message.get("more_body", False)
        await self._send(message)

    async def end(self, error: Unauthenticated) -> None:
        """End what is not done."""
        if self._done:
            return
        if not self._begun:
            raise error
        if not self._streams_events:
            return
        event = f"event: end\ndata: {json.dumps({'code': 'UNAUTHENTICATED', 'detail': error.message})}\n\n".encode()
        await self._send({"type": "http.response.body", "body": event, "more_body": False})


def metrics_behind(access: HttpAccess, app: Application) -> Application:
    """Return `app` with `/metrics` for those who may scrape; refusals are one line of text."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/metrics":
            await app(scope, receive, send)
            return
        try:
            identity = await access.admit(scope, METRICS)
            await access.serve(identity, app, scope, receive, send)
        except MidstreamError as exc:
            status = next((_STATUSES[kind] for kind in type(exc).__mro__ if kind in _STATUSES), 500)
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *([LOGIN] if status == 401 else [])]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": f"{exc.message}\n".encode()})

    return guarded


_STATUSES: Final[dict[type, int]] = {
    Unauthenticated: 401,
    PermissionDenied: 403,
    ResourceExhausted: 429,
    Unavailable: 503,
}

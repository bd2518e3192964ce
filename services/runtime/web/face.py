"""One ASGI application on one port, inside the event loop of its process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Generator
from functools import partial
from typing import Any, Final, cast

import uvicorn

from services.runtime.descriptors import descriptor_budget
from services.runtime.errors import StartRefused
from services.runtime.listening import bound_socket, listen_on, listening_socket
from services.runtime.metrics import Metrics
from services.runtime.web.acceptor import Acceptor
from services.runtime.web.guard import WebGuard
from services.runtime.web.limits import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, WebLimits
from services.runtime.web.line import Line
from services.runtime.web.request_figures import CountedRequests, KnownRoutes
from services.runtime.web.table import ConnectionTable
from services.runtime.web.wire import GuardedHttp

__all__ = ["AsgiApplication", "WebFace"]

logger = logging.getLogger(__name__)

GRACE_S: Final = 3
"""What requests in progress get at the end; event streams are cut then."""
SWEEP_TICKS: Final = 10
"""Of a tenth of a second each: how often connections are looked at for time that has run out."""

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers and its accepting: the process has one owner of signals, and connections have a table."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, table: ConnectionTable) -> None:
        super().__init__(config)
        self._listener = listener
        self._table = table

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise StartRefused("the web application did not start")
        self.accept_from(self._listener)
        self.started = True

    def accept_from(self, listener: socket.socket) -> None:
        """Let connections in from a listening socket."""
        acceptor = Acceptor(listener, self._table, self._made, tls=self.config.ssl)
        self.servers = [cast(asyncio.Server, acceptor)]

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            self._table.sweep()
        return await super().on_tick(counter)

    def _made(self, line: Line) -> GuardedHttp:
        return GuardedHttp(self.config, self.server_state, self.lifespan.state, line=line, table=self._table)


class WebFace:
    """Serves one ASGI application. `start` returns once the port answers; `stop` lets requests finish within the grace period."""

    def __init__(
        self,
        app: AsgiApplication,
        *,
        host: str,
        port: int,
        setting: str,
        date_header: bool = True,
        tls: ssl.SSLContext | None = None,
        limits: WebLimits | None = None,
        hosts: Collection[str] | None = (),
        first: Collection[str] = (),
        metrics: Metrics | None = None,
        routes: KnownRoutes | None = None,
    ) -> None:
        """`date_header` off is for an application that states its own time; with `tls` the port speaks TLS only.

        A context that loads another certificate later presents it in the handshakes from then on. Without `limits` the standard ones hold.
        `hosts` are further names under which it answers; None leaves names and origins to the application. `first` are paths that are
        answered even when too many other requests are under way. `metrics` are told how many connections there are and, with `routes`, what
        became of requests.
        """
        self._tls = tls
        self._date_header = date_header
        self._app: AsgiApplication = app if hosts is None else guarded(app, WebGuard(hosts=hosts, bound_host=host))
        refused = None
        if metrics is not None and routes is not None:
            counted = CountedRequests(self._app, metrics, routes)
            self._app, refused = counted, counted.refused
        self._host = host
        self._port = port
        self._setting = setting
        limits = WebLimits.standard(descriptor_budget().web) if limits is None else limits
        self.table = ConnectionTable(
            limits, name=setting, clock_s=time.monotonic, first=first, metrics=metrics, refused=refused
        )
        self._server: _Uvicorn | None = None
        self._bound_port = port
        self._reserved: socket.socket | None = None
        """Holds the port while connections are refused."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind and serve; return the port."""
        listener = listening_socket(self._host, self._port, self._setting)
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            # Whatever else is installed: limits are this protocol's.
            http=GuardedHttp,
            ws="websockets-sansio",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=self._date_header,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            ssl_context_factory=None if self._tls is None else _the(self._tls),
        )
        self._server = _Uvicorn(config, listener, self.table)
        self._task = asyncio.create_task(self._server.serve(), name="web-face")
        while not self._server.started:
            if self._task.done():
                listener.close()
                self._task.result()
                raise StartRefused(f"the web application on {self._host}:{self._port} did not start")
            await asyncio.sleep(0.005)
        self._bound_port = int(listener.getsockname()[1])
        return self._bound_port

    def close_door(self) -> None:
        """Have the system refuse new connections, and end idle ones; requests under way and websockets go on."""
        if self._server is None or self._reserved is not None:
            return
        for server in self._server.servers:
            server.close()
        # Bound and not listening: the port stays ours, and connecting to it is refused.
        self._reserved = bound_socket(self._host, self._bound_port, self._setting)
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, GuardedHttp):
                connection.shutdown()

    async def open_door(self) -> None:
        """Let connections in again."""
        if self._server is None or self._reserved is None:
            return
        reserved, self._reserved = self._reserved, None
        listen_on(reserved, self._host, self._bound_port, self._setting)
        self._server.accept_from(reserved)

    async def stop(self) -> None:
        """Stop accepting, let requests finish, close; safe to call twice or without start."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        if self._reserved is not None:
            self._reserved.close()


def guarded(app: AsgiApplication, guard: WebGuard) -> AsgiApplication:
    """Return an application that answers under its own names only, and to no page from elsewhere."""
    return partial(_guarded, app, guard)


async def _guarded(app: AsgiApplication, guard: WebGuard, scope: Any, receive: Any, send: Any) -> None:
    kind = scope["type"]
    if kind == "lifespan":
        await app(scope, receive, send)
        return
    headers = dict(scope["headers"])
    # A page from elsewhere may listen where anybody may; it may not do so under a name of its own.
    refused = (
        guard.foreign_name(headers)
        if kind == "websocket"
        else guard.refusal(headers, method=scope["method"], path=scope["path"])
    )
    if refused is None:
        await app(scope, receive, send)
        return
    status, sentence = refused
    prefix = "websocket.http.response" if kind == "websocket" else "http.response"
    body = sentence.encode() + b"\n"
    named = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": f"{prefix}.start", "status": status, "headers": named})
    await send({"type": f"{prefix}.body", "body": body})


def _the(tls: ssl.SSLContext) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """Return what hands out the context that there is, where uvicorn would make one."""
    return lambda _config, _make: tls

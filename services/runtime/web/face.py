"""HTTP beside gRPC, or alone: an ASGI application on one port, inside the event loop of its process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final

import uvicorn

from services.runtime.errors import StartRefused
from services.runtime.listening import BACKLOG, bound_socket, listening_socket

__all__ = ["AsgiApplication", "WebFace"]

logger = logging.getLogger(__name__)

GRACE_S: Final = 3
"""What requests in progress get at the end; event streams are cut then."""
HEADER_BYTES_MAX: Final = 16 * 1024

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers: the process has one owner of signals, and it is not the web server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


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
    ) -> None:
        """`date_header` off is for an application that states its own time; with `tls` the port speaks TLS only.

        A context that loads another certificate later presents it in the handshakes from then on.
        """
        self._tls = tls
        self._date_header = date_header
        self._app = app
        self._host = host
        self._port = port
        self._setting = setting
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
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=self._date_header,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            ws_max_size=1 << 20,
            ws_per_message_deflate=False,
            ssl_context_factory=None if self._tls is None else _the(self._tls),
        )
        self._server = _Uvicorn(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="web-face")
        while not self._server.started:
            if self._task.done():
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
            if isinstance(connection, self._server.config.http_protocol_class):
                connection.shutdown()

    async def open_door(self) -> None:
        """Let connections in again."""
        if self._server is None or self._reserved is None:
            return
        server, reserved, self._reserved = self._server, self._reserved, None
        protocol: Any = server.config.http_protocol_class
        made = partial(
            protocol,
            config=server.config,
            server_state=server.server_state,
            app_state=server.lifespan.state,
        )
        server.servers = [
            await asyncio.get_running_loop().create_server(made, sock=reserved, backlog=BACKLOG, ssl=self._tls)
        ]

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


def _the(tls: ssl.SSLContext) -> Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """Return what hands out the context that there is, where uvicorn would make one."""
    return lambda _config, _make: tls

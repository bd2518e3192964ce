"""HTTP beside gRPC, or alone: an ASGI application on one port, inside the event loop of its process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, Final, Literal

import uvicorn
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.errors import Refused
from services.runtime.logs import configure_logs
from services.runtime.metrics import port_refused
from services.runtime.ready import ready_file
from services.runtime.settings import PREFIX

__all__ = ["WebFace", "WebSettings", "bind_web", "run_web"]

logger = logging.getLogger(__name__)

GRACE_S: Final = 3
"""What requests in progress get at the end; event streams are cut then."""
HEADER_BYTES_MAX: Final = 16 * 1024

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


class WebSettings(BaseSettings):
    """What every web-only server needs to know. A server subclasses it and narrows `port`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    """Loopback, so exposing it is a decision."""
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes any free port; the ready file names it."""
    ready_file: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its signal handlers: the process has one owner of signals, and it is not the web server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def bind_web(host: str, port: int, setting: str) -> socket.socket:
    """Return a listening socket; raise Refused with one line when the port cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as exc:
        raise port_refused(host, port, setting, exc) from exc
    listener.setblocking(False)
    return listener


class WebFace:
    """Serves one ASGI application. `start` returns once the port answers; `stop` lets requests finish within the grace period."""

    def __init__(self, app: AsgiApplication, *, host: str, port: int, setting: str, date_header: bool = True) -> None:
        """`date_header` off is for an application that states its own time."""
        self._date_header = date_header
        self._app = app
        self._host = host
        self._port = port
        self._setting = setting
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind and serve; return the port."""
        listener = bind_web(self._host, self._port, self._setting)
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
        )
        self._server = _Uvicorn(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="web-face")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise Refused(f"the web application on {self._host}:{self._port} did not start")
            await asyncio.sleep(0.005)
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Stop accepting, let requests finish, close; safe to call twice or without start."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None


def run_web(
    name: str,
    settings: WebSettings,
    app: AsgiApplication,
    *,
    setting: str,
    banner: Callable[[int], str] | None = None,
    date_header: bool = True,
) -> int:
    """Serve `app` until SIGTERM or SIGINT; return the exit code (2: refused, in one line on stderr).

    `banner` turns the port into what is printed for a person on a terminal.
    """
    configure_logs(name, level=settings.log_level, form=settings.log_format)
    for chatty in ("uvicorn", "uvicorn.error", "websockets"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        return asyncio.run(_run(name, settings, app, setting, banner, date_header))
    except Refused as exc:
        print(exc.message, file=sys.stderr)  # noqa: T201  (the one line of a refusal)
        return 2


async def _run(
    name: str,
    settings: WebSettings,
    app: AsgiApplication,
    setting: str,
    banner: Callable[[int], str] | None,
    date_header: bool,
) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    face = WebFace(app, host=settings.host, port=settings.port, setting=setting, date_header=date_header)
    port = await face.start()
    logger.info("serving: name=%s url=http://%s:%d", name, settings.host, port)
    if banner is not None and sys.stderr.isatty():
        print(banner(port), file=sys.stderr)  # noqa: T201  (for the person who started it by hand)
    try:
        with ready_file(settings.ready_file, name, port=port):
            await stopping.wait()
    finally:
        await face.stop()
    return 0

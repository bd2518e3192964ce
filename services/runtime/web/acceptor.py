"""Accept connections: never more than there is room for, and without despair where the system has no descriptor left."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from services.runtime.log_fields import fields
from services.runtime.web.limits import ACCEPTED_AT_ONCE
from services.runtime.web.line import Line
from services.runtime.web.table import ConnectionTable

__all__ = ["Acceptor"]

logger = logging.getLogger(__name__)

STARVED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
STARVED_EVICTED: Final = 16
STARVED_WAIT_S: Final = 0.1
"""When the system has no room, so many connections go that ask for nothing, and so long is nothing accepted."""
TLS_END_S: Final = 2.0
"""What a client gets to say goodbye in TLS; the answer is out by then."""
UNSENT_MAX: Final = 256 * 1024
"""Bytes that the system may hold for a reader beyond what is on its way. Without a bound it takes megabytes for each that does not read."""
VANISHED_MS: Final = 60_000
"""After so long without an acknowledgement the reader's machine is gone."""


class Acceptor:
    """Takes connections off one listening socket until it is closed. It owns the socket.

    The loop's own server accepts whatever comes and waits a second where it cannot, and hands out a TLS connection only after a handshake
    that may take a minute: nobody could end it before.
    """

    def __init__(
        self,
        listener: socket.socket,
        table: ConnectionTable,
        make: Callable[[Line], asyncio.Protocol],
        *,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._table = table
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.TimerHandle | None = None
        self._opening: set[Line] = set()
        self._closed = False
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop; connections that speak already are not touched, those still in TLS's handshake end."""
        if self._closed:
            return
        self._closed = True
        if self._waiting is None:
            self._loop.remove_reader(self._listener.fileno())
        else:
            self._waiting.cancel()
        self._listener.close()
        for line in list(self._opening):
            line.cut()

    async def wait_closed(self) -> None:
        """Return at once: who has connections waits for them."""

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in STARVED:
                    self._starve(exc)
                    return
                # The one connection failed before we came to it.
                logger.debug("connection not accepted", extra=fields(reason=exc))
                continue
            self._open(connection, address)

    def _open(self, connection: socket.socket, address: Any) -> None:
        line = Line(connection)
        row = self._table.admit(str(address[0]) if isinstance(address, tuple) and address else "", line)
        if row is None:
            line.release()
            return
        line.row = row
        connection.setblocking(False)
        _tune(connection)
        task = self._loop.create_task(self._connect(connection, line))
        self._opening.add(line)
        line.wait_for(task)
        task.add_done_callback(lambda done: self._opened(line, done))

    async def _connect(self, connection: socket.socket, line: Line) -> None:
        handshake: dict[str, float] = {}
        if self._tls is not None:
            handshake = {"ssl_handshake_timeout": self._table.limits.header_s, "ssl_shutdown_timeout": TLS_END_S}
        await self._loop.connect_accepted_socket(lambda: self._make(line), connection, ssl=self._tls, **handshake)

    def _opened(self, line: Line, task: asyncio.Task[None]) -> None:
        self._opening.discard(line)
        if task.cancelled() or task.exception() is not None:
            # A handshake that failed, or was ended: nobody was told that the connection is lost.
            self._table.remove(line.row)
            line.release()
            if not task.cancelled():
                logger.debug("connection not opened", extra=fields(reason=task.exception()))

    def _starve(self, exc: OSError) -> None:
        gone = self._table.evict(STARVED_EVICTED)
        logger.warning("no room for a connection", extra=fields(reason=exc.strerror, ended=gone))
        self._loop.remove_reader(self._listener.fileno())
        self._waiting = self._loop.call_later(STARVED_WAIT_S, self._go_on)

    def _go_on(self) -> None:
        self._waiting = None
        self._loop.add_reader(self._listener.fileno(), self._accept)


def _tune(connection: socket.socket) -> None:
    """Have the system bound what it keeps for a reader, where it can."""
    for option, value in (("TCP_NOTSENT_LOWAT", UNSENT_MAX), ("TCP_USER_TIMEOUT", VANISHED_MS)):
        number = getattr(socket, option, None)
        if number is not None:
            with contextlib.suppress(OSError):
                # Not TCP, or an older system: the sweep of the table still sees what stays with us.
                connection.setsockopt(socket.IPPROTO_TCP, number, value)

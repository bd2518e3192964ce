"""Connections to share out: one per request under way, kept for the next one, never more than so many."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Final, cast

from aiohappyeyeballs import start_connection

from clients.http.connection import Connection
from clients.http.outgoing import Origin
from clients.http.timeouts import Patience, Timeouts
from clients.http.transport import NotSent

KEEPALIVE_S: Final = 20.0
"""Shorter than any exchange's own limit, so that a request rarely meets a connection that is being closed."""
CLOSING_S: Final = 1.0
EYEBALLS_S: Final = 0.25
"""After that long without a connection the next address of a name is tried as well (RFC 8305)."""


class ConnectionPool:
    """Belongs to one event loop. Everything that it raises is NotSent, without saying where: no request has gone out yet."""

    def __init__(self, *, connections_max: int, timeouts: Timeouts, tls: ssl.SSLContext | None) -> None:
        self._connections_max = connections_max
        self._timeouts = timeouts
        self._tls = tls
        self._tls_lock = asyncio.Lock()
        self._places = asyncio.Semaphore(connections_max)
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._open: set[Connection] = set()
        self._closed = False

    @contextlib.asynccontextmanager
    async def connection(self, origin: Origin, patience: Patience) -> AsyncIterator[Connection]:
        """Lend a connection for one exchange. It is kept for the next one if it is still usable then."""
        if self._places.locked():
            await self._wait(patience)
        else:
            await self._places.acquire()
        try:
            connection = self._kept(origin)
            if connection is None:
                connection = await self._opened(origin, patience)
            try:
                yield connection
            finally:
                if not self._closed and connection.usable():
                    self._idle[origin].append(connection)
                else:
                    connection.abort()
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """End every connection, with whatever is under way on it."""
        self._closed = True
        for connection in self._open:
            connection.abort()
        if self._open:
            await asyncio.wait([connection.ended for connection in self._open], timeout=CLOSING_S)

    async def _wait(self, patience: Patience) -> None:
        loop = asyncio.get_running_loop()
        pool_ends_s = loop.time() + self._timeouts.pool_s
        try:
            async with asyncio.timeout_at(min(pool_ends_s, patience.ends_s)):
                await self._places.acquire()
        except TimeoutError:
            raise NotSent("as many requests as there are connections are under way already") from None

    def _kept(self, origin: Origin) -> Connection | None:
        """Return the connection that was used last, if it is as good as new; the longer unused ones get a chance to end."""
        idle = self._idle[origin]
        expired_s = asyncio.get_running_loop().time() - KEEPALIVE_S
        while idle:
            connection = idle.pop()
            if connection.idle_since_s > expired_s and connection.usable():
                return connection
            connection.abort()
        return None

    async def _opened(self, origin: Origin, patience: Patience) -> Connection:
        self._make_room()
        connection = Connection()
        self._open.add(connection)
        connection.ended.add_done_callback(lambda _: self._open.discard(connection))
        try:
            async with asyncio.timeout_at(patience.ends_s):
                # In a context of its own: what reads and writes for many requests has nothing of the first one, whose steps may have to
                # wait for others. A reader that waits is asked to read again by each turn of the loop.
                await asyncio.create_task(self._connect(connection, origin), name="open-connection", context=Context())
        except BaseException as exc:
            connection.abort()
            # Nobody tells a protocol that its connection has ended in the middle of a handshake.
            self._open.discard(connection)
            if isinstance(exc, Exception):
                # Whatever it is: connecting sends nothing of a request.
                late = isinstance(exc, TimeoutError)
                raise NotSent("no connection in time" if late else type(exc).__name__) from exc
            raise
        if self._closed:
            connection.abort()
            raise NotSent("the transport is closed")
        return connection

    async def _connect(self, connection: Connection, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        limit_s = self._timeouts.connect_s
        tls = await self._trusted() if origin.tls else None
        async with asyncio.timeout(limit_s):
            transport = await _connected(connection, origin)
        if tls is not None:
            async with asyncio.timeout(limit_s):
                secured = await loop.start_tls(transport, connection, tls, server_hostname=origin.host)
            connection.opened(cast(asyncio.Transport, secured))

    def _make_room(self) -> None:
        """Forget connections that have ended or waited for too long; end the one unused for longest where others are too many."""
        expired_s = asyncio.get_running_loop().time() - KEEPALIVE_S
        for idle in self._idle.values():
            for connection in [one for one in idle if one.idle_since_s <= expired_s or not one.usable()]:
                idle.remove(connection)
                connection.abort()
        idles = [(connection.idle_since_s, origin) for origin, kept in self._idle.items() for connection in kept[:1]]
        if idles and len(self._open) >= self._connections_max:
            _, origin = min(idles, key=lambda each: each[0])
            self._idle[origin].pop(0).abort()

    async def _trusted(self) -> ssl.SSLContext:
        """Return the settings of TLS, read when first needed: a list of authorities takes as long as fifty requests."""
        async with self._tls_lock:
            if self._tls is None:
                self._tls = await asyncio.to_thread(_system_trust)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _connected(connection: Connection, origin: Origin) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    opened = await start_connection(addresses, happy_eyeballs_delay=EYEBALLS_S)
    try:
        transport, _ = await loop.create_connection(lambda: connection, sock=opened)
    except BaseException:
        opened.close()
        raise
    return transport


def _system_trust() -> ssl.SSLContext:
    """Trust whom the system trusts, whatever the environment says, on every platform."""
    import httpx2

    return httpx2.create_ssl_context(verify=True, trust_env=False)

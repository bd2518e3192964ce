"""A websocket server that is no ASGI application, with the same table of connections and the same check of names."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from services.runtime.descriptors import descriptor_budget
from services.runtime.tasks import end_task
from services.runtime.web.guard import WebGuard
from services.runtime.web.limits import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, WebLimits
from services.runtime.web.line import Line
from services.runtime.web.table import ConnectionTable, Phase

__all__ = ["WebsocketServer"]

SWEEP_S: Final = 1.0
UNREAD_BYTES_MAX: Final = 256 * 1024
"""Of answers to pings and the like, for a client that sends and does not read: nobody waits for it before they are written."""

Handler = Callable[[ServerConnection], Awaitable[None]]
Admit = Callable[[ServerConnection, Request], Response | None]


class WebsocketServer:
    """Serves websockets, and plain HTTP answers where `admit` gives one, on one port."""

    def __init__(
        self,
        handler: Handler,
        admit: Admit,
        *,
        streams_max: int,
        limits: WebLimits | None = None,
        hosts: Collection[str] = (),
    ) -> None:
        """`admit` sees every request that comes under a name of ours; None from it opens a websocket."""
        self._handler = handler
        self._admit = admit
        self._hosts = hosts
        limits = WebLimits.standard(descriptor_budget().alone) if limits is None else limits
        streams = min(streams_max, limits.streams)
        self._limits = replace(limits, streams=streams, streams_per_address=min(streams, limits.streams_per_address))
        self._server: Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises OSError."""
        table = ConnectionTable(self._limits, name=f"port {port}", clock_s=time.monotonic)
        guard = WebGuard(hosts=self._hosts, bound_host=host)
        self._server = await serve(
            self._handler,
            host,
            port,
            process_request=partial(self._decide, table, guard),
            create_connection=cast(type[ServerConnection], partial(_TableConnection, table=table)),
            # Many messages are alike; compressing them would only cost time.
            compression=None,
            max_size=MESSAGE_BYTES_MAX,
            open_timeout=self._limits.header_s,
            logger=_Quiet(logging.getLogger("websockets.server"), {}),
        )
        self._sweeping = asyncio.create_task(_sweep(table), name="sweep-connections")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        """Close every connection and the port; harmless without a start, and when repeated."""
        await end_task(self._sweeping)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _decide(
        self, table: ConnectionTable, guard: WebGuard, connection: ServerConnection, request: Request
    ) -> Response | None:
        refused = guard.foreign_name(_headers(request))
        if refused is not None:
            return connection.respond(refused[0], f"{refused[1]}\n")
        answer = self._admit(connection, request)
        row = cast(_TableConnection, connection).row
        if row is None:
            return answer
        if answer is not None:
            table.move(row, Phase.ANSWER)
            return answer
        full = table.begin_stream(row)
        return None if full is None else connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{full}\n")


class _TableConnection(ServerConnection):
    """A connection that has a row in the table from its first moment."""

    def __init__(self, *args: Any, table: ConnectionTable, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table = table
        self._head = 0
        self._line = Line(None)
        self.row: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        given = cast(asyncio.Transport, transport)
        self._line.speak(given, self)
        peer = given.get_extra_info("peername")
        self.row = self._table.admit(str(peer[0]) if isinstance(peer, tuple) and peer else "", self._line)
        super().connection_made(transport)
        if self.row is None:
            given.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.row is not None:
            self._table.remove(self.row)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.request is None:
            self._head += len(data)
        if self._head > HEADER_BYTES_MAX or self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self.transport.abort()
            return
        super().data_received(data)

    def end(self, phase: Phase) -> None:
        """End it."""
        self.transport.abort()


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Says what clients did wrong before there was a websocket as a detail: a traceback for each would be theirs to fill a disk with."""

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        if msg == "opening handshake failed":
            self.debug(msg, *args, **kwargs)
        else:
            super().error(msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs


def _headers(request: Request) -> dict[bytes, bytes]:
    def pairs() -> Iterator[tuple[bytes, bytes]]:
        for name, value in request.headers.raw_items():
            yield name.lower().encode("latin-1"), value.encode("latin-1", "replace")

    return dict(pairs())


async def _sweep(table: ConnectionTable) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(SWEEP_S)
            table.sweep()

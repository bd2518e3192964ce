"""HTTP and websocket protocols that keep to a connection table: uvicorn's own, with limits on what comes before an application."""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial
from typing import Any, Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from services.runtime.access.credentials import connection_state
from services.runtime.web.held import HOLD_EXTENSION, HeldRequests
from services.runtime.web.limits import HEADER_BYTES_MAX, HEADERS_MAX
from services.runtime.web.line import CountedTransport, Line
from services.runtime.web.streams import STREAM_EXTENSION
from services.runtime.web.table import ConnectionTable, Phase

__all__ = ["GuardedHttp", "GuardedWebSocket"]

TOO_SLOW: Final = "the request did not arrive in time: send it whole, without pauses"
TOO_LARGE: Final = f"a request has at most {HEADER_BYTES_MAX} bytes in its headers, and {HEADERS_MAX} of them"
RETRY_S: Final = b"5"


class _BoundedConnection(h11.Connection):
    """h11 bounds only what is incomplete: headers that arrive in one piece may be of any size."""

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
            if size > HEADER_BYTES_MAX or len(event.headers) > HEADERS_MAX:
                raise h11.RemoteProtocolError(TOO_LARGE, error_status_hint=431)
        return event


class _QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """Says what a client did wrong at the level of a detail: one line per bad request would be the client's to fill a disk with."""

    @property
    def level(self) -> int:
        return self.logger.level

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.debug(msg, *args, **kwargs)


class GuardedHttp(H11Protocol):
    """One HTTP connection. Tells the table what it is doing, and lets itself be ended."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        line: Line,
        table: ConnectionTable,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = _BoundedConnection(h11.SERVER, HEADER_BYTES_MAX)
        self.logger = cast(logging.Logger, _QuietLogger(self.logger, {}))
        self._line = line
        self._table = table
        self._application: Any = self.app
        self._upgraded = False
        self._held = HeldRequests(self._take_held)
        self.app = self._admitted
        if self.ws_protocol_class is not None:
            self.ws_protocol_class = cast(Any, partial(GuardedWebSocket, line=line, table=table))

    # -- what asyncio calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        given = cast(asyncio.Transport, transport)
        self._line.speak(given, self)
        # Every request of the connection finds there whose certificate TLS has verified.
        self.app_state = {**self.app_state, **connection_state(given)}
        super().connection_made(cast(asyncio.Transport, CountedTransport(given, self._line)))

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self._line.row)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        row = self._line.row
        if row.phase is Phase.IDLE:
            if self._held.keep(data):
                # To the table it asks for nothing yet.
                self.transport.pause_reading()
                return
            data = self._held.give() + data
            self._table.move(row, Phase.HEAD)
        super().data_received(data)
        self._settle()
        if row.phase is Phase.BODY:
            self._table.receive(row, len(data))

    # -- what uvicorn calls ----------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        if self._held.holding and self.conn.trailing_data[0]:
            # It does not wait for answers, so it cannot be made to wait for its turn.
            self.transport.close()
        super().on_response_complete()
        # The table minds the time between requests.
        self._unset_keepalive_if_required()
        self._settle()

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self._say(431, TOO_LARGE)
        else:
            self._say(400, msg)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        refusal = self._table.begin_stream(self._line.row)
        if refusal is not None:
            self._say(503, refusal)
            return
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    async def _admitted(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = self._table.begin_request(self._line.row, scope["path"])
        if refusal is not None:
            if self._table.refused is not None:
                self._table.refused(scope["method"], scope["path"], 503)
            await _unavailable(send, refusal)
            return
        scope["extensions"] = {
            STREAM_EXTENSION: partial(self._table.begin_stream, self._line.row),
            HOLD_EXTENSION: self._held.until,
        }
        await self._application(scope, receive, send)

    # -- what the table calls --------------------------------------------------------------------------------------

    def end(self, phase: Phase) -> None:
        """End it; who has begun to say something is told what was wrong with it."""
        if phase is Phase.BODY or (phase is Phase.HEAD and self.conn.trailing_data[0]):
            self._say(408, TOO_SLOW)
        else:
            self.transport.close()

    def _take_held(self, data: bytes) -> None:
        """Take in a request whose turn has come."""
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self.data_received(data)

    def _settle(self) -> None:
        """Tell the table what the connection is doing now."""
        row = self._line.row
        if self._upgraded or row.ended or self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and row.phase is Phase.STREAM:
            return
        if self.conn.their_state is h11.SEND_BODY:
            # Answered or not: what is still to come of it is read and dropped.
            self._table.move(row, Phase.BODY)
        elif answering:
            self._table.move(row, Phase.ANSWER)
        elif self.cycle is None or self.conn.trailing_data[0]:
            self._table.move(row, Phase.HEAD)
        else:
            self._table.move(row, Phase.IDLE)

    def _say(self, status: int, text: str) -> None:
        """Answer without an application, where an answer is due, and end."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = text.encode() + b"\n"
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *([(b"retry-after", RETRY_S)] if status == 503 else []),
            ]
            answer = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status])
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            if self.cycle is not None:
                # The application is told that nobody is there any more.
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        self.transport.close()
        if self._line.unsent():
            self.transport.abort()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """One websocket. It reads nothing while its peer does not: pongs would pile up for ever otherwise."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        line: Line,
        table: ConnectionTable,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._line = line
        self._table = table

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line.speak(cast(asyncio.Transport, transport), self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self._line.row)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    async def receive(self) -> Any:
        message = await super().receive()
        if not self.writable.is_set() and not self.transport.is_closing():
            # The application has taken a message, which lets reading go on; writing does not yet.
            self.transport.pause_reading()
        return message

    def end(self, phase: Phase) -> None:
        """End it."""
        self.transport.abort()


async def _unavailable(send: Any, text: str) -> None:
    body = text.encode() + b"\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", RETRY_S),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Links over the websockets library."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from clients.sockets.errors import AuthRefused, NotConnected, OpenFailed
from clients.sockets.link import Link, LinkHandler, Target
from clients.sockets.policy import SocketPolicy

_DATA: Final = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_ABNORMAL: Final = 1006
_UNAUTHORISED: Final = (401, 403)

# The library logs whole handshakes with their queries and headers at debug level; keys stand in both.
_silent = logging.Logger("midstream.websockets", logging.CRITICAL)
_silent.propagate = False


class WebsocketDialer:
    """Opens one connection per call: no compression, no redirect, certificates checked."""

    def __init__(self, policy: SocketPolicy, *, ssl: tls.SSLContext | None = None) -> None:
        self._policy = policy
        self._ssl = ssl

    async def __call__(self, target: Target, handler: LinkHandler) -> Link:
        def create(*args: Any, **kwargs: Any) -> _Connection:
            return _Connection(*args, handler=handler, **kwargs)

        parts = urlsplit(target.url)
        options: dict[str, Any] = {"ssl": self._ssl} if self._ssl is not None and parts.scheme == "wss" else {}
        try:
            connection = await _Connect(
                target.url,
                additional_headers=dict(target.headers),
                open_timeout=self._policy.open_timeout_s,
                # Heartbeats are the socket's own: they also know about text pings and about not reading.
                ping_interval=None,
                close_timeout=self._policy.close_timeout_s,
                max_size=self._policy.message_bytes_max,
                compression=None,
                # A proxy of the environment is not for a simulator on this machine.
                proxy=None if parts.hostname in _LOOPBACK else True,
                logger=_silent,
                # The library only calls it; its annotation asks for a class.
                create_connection=cast("type[ClientConnection]", create),
                **options,
            )
        except InvalidStatus as error:
            raise _refused(error) from None
        except InvalidURI:
            raise OpenFailed(
                f"the URL of {parts.hostname} is no websocket URL; it begins with ws:// or wss://"
            ) from None
        except InvalidHandshake as error:
            raise OpenFailed(f"{parts.hostname} did not complete the handshake: {type(error).__name__}") from None
        assert isinstance(connection, _Connection)
        return _WebsocketLink(connection)


class _Connect(connect):
    """Follows no redirect: headers that hold keys must not go to whoever the other side names."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Connection(ClientConnection):
    """Hands messages over as the socket delivers them, instead of queueing them for `recv`.

    The library's queue would give them the time at which they are taken out of it.
    """

    def __init__(self, *args: Any, handler: LinkHandler, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handler = handler
        self._parts = bytearray()
        self._binary = False
        self.ended: str | None = None

    def data_received(self, data: bytes) -> None:
        if self.response is not None:
            self._handler.on_traffic()
        super().data_received(data)
        if self.protocol.state is State.CLOSING and self.close_timeout is not None:
            # Nobody is in `recv` or `close` to enforce the timeout of a closing handshake.
            self.loop.call_later(self.close_timeout, self.transport.abort)

    def process_event(self, event: Any) -> None:
        if self.response is None or not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._binary = event.opcode is Opcode.BINARY
            if event.fin:
                self._handler.on_message(bytes(event.data), binary=self._binary)
                return
        self._parts += event.data
        if event.fin:
            payload = bytes(self._parts)
            self._parts.clear()
            self._handler.on_message(payload, binary=self._binary)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.response is not None:
            self._handler.on_closed(self._why(exc), self._code())

    def _code(self) -> int | None:
        return None if self.close_code in (None, _ABNORMAL) else self.close_code

    def _why(self, exc: Exception | None) -> str:
        if self.ended is not None:
            return self.ended
        sent = self.protocol.close_sent
        if sent is not None and not self.protocol.close_rcvd_then_sent:
            # A frame that breaks the protocol, or the limit on its size: the library ends the connection with a code that says so.
            return f"refused with code {sent.code} ({sent.reason})"
        if self._code() is None:
            return "the connection broke" + (f": {type(exc).__name__}" if exc is not None else "")
        text = "".join(character for character in self.close_reason or "" if character.isprintable())
        return f"closed with code {self.close_code}" + (f" ({text})" if text else "")


class _WebsocketLink:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def send(self, payload: str | bytes) -> None:
        try:
            await self._connection.send(payload)
        except ConnectionClosed:
            raise NotConnected("the connection ended while sending") from None

    async def ping(self) -> None:
        try:
            # Any byte counts as life, so nobody waits for this very pong.
            await self._connection.ping()
        except ConnectionClosed:
            raise NotConnected("the connection ended while sending") from None

    def pause_reading(self) -> None:
        self._connection.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._connection.transport.is_closing():
            self._connection.transport.resume_reading()

    def abort(self, reason: str) -> None:
        self._connection.ended = self._connection.ended or reason
        self._connection.transport.abort()

    async def close(self) -> None:
        self._connection.ended = self._connection.ended or "closed by us"
        # A close that nobody answers must not be waited for longer than the library's timeout.
        await asyncio.shield(self._connection.close())


def _refused(error: InvalidStatus) -> OpenFailed:
    status = error.response.status_code
    text = f"the handshake was answered with HTTP {status}"
    hint_s = _retry_after_s(error.response.headers)
    if status in _UNAUTHORISED:
        return AuthRefused(f"{text}: check key, signature and permissions", status=status, retry_after_s=hint_s)
    return OpenFailed(text, status=status, retry_after_s=hint_s)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

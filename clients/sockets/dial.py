"""Open links over the websockets library."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from clients.sockets.connection import StampedConnection, open_connection
from clients.sockets.errors import AuthRefused, NotConnected, OpenFailed
from clients.sockets.link import Link, LinkHandler, Target
from clients.sockets.policy import SocketPolicy

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
        ending = _Ending(handler)
        parts = urlsplit(target.url)
        options: dict[str, Any] = {"ssl": self._ssl} if self._ssl is not None and parts.scheme == "wss" else {}
        try:
            connection = await open_connection(
                target.url,
                ending,
                message_bytes_max=self._policy.message_bytes_max,
                options={
                    "additional_headers": dict(target.headers),
                    "open_timeout": self._policy.open_timeout_s,
                    # Heartbeats are the socket's own: they also know about text pings and about not reading.
                    "ping_interval": None,
                    "close_timeout": self._policy.close_timeout_s,
                    "logger": _silent,
                    **options,
                },
            )
        except InvalidStatus as error:
            raise _refused(error) from None
        except InvalidURI:
            raise OpenFailed(
                f"the URL of {parts.hostname} is no websocket URL; it begins with ws:// or wss://"
            ) from None
        except InvalidHandshake as error:
            raise OpenFailed(f"{parts.hostname} did not complete the handshake: {type(error).__name__}") from None
        return _WebsocketLink(connection, ending)


class _Ending:
    """Hands everything on to the handler of a link; says why a connection ended where that was our doing."""

    def __init__(self, handler: LinkHandler) -> None:
        self._handler = handler
        self.on_traffic = handler.on_traffic
        self.on_messages = handler.on_messages
        self.reason: str | None = None

    def on_closed(self, reason: str, code: int | None) -> None:
        self._handler.on_closed(self.reason or reason, code)


class _WebsocketLink:
    def __init__(self, connection: StampedConnection, ending: _Ending) -> None:
        self._connection = connection
        self._ending = ending

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
        self._ending.reason = self._ending.reason or reason
        self._connection.transport.abort()

    async def close(self) -> None:
        self._ending.reason = self._ending.reason or "closed by us"
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

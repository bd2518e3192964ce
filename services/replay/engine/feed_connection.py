"""A websocket connection that notes when each message reached this process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame, Opcode

from services.replay.engine.frame_splitter import FrameSplitter

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_S: Final = 10.0
PING_INTERVAL_S: Final = 5.0
PING_TIMEOUT_S: Final = 5.0
"""A peer that is gone without a word is noticed after interval + timeout."""
CLOSE_TIMEOUT_S: Final = 1.0
MESSAGE_BYTES_MAX: Final = 1 << 20

_DATA: Final = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

HEADERS_END: Final = b"\r\n\r\n"
SWITCHING_PROTOCOLS: Final = 101

OnMessages = Callable[[int, list[bytes]], None]
"""Called with a receive time and the payloads of the messages that came then, in the thread of the connection."""


class ReceiveClock:
    """UTC of what arrives: the wall clock once, the monotonic clock from then on, and never back.

    A step of the wall clock does not reorder what a connection receives; the next connection takes the new time over, unless it is earlier.
    """

    def __init__(self, *, time_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> None:
        self._time_ns = time_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = 0
        self._latest_ns = 0
        self.anchor()

    def anchor(self) -> None:
        """Take the wall clock's time over."""
        self._offset_ns = self._time_ns() - self._monotonic_ns()

    def now_ns(self) -> int:
        """Return the time; never below one that was returned before."""
        self._latest_ns = max(self._latest_ns, self._monotonic_ns() + self._offset_ns)
        return self._latest_ns


class FeedLink(Protocol):
    """An open connection."""

    async def wait_closed(self) -> None:
        """Return when it is closed, by whichever side."""

    def end(self) -> None:
        """Close it at once."""

    def reason(self) -> str:
        """Say why it closed, for people."""


class Dialer(Protocol):
    """How a feed is connected."""

    async def __call__(self, on_messages: OnMessages) -> FeedLink: ...


class StampedConnection(ClientConnection):
    """Hands messages over as the socket delivers them, instead of queueing them for `recv`.

    The library's queue would stop reading from the socket when it is full, and receive times would be those of the reader.
    Text is not decoded here: what is no UTF-8 becomes a rejection later.
    """

    def __init__(self, *args: Any, clock: ReceiveClock, on_messages: OnMessages, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock
        self._on_messages = on_messages
        self._received_ns = 0
        self._handshake = b""
        self._splitter: FrameSplitter | None = None
        self._parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._received_ns = self._clock.now_ns()
        if self._splitter is not None:
            self._splitter.feed(data)
            return
        # The library gets the handshake up to its last byte, so that what follows begins with a frame.
        seen = len(self._handshake)
        self._handshake += data
        end = self._handshake.find(HEADERS_END, max(0, seen - len(HEADERS_END)))
        if end < 0:
            super().data_received(data)
            return
        rest = self._handshake[end + len(HEADERS_END) :]
        super().data_received(data[: len(data) - len(rest)])
        self._splitter = FrameSplitter(
            size_max=MESSAGE_BYTES_MAX,
            deliver=lambda messages: self._on_messages(self._received_ns, messages),
            other=super().data_received,
        )
        self._handshake = b""
        if self.response is None or self.response.status_code != SWITCHING_PROTOCOLS:
            # A refusal may have a body: the library reads it.
            self._splitter.give_up()
        if rest:
            self._splitter.feed(rest)

    def process_event(self, event: Any) -> None:
        if self.response is None or not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        # Only a message in fragments comes this way.
        self._parts.append(bytes(event.data))
        if event.fin:
            payload = b"".join(self._parts)
            self._parts = []
            self._on_messages(self._received_ns, [payload])

    def end(self) -> None:
        self.transport.abort()

    def reason(self) -> str:
        code, text = self.close_code, self.close_reason
        if code is None or code == 1006:
            return "the connection broke"
        return f"the connection was closed with code {code}" + (f" ({text})" if text else "")


class WebsocketDialer:
    """Connects to one URL; certificates are checked, messages over 1 MiB and compression are refused."""

    def __init__(self, url: str, clock: ReceiveClock) -> None:
        self._url = url
        self._clock = clock

    async def __call__(self, on_messages: OnMessages) -> FeedLink:
        def create(*args: Any, **kwargs: Any) -> StampedConnection:
            return StampedConnection(*args, clock=self._clock, on_messages=on_messages, **kwargs)

        # The library only calls it; its annotation asks for a class.
        factory = cast("type[ClientConnection]", create)
        self._clock.anchor()
        connection = await connect(
            self._url,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MESSAGE_BYTES_MAX,
            compression=None,
            # A proxy of the environment is not for a feed on this machine.
            proxy=None if urlsplit(self._url).hostname in _LOOPBACK else True,
            create_connection=factory,
        )
        assert isinstance(connection, StampedConnection)
        return connection


def without_credentials(url: str) -> str:
    """Return a URL that can be shown: no user, no password, no query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))

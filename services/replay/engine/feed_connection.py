"""Connect to a websocket feed and note when each message reached this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from clients.sockets.connection import StampedConnection, open_connection

OPEN_TIMEOUT_S: Final = 10.0
PING_INTERVAL_S: Final = 5.0
PING_TIMEOUT_S: Final = 5.0
"""A peer that is gone without a word is noticed after interval + timeout."""
CLOSE_TIMEOUT_S: Final = 1.0
MESSAGE_BYTES_MAX: Final = 1 << 20
_REFUSALS: Final = frozenset((1002, 1003, 1007, 1008, 1009, 1010))
"""Codes of a side that does not like what it gets: the next connection will most likely end in the same way."""

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

    @property
    def is_refusal(self) -> bool:
        """Tell whether one side could not take what the other sent, so that connecting again does not help by itself."""


class FeedDialer(Protocol):
    """How a feed is connected."""

    async def __call__(self, on_messages: OnMessages) -> FeedLink: ...


class _Receiver:
    """Stamps what arrives with the time of the read that completed it."""

    def __init__(self, clock: ReceiveClock, on_messages: OnMessages) -> None:
        self._clock = clock
        self._on_messages = on_messages
        self._received_ns = 0

    def on_traffic(self) -> None:
        self._received_ns = self._clock.now_ns()

    def on_messages(self, payloads: list[bytes], *, binary: bool) -> None:
        self._on_messages(self._received_ns, payloads)

    def on_closed(self, reason: str, code: int | None) -> None:
        """Whoever reads the feed waits for the end of the connection itself."""


class _WebsocketFeed:
    def __init__(self, connection: StampedConnection, message_bytes_max: int) -> None:
        self._connection = connection
        self._message_bytes_max = message_bytes_max

    async def wait_closed(self) -> None:
        await self._connection.wait_closed()

    def end(self) -> None:
        self._connection.transport.abort()

    @property
    def is_refusal(self) -> bool:
        refused = self._connection.refused_with
        return (refused[0] if refused is not None else self._connection.closed_with) in _REFUSALS

    def reason(self) -> str:
        refused = self._connection.refused_with
        if refused is not None:
            return self._why_we_ended_it(*refused)
        code, text = self._connection.closed_with, self._connection.close_reason
        if code is None:
            return "the connection broke"
        asked = "; whoever runs the feed knows why" if code in _REFUSALS else ""
        return f"the connection was closed with code {code}" + (f" ({text})" if text else "") + asked

    def _why_we_ended_it(self, code: int, detail: str) -> str:
        match code:
            case 1009:
                return (
                    f"it sent a message of more than {self._message_bytes_max:,} bytes, which is our limit (code 1009): "
                    "raise MIDSTREAM_LIVE_MESSAGE_BYTES, or have the feed send smaller ones"
                )
            case 1011:
                return f"it did not answer a ping for {PING_TIMEOUT_S:g} s"
            case _:
                return (
                    f"what it sent breaks the websocket protocol (code {code}, {detail}): check that MIDSTREAM_LIVE_URL "
                    "names a websocket feed, and what lies between it and us"
                )


class WebsocketFeedDialer:
    """Connects to one URL; certificates are checked, larger messages and compression are refused."""

    def __init__(self, url: str, clock: ReceiveClock, *, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._url = url
        self._clock = clock
        self._message_bytes_max = message_bytes_max

    async def __call__(self, on_messages: OnMessages) -> FeedLink:
        self._clock.anchor()
        connection = await open_connection(
            self._url,
            _Receiver(self._clock, on_messages),
            message_bytes_max=self._message_bytes_max,
            options={
                "open_timeout": OPEN_TIMEOUT_S,
                "ping_interval": PING_INTERVAL_S,
                "ping_timeout": PING_TIMEOUT_S,
                "close_timeout": CLOSE_TIMEOUT_S,
            },
        )
        return _WebsocketFeed(connection, self._message_bytes_max)


def without_credentials(url: str) -> str:
    """Return a URL that can be shown: no user, no password, no query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))

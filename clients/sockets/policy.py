"""The numbers a resilient socket keeps to, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Overflow(StrEnum):
    """What happens when the consumer is slower than the other side."""

    BACKPRESSURE = "backpressure"
    """Stop reading from the socket until there is room: nothing is lost here, the other side waits or closes."""
    DROP_OLDEST = "drop_oldest"
    """Throw away the oldest unread message, counted and told in-band as `Dropped`."""


@dataclass(frozen=True)
class ProtocolPing:
    """A websocket ping after `after_s` without a byte; the peer is dead when `timeout_s` more pass without one."""

    after_s: float = 5.0
    timeout_s: float = 5.0


@dataclass(frozen=True)
class TextPing:
    """The same with messages of the application (BitMEX, Bybit); the answer is not handed on, and is no message of the feed."""

    after_s: float = 5.0
    timeout_s: float = 5.0
    ping: str = "ping"
    pong: bytes | Callable[[bytes], bool] = b"pong"
    """The answer, or what recognises it where no two are alike."""
    regular: bool = False
    """Every `after_s`, whatever arrives: for a server that ends connections on which it hears nothing, however much it says itself."""

    def answered_by(self, payload: bytes) -> bool:
        """Whether a message is the answer to a heartbeat."""
        return self.pong(payload) if callable(self.pong) else payload == self.pong


Heartbeat = ProtocolPing | TextPing


@dataclass(frozen=True)
class SocketPolicy:
    """How one socket behaves. The defaults suit a market data feed."""

    heartbeat: Heartbeat = ProtocolPing()
    """A dead peer is noticed within after_s + timeout_s: 10 s, below the 15 s that are asked for."""
    open_timeout_s: float = 10.0
    """For TCP, TLS and handshake together; once more for the opening hook."""
    close_timeout_s: float = 1.0
    message_bytes_max: int = 1 << 20
    """A longer message closes the connection with code 1009."""
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 60.0
    stable_after_s: float = 30.0
    """Only a connection that lived this long lets the next backoff begin from the base again."""
    attempts_max: int = 10
    """Connections opened in any `attempts_window_s`, successful ones included: the hard bound behind the random backoff."""
    attempts_window_s: float = 60.0
    auth_delay_s: float = 30.0
    """Least wait after a refused key: more attempts only lead to a ban."""
    retry_after_max_s: float = 3600.0
    """A server's hint is obeyed up to this; a longer one is asked again after it."""
    stale_after_s: float | None = None
    """Silence after which the feed counts as stale: at most twice the interval at which messages are expected. None: never."""
    reconnect_after_silence_s: float | None = None
    """Silence after which a connection that answers pings is replaced all the same. None: never."""
    rotate_after_s: float | None = None
    """Age at which a connection is replaced by a new one that is opened before the old one is dropped. None: never."""
    overlap_s: float = 5.0
    """How long both connections of a rotation are read; what both deliver is handed on once."""
    queue_messages_max: int = 10_000
    queue_bytes_max: int = 16 << 20
    """Bounds of what waits for the consumer; one read of the socket (256 KiB) may exceed them."""
    overflow: Overflow = Overflow.BACKPRESSURE

    def __post_init__(self) -> None:
        for name in (
            "open_timeout_s",
            "close_timeout_s",
            "message_bytes_max",
            "backoff_base_s",
            "stable_after_s",
            "attempts_max",
            "attempts_window_s",
            "overlap_s",
            "queue_messages_max",
            "queue_bytes_max",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` has to be positive, not {getattr(self, name)}")
        if self.backoff_cap_s < self.backoff_base_s:
            raise ValueError(
                f"`backoff_cap_s` ({self.backoff_cap_s}) is below `backoff_base_s` ({self.backoff_base_s})"
            )
        for name in ("stale_after_s", "reconnect_after_silence_s", "rotate_after_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"`{name}` has to be positive or None, not {value}")

"""Events that a resilient socket hands to its consumer, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Connected:
    """A connection is open and its opening hook is done; what follows may begin later than what came before ended.

    `planned` is a rotation: the connection before it is still open, so nothing is missing between them.
    """

    connection: int
    """Number of the connection, from 1."""
    wall_ns: int
    """When that was; not later than any message of this connection that follows."""
    planned: bool = False


@dataclass(frozen=True)
class Message:
    """One message as it came. Its times were taken when its last bytes were read from the socket, not when it is consumed."""

    payload: bytes = field(repr=False)
    receive_wall_ns: int
    receive_monotonic_ns: int
    connection: int
    binary: bool = False
    """Whether it was a binary frame; text is not decoded here, so that text that is no UTF-8 reaches the consumer."""


@dataclass(frozen=True)
class Dropped:
    """Messages were thrown away because the consumer was too slow (`Overflow.DROP_OLDEST` only); this stands where they were."""

    count: int


@dataclass(frozen=True)
class Stale:
    """The connection is alive, but no message has come for `silent_s`. Told once per silence."""

    connection: int
    silent_s: float


@dataclass(frozen=True)
class Disconnected:
    """A connection that had been `Connected` is over; the next one is being opened, unless the socket was closed."""

    connection: int
    reason: str
    code: int | None = None
    """The other side's close code; None when the connection broke or we ended it."""
    planned: bool = False
    """The old connection of a rotation, dropped after its successor took over."""


Event = Connected | Message | Dropped | Stale | Disconnected

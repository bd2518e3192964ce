"""The status of a socket, for health checks and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class SocketState(StrEnum):
    """Where a socket is in its life."""

    IDLE = "idle"
    """Not iterated yet."""
    WAITING = "waiting"
    """Between attempts: backoff, budget, or a consumer that has not read what is there."""
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class SocketStatus:
    """A snapshot."""

    name: str
    state: SocketState
    stale: bool
    """Open, but silent for longer than the policy allows; always False while not open."""
    message_age_s: float | None
    """Since the last message, over all connections; None before the first."""
    connected_s: float | None
    """Age of the current connection."""
    attempts: int
    """Connections tried so far."""
    connections: int
    """Connections opened so far; the reconnects are one less."""
    messages: int
    dropped: int
    waiting: int
    """Messages that wait for the consumer."""
    last_error: str
    """Why the last connection ended or could not be opened; empty before the first."""

    @property
    def healthy(self) -> bool:
        """Open and not stale."""
        return self.state is SocketState.OPEN and not self.stale

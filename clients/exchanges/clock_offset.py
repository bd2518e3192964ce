"""Estimate a server's clock from one answer's time and its round trip."""

from __future__ import annotations

from dataclasses import dataclass

from clients.exchanges.model import ServerTime
from clients.http.transport import HttpResponse


@dataclass(frozen=True)
class ClockReading:
    """What a server said its time was. The truth lies in [server_time_ns, server_time_ns + resolution_ns)."""

    server_time_ns: int
    resolution_ns: int


@dataclass(frozen=True)
class ClockOffset:
    """One measurement. Anchored at the monotonic clock, so that a step of the local wall clock does not move the server's time."""

    server_minus_monotonic_ns: int
    server_minus_wall_ns: int
    error_ns: int
    measured_ns: int

    def server_now_ns(self, monotonic_ns: int) -> int:
        """Return the server's time at a moment of the local monotonic clock."""
        return monotonic_ns + self.server_minus_monotonic_ns

    def as_server_time(self) -> ServerTime:
        """Return the measurement in the words of the interface."""
        return ServerTime(offset_ns=self.server_minus_wall_ns, error_ns=self.error_ns, measured_ns=self.measured_ns)


@dataclass
class Clock:
    """What is known of one server's clock."""

    offset: ClockOffset | None = None
    distrusted: bool = False
    """An answer has blamed the offset since it was measured."""


def measure(reading: ClockReading, response: HttpResponse) -> ClockOffset:
    """Assume that the server read its clock half-way through the round trip; the error bound covers both ends of it."""
    round_trip_ns = max(0, response.received_ns - response.sent_ns)
    middle_ns = response.sent_ns + round_trip_ns // 2
    middle_wall_ns = response.received_wall_ns - (response.received_ns - middle_ns)
    server_time_ns = reading.server_time_ns + reading.resolution_ns // 2
    return ClockOffset(
        server_minus_monotonic_ns=server_time_ns - middle_ns,
        server_minus_wall_ns=server_time_ns - middle_wall_ns,
        error_ns=(round_trip_ns + reading.resolution_ns + 1) // 2,
        measured_ns=response.received_ns,
    )

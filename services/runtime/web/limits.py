"""What one HTTP listener puts up with: settings, cut down to the listener's share of the process's open files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.runtime.settings import ProcessSettings

__all__ = ["ACCEPTED_AT_ONCE", "BODIES_BYTES_MAX", "HEADERS_MAX", "HEADER_BYTES_MAX", "MESSAGE_BYTES_MAX", "WebLimits"]

HEADER_BYTES_MAX: Final = 16 * 1024
"""Of a request's line and headers together. Browsers with their cookies stay below 8 KiB."""

HEADERS_MAX: Final = 100
"""Of a request. Browsers send about 20; proxies add a few."""

ACCEPTED_AT_ONCE: Final = 16
"""Connections that are let in before others get their turn. Those that made room for them are closed a turn later, so a share has
room for twice as many."""

MESSAGE_BYTES_MAX: Final = 64 * 1024
"""Of a websocket's messages from clients: subscriptions and orders. Each connection may hold as much that is not complete."""

BODIES_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of all bodies together that are on their way: nobody has said yet who sends them."""


@dataclass(frozen=True)
class WebLimits:
    """Figures of one listener. `fitted` keeps them below what the process may have open."""

    connections: int
    """In all."""
    connections_per_address: int
    """Of one address; of the machine's own there may be as many as in all, because a proxy on it has everybody's."""
    streams: int
    """Event streams and websockets in all."""
    streams_per_address: int
    requests: int
    """Being read or answered at once."""
    header_s: float
    """From the connection, or from the first byte of a further request, to the end of its headers; TLS's handshake included."""
    idle_s: float
    """Between two requests on one connection."""
    grace_s: float
    """What a body gets beyond the time that its bytes take at `rate`, and how long a reader may take nothing."""
    rate: int
    """Bytes a second at least, in both directions, while there are any to come or to go."""

    @classmethod
    def of(cls, settings: ProcessSettings, share: int) -> WebLimits:
        """Return what the settings say, fitted to `share` descriptors."""
        return cls(
            connections=settings.web_connections_max,
            connections_per_address=settings.web_connections_per_address,
            streams=settings.web_streams_max,
            streams_per_address=settings.web_streams_per_address,
            requests=settings.web_requests_max,
            header_s=settings.web_header_timeout_s,
            idle_s=settings.web_idle_timeout_s,
            grace_s=settings.web_stall_timeout_s,
            rate=settings.web_rate_min,
        ).fitted(share)

    @classmethod
    def standard(cls, share: int) -> WebLimits:
        """Return the defaults, fitted to `share` descriptors."""
        return cls.of(ProcessSettings.model_construct(), share)

    def fitted(self, share: int) -> WebLimits:
        """Return the same within `share` connections, with room left beside streams and requests.

        Whoever is in that room has sent no complete request, so one of them can always be ended to let a new connection in.
        """
        connections = max(1, min(self.connections, share - min(2 * ACCEPTED_AT_ONCE, share // 4)))
        room = max(1, connections // 32)
        streams = min(self.streams, connections * 3 // 4)
        return WebLimits(
            connections=connections,
            connections_per_address=min(self.connections_per_address, connections),
            streams=streams,
            streams_per_address=min(self.streams_per_address, streams),
            requests=max(1, min(self.requests, connections - streams - room)),
            header_s=self.header_s,
            idle_s=self.idle_s,
            grace_s=self.grace_s,
            rate=self.rate,
        )

"""What callers of a gRPC port may take up: connections, calls, streams, bytes and time. One object per server, made of its settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from services.runtime.request_memory import RequestMemory
from services.runtime.settings import ServerSettings

REQUEST_BYTES_MAX: Final = 128 * 1024
"""What a request may have. An order takes less than 4 KiB; the largest, a question for three lists of 500 ids, 110 KiB."""

LISTING_BYTES_MAX: Final = 4 * 1024 * 1024
"""The same for methods that take lists: 10,000 tickers of 256 bytes are 2.6 MB, 100,000 quotes 3.6 MB."""

RESPONSE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Batches are at most 1 MiB; the largest answers are pages of 1,000 rows."""

METADATA_BYTES_MAX: Final = 16 * 1024
"""Headers of a call: a token is 2 KiB, traces and cookies of proxies as much again."""

METADATA_BYTES_CERTAINLY_REFUSED: Final = 32 * 1024
"""Between the two the library refuses with a growing chance, so that whoever comes close notices early."""

PENDING_CALLS: Final = 8_192
"""Per method; each takes about 5 KiB until it begins."""

RESERVED_CALLS_MAX: Final = 500
"""Calls under way of each method that is always admitted. A supervisor asks one question at a time; watchers of health are counted here."""

RESERVED_BYTES: Final = 32 * 1024 * 1024
RESERVED_PATIENCE_S: Final = 0.005
"""Room for the requests of each such method, and how soon one that is slow makes room for the next: faster than calls can begin, so that
thousands whose request never comes do not delay the one that has."""

ALWAYS_ADMITTED: Final = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
)
"""A server that is busy must not look dead, or it is restarted for it."""


@dataclass(frozen=True)
class CallLimits:
    """Defaults are those of the settings; `of` takes over what was set."""

    connections_max: int = 4_096
    streams_per_connection: int = 2_000
    calls_max: int = 4_000
    calls_per_address: int = 500
    request_bytes_held: int = 64 * 1024 * 1024
    handshake_timeout_s: float = 10.0
    request_timeout_s: float = 10.0
    idle_timeout_s: float = 300.0
    listing_methods: frozenset[str] = frozenset()
    """Full names (`/package.Service/Method`) of methods whose requests may have LISTING_BYTES_MAX."""
    always_admitted: frozenset[str] = frozenset(ALWAYS_ADMITTED)
    """Full names of methods that have a share of their own, however many other calls there are."""

    @classmethod
    def of(
        cls,
        settings: ServerSettings,
        *,
        descriptors: int,
        listing_methods: Collection[str] = (),
        always_admitted: Collection[str] = (),
    ) -> CallLimits:
        """Return the limits of a server whose gRPC port may have `descriptors` connections."""
        return cls(
            connections_max=min(settings.grpc_connections_max, descriptors),
            streams_per_connection=settings.grpc_streams_per_connection,
            calls_max=settings.grpc_calls_max,
            calls_per_address=settings.grpc_calls_per_address,
            request_bytes_held=settings.grpc_request_bytes_held,
            handshake_timeout_s=settings.grpc_handshake_timeout_s,
            request_timeout_s=settings.grpc_request_timeout_s,
            idle_timeout_s=settings.grpc_idle_timeout_s,
            listing_methods=frozenset(listing_methods),
            always_admitted=frozenset((*ALWAYS_ADMITTED, *always_admitted)),
        )

    @property
    def message_bytes_max(self) -> int:
        """What the library takes: the most that any method of the server may get."""
        return LISTING_BYTES_MAX if self.listing_methods else REQUEST_BYTES_MAX

    def request_bytes_max(self, path: str) -> int:
        """Return what a request of a method may have."""
        return LISTING_BYTES_MAX if path in self.listing_methods else REQUEST_BYTES_MAX

    def request_memory(self) -> RequestMemory:
        """Return the budget that the methods of a server share."""
        return RequestMemory(
            self.request_bytes_held, message_bytes_max=self.message_bytes_max, timeout_s=self.request_timeout_s
        )

    def reserved_memory(self) -> RequestMemory:
        """Return the budget of a method that must always get in."""
        return RequestMemory(
            RESERVED_BYTES,
            message_bytes_max=self.message_bytes_max,
            timeout_s=self.request_timeout_s,
            patience_s=RESERVED_PATIENCE_S,
        )

    def server_options(self) -> tuple[tuple[str, int], ...]:
        """Return what the library enforces below any code of ours."""
        return (
            # Without it two servers share a port in silence, and half of the calls reach the wrong one.
            ("grpc.so_reuseport", 0),
            # Refused by the length that a message announces; one that is compressed, by what comes out of it.
            ("grpc.max_receive_message_length", self.message_bytes_max),
            ("grpc.max_send_message_length", RESPONSE_BYTES_MAX),
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
            ("grpc.absolute_max_metadata_size", METADATA_BYTES_CERTAINLY_REFUSED),
            # Closed as soon as they are accepted: descriptors are left for everything else.
            ("grpc.max_allowed_incoming_connections", self.connections_max),
            # A connection that does not say HTTP/2 (with TLS: does not finish the handshake), and one that does not acknowledge our
            # settings, without which the limits of streams and metadata do not bind it.
            ("grpc.server_handshake_timeout_ms", round(self.handshake_timeout_s * 1000)),
            ("grpc.http2.settings_timeout", round(self.handshake_timeout_s * 1000)),
            # Clients connect again by themselves with the next call.
            ("grpc.max_connection_idle_ms", round(self.idle_timeout_s * 1000)),
            ("grpc.max_concurrent_streams", self.streams_per_connection),
            # Calls of a method that have arrived and not begun: between the two the library drops some at random, beyond the second
            # all, and whoever is dropped is told CANCELLED and not why. Four connections full of calls fit.
            ("grpc.server.max_pending_requests", PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
            # Off: what is received ahead of being asked for stays at one window per stream, however fast the sender is. Messages that are
            # asked for get a window of their size.
            ("grpc.http2.bdp_probe", 0),
            # A subscriber whose machine vanished is noticed within 40 s and its stream freed.
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.max_ping_strikes", 5),
        )

"""Settings of what callers of a gRPC port may take up."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings


class CallLimitSettings(BaseSettings):
    """Part of every gRPC server's settings."""

    grpc_connections_max: int = Field(default=4_096, ge=8, le=60_000)
    """Connections that the gRPC port holds, fewer where the system allows fewer open files; beyond, new ones are closed. Four times the
    1,000 subscribers that a stream may have."""

    grpc_streams_per_connection: int = Field(default=2_000, ge=1, le=60_000)
    """Calls at once on one connection. All 1,000 subscriptions of a server fit on one, with as many calls beside them; a client waits with
    further ones, or is refused those."""

    grpc_calls_max: int = Field(default=4_000, ge=8, le=60_000)
    """Calls under way at once; beyond, they are refused before their request is read. Health, the kill switch and cancelling have shares
    of their own."""

    grpc_calls_per_address: int = Field(default=500, ge=1, le=60_000)
    """The same for one address (with IPv6, one /64 network); of this machine's own there may be as many as in all. Raise it for a proxy on
    another machine, which has everybody's calls."""

    grpc_request_bytes_held: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Bytes of requests that are held at once, whatever the number of calls; beyond, calls wait, and are refused after five seconds."""

    grpc_handshake_timeout_s: float = Field(default=10.0, ge=0.1, le=300)
    """Seconds for a connection to say that it speaks HTTP/2, TLS's handshake included. It is a few packets; more is waiting for nothing."""

    grpc_request_timeout_s: float = Field(default=10.0, ge=0.1, le=300)
    """Seconds for the request of a call to arrive once there is room for it. The largest, 4 MiB, comes in that time over 4 Mbit/s."""

    grpc_idle_timeout_s: float = Field(default=300.0, ge=0.1, le=86_400)
    """Seconds that a connection may be without a call; clients connect again by themselves with the next one."""

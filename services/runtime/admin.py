"""Health in plain text on loopback, for probes that have no certificate."""

from __future__ import annotations

from typing import Final

import grpc

from services.runtime.health import HealthBoard

__all__ = ["AdminServer"]

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),
    # A probe asks for the name of a service.
    ("grpc.max_receive_message_length", 4096),
    ("grpc.max_metadata_size", 8192),
    ("grpc.max_concurrent_streams", 32),
)


class AdminServer:
    """A second small gRPC server with the health service of the first, and nothing else."""

    def __init__(self, health: HealthBoard) -> None:
        self.server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=64)
        health.register(self.server)
        self.port = 0
        """Where it is bound."""

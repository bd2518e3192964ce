"""Health in plain text on loopback, for probes that have no certificate."""

from __future__ import annotations

from typing import Final

import grpc

from services.runtime.call_limits import CallLimits
from services.runtime.health import HEALTH_SERVICE, HealthBoard
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.reflection import add_reflection

__all__ = ["AdminServer"]

_LIMITS: Final = CallLimits(connections_max=64, streams_per_connection=32)
"""A probe is one connection with one call."""


class AdminServer:
    """A second small gRPC server with the health service of the first and, for people, reflection; nothing else."""

    def __init__(self, health: HealthBoard, metrics: Metrics, *, reflection: bool) -> None:
        self.server = grpc.aio.server(
            interceptors=(CallInterceptor(metrics, _LIMITS),), options=_LIMITS.server_options()
        )
        health.register(self.server)
        if reflection:
            add_reflection(self.server, (HEALTH_SERVICE,))
        self.port = 0
        """Where it is bound."""

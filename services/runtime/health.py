"""Answer `grpc.health.v1` for every service of a process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from services.runtime.log_fields import fields
from services.runtime.metrics import Metrics
from services.runtime.statuses import Context

logger = logging.getLogger(__name__)

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
OVERALL: Final = ""

LIVE: Final = "midstream.live"
"""Serves for as long as this process answers, draining or not: what asks for it wants to know whether to kill the process, and no
dependency that is away comes back by that."""

REASON_KEY: Final = "x-midstream-reason"
"""Trailing metadata of Check: why a service does not serve. `grpc.health.v1` has no place for it."""

_ON_THIS_MACHINE: Final = (
    "ipv4:127.",
    "ipv6:[::1]",
    "ipv6:%5B::1%5D",
    "ipv6:[::ffff:127.",
    "ipv6:%5B::ffff:127.",
    "unix:",
)
"""Who is told reasons: health is open to everybody who reaches the port, and reasons name what is behind it."""
_REASON_CHARACTERS: Final = 512
_ALIVE: Final = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class _HealthServicer(health_aio.HealthServicer):  # type: ignore[misc]
    """The package's own, with the method that its descriptor promises and it lacks, with reasons, and with what is always so."""

    def __init__(self, reason: Callable[[str], str]) -> None:
        super().__init__()
        self._reason = reason

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Answer how a service is, and to callers on this machine why it does not serve."""
        if request.service == LIVE:
            return _ALIVE
        answer = await super().Check(request, context)
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        reason = "" if serving or not context.peer().startswith(_ON_THIS_MACHINE) else self._reason(request.service)
        if reason:
            context.set_trailing_metadata((*(context.trailing_metadata() or ()), (REASON_KEY, _header(reason))))
        return answer

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Answer how a service is, again whenever that changes."""
        if request.service != LIVE:
            await super().Watch(request, context)
            return
        await context.write(_ALIVE)
        # It never changes: the connection says when it is over.
        await asyncio.Event().wait()

    async def List(self, request: health_pb2.HealthListRequest, context: Context) -> health_pb2.HealthListResponse:
        """Answer how every service is. All of them fit: a process has a handful."""
        statuses = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._server_status.items()}
        return health_pb2.HealthListResponse(statuses={**statuses, LIVE: _ALIVE})


class HealthBoard:
    """One line per service: serving or not, and why not. Used from the event loop only.

    The overall service "" serves while all others do; a process without services of its own sets it directly.
    `set` takes effect for callers at the next turn of the loop.
    """

    def __init__(self, services: Sequence[str], metrics: Metrics | None = None) -> None:
        self._serving = dict.fromkeys(services or (OVERALL,), True)
        self._reasons: dict[str, str] = {}
        self._metrics = metrics
        self._servicer = _HealthServicer(self.reason)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._began: set[str] = set()
        """Services that have served once."""

    def register(self, server: grpc.aio.Server) -> None:
        """Add `grpc.health.v1.Health` to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def set(self, service: str, serving: bool, reason: str = "") -> None:
        """Say how a service is; the same again costs nothing. While draining everything stays NOT_SERVING."""
        if service not in self._serving:
            raise KeyError(f"{service!r} is not a service of this process: {sorted(self._serving)}")
        if self._serving[service] != serving or (not serving and self._reasons.get(service) != reason):
            if self._serving[service] != serving:
                logger.log(
                    # What begins and ends in order is no news for who watches over warnings.
                    logging.WARNING if service in self._began and not serving and not self._draining else logging.INFO,
                    "health changed",
                    extra=fields(grpc_service=service, serving=serving, reason=reason or None),
                )
            if serving:
                self._began.add(service)
            self._serving[service] = serving
            self._reasons[service] = "" if serving else reason
            self._changed.set()

    def serving(self, service: str = OVERALL) -> bool:
        """Tell whether a service (or, by default, all of them) serves."""
        if self._draining:
            return False
        return all(self._serving.values()) if service == OVERALL else self._serving[service]

    def reason(self, service: str = OVERALL) -> str:
        """Return why a service (or, by default, one of them) does not serve; empty when it does."""
        if self._draining:
            return "shutting down"
        if service == OVERALL and OVERALL not in self._serving:
            return "; ".join(reason for reason in self._reasons.values() if reason)
        return self._reasons.get(service, "")

    async def start(self) -> None:
        """Publish the first state and follow changes."""
        await self._publish()
        self._task = asyncio.create_task(self._follow(), name="health-board")

    async def drain(self) -> None:
        """Answer NOT_SERVING for everything, for good."""
        self._draining = True
        if self._task is not None:
            self._task.cancel()
        # A watcher that does not read must not hold up the shutdown.
        try:
            await asyncio.wait_for(self._servicer.enter_graceful_shutdown(), 1.0)
        except TimeoutError:
            logger.warning("health watcher does not read: it is not told about the shutdown")
        self._measure()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._publish()

    async def _publish(self) -> None:
        for service, serving in {**self._serving, OVERALL: all(self._serving.values())}.items():
            status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
            await self._servicer.set(service, status)
        self._measure()

    def _measure(self) -> None:
        if self._metrics is not None:
            self._metrics.set("midstream_serving", float(self.serving()))


def _header(reason: str) -> str:
    """Return a reason as metadata may hold it: one line of ASCII, not long."""
    line = " ".join(reason.split()).encode("ascii", "backslashreplace").decode()
    return "".join(character for character in line if character.isprintable())[:_REASON_CHARACTERS]


def reason_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Return the reason in the trailing metadata of a Check; empty where none is told."""
    return next((str(value) for key, value in metadata or () if key == REASON_KEY), "")

"""The control server: journals what operators ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import redis

from protos.control.v1.control_pb2_grpc import add_ControlServiceServicer_to_server
from services.control.config import ControlSettings
from services.control.journal import ControlJournal
from services.control.servicer import ControlServicer
from services.control.sessions import SessionReports
from services.runtime.clock import SystemClock
from services.runtime.connection import connect_async, redacted
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load
from services.runtime.tasks import end_task
from services.runtime.unreadable import Unreadable

PROBE_S = 0.5
PING_S = 2.0
"""A Redis that is stopped takes connections and says nothing."""
"""How often Redis is asked whether it is there; the answer decides NOT_SERVING."""


class ControlServer(Service):
    """Wires the journal to the servicer."""

    names: Sequence[str] = ("midstream.control.v1.ControlService",)

    def __init__(self, settings: ControlSettings) -> None:
        self._client = connect_async(settings.redis_url, client_name="midstream-control")
        journal = ControlJournal(
            self._client,
            clock=SystemClock(),
            archive_directory=settings.out / "journal",
            unreadable=Unreadable(process_metrics()),
        )
        reports = SessionReports(journal, default_session=settings.session, redis_url=redacted(settings.redis_url))
        self._servicer = ControlServicer(journal, reports, default_session=settings.session)
        self._probe: asyncio.Task[None] | None = None

    def register(self, server: grpc.aio.Server) -> None:
        add_ControlServiceServicer_to_server(self._servicer, server)

    async def start(self, health: HealthBoard) -> None:
        health.set(self.names[0], False, "Redis has not answered yet")
        self._probe = asyncio.create_task(self._watch_redis(health))

    async def run(self) -> int:
        await asyncio.Event().wait()
        return 0

    async def stop(self) -> None:
        await end_task(self._probe)
        await self._client.aclose()

    async def _watch_redis(self, health: HealthBoard) -> None:
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._client.ping()
            # A timeout is an OSError, too.
            except (redis.RedisError, OSError) as exc:
                health.set(self.names[0], False, f"Redis does not answer: {type(exc).__name__}")
            else:
                health.set(self.names[0], True)
            await asyncio.sleep(PROBE_S)


def main() -> int:
    settings = load(ControlSettings)
    return run_server("control", settings, ControlServer(settings))

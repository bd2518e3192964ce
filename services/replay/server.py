"""The replay server: serves what its engines publish, one for the session of the environment and one for each that was created."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import cached_property

import grpc

from services.replay.allowed_files import AllowedFiles
from services.replay.config import ReplaySettings, listed
from services.replay.created_sessions import CreatedSessions, Limits
from services.replay.metrics import CREATED_FIGURES, FAILED, REPLAY_FIGURES
from services.replay.servicer import ReplayServicer
from services.replay.session_queue import SessionQueue
from services.replay.session_requests import SessionRequests, environment_definition
from services.replay.sessions import Sessions
from services.runtime.connection import connect_async
from services.runtime.engine_host import EngineHost
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.definitions import Definitions
from services.runtime.session_figures import SessionFigures
from services.runtime.settings import load

ENGINE = "services.replay.engine"


class ReplayServer(Service):
    """Serves what the engines publish. Only the engine of its own session decides whether it is healthy."""

    names: Sequence[str] = ("midstream.replay.v1.ReplayService",)
    listing_methods = ("/midstream.replay.v1.ReplayService/StreamTicks",)

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._client = connect_async(settings.redis_url, client_name="midstream-replay-server")
        self._requests = SessionRequests(
            AllowedFiles(settings.data_directories()), sinks=tuple(listed(settings.sinks)), pace=settings.pace()
        )
        self._sessions = Sessions(
            self._client,
            default_session=settings.session,
            default_definition=lambda: self._own_definition,
            failure=lambda session: self._created.failure(session),
        )
        self._created = CreatedSessions(
            Definitions(self._client),
            SessionQueue(self._client),
            make_host=self._host_of,
            limits=Limits(sessions_max=settings.sessions_max, idle_s=settings.session_idle_s),
            subscribed=lambda: self._sessions.streamed.names,
            end_streams=self._sessions.streamed.end,
            monotonic_s=time.monotonic,
            own_session=settings.session,
        )
        metrics = process_metrics()
        self._figures = SessionFigures(metrics, CREATED_FIGURES, running=lambda: self._created.running)
        metrics.measured(FAILED).follow(lambda: {(name,): float(failed) for name, failed in self._created.ours.items()})
        self._servicer = ReplayServicer(
            self._sessions,
            default_session=settings.session,
            metrics=metrics,
            created=self._created,
            requests=self._requests,
        )
        self._engine = EngineHost(
            ENGINE, settings.engine_config(), metrics=metrics, figures=REPLAY_FIGURES, on_trouble=self._show_health
        )
        self._health: HealthBoard | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        await self._engine.start()
        self._created.start()

    async def run(self) -> int:
        return await self._engine.run()

    async def stop(self) -> None:
        await asyncio.gather(self._engine.stop(), self._created.stop())
        await self._sessions.close()
        await self._client.aclose()

    @cached_property
    def _own_definition(self) -> SessionDefinition:
        return environment_definition(self._settings.engine_config())

    def _host_of(self, session: str, definition: SessionDefinition, on_trouble: Callable[[str], None]) -> EngineHost:
        """Return the engine of a created session, not started. Raises a MidstreamError where it is not allowed here (any more)."""
        return EngineHost(
            ENGINE,
            self._settings.created_config(session, definition, self._requests.check(definition)),
            metrics=self._figures.of(session),
            figures=REPLAY_FIGURES,
            on_trouble=on_trouble,
        )

    def _show_health(self, trouble: str) -> None:
        if self._health is not None:
            self._health.set(self.names[0], not trouble, trouble)


def main() -> int:
    settings = load(ReplaySettings)
    return run_server("replay", settings, ReplayServer(settings))

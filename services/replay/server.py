"""The replay server: serves what its engine publishes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc

from services.replay.config import ReplaySettings
from services.replay.servicer import ReplayServicer
from services.replay.sessions import Sessions
from services.runtime.connection import connect_async
from services.runtime.engine_process import EngineProcess
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load

ENGINE_STOP_S = 4.0
"""Time the engine gets to drain; below the grace period that supervisors give a server."""


class ReplayServer(Service):
    """Serves what the engine publishes. The engine runs in a child process, so that serving never disturbs its pace."""

    names: Sequence[str] = ("midstream.replay.v1.ReplayService",)

    def __init__(self, settings: ReplaySettings) -> None:
        self._client = connect_async(settings.redis_url, client_name="midstream-replay-server")
        self._sessions = Sessions(self._client, default_session=settings.session)
        self._metrics = process_metrics()
        self._servicer = ReplayServicer(self._sessions, default_session=settings.session, metrics=self._metrics)
        self._settings = settings
        self._engine: EngineProcess | None = None
        self._health: HealthBoard | None = None
        self._engine_pid = 0
        self._engine_starts = 0

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        self._show_health("the engine is starting")
        self._engine = EngineProcess(
            "services.replay.engine", self._settings.engine_config(), on_report=self._on_report
        )
        await self._engine.start()

    async def run(self) -> int:
        assert self._engine is not None  # start() came first
        return await self._engine.run()

    async def stop(self) -> None:
        if self._engine is not None:
            await self._engine.stop(ENGINE_STOP_S)
        await self._sessions.close()
        await self._client.aclose()

    def _on_report(self, report: dict[str, Any]) -> None:
        match report["event"]:
            case "started":
                self._engine_pid = int(report["pid"])
                self._engine_starts += 1
                if self._engine_starts > 1:
                    self._metrics.add("midstream_engine_restarts_total")
            case "ready":
                self._show_health("")
            case "unavailable":
                self._show_health(str(report["message"]))
            case "exited":
                self._show_health(f"the engine ended with code {report['code']}")
            case "progress" | "figures":
                self._metrics.take(report["figures"], origin=str(self._engine_pid))

    def _show_health(self, trouble: str) -> None:
        if self._health is not None:
            self._health.set(self.names[0], not trouble, trouble)


def main() -> int:
    settings = load(ReplaySettings)
    return run_server("replay", settings, ReplayServer(settings))

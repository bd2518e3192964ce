"""Start the replay server: `python -m services.replay`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import grpc

from services.replay.config import ReplaySettings
from services.replay.servicer import ReplayServicer
from services.replay.sessions import Sessions
from services.runtime.connection import connect_async
from services.runtime.engine_process import EngineProcess
from services.runtime.server import HealthBoard, run_server
from services.runtime.settings import load

ENGINE_STOP_S = 4.0
"""Time the engine gets to drain; below the grace period that supervisors give a server."""


class ReplayServer:
    """Serves what the engine publishes. The engine runs in a child process, so that serving never disturbs its pace."""

    names: Sequence[str] = ("midstream.replay.v1.ReplayService",)

    def __init__(self, settings: ReplaySettings) -> None:
        self._client = connect_async(settings.redis_url, client_name="midstream-replay-server")
        self._sessions = Sessions(self._client, default_session=settings.session)
        self._servicer = ReplayServicer(self._sessions, default_session=settings.session)
        self._engine = EngineProcess("services.replay.engine", settings.engine_config(), on_report=self._on_report)
        self._health: HealthBoard | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        health.set(self.names[0], False, "the engine is starting")
        await self._engine.start()

    async def run(self) -> int:
        return await self._engine.run()

    async def stop(self) -> None:
        await self._engine.stop(ENGINE_STOP_S)
        await self._sessions.close()
        await self._client.aclose()

    def _on_report(self, report: dict[str, Any]) -> None:
        if self._health is None:
            return
        match report.get("event"):
            case "ready":
                self._health.set(self.names[0], True)
            case "unavailable":
                self._health.set(self.names[0], False, str(report.get("message", "")))
            case "exited":
                self._health.set(self.names[0], False, "the engine stopped")
            case _:
                pass


def main() -> int:
    settings = load(ReplaySettings)
    return run_server("replay", settings, ReplayServer(settings))


if __name__ == "__main__":
    sys.exit(main())

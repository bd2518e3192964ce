"""The replay server: serves what its engine publishes."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from services.replay.config import ReplaySettings
from services.replay.metrics import REPLAY_FIGURES
from services.replay.servicer import ReplayServicer
from services.replay.sessions import Sessions
from services.runtime.connection import connect_async
from services.runtime.engine_host import EngineHost
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load


class ReplayServer(Service):
    """Serves what the engine publishes."""

    names: Sequence[str] = ("midstream.replay.v1.ReplayService",)
    listing_methods = ("/midstream.replay.v1.ReplayService/StreamTicks",)

    def __init__(self, settings: ReplaySettings) -> None:
        self._client = connect_async(settings.redis_url, client_name="midstream-replay-server")
        self._sessions = Sessions(self._client, default_session=settings.session)
        metrics = process_metrics()
        self._servicer = ReplayServicer(self._sessions, default_session=settings.session, metrics=metrics)
        self._engine = EngineHost(
            "services.replay.engine",
            settings.engine_config(),
            metrics=metrics,
            figures=REPLAY_FIGURES,
            on_trouble=self._show_health,
        )
        self._health: HealthBoard | None = None

    def register(self, server: grpc.aio.Server) -> None:
        self._servicer.add_to(server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        await self._engine.start()

    async def run(self) -> int:
        return await self._engine.run()

    async def stop(self) -> None:
        await self._engine.stop()
        await self._sessions.close()
        await self._client.aclose()

    def _show_health(self, trouble: str) -> None:
        if self._health is not None:
            self._health.set(self.names[0], not trouble, trouble)


def main() -> int:
    settings = load(ReplaySettings)
    return run_server("replay", settings, ReplayServer(settings))

"""The reporting server: gRPC and the dashboard in one process, over one reader of the database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import grpc

from clients.database import DatabaseRefused, open_database
from clients.power.store import wait_for_power_database
from protos.reporting.v1.reporting_pb2_grpc import add_ReportingServiceServicer_to_server
from services.reporting.config import ReportingSettings
from services.reporting.engine.deals import DealReader
from services.reporting.engine.history import HistoryReader
from services.reporting.engine.read_model import ReadModel
from services.reporting.engine.snapshot import SnapshotReader
from services.reporting.measures import Measures
from services.reporting.servicer import ReportingServicer
from services.reporting.web.app import ROUTES, Dashboard, dashboard
from services.runtime.access.build import Access
from services.runtime.descriptors import descriptor_budget
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields
from services.runtime.server import HealthBoard, Service, process_metrics, process_ssl_context, run_server
from services.runtime.settings import load
from services.runtime.tasks import end_task, until_one_ends
from services.runtime.web import WebFace, WebLimits

__all__ = ["ReportingServer", "main"]

logger = logging.getLogger(__name__)

MEASURE_S: Final = 0.5
WEB_SETTING: Final = "MIDSTREAM_REPORTING_WEB_PORT"


class ReportingServer(Service):
    """Wires the read model to the servicer and the dashboard."""

    names: Sequence[str] = ("midstream.reporting.v1.ReportingService",)

    def __init__(self, settings: ReportingSettings) -> None:
        self._engine = open_database(settings.database_url, application="reporting")
        self._reader = SnapshotReader(self._engine, wall_ns=time.time_ns)
        self._measures = Measures(process_metrics(), wall_ns=time.time_ns)
        self._model = ReadModel(
            self._reader,
            wall_ns=time.time_ns,
            monotonic_ns=time.monotonic_ns,
            sleep=asyncio.sleep,
            lead_ns=round(settings.gate_lead_s * 1e9),
            limits=settings.limits(),
            on_arrivals=self._measures.arrived,
            on_health=self._set_health,
        )
        deals = DealReader(self._engine)
        history = HistoryReader(self._engine)
        self._servicer = ReportingServicer(self._model, deals, history)
        self._settings = settings
        self._app: Dashboard | None = None
        self._face: WebFace | None = None
        self._deals = deals
        self._history = history
        self._health: HealthBoard | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def use_access(self, access: Access) -> None:
        settings = self._settings
        self._app = dashboard(
            self._model,
            self._deals,
            self._history,
            access=access.http,
            hosts=settings.web_hosts,
            bound_host=settings.host,
            heartbeat_s=settings.web_heartbeat_s,
            wall_ns=time.time_ns,
        )
        self._face = WebFace(
            self._app,
            host=settings.host,
            port=settings.web_port,
            setting=WEB_SETTING,
            tls=process_ssl_context(settings),
            limits=WebLimits.of(settings, descriptor_budget().web),
            metrics=process_metrics(),
            routes=ROUTES,
            # The page says itself, as a page, that it does not answer under a name.
            hosts=None,
        )

    def register(self, server: grpc.aio.Server) -> None:
        add_ReportingServiceServicer_to_server(self._servicer, server)

    async def start(self, health: HealthBoard) -> None:
        self._health = health
        health.set(self.names[0], False, "the database has not answered yet")
        for task in (self._follow(), self._measure()):
            self._tasks.append(asyncio.create_task(task))
        assert self._face is not None
        self.web_port = await self._face.start()
        logger.info("dashboard serves", extra=fields(port=self.web_port))

    async def run(self) -> int:
        """Return only when following the database has failed for a reason of our own."""
        await until_one_ends(self._tasks)
        return 1

    async def stop(self) -> None:
        self._model.close()
        if self._face is not None:
            await self._face.stop()
        for task in self._tasks:
            await end_task(task)
        await self._engine.dispose()

    async def _follow(self) -> None:
        # Whoever of listener, price process and this server comes first makes the tables.
        try:
            await wait_for_power_database(
                self._engine, sleep=asyncio.sleep, on_away=lambda reason: self._set_health(False, reason)
            )
        except DatabaseRefused as exc:
            raise StartRefused(f"MIDSTREAM_DATABASE_URL: {exc}") from exc
        await self._model.run()

    async def _measure(self) -> None:
        while True:
            if stalled := self._model.stalled():
                self._set_health(False, stalled)
            self._measures.take(
                self._model.view, reads=self._reader.reads, pages=0 if self._app is None else self._app.pages_open
            )
            await asyncio.sleep(MEASURE_S)

    def _set_health(self, serving: bool, reason: str) -> None:
        if self._health is not None:
            self._health.set(self.names[0], serving, reason)


def main() -> int:
    settings = load(ReportingSettings)
    return run_server("reporting", settings, ReportingServer(settings))

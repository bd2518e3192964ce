"""The health server: one report about everything that a running Midstream needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from clients.rpc.channel import UnusableChannel
from protos.health.v1 import health_pb2 as pb
from protos.health.v1.health_pb2_grpc import HealthServiceServicer, add_HealthServiceServicer_to_server
from services.health.check_runner import CheckRunner
from services.health.checks import Check, ServerCheck, exposure_check, feed_check, queue_check, redis_check
from services.health.config import HealthSettings
from services.health.elsewhere import ElsewhereCheck, channel_settings
from services.health.exchanges import exchanges_check
from services.health.lag import GroupActivity
from services.health.metrics import HealthMetrics
from services.runtime.clock import SystemClock
from services.runtime.connection import connect_async
from services.runtime.down_file import DownFile
from services.runtime.errors import StartRefused
from services.runtime.exposure import insecure_reason
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load
from services.runtime.tasks import end_task

Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(HealthServiceServicer):
    """Answers from the runner."""

    def __init__(self, runner: CheckRunner) -> None:
        self._runner = runner

    async def GetReport(self, request: pb.GetReportRequest, context: Context) -> pb.GetReportResponse:
        return pb.GetReportResponse(report=self._runner.report())

    async def WatchReport(
        self, request: pb.WatchReportRequest, context: Context
    ) -> AsyncIterator[pb.WatchReportResponse]:
        while True:
            changed = self._runner.changed
            yield pb.WatchReportResponse(report=self._runner.report())
            await changed.wait()


class HealthServer(Service):
    """Wires the checks to the servicer. It serves whatever its dependencies do: telling that they are gone is its purpose."""

    names: Sequence[str] = ("midstream.health.v1.HealthService",)

    def __init__(self, settings: HealthSettings) -> None:
        self._client = connect_async(settings.redis_url, client_name="midstream-health")
        clock = SystemClock()
        down = DownFile(settings.out)
        self._elsewhere = settings.elsewhere()
        self._channel = channel_settings(settings)
        here: dict[str, ServerCheck | ElsewhereCheck] = {
            name: ServerCheck(address, why_down=lambda name=name: down.read().get(name, ""))  # type: ignore[misc]
            for name, address in settings.targets().items()
        }
        self._servers = here | {
            name: ElsewhereCheck(address, self._channel, timeout_s=settings.check_timeout_s)
            for name, address in self._elsewhere.items()
        }
        checks: dict[str, Check] = {**self._servers}
        if reason := insecure_reason(settings):
            checks["exposure"] = exposure_check(reason)
        checks["redis"] = redis_check(self._client)
        metrics = HealthMetrics(process_metrics())
        checks["feed"] = feed_check(self._client, clock, own_session=settings.session, metrics=metrics)
        checks["queue"] = queue_check(
            self._client, GroupActivity(clock, lease_s=settings.group_lease_s), metrics, lag_s_max=settings.lag_s_max
        )
        checks["exchanges"] = exchanges_check(self._client, clock)
        self._runner = CheckRunner(
            checks,
            clock=clock,
            interval_s=settings.check_interval_s,
            timeout_s=settings.check_timeout_s,
            metrics=metrics,
        )
        self._task: asyncio.Task[None] | None = None

    def register(self, server: grpc.aio.Server) -> None:
        add_HealthServiceServicer_to_server(HealthServicer(self._runner), server)

    async def start(self, health: HealthBoard) -> None:
        for address in self._elsewhere.values():
            try:
                self._channel.check(address)
            except UnusableChannel as exc:
                raise StartRefused(str(exc)) from exc
        self._task = asyncio.create_task(self._runner.run())
        health.set(self.names[0], True)

    async def run(self) -> int:
        assert self._task is not None  # start() came first
        await self._task
        return 0

    async def stop(self) -> None:
        await end_task(self._task)
        for check in self._servers.values():
            await check.close()
        await self._client.aclose()


def main() -> int:
    settings = load(HealthSettings)
    return run_server("health", settings, HealthServer(settings))

"""The reference-price process: wires provider, quota, database and poller; has health and metrics and no calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

import grpc

from clients.database import DatabaseRefused, open_database
from clients.http import Http11Transport
from clients.power.reference import ReferencePriceClient, classify
from clients.power.store import wait_for_power_database
from clients.resilience.breaker_config import BreakerConfig
from clients.resilience.bulkhead import BulkheadConfig
from clients.resilience.errors import ResilienceError
from clients.resilience.executor import Policies, PolicyExecutor
from clients.resilience.quota import LedgerUnavailable, Quota
from clients.resilience.retry import RetryPolicy
from services.power.etl.config import EtlSettings
from services.power.etl.poller import UNDER_WAY_MAX, Poller
from services.power.etl.quota_ledger import SqlQuotaLedger
from services.power.etl.quota_limiter import QuotaLimiter
from services.power.etl.store import ReferenceStore
from services.power.figures import REFERENCE_FIGURES
from services.runtime.errors import StartRefused
from services.runtime.health import OVERALL
from services.runtime.metrics import Metrics
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load
from services.runtime.stalls import Stalls
from services.runtime.tasks import end_task, until_one_ends

__all__ = ["POLICIES", "EtlServer", "main"]

logger = logging.getLogger(__name__)

MEASURE_S: Final = 1.0
ATTEMPT_TIMEOUT_S: Final = 10.0

POLICIES: Final = Policies(
    # The planner asks again by itself: a second attempt only bridges a hiccup.
    retry=RetryPolicy(attempts_max=2, attempt_timeout_s=ATTEMPT_TIMEOUT_S, breaker_waits_max=0),
    # Short openings: while a publication is due, every second counts, and one probe per opening is no burden.
    breaker=BreakerConfig(window_calls=20, calls_min=5, open_s=2.0, open_s_max=10.0, probe_lease_s=15.0),
    bulkhead=BulkheadConfig(concurrent_max=UNDER_WAY_MAX, waiting_max=UNDER_WAY_MAX),
)


class EtlServer(Service):
    """The service of the process."""

    names: Sequence[str] = ()

    def __init__(self, settings: EtlSettings) -> None:
        self._engine = open_database(settings.database_url, application="power-etl")
        self._transport = Http11Transport()
        # A request may reach the provider until its attempt times out, and what a network may hold back after that.
        self._quota = Quota(
            SqlQuotaLedger(self._engine, quota="reference-price"), arrival_bound_s=ATTEMPT_TIMEOUT_S + 10.0
        )
        self._limiter = QuotaLimiter(self._quota)
        executor = PolicyExecutor(classify, policies=POLICIES, limiter=self._limiter)
        client = ReferencePriceClient(settings.reference_url, self._transport, executor)
        self._poller = Poller(
            client,
            ReferenceStore(self._engine),
            wall_ns=time.time_ns,
            sleep=asyncio.sleep,
            lead_ns=round(settings.gate_lead_s * 1e9),
        )
        self._metrics = process_metrics()
        self._metrics.declare(REFERENCE_FIGURES)
        self._ready = False
        self._stalls = Stalls()
        self._tasks: list[asyncio.Task[None]] = []

    def register(self, server: grpc.aio.Server) -> None:
        """There is nothing to call here."""

    async def start(self, health: HealthBoard) -> None:
        health.set(OVERALL, False, "the database has not answered yet")
        for work in (self._work(health), self._measure(self._metrics, health), self._measure_quotas(self._metrics)):
            self._tasks.append(asyncio.create_task(work))

    async def run(self) -> int:
        await until_one_ends(self._tasks)
        return 1

    async def stop(self) -> None:
        for task in self._tasks:
            await end_task(task)
        await self._poller.stop()
        await self._transport.aclose()
        await self._engine.dispose()

    async def _work(self, health: HealthBoard) -> None:
        try:
            await wait_for_power_database(
                self._engine, sleep=asyncio.sleep, on_away=lambda reason: health.set(OVERALL, False, reason)
            )
        except DatabaseRefused as exc:
            raise StartRefused(f"MIDSTREAM_DATABASE_URL: {exc}") from exc
        self._ready = True
        await self._poller.run()

    async def _measure(self, metrics: Metrics, health: HealthBoard) -> None:
        before = (0, 0, 0, 0)
        while True:
            stats = self._poller.stats
            now = (stats.requests, stats.failures, stats.stored, self._limiter.throttled)
            names = ("requests", "failures", "observations", "throttled")
            for name, total, known in zip(names, now, before, strict=True):
                metrics.add(f"midstream_reference_{name}_total", total - known)
            before = now
            if self._ready:
                trouble = self._poller.trouble or self._stalls.trouble()
                health.set(OVERALL, not trouble, trouble)
            metrics.set("midstream_reference_polling", float(stats.polling))
            metrics.set("midstream_reference_late", float(stats.late))
            if stats.freshness_ns:
                metrics.set("midstream_reference_freshness_seconds", stats.freshness_ns / 1e9)
            await asyncio.sleep(MEASURE_S)

    async def _measure_quotas(self, metrics: Metrics) -> None:
        """Apart from the rest: a database that stands still must not keep this process from saying so."""
        while True:
            if self._ready:
                with self._stalls.during("the database"):
                    await self._measure_quota(metrics)
            await asyncio.sleep(MEASURE_S)

    async def _measure_quota(self, metrics: Metrics) -> None:
        try:
            minute, hour = await self._quota.usage()
        except (LedgerUnavailable, ResilienceError):
            logger.debug("quota not readable")
        else:
            metrics.set("midstream_reference_quota_used_minute", minute.used)
            metrics.set("midstream_reference_quota_used_hour", hour.used)


def main() -> int:
    settings = load(EtlSettings)
    return run_server("power-etl", settings, EtlServer(settings))

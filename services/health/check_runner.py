"""Runs the checks on a schedule and keeps their last results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis

from protos.health.v1.health_pb2 import (
    STATUS_DOWN,
    STATUS_OK,
    STATUS_UNSPECIFIED,
    ExchangeHealth,
    QueueLag,
    Report,
    SinkLag,
    Status,
)
from protos.health.v1.health_pb2 import Check as CheckMessage
from services.health.checks import Check, Finding
from services.health.metrics import HealthMetrics
from services.runtime.clock import Clock
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)


@dataclass
class Result:
    """Last result of one check."""

    status: Status = STATUS_UNSPECIFIED
    detail: str = "not checked yet"
    last_error: str = ""
    checked_ns: int = 0
    duration_ns: int = 0
    queues: tuple[QueueLag, ...] = ()
    exchanges: tuple[ExchangeHealth, ...] = ()
    sinks: tuple[SinkLag, ...] = ()


def _whole(statuses: Sequence[Status]) -> Status:
    """The worst of all; but nothing is well as long as something has not been looked at."""
    worst = max(statuses, default=STATUS_UNSPECIFIED)
    return STATUS_UNSPECIFIED if worst == STATUS_OK and STATUS_UNSPECIFIED in statuses else worst


class CheckRunner:
    """The checks and their results. Reading a report never runs a check."""

    def __init__(
        self,
        checks: Mapping[str, Check],
        *,
        clock: Clock,
        interval_s: float,
        timeout_s: float,
        metrics: HealthMetrics | None = None,
    ) -> None:
        self._checks = checks
        self._clock = clock
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._results = {name: Result(checked_ns=clock.monotonic_ns()) for name in checks}
        self._changed = asyncio.Event()
        if metrics is not None:
            metrics.checks(self.statuses)

    def statuses(self) -> dict[str, tuple[Status, float]]:
        """Return by check what it found last, and for how many seconds that has been known."""
        now_ns = self._clock.monotonic_ns()
        return {name: (result.status, (now_ns - result.checked_ns) / 1e9) for name, result in self._results.items()}

    async def run(self) -> None:
        """Check everything, each on its own, for ever."""
        await asyncio.gather(*(self._repeat(name, check) for name, check in self._checks.items()))

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change of a status. Take it before the report, so that no change falls between the two."""
        return self._changed

    def report(self) -> Report:
        """Put the last results together; the whole is as bad as the worst of them."""
        now_ns = self._clock.monotonic_ns()
        checks = [
            CheckMessage(
                name=name,
                status=result.status,
                detail=result.detail,
                last_error=result.last_error,
                age_ms=(now_ns - result.checked_ns) // 1_000_000,
                duration_us=result.duration_ns // 1000,
            )
            for name, result in self._results.items()
        ]
        return Report(
            status=_whole([check.status for check in checks]),
            checks=checks,
            queues=[queue for result in self._results.values() for queue in result.queues],
            exchanges=[exchange for result in self._results.values() for exchange in result.exchanges],
            sinks=[sink for result in self._results.values() for sink in result.sinks],
            report_time_ns=self._clock.time_ns(),
        )

    async def _repeat(self, name: str, check: Check) -> None:
        while True:
            await self.check_once(name, check)
            await asyncio.sleep(self._interval_s)

    async def check_once(self, name: str, check: Check) -> None:
        """Run one check now, bounded in time, and keep its result."""
        result = self._results[name]
        started_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.timeout(self._timeout_s):
                finding = await check()
        except TimeoutError:
            finding = Finding(STATUS_DOWN, f"no answer within {self._timeout_s:g} s")
        except (redis.ConnectionError, redis.TimeoutError) as exc:
            finding = Finding(STATUS_DOWN, f"Redis does not answer ({type(exc).__name__})")
        except Exception as exc:  # everything: a check may fail in any way, and that is what the report is for
            if result.status != STATUS_DOWN:
                logger.exception("check failed", extra=fields(name=name))
            finding = Finding(STATUS_DOWN, f"the check itself failed ({type(exc).__name__})")
        before = result.status
        result.status, result.detail = finding.status, finding.detail
        result.queues, result.exchanges, result.sinks = finding.queues, finding.exchanges, finding.sinks
        result.checked_ns = self._clock.monotonic_ns()
        result.duration_ns = result.checked_ns - started_ns
        if finding.status == STATUS_DOWN:
            result.last_error = finding.detail
        if before != finding.status:
            logger.log(
                # What was never seen well is still starting.
                logging.WARNING if STATUS_UNSPECIFIED < before < finding.status else logging.INFO,
                "check changed",
                extra=fields(
                    check=name, status=Status.Name(finding.status).removeprefix("STATUS_"), detail=finding.detail
                ),
            )
            self._changed.set()
            self._changed = asyncio.Event()

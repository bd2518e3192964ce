"""Read the user stream of one exchange into the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from clients.exchanges.trading import OrderReport, StreamGap
from services.orders.domain import Cause
from services.orders.engine.intake import ReportIntake
from services.orders.ports import Ports
from services.orders.reconciliation.freshness import FreshnessTracker
from services.orders.venues import Venue
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""Statements being journalled at the same time, so that they share commits; more wait, and with them the stream."""
AGAIN_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)


class StreamListener:
    """Reads on for ever. A gap asks for a reconciliation, because whatever happened in it is not going to be said again."""

    def __init__(
        self,
        venue: Venue,
        intake: ReportIntake,
        freshness: FreshnessTracker,
        ports: Ports,
        *,
        on_gap: Callable[[], None],
    ) -> None:
        self._venue = venue
        self._intake = intake
        self._freshness = freshness
        self._ports = ports
        self._on_gap = on_gap
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Read until cancelled."""
        failures = 0
        while True:
            try:
                async for event in self._venue.trading.user_events():
                    failures = 0
                    await self._take(event)
                problem = "the user stream ended"
            except Exception as exc:  # noqa: BLE001  nothing that a stream brings may end the reading of it
                problem = f"the user stream failed: {type(exc).__name__}"
                logger.warning("user stream failed", extra=fields(exchange=self._venue.exchange, error=repr(exc)))
            self._freshness.silent(self._venue.exchange, problem)
            await self._ports.sleep(AGAIN_S[min(failures, len(AGAIN_S) - 1)])
            failures += 1

    async def _take(self, event: OrderReport | StreamGap) -> None:
        exchange = self._venue.exchange
        if isinstance(event, StreamGap):
            self._freshness.gap(exchange)
            self._on_gap()
            return
        self._freshness.heard(exchange)
        await self._room.acquire()
        task = asyncio.create_task(self._keep(event))
        self._tasks.add(task)
        task.add_done_callback(self._kept)

    def _kept(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _keep(self, report: OrderReport) -> None:
        try:
            await self._intake.take(report, Cause.STREAM)
        except Exception:  # everything: one statement that cannot be kept is asked for again by the next reconciliation
            logger.exception(
                "statement could not be kept", extra=fields(exchange=report.exchange, symbol=report.symbol)
            )
            self._on_gap()

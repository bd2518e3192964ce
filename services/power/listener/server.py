"""The deals listener inside the scaffold of servers: health, metrics, orderly start and end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import grpc

from clients.database import DatabaseRefused, DatabaseUnavailable, open_database
from clients.http import Http11Transport
from clients.sockets import SocketState
from services.power.figures import DEAL_FIGURES
from services.power.listener.config import DealListenerSettings
from services.power.listener.deal_store import DealStore
from services.power.listener.listener import DealListener, ListenerOptions
from services.power.listener.spool import Spool, SpoolBusy, SpoolUnreadable
from services.power.listener.standing import StandingTeller
from services.power.listener.standing_store import StandingStore
from services.runtime.errors import StartRefused, cannot_start
from services.runtime.health import OVERALL
from services.runtime.server import HealthBoard, Service, process_metrics, run_server
from services.runtime.settings import load
from services.runtime.tasks import end_task

NAME: Final = "power-listener"
REPORT_S: Final = 0.5
"""How often health and metrics look at the listener."""
STOP_S: Final = 4.0
FIRST_LOOK_S: Final = 10.0


class ListenerServer(Service):
    """Wires the listener to socket, database and disk."""

    names: Sequence[str] = ()

    def __init__(self, settings: DealListenerSettings) -> None:
        self._settings = settings
        self._engine = open_database(settings.database_url, application=NAME)
        self._store = DealStore(self._engine)
        self._transport = Http11Transport()
        self._spool: Spool | None = None
        self._listener: DealListener | None = None
        self._listening: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._teller: StandingTeller | None = None
        self._telling: asyncio.Task[None] | None = None

    def register(self, server: grpc.aio.Server) -> None:
        """Nothing to add: health is all that it serves."""

    async def start(self, health: HealthBoard) -> None:
        health.set(OVERALL, False, "starting")
        await self._check_database()
        try:
            self._spool = await asyncio.to_thread(
                Spool, self._settings.power_spool, bytes_max=self._settings.power_spool_bytes_max
            )
        except (SpoolBusy, SpoolUnreadable) as exc:
            raise StartRefused(f"MIDSTREAM_POWER_SPOOL: {exc}") from exc
        except OSError as exc:
            raise cannot_start(
                exc,
                f"MIDSTREAM_POWER_SPOOL: {self._settings.power_spool} cannot be used ({exc.strerror}); name a directory",
            ) from exc
        options = ListenerOptions(
            self._settings.power_url,
            replay=self._settings.power_replay,
            stale_after_s=self._settings.power_stale_after_s,
        )
        self._listener = DealListener(options, self._store, self._spool, self._transport)
        self._teller = StandingTeller(
            StandingStore(self._engine),
            self._listener.stats,
            status=self._listener.status,
            trouble=self._listener.trouble,
            wall_ns=time.time_ns,
            sleep=asyncio.sleep,
        )
        self._telling = asyncio.create_task(self._teller.run(), name="deals-standing")
        self._listening = asyncio.create_task(self._listener.run(), name="deals-listener")
        self._reporting = asyncio.create_task(self._report(self._listener, health), name="deals-report")

    async def run(self) -> int:
        assert self._listening is not None
        assert self._telling is not None
        await asyncio.wait((self._listening, self._telling), return_when=asyncio.FIRST_COMPLETED)
        if not self._listening.done():
            # Telling never ends by itself: what it raises is a mistake of ours.
            self._telling.result()
        self._listening.result()
        return 0

    async def stop(self) -> None:
        if self._listener is not None and self._listening is not None:
            await self._listener.stop()
            await asyncio.wait((self._listening,), timeout=STOP_S)
        await end_task(self._listening)
        await end_task(self._reporting)
        await end_task(self._telling)
        if self._teller is not None:
            await self._teller.say_goodbye()
        if self._spool is not None:
            await asyncio.to_thread(self._spool.close)
        await self._transport.aclose()
        await self._engine.dispose()

    async def _check_database(self) -> None:
        """Refuse a database that a newer version made; one that is away now is what the spool is for."""
        try:
            with suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_S):
                    await self._store.prepare()
        except DatabaseRefused as exc:
            raise StartRefused(f"MIDSTREAM_DATABASE_URL: {exc}") from exc

    async def _report(self, listener: DealListener, health: HealthBoard) -> None:
        metrics, stats = process_metrics(), listener.stats
        metrics.declare(DEAL_FIGURES)
        while True:
            trouble = listener.trouble()
            health.set(OVERALL, not trouble, trouble)
            status = listener.status()
            metrics.take(
                {
                    "midstream_deals_total": stats.deals,
                    "midstream_deals_per_minute": stats.deals_per_minute(time.time_ns()),
                    "midstream_deals_messages_total": stats.messages,
                    "midstream_deals_unusable_total": stats.unusable,
                    "midstream_deals_duplicates_total": stats.duplicates,
                    "midstream_deals_flagged_total": stats.flagged,
                    "midstream_deals_fetched_total": stats.fetched,
                    "midstream_deals_gaps_total": stats.gaps,
                    "midstream_deals_revised_total": stats.revised,
                    "midstream_deals_commit_lag_seconds": stats.commit_lag_s,
                    "midstream_deals_waiting": stats.waiting,
                    "midstream_deals_spool_records": stats.spool_records,
                    "midstream_deals_spool_bytes": stats.spool_bytes,
                    "midstream_deals_database_outages_total": stats.outages,
                    "midstream_deals_connected": float(status is not None and status.state is SocketState.OPEN),
                    "midstream_deals_reconnects_total": 0 if status is None else max(0, status.connections - 1),
                },
                origin=NAME,
            )
            await asyncio.sleep(REPORT_S)


def main() -> int:
    """Start the listener; returns the exit code."""
    settings = load(DealListenerSettings)
    return run_server(NAME, settings, ListenerServer(settings))

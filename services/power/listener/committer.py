"""Bring entries into the database in order, over outages by way of the spool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, ParamSpec, Protocol, TypeVar

from clients.database import DatabaseUnavailable
from clients.power.deals.model import Deal, Flag
from clients.resilience.backoff import Backoff
from clients.resilience.ports import MonotonicNs, RandomSource, Sleep, WallNs
from services.power.listener.feed_entry import FeedEntry
from services.power.listener.feed_queue import FeedQueue
from services.power.listener.sink import Committed, DealSink
from services.power.listener.spool import Spool, SpoolFull
from services.power.listener.stats import ListenerStats
from services.runtime.log_fields import fields
from services.runtime.stalls import Stalls

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

BATCH: Final = 2_000
"""Entries in one transaction."""
DRAIN: Final = 4_000
"""As `BATCH`, out of the spool: more than comes in meanwhile, so that it gets empty."""
COMMIT_TIMEOUT_S: Final = 10.0
"""Longer than any ordinary commit, SQLite's wait for another writer included; after it the outcome is unknown, which does no harm."""
RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 5.0
"""An operator who has repaired the database does not want to wait for us."""
_RETRY: Final = Backoff(base_s=RETRY_MIN_S, cap_s=RETRY_MAX_S)


class Offload(Protocol):
    """Runs what blocks beside the event loop; `asyncio.to_thread` outside of tests."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]: ...


class Committer:
    """One task. Everything that the queue hands out is committed, spooled, or still held when neither is possible."""

    def __init__(
        self,
        queue: FeedQueue,
        sink: DealSink,
        spool: Spool,
        stats: ListenerStats,
        *,
        sleep: Sleep,
        monotonic_ns: MonotonicNs,
        wall_ns: WallNs,
        random: RandomSource,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._queue = queue
        self._sink = sink
        self._spool = spool
        self._stats = stats
        self._sleep = sleep
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._random = random
        self._offload = offload
        self.stalls = Stalls(monotonic_s=lambda: monotonic_ns() / 1e9)
        """What it waits for: the database, the spool's disk."""
        self._retry_at_ns = 0
        self._failures = 0
        self._measure()

    async def run(self) -> None:
        """Work until the queue is closed and empty; what is spooled then stays spooled."""
        while not self._queue.done:
            entries = await self._queue.take(BATCH, timeout_s=self._wait_s())
            if entries:
                self._stats.waiting = len(entries) + len(self._queue)
                await self._store(entries)
            if not self._spool.empty and self._monotonic_ns() >= self._retry_at_ns:
                await self._drain()
            self._measure()

    def _wait_s(self) -> float | None:
        if self._spool.empty:
            return None
        return max(0.001, (self._retry_at_ns - self._monotonic_ns()) / 1e9)

    async def _store(self, entries: Sequence[FeedEntry]) -> None:
        """Commit, or keep on disk; where both fail, hold on to the batch and read nothing more."""
        if self._spool.empty and await self._commit(entries):
            return
        while True:
            try:
                with self.stalls.during("the spool"):
                    await self._offload(self._spool.append, entries)
            except SpoolFull as exc:
                if str(exc) != self._stats.spool_trouble:
                    logger.error("spool takes no more, reading stops until there is room", extra=fields(reason=exc))
                self._stats.spool_trouble = str(exc)
            else:
                self._stats.spool_trouble = ""
                self._stats.spooled += len(entries)
                return
            await self._sleep(RETRY_MIN_S)
            # A spool that is full gets room by being drained; one that is empty makes way for the database.
            if not self._spool.empty:
                await self._drain()
            elif await self._commit(entries):
                return

    async def _drain(self) -> None:
        with self.stalls.during("the spool"):
            entries, token = await self._offload(self._spool.peek, DRAIN)
        if await self._commit(entries):
            with self.stalls.during("the spool"):
                await self._offload(self._spool.forget, len(entries), token)
            if self._spool.empty:
                logger.info("spool is empty again")

    async def _commit(self, entries: Sequence[FeedEntry]) -> bool:
        """Commit a batch; False when the database is away."""
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                with self.stalls.during("the database"):
                    committed = await self._sink.commit(entries)
        except (DatabaseUnavailable, TimeoutError) as exc:
            # Every other error is a bug and ends the listener.
            self._note_outage(str(exc) or type(exc).__name__)
            return False
        self._note_commit(entries, committed)
        return True

    def _note_outage(self, reason: str) -> None:
        if not self._stats.database_trouble:
            logger.warning("database is away, deals go to the spool", extra=fields(reason=reason))
            self._stats.outages += 1
        self._stats.database_trouble = reason
        self._failures += 1
        delay_s = self._random.uniform(RETRY_MIN_S, _RETRY.nominal_s(self._failures))
        self._retry_at_ns = self._monotonic_ns() + round(delay_s * 1e9)

    def _note_commit(self, entries: Sequence[FeedEntry], committed: Committed) -> None:
        if self._stats.database_trouble:
            logger.info("database is back", extra=fields(spooled_records=self._spool.records))
            self._stats.database_trouble = ""
        self._failures = 0
        self._retry_at_ns = 0
        stats, now_ns = self._stats, self._wall_ns()
        stats.note_deals(committed.deals, now_ns)
        stats.fetched += committed.fetched
        stats.duplicates += committed.duplicates
        stats.unusable += committed.unusable
        stats.gaps += committed.gaps
        stats.revised += committed.revised
        stats.repeated += committed.repeated
        stats.commits += 1
        deals = [entry.item for entry in entries if isinstance(entry.item, Deal)]
        stats.flagged += sum(1 for deal in deals if deal.flags)
        live = [deal.execution_time_ns for deal in deals if Flag.BACKFILLED not in deal.flags]
        if live:
            stats.commit_lag_s = (now_ns - min(live)) / 1e9

    def _measure(self) -> None:
        self._stats.waiting = len(self._queue)
        self._stats.spool_records = self._spool.records
        self._stats.spool_bytes = self._spool.bytes_waiting

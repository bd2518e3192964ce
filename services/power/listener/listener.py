"""The listener: feed, comparison with the exchange's list, and the way into the database, as one."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from clients.database import DatabaseUnavailable
from clients.http.transport import HttpTransport
from clients.power.deals.feed import DealFeed, EventSource, NextUrl, ReplayUse
from clients.power.deals.model import Deal, Item, Unusable
from clients.power.deals.replay import ReplayClient
from clients.resilience.ports import MonotonicNs, RandomSource, Sleep, WallNs, system_random
from clients.sockets import ResilientSocket, SocketPolicy, SocketStatus
from services.power.listener.committer import COMMIT_TIMEOUT_S, Committer, Offload
from services.power.listener.feed_queue import FeedQueue
from services.power.listener.reconciler import Reconciler
from services.power.listener.sink import DealSink
from services.power.listener.spool import Spool
from services.power.listener.stats import ListenerStats

__all__ = ["DealListener", "ListenerOptions"]

logger = logging.getLogger(__name__)

OpenSocket = Callable[[NextUrl], EventSource]

BUSY_ITEMS: Final = 100
QUIET_S: Final = 5.0
"""A feed that is catching up and says nothing for so long is left to the exchange's list."""
STOP_S: Final = 3.0
"""How long what has been received may take on its way to database or spool at the end."""


@dataclass(frozen=True)
class ListenerOptions:
    """Differences between feeds."""

    url: str
    replay: ReplayUse = "auto"
    stale_after_s: float = 20.0
    """Silence that is told as trouble: twice the ten seconds within which a deal is expected."""
    queue_items_max: int = 10_000
    """Deals between socket and database; then the socket is not read."""


class DealListener:
    """Runs until `stop`. Every deal that the exchange sends is in the database once, or waits in the spool, or is named by a gap."""

    def __init__(
        self,
        options: ListenerOptions,
        sink: DealSink,
        spool: Spool,
        transport: HttpTransport,
        *,
        open_socket: OpenSocket | None = None,
        run_id: str | None = None,
        sleep: Sleep = asyncio.sleep,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        wall_ns: WallNs = time.time_ns,
        random: RandomSource | None = None,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._options = options
        self._sink = sink
        self._spool = spool
        self._replay = ReplayClient(options.url, transport)
        self._open_socket: OpenSocket = open_socket or self._resilient_socket
        self._sleep = sleep
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self.stats = ListenerStats()
        self._queue = FeedQueue(run_id or secrets.token_hex(8), items_max=options.queue_items_max)
        self._committer = Committer(
            self._queue,
            sink,
            spool,
            self.stats,
            sleep=sleep,
            monotonic_ns=monotonic_ns,
            wall_ns=wall_ns,
            random=random or system_random(),
            offload=offload,
        )
        self._reconciler = Reconciler(
            self._replay,
            self._take_fetched,
            busy=self._busy,
            sleep=sleep,
            wall_ns=wall_ns,
        )
        self._feed: DealFeed | None = None
        self._began_ns = monotonic_ns()
        self._stopping = False

    def status(self) -> SocketStatus | None:
        """Return the state of the connection; None before the first attempt."""
        return None if self._feed is None else self._feed.status()

    def trouble(self) -> str:
        """Return why deals do not reach the database now; empty while they do."""
        troubles = {"database": self.stats.database_trouble, "spool": self.stats.spool_trouble}
        reasons = [f"{name}: {text}" for name, text in troubles.items() if text]
        if not reasons and (stalled := self._committer.stalls.trouble()):
            reasons.append(stalled)
        status = self.status()
        if status is None:
            reasons.append("feed: not connected yet")
        elif not status.healthy:
            reasons.append(f"feed: {'silent' if status.stale else status.last_error or status.state.value}")
        if self.stats.mostly_unusable:
            unusable, looked_at = self.stats.recently_unusable
            reasons.append(
                f"feed: {unusable} of the last {looked_at} messages cannot be used, the latest because {self.stats.last_reason}"
            )
        return "; ".join(reasons)

    async def run(self) -> None:
        """Work until `stop` is done; raises what is a bug or a database of another version."""
        committing = asyncio.create_task(self._committer.run(), name="deals-commit")
        self._feed = DealFeed(
            self._options.url,
            self._open_socket,
            self._replay,
            use=self._options.replay,
            resume_after=await self._resume_after(),
        )
        reading = asyncio.create_task(self._read(self._feed), name="deals-read")
        tasks = {committing, reading}
        if self._options.replay != "off":
            tasks.add(asyncio.create_task(self._reconciler.run(), name="deals-compare"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._stopping:
                self._queue.close()
                await asyncio.wait((committing,), timeout=STOP_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(Exception):
                # What went wrong before is what counts.
                await self._feed.close()

    async def stop(self) -> None:
        """Read nothing more; `run` returns once what has been received is in the database or the spool."""
        self._stopping = True
        if self._feed is not None:
            await self._feed.close()

    async def _read(self, feed: DealFeed) -> None:
        async for item in feed.items():
            self.stats.messages = feed.messages
            if isinstance(item, Deal):
                self.stats.note_message(item.received_time_ns)
                self._reconciler.saw(item.key)
            elif isinstance(item, Unusable):
                self.stats.note_message(item.received_time_ns, item.reason)
            await self._queue.put(item)

    def _busy(self) -> bool:
        """Whether what the reconciler would miss is most likely on its way; fetching it would only spoil the order."""
        if len(self._queue) > BUSY_ITEMS:
            return True
        if self._feed is None or self._feed.caught_up:
            return False
        status = self._feed.status()
        began_s = (self._monotonic_ns() - self._began_ns) / 1e9
        # A feed that is stuck, or that cannot be connected, is no reason to wait for it.
        return (
            min(age_s for age_s in (status.message_age_s, status.connected_s, began_s) if age_s is not None) < QUIET_S
        )

    async def _take_fetched(self, item: Item) -> None:
        await self._queue.put(item, moves_cursor=False)

    async def _resume_after(self) -> str | None:
        """Return where the feed goes on. The spool is newer than the database; without either, the whole list is asked for."""
        if self._spool.last_deal_id is not None:
            return self._spool.last_deal_id
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                cursor = await self._sink.cursor()
        except (DatabaseUnavailable, TimeoutError):
            logger.warning("database is away at the start: deals go to the spool")
            return None
        return None if cursor is None else cursor.last_deal_id

    def _resilient_socket(self, next_url: NextUrl) -> EventSource:
        policy = SocketPolicy(stale_after_s=self._options.stale_after_s)
        return ResilientSocket(
            next_url,
            name="power-deals",
            policy=policy,
            sleep=self._sleep,
            monotonic_ns=self._monotonic_ns,
            wall_ns=self._wall_ns,
        )

"""The sinks of a session of which it may become known only while they run how many partitions it has.

Whoever publishes first writes that down, before any record. Until something tells, one sink waits as that of a session of one partition
does; it looks itself before it takes its first record, and so writes nothing of a session that turns out to have several.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import redis
import redis.asyncio

from services.price.config import PriceSettings
from services.price.priced_sessions import PricedSession
from services.price.session_sinks import SessionSinks
from services.runtime.engine_usage import EngineMetrics
from services.runtime.errors import MidstreamError, Unavailable
from services.runtime.log_fields import fields
from services.runtime.session import partitions_stored
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from services.runtime.tasks import end_task
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.25
LOOK_S_MAX: Final = 2.0
"""How often to look while nothing is known, at first and where it stays so: what a session of several partitions may wait for its sinks."""
START_S: Final = 1.0
"""Redis may be down when this server starts; then it is as if nothing were known."""


class FollowedSinks:
    """Keeps the sinks to what Redis says of the session; `priced` is what they publish."""

    def __init__(
        self,
        settings: PriceSettings,
        client: redis.asyncio.Redis,
        session: str,
        *,
        metrics: EngineMetrics,
        unreadable: Unreadable,
        on_trouble: Callable[[str], None],
        on_several: Callable[[MidstreamError], None],
        mids_unread: str = "",
    ) -> None:
        """`on_several` is told why streams of its mids have to begin anew; `mids_unread` is the trouble until the mids were read once."""
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._unreadable = unreadable
        self._on_trouble = on_trouble
        self._mids_unread = mids_unread
        self._on_several = on_several
        self._keys = SessionKeys(session)
        self._folder = settings.out
        self._stopping = False
        self._several = False
        self._sinks = self._made(Partitioning())
        self.priced: PricedSession = self._sinks.priced

    def _made(self, partitioning: Partitioning) -> SessionSinks:
        return SessionSinks(
            self._settings,
            self._client,
            self._keys.session,
            partitioning,
            metrics=self._metrics,
            unreadable=self._unreadable,
            on_trouble=self._on_trouble,
            mids_unread=self._mids_unread,
        )

    async def start(self, folder: Path) -> None:
        """Start the sinks of as many partitions as are known; their logs go to `folder`."""
        self._folder = folder
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                self._become(await self._read())
        await self._sinks.start(folder)

    async def run(self) -> int:
        """Wait for the first engine that ends for good; return its exit code."""
        while True:
            running = asyncio.create_task(self._sinks.run(), name="sinks")
            learning = asyncio.create_task(self._learn(), name="partitions")
            try:
                await asyncio.wait((running, learning), return_when=asyncio.FIRST_COMPLETED)
                if not learning.done() or self._stopping:
                    return await running
                await self._sinks.stop()
                await running
            finally:
                await end_task(learning)
                await end_task(running)
            logger.info("session has several partitions", extra=fields(partitions=learning.result().count))
            _remove_empty(self._folder)
            self._become(learning.result())
            self._on_several(Unavailable(f"session `{self._keys.session}` has several partitions now; subscribe again"))
            await self._sinks.start(self._folder)

    async def stop(self) -> None:
        """Have every engine commit what it has."""
        self._stopping = True
        await self._sinks.stop()

    def _become(self, partitioning: Partitioning) -> None:
        if partitioning.count > 1:
            self._several = True
            self._sinks = self._made(partitioning)
            self.priced.become(self._sinks.priced)

    async def _learn(self) -> Partitioning:
        """Return how the session is partitioned once it is known to be; never where it is one, or known already."""
        look_s = LOOK_S
        while not self._several and not self.priced.committed_sequence:
            partitioning = await self._read()
            if partitioning.count > 1:
                return partitioning
            await asyncio.sleep(look_s)
            look_s = min(look_s * 1.2, LOOK_S_MAX)
        return await asyncio.Event().wait() and Partitioning()

    async def _read(self) -> Partitioning:
        try:
            return await partitions_stored.read(self._client, self._keys)
        except (redis.RedisError, OSError):
            # The engine says so, and waits.
            return Partitioning()
        except MidstreamError as exc:
            self._on_trouble(str(exc))
            return Partitioning()


def _remove_empty(folder: Path) -> None:
    """Remove the logs that the one sink opened and wrote nothing to."""
    for name in ("mid_prices.log", "errors.log", "mid_prices.csv"):
        path = folder / name
        with contextlib.suppress(OSError):
            if path.stat().st_size == 0:
                path.unlink()

"""The engines and the mids of one session: one of each, or one per partition, of whose engines this server runs its share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis.asyncio

from services.price.config import PriceSettings
from services.price.latest_mids import FollowedMids
from services.price.metrics import PRICE_FIGURES
from services.price.priced_sessions import PricedSession
from services.price.shared_sinks import ENGINE, SharedSinks
from services.runtime.engine_host import EngineHost
from services.runtime.engine_usage import EngineMetrics
from services.runtime.partition_figures import PartitionFigures
from services.runtime.session.keys import SessionKeys
from services.runtime.session.owners import owner_name
from services.runtime.session.partitions import Partitioning
from services.runtime.unreadable import Unreadable


class SessionSinks:
    """Runs them from `start` to `stop`. `on_trouble` hears what keeps any of them from working, "" when nothing does."""

    def __init__(
        self,
        settings: PriceSettings,
        client: redis.asyncio.Redis,
        session: str,
        partitioning: Partitioning,
        *,
        metrics: EngineMetrics,
        unreadable: Unreadable,
        on_trouble: Callable[[str], None],
        mids_unread: str = "",
    ) -> None:
        """`mids_unread` is the trouble until the mids were read once."""
        count = partitioning.count
        self._trouble = {("mids", partition): mids_unread for partition in range(count) if settings.mids}
        """Of each partition's mids, and of the engines; "" where all is well."""
        self._on_trouble = on_trouble
        self._several = count > 1
        config = settings.engine_config() | {"session": session}
        self._parts = tuple(
            PricedSession(session, self._mids(settings, client, session, partition, unreadable), partition=partition)
            for partition in range(count)
        )
        self._engines: _OneSink | SharedSinks
        if self._several:
            self.priced = PricedSession(session, None, partitioning=partitioning, parts=self._parts)
            self._engines = SharedSinks(
                client,
                session,
                count,
                sink=settings.sink,
                owner=owner_name(settings.owner),
                config=config,
                figures=PartitionFigures(metrics),
                on_trouble=lambda trouble: self._hear("engine", 0, trouble),
                on_committed=self._note_committed,
            )
        else:
            self.priced = self._parts[0]
            self._engines = _OneSink(
                config,
                metrics=metrics,
                on_trouble=lambda trouble: self._hear("engine", 0, trouble),
                on_committed=lambda sequence: self._note_committed(0, sequence),
            )

    def _mids(
        self,
        settings: PriceSettings,
        client: redis.asyncio.Redis,
        session: str,
        partition: int,
        unreadable: Unreadable,
    ) -> FollowedMids | None:
        if not settings.mids:
            return None

        def hear(trouble: str) -> None:
            named = f"partition {partition}: {trouble}" if trouble and self._several else trouble
            self._hear("mids", partition, named)

        return FollowedMids.of(client, SessionKeys(session, partition), on_trouble=hear, unreadable=unreadable)

    def _hear(self, what: str, partition: int, trouble: str) -> None:
        self._trouble[what, partition] = trouble
        self._on_trouble(self.trouble)

    def _note_committed(self, partition: int, sequence: int) -> None:
        self._parts[partition].committed_sequence = sequence

    @property
    def trouble(self) -> str:
        """What keeps one from working: engines come before mids, and the first partition before others."""
        return next((trouble for _, trouble in sorted(self._trouble.items()) if trouble), "")

    async def start(self, folder: Path) -> None:
        """Start the engines, and follow the mids."""
        await self._engines.start(folder)
        for part in self._parts:
            if part.mids is not None:
                part.mids.tail.start()

    async def run(self) -> int:
        """Wait for the first engine that ends for good and has no other server to take its place; return its exit code."""
        return await self._engines.run()

    async def stop(self) -> None:
        """Have every engine commit what it has."""
        tails = [part.mids.tail.stop() for part in self._parts if part.mids is not None]
        await asyncio.gather(self._engines.stop(), *tails)


class _OneSink:
    """The engine of a session of one partition."""

    def __init__(
        self,
        config: dict[str, object],
        *,
        metrics: EngineMetrics,
        on_trouble: Callable[[str], None],
        on_committed: Callable[[int], None],
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._on_trouble = on_trouble
        self._on_committed = on_committed
        self._host: EngineHost | None = None

    async def start(self, folder: Path) -> None:
        self._host = EngineHost(
            ENGINE,
            self._config | {"out": str(folder)},
            metrics=self._metrics,
            figures=PRICE_FIGURES,
            on_trouble=self._on_trouble,
            on_progress=self._note_progress,
        )
        await self._host.start()

    async def run(self) -> int:
        assert self._host is not None  # start() came first
        return await self._host.run()

    async def stop(self) -> None:
        if self._host is not None:
            await self._host.stop()

    def _note_progress(self, report: dict[str, Any]) -> None:
        self._on_committed(int(report["sequence"]))

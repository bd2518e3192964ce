"""The engines and the mids of one session: one of each, or one per partition with logs of its own below the session's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis.asyncio

from services.price.config import PriceSettings
from services.price.latest_mids import FollowedMids
from services.price.metrics import PRICE_FIGURES
from services.price.priced_sessions import PricedSession
from services.runtime.engine_host import EngineHost
from services.runtime.engine_usage import EngineMetrics
from services.runtime.partition_figures import PartitionFigures
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from services.runtime.tasks import end_task
from services.runtime.unreadable import Unreadable

ENGINE: Final = "services.price.engine"


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
        figures = PartitionFigures(metrics) if partitioning.count > 1 else None
        self._trouble: dict[tuple[int, str], str] = {}
        """Of each partition's engine and mids; "" where all is well."""
        self._on_trouble = on_trouble
        self._several = partitioning.count > 1
        self._sinks = [
            _PartitionSink(
                settings,
                client,
                SessionKeys(session, partition),
                partitions=partitioning.count,
                metrics=metrics if figures is None else figures.of(partition),
                unreadable=unreadable,
                on_trouble=self._hears(partition),
            )
            for partition in range(partitioning.count)
        ]
        if settings.mids:
            self._trouble = {(partition, "mids"): mids_unread for partition in range(partitioning.count)}
        parts = tuple(sink.priced for sink in self._sinks)
        self.priced = (
            PricedSession(session, None, partitioning=partitioning, parts=parts) if self._several else parts[0]
        )

    def _hears(self, partition: int) -> Callable[[str, str], None]:
        def hear(what: str, trouble: str) -> None:
            named = f"partition {partition}: {trouble}" if trouble and self._several else trouble
            self._trouble[partition, what] = named
            self._on_trouble(self.trouble)

        return hear

    @property
    def trouble(self) -> str:
        """What keeps one from working: engines come before mids, and the first partition before others."""
        told = sorted(self._trouble.items(), key=lambda item: (item[0][1], item[0][0]))
        return next((trouble for _, trouble in told if trouble), "")

    async def start(self, folder: Path) -> None:
        """Start every engine, and follow the mids."""
        for partition, sink in enumerate(self._sinks):
            await sink.start(folder / f"p{partition}" if self._several else folder)

    async def run(self) -> int:
        """Wait for the first engine that ends for good; return its exit code."""
        runs = [asyncio.create_task(sink.run(), name=f"sink-{number}") for number, sink in enumerate(self._sinks)]
        try:
            done, _ = await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
            return max(task.result() for task in done)
        finally:
            for task in runs:
                await end_task(task)

    async def stop(self) -> None:
        """Have every engine commit what it has."""
        await asyncio.gather(*(sink.stop() for sink in self._sinks))


class _PartitionSink:
    """The engine and the mids of one partition."""

    def __init__(
        self,
        settings: PriceSettings,
        client: redis.asyncio.Redis,
        keys: SessionKeys,
        *,
        partitions: int,
        metrics: EngineMetrics,
        unreadable: Unreadable,
        on_trouble: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._part: dict[str, object] = (
            {"partition": keys.partition, "partitions": partitions} if partitions > 1 else {}
        )
        self._metrics = metrics
        self._on_trouble = on_trouble
        mids = None
        if settings.mids:
            mids = FollowedMids.of(
                client, keys, on_trouble=lambda trouble: on_trouble("mids", trouble), unreadable=unreadable
            )
        self.priced = PricedSession(keys.session, mids, partition=keys.partition)
        self._host: EngineHost | None = None

    async def start(self, folder: Path) -> None:
        config = self._settings.engine_config() | {"session": self._keys.session, "out": str(folder)} | self._part
        self._host = EngineHost(
            ENGINE,
            config,
            metrics=self._metrics,
            figures=PRICE_FIGURES,
            on_trouble=lambda trouble: self._on_trouble("engine", trouble),
            on_progress=self._note_progress,
        )
        await self._host.start()
        if self.priced.mids is not None:
            self.priced.mids.tail.start()

    async def run(self) -> int:
        assert self._host is not None  # start() came first
        return await self._host.run()

    async def stop(self) -> None:
        if self._host is not None:
            await self._host.stop()
        if self.priced.mids is not None:
            await self.priced.mids.tail.stop()

    def _note_progress(self, report: dict[str, Any]) -> None:
        self.priced.committed_sequence = int(report["sequence"])

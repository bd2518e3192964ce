"""The sinks of a session of several partitions that this server runs: its even share of them, an engine each.

Other servers with the same sink have the others, and a server that comes, goes or dies changes the shares as it does for producers. Who
works through a partition is decided by the fence of its sink in Redis.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import redis.asyncio

from services.price.metrics import PRICE_FIGURES
from services.runtime.engine_host import EngineHost
from services.runtime.partition_figures import PartitionFigures
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.holders import living_holders
from services.runtime.session.keys import SessionKeys
from services.runtime.session.owners import Owners, role_of_sink
from services.runtime.session.partition_runners import PartitionRunners
from services.runtime.session.session_runner import SessionRunner
from services.runtime.session.versions import NewerVersion
from services.runtime.tasks import end_task

ENGINE: Final = "services.price.engine"
ANNOUNCED_AT_ONCE: Final = 64
"""So many announcements of sinks elsewhere are read with each look, the others with the next ones."""

Committed = Callable[[int, int], None]
"""Hears of a partition how far its sink is."""


class SinkQueue:
    """What the keys of a session say of one sink: who works through each partition, and how far that is."""

    def __init__(self, client: redis.asyncio.Redis, sink: str, *, owner: str, on_committed: Committed) -> None:
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._sink = sink
        self._owner = owner
        self._on_committed = on_committed
        self._turn = 0

    async def producers(self, session: str, partitions: int) -> Mapping[int, str]:
        """Return the owner of each partition that somebody works through; "" for one that names none."""
        leases = {each: SessionKeys(session, each).sink_lease(self._sink) for each in range(partitions)}
        owners = {each: holder.owner for each, holder in (await living_holders(self._client, leases)).items()}
        await self._read_announced(session, [each for each in range(partitions) if owners.get(each) != self._owner])
        return owners

    async def _read_announced(self, session: str, elsewhere: list[int]) -> None:
        chosen = [each for each in elsewhere if each >= self._turn][:ANNOUNCED_AT_ONCE]
        self._turn = chosen[-1] + 1 if len(chosen) == ANNOUNCED_AT_ONCE else 0
        if not chosen:
            return
        pipeline = self._client.pipeline(transaction=False)
        for partition in chosen:
            pipeline.hget(SessionKeys(session, partition).sinks, self._sink)
        for partition, said in zip(chosen, await pipeline.execute(), strict=True):
            try:
                if said is not None:
                    self._on_committed(partition, SinkAnnouncement.decode(self._sink, said).position.sequence)
            except (ValueError, NewerVersion):
                # Whoever takes the partition over says what is wrong with it.
                continue

    async def holder(self, keys: SessionKeys) -> str:
        """Return who works through a partition, for people; empty when nobody does."""
        holder = (await living_holders(self._client, {0: keys.sink_lease(self._sink)})).get(0)
        return "" if holder is None else f"process {holder.pid} on host {holder.host}"

    async def note_failure(self, keys: SessionKeys, error: str) -> None:
        """The engine announces by itself why it stops."""


class SharedSinks:
    """Runs the engines of this server's share of the partitions from `start` to `stop`."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        session: str,
        partitions: int,
        *,
        sink: str,
        owner: str,
        config: Mapping[str, object],
        figures: PartitionFigures,
        on_trouble: Callable[[str], None],
        on_committed: Committed,
    ) -> None:
        """`config` is that of every engine, but for its partition and directory."""
        self._config = config
        self._partitions = partitions
        self._owner = owner
        self._figures = figures
        self._on_committed = on_committed
        self._definition = SessionDefinition(partitions=partitions)
        self._queue = SinkQueue(client, sink, owner=owner, on_committed=on_committed)
        self._folder = Path()
        self._ended: asyncio.Future[int] | None = None
        self._runners = PartitionRunners(
            session,
            self._definition,
            make_runner=self._runner,
            settle=_nothing,
            owners=Owners(
                client,
                SessionKeys(session),
                role=role_of_sink(sink),
                name=owner,
                host=socket.gethostname(),
                pid=os.getpid(),
                monotonic_s=time.monotonic,
            ),
            queue=self._queue,
            monotonic_s=time.monotonic,
            on_trouble=on_trouble,
        )

    async def start(self, folder: Path) -> None:
        """Take part; the logs of partition K go to `folder`/pK."""
        self._folder = folder
        self._ended = asyncio.get_running_loop().create_future()
        self._runners.start()

    async def run(self) -> int:
        """Wait for the first engine that ends for good while no other server could have its partition; return its exit code."""
        assert self._ended is not None  # start() came first
        running = asyncio.create_task(self._runners.run(), name="shared-sinks")
        try:
            done, _ = await asyncio.wait((running, self._ended), return_when=asyncio.FIRST_COMPLETED)
            return max(each.result() for each in done)
        finally:
            await end_task(running)

    async def stop(self) -> None:
        """Have every engine commit what it has, and hand its partition over."""
        await self._runners.stop()

    def _runner(self, keys: SessionKeys) -> SessionRunner:
        return SessionRunner(
            keys,
            self._definition,
            make_host=lambda _, on_trouble: _Host(
                self._host(keys, on_trouble), lambda code: self._note_end(keys, code)
            ),
            prepare=_no_preparation,
            queue=self._queue,
        )

    def _host(self, keys: SessionKeys, on_trouble: Callable[[str], None]) -> EngineHost:
        place = {"out": str(self._folder / f"p{keys.partition}"), "owner": self._owner}
        part = {"session": keys.session, "partition": keys.partition, "partitions": self._partitions}
        return EngineHost(
            ENGINE,
            {**self._config, **place, **part},
            metrics=self._figures.of(keys.partition),
            figures=PRICE_FIGURES,
            on_trouble=on_trouble,
            on_progress=lambda report: self._on_committed(keys.partition, int(report["sequence"])),
        )

    def _note_end(self, keys: SessionKeys, code: int) -> None:
        self._figures.drop(keys.partition)
        if code and self._runners.is_alone and self._ended is not None and not self._ended.done():
            self._ended.set_result(code)


class _Host:
    """An engine, of which somebody hears how it ended."""

    def __init__(self, host: EngineHost, on_end: Callable[[int], None]) -> None:
        self._host = host
        self._on_end = on_end

    @property
    def refusal(self) -> str | None:
        return self._host.refusal

    @property
    def silent_s(self) -> float:
        return self._host.silent_s

    async def start(self) -> None:
        await self._host.start()

    async def run(self) -> int:
        code = await self._host.run()
        self._on_end(code)
        return code

    async def stop(self) -> None:
        await self._host.stop()


async def _nothing() -> None:
    pass


async def _no_preparation(keys: SessionKeys, definition: SessionDefinition) -> None:
    pass

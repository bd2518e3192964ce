"""Follow all partitions of a session as one stream, in the one order of the session.

Each partition is read where its tail has it, and only while next to nothing of it waits here: one that is silent holds the reading of
the others up, so that no subscriber holds more than two steps of each. Recorded data waits for all; live data for `merge_wait_s` at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fastpath.weave import Weaver
from protos.common.v1.market_pb2 import PartitionPosition, TickBatch
from services.runtime.session.batch_format import Batch
from services.runtime.session.stream_tail import StreamTail
from services.runtime.session.watermarks import LOOK_S, Watermarks
from services.runtime.tasks import end_task

MERGE_WAIT_S: Final = 0.25
MERGE_WAIT_MS_MAX: Final = 60_000


class Position(NamedTuple):
    """Where a reader stands in one partition. Without a sequence: before whatever is retained."""

    epoch: str = ""
    sequence: int | None = None


@dataclass(frozen=True)
class Partitions:
    """What there is to read of a session of several partitions."""

    tails: Sequence[StreamTail]
    watermarks: Watermarks


class WovenBatch(NamedTuple):
    """A batch of the one stream, and where it leaves every partition."""

    batch: Batch
    positions: Sequence[Position]

    def is_complete(self, payload: bytes) -> bool:
        """Whether a payload is as the merge made it, with the positions in it."""
        return payload is self.batch.payload and payload.endswith(self.encoded_positions)

    @property
    def encoded_positions(self) -> bytes:
        """The field of the message, to put behind one that has lost it."""
        told = [
            PartitionPosition(partition=partition, epoch=epoch, sequence=sequence or 0)
            for partition, (epoch, sequence) in enumerate(self.positions)
        ]
        return TickBatch(positions=told).SerializeToString()


@dataclass
class WovenStream:
    """The one stream of one subscriber. For one event loop, and one who iterates."""

    partitions: Partitions
    starts: Sequence[Position]
    """One of each partition."""
    merge_wait_s: float = MERGE_WAIT_S
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    positions: list[Position] = field(init=False)
    """Where it stands in each partition."""

    def __post_init__(self) -> None:
        self.positions = list(self.starts)
        self._reached = list(self.starts)
        """Up to where each was fed."""
        self._reading: dict[int, asyncio.Task[list[Batch]]] = {}
        self._ends: list[deque[tuple[str, int]]] = [deque() for _ in self.starts]
        """Of each partition: epoch and last sequence of every batch that was fed and may not be used up."""
        self._lagging_since_s: float | None = None

    async def batches(self) -> AsyncGenerator[WovenBatch, None]:
        """Yield what follows, for ever. Raises FellBehind and UnreadableEntry, of the partition that it happened to."""
        named = [(each, *start) for each, start in enumerate(self.starts) if start.sequence is not None]
        weaver = Weaver(len(self.starts), after=named)  # type: ignore[arg-type]  # those without a sequence are left out
        try:
            while True:
                while (payload := weaver.take()) is not None:
                    self._lagging_since_s = None
                    self.positions = [Position(*each) for each in weaver.positions]
                    head = self.partitions.tails[0].batches.head(0, payload)
                    yield WovenBatch(head, self.positions)
                await self._read_on(weaver)
        finally:
            for task in self._reading.values():
                with contextlib.suppress(Exception):
                    # Its error is nobody's any more.
                    await end_task(task)

    def settled(self, partition: int) -> int | None:
        """The sequence up to which all entries of a partition have come out whole; None where that is nothing new."""
        epoch, sequence = self.positions[partition]
        ends, found = self._ends[partition], None
        while ends and (ends[0][0] != epoch or ends[0][1] <= (sequence or 0)):
            if ends[0][0] != epoch and all(each[0] != epoch for each in ends):
                # It stands before the first record of another epoch.
                break
            found = ends.popleft()[1]
        return found

    async def _read_on(self, weaver: Weaver) -> None:
        """Feed what has come of the partitions of which nothing waits, or wait for it."""
        lagging = weaver.lagging()
        wanted = {partition for partition, _ in lagging}
        for partition, reached in enumerate(self._reached):
            # One ahead: the next step is read while this one is used up.
            if partition not in self._reading and (weaver.waiting(partition) <= 1 or partition in wanted):
                step = self.partitions.tails[partition].step(reached.sequence, reached.epoch)
                self._reading[partition] = asyncio.create_task(step, name=f"partition-{partition}")
        if lagging:
            await self._wait_for(weaver, lagging)
        else:
            self._lagging_since_s = None
            await asyncio.wait(self._reading.values(), return_when=asyncio.FIRST_COMPLETED)
        for partition in [each for each, task in self._reading.items() if task.done()]:
            for batch in self._reading.pop(partition).result():
                weaver.feed(partition, batch.payload)
                self._ends[partition].append((batch.epoch, batch.last_sequence))
                self._reached[partition] = Position(batch.epoch, batch.last_sequence)

    async def _wait_for(self, weaver: Weaver, lagging: Sequence[tuple[int, bool]]) -> None:
        """Wait for records or watermarks of those that hold everything up; no longer for those that are live than may be."""
        now_s = self.clock()
        if self._lagging_since_s is None:
            self._lagging_since_s = now_s
        if now_s - self._lagging_since_s >= self.merge_wait_s:
            for partition, excusable in lagging:
                if excusable:
                    weaver.excuse(partition)
        for partition, watermark in enumerate(await self.partitions.watermarks.look()):
            if watermark is not None:
                weaver.promise(partition, *watermark)
        if weaver.lagging() == list(lagging):
            await self._wait(lagging)

    async def _wait(self, lagging: Sequence[tuple[int, bool]]) -> None:
        reads = [self._reading[partition] for partition, _ in lagging if partition in self._reading]
        if not any(read.done() for read in reads):
            timer = asyncio.ensure_future(self.sleep(LOOK_S))
            try:
                await asyncio.wait([*reads, timer], return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_task(timer)

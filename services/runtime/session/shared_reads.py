"""Read once what several followers of a stream need at about the same time.

Followers that begin together, as all do whose server was started again, catch up side by side. Whoever comes first reads; the others
get the same bytes, while they are on their way or for as long as they are among the last that were read. A follower that began
elsewhere joins at the first batch that somebody else has read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial

from services.runtime.session.batch_format import Batch
from services.runtime.session.stream_entries import step
from services.runtime.tasks import end_task

RECENT_BYTES_MAX = 8 * 1024 * 1024
"""What was read last and is kept for others: a few steps, because those who catch up together are at about the same place."""

_Position = tuple[str, int]
"""An epoch and the last sequence that a follower has of it."""


class SharedReads:
    """What was read lately behind which position, and what is being read. Made for one event loop."""

    def __init__(self, read: Callable[[int, str], Awaitable[list[Batch]]]) -> None:
        self._read = read
        self._recent = _Recent()
        self._reading: dict[_Position, asyncio.Task[list[Batch]]] = {}

    async def after(self, position: int, epoch: str) -> list[Batch]:
        """The step behind a position of an epoch; empty where nothing follows yet. Raises what reading raises."""
        if recent := step(self._recent.following(position, epoch)):
            return recent
        under_way = self._reading.get((epoch, position))
        if under_way is None:
            return await asyncio.shield(self._begin(position, epoch))
        # When it was asked, there was perhaps nothing behind the position; what came since has woken only those who waited already.
        return await asyncio.shield(under_way) or await self._read(position, epoch)

    def forget(self) -> None:
        """Keep nothing of what was read or asked for until now: the stream may be another one."""
        self._recent = _Recent()

    async def stop(self) -> None:
        """End what is under way; whoever waits for it gets a cancellation."""
        for reading in tuple(self._reading.values()):
            await end_task(reading)

    def _begin(self, position: int, epoch: str) -> asyncio.Task[list[Batch]]:
        """Read in a task of its own: a follower that leaves must not take the answer from the others."""
        reading = asyncio.create_task(self._read_and_keep(position, epoch, self._recent), name="stream-read")
        self._reading[epoch, position] = reading
        reading.add_done_callback(partial(self._ended, (epoch, position)))
        return reading

    async def _read_and_keep(self, position: int, epoch: str, recent: _Recent) -> list[Batch]:
        batches = await self._read(position, epoch)
        recent.keep(position, epoch, batches)
        return batches

    def _ended(self, position: _Position, reading: asyncio.Task[list[Batch]]) -> None:
        del self._reading[position]
        if not reading.cancelled():
            # Whoever waits raises it; nobody may be left who does.
            reading.exception()


class _Recent:
    """The batches that were read last, by the position that each follows; the oldest go first."""

    def __init__(self) -> None:
        self._batches: dict[_Position, Batch] = {}
        self._bytes = 0

    def following(self, position: int, epoch: str) -> Iterator[Batch]:
        while (batch := self._batches.get((epoch, position))) is not None:
            yield batch
            position = batch.last_sequence

    def keep(self, position: int, epoch: str, batches: Iterable[Batch]) -> None:
        for batch in batches:
            if batch.epoch != epoch:
                return
            self._drop((epoch, position))
            self._batches[epoch, position] = batch
            self._bytes += len(batch.payload)
            position = batch.last_sequence
        while self._bytes > RECENT_BYTES_MAX:
            self._drop(next(iter(self._batches)))

    def _drop(self, position: _Position) -> None:
        batch = self._batches.pop(position, None)
        if batch is not None:
            self._bytes -= len(batch.payload)

"""Follow a Redis stream of batches on behalf of many subscribers: one read for all that keep up, and for those that catch up side by side.

Nothing here holds the producer back. A subscriber that keeps up is served from a small ring in memory that all share; one that fell behind
reads from the stream at its own pace (`shared_reads.py`); one that fell behind what the stream retains is told so and ends.

An entry that cannot be read ends whoever gets to it in a dense stream; in a sparse one the listener is told to look elsewhere for
what it held.

The ring is only ever a run of batches of one epoch with nothing missing between them. Everything else that can happen to a stream is
decided from the stream itself (`stream_entries.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from random import Random
from typing import Any, Final, Protocol

import redis
import redis.asyncio

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session.batch_format import Batch, BatchFormat
from services.runtime.session.latest_records import LatestRecords, Seed
from services.runtime.session.ring import Ring
from services.runtime.session.shared_reads import SharedReads
from services.runtime.session.stream_entries import StreamEntries, UnreadableEntry
from services.runtime.session.versions import NewerVersion
from services.runtime.tasks import end_task, raise_if_cancelled
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

BLOCK_MS = 1000
READ_COUNT = 16
RECONNECT = BackoffPolicy(base_s=0.05, cap_s=2.0)


class Listener(Protocol):
    """Who wants to know of every batch once, whoever is subscribed."""

    async def begin(self, epoch: str) -> None:
        """The tail begins to read `epoch` (again); what it does not read any more has to be had from elsewhere."""

    def note(self, batch: Batch) -> None:
        """One more batch of that epoch."""

    def trouble(self, reason: str) -> None:
        """The stream cannot be read, or "" when it can again."""


class StreamTail:
    """The newest batches of one stream, and a way to read any retained one."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        key: str,
        *,
        batches: BatchFormat,
        listener: Listener | None = None,
        seed: Seed | None = None,
        unreadable: Unreadable | None = None,
        ring_bytes: int | None = None,
    ) -> None:
        """What is skipped in a sparse stream is told to `unreadable`; `seed` as in LatestRecords, `ring_bytes` as in Ring."""
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._key = key
        self.batches: Final = batches
        self.entries: Final = StreamEntries(client, key, batches=batches, unreadable=unreadable)
        self.latest: Final = LatestRecords(self.entries, batches, read=self._next, end=lambda: self.ring.end, seed=seed)
        self._reads = SharedReads(self.entries.after)
        self._listener = listener
        self.ring: Final = Ring(ring_bytes)
        self._grown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._backoff = Backoff(Random(), RECONNECT)
        self._complaint = LogLimit(REPEAT_S)
        self._unreadable = LogLimit(REPEAT_S)

    def start(self) -> None:
        """Begin to read; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="stream-tail")

    async def stop(self) -> None:
        await end_task(self._task)
        await self._reads.stop()

    @property
    def last_sequence(self) -> int:
        """The last sequence that was read; 0 before the first."""
        return self.ring.end[1]

    async def check_retained(self, after_sequence: int, epoch: str) -> None:
        """Raise FellBehind unless `follow` can begin there."""
        await self.entries.after(after_sequence, epoch)

    async def oldest_sequence(self) -> int:
        """First sequence that is still retained; 0 when the stream is empty."""
        return await self.entries.oldest_sequence()

    async def newest(self) -> Batch | None:
        """The last batch in the stream; None when it is empty."""
        return await self.entries.newest()

    async def follow(self, after_sequence: int | None, epoch: str) -> AsyncGenerator[Batch, None]:
        """Yield every batch behind `after_sequence` of `epoch`, for ever. Raises FellBehind.

        Without `after_sequence` it begins with whatever the stream holds first, or gets first. A position inside of a batch gets
        the rest of that batch first. When the numbering starts over (another epoch), it goes on with the new one's first sequence.
        """
        position = after_sequence
        while True:
            for batch in await self.step(position, epoch):
                yield batch
                position, epoch = batch.last_sequence, batch.epoch

    async def step(self, position: int | None, epoch: str) -> list[Batch]:
        """Wait for what follows a position, and return what of it one subscriber may hold. As `follow`."""
        while True:
            grown = self._grown
            if batches := await self._next(position, epoch):
                return batches
            await grown.wait()

    async def grown(self, since: tuple[str, int]) -> None:
        """Wait until the ring ends elsewhere."""
        while self.ring.end == since:
            await self._grown.wait()

    async def boundary(self, sequence: int) -> int:
        """The last sequence before the first batch that begins behind `sequence`, or before the newest one."""
        ring = self.ring
        if ring.end[1] and sequence < ring.floor:
            batch = await self.entries.beginning_at(sequence + 1)
            if batch is not None:
                return batch.first_sequence - 1
        return ring.boundary(sequence) if ring.end[1] else sequence

    async def _next(self, position: int | None, epoch: str) -> list[Batch]:
        """What follows a position, and nothing where nothing does yet."""
        batches = self.ring.following(position, epoch)
        if batches is None:
            batches = await (self.entries.oldest() if position is None else self._reads.after(position, epoch))
            raise_if_cancelled()
        return batches

    async def _run(self) -> None:
        while True:
            try:
                await self._tail()
            except (redis.RedisError, OSError) as exc:
                if self._complaint.passes() is not None:
                    logger.warning("stream tail interrupted", extra=fields(key=self._key, error=type(exc).__name__))
                self._tell(f"{self._key} cannot be read: {exc}")
                await asyncio.sleep(self._backoff.next_s())
            except (ValueError, UnreadableEntry, NewerVersion) as exc:
                # An entry that is not ours. Those who reach it fail; this goes on, because newer ones may be fine.
                if self._unreadable.passes() is not None:
                    logger.exception("stream tail met an unreadable entry", extra=fields(key=self._key))
                self._tell(f"{self._key} holds what cannot be read: {exc}")
                self._forget()
                await asyncio.sleep(RECONNECT.cap_s)

    async def _tail(self) -> None:
        """Read on until the connection breaks or the stream turns out to have started over."""
        newest = await self._client.xrevrange(self._key, count=self.entries.look_count)
        self._backoff.reset()
        last_id = newest[0][0] if newest else b"0-0"
        self._forget()
        batches = self.entries.read(newest)
        if newest and not batches:
            raise ValueError(f"none of its newest {len(newest)} entries")
        epoch = batches[0].epoch if batches else ""
        await self._begin(epoch)
        self._tell("")
        self._complaint.over()
        if batches:
            # What a table of the latest records has not seen lies before the ring.
            await self.latest.catch_up(epoch, batches[0].first_sequence - 1)
            self._keep(batches[0], last_id)
        while True:
            answer = await self._client.xread({self._key: last_id}, count=READ_COUNT, block=BLOCK_MS)
            if not answer:
                top = await self._client.xrevrange(self._key, count=1)
                if (top[0][0] if top else b"0-0") != last_id:
                    # Nothing came although the top differs: the stream was deleted and numbered again.
                    return
                continue
            is_whole = True
            for entry_id, entry in answer[0][1]:
                batch = self.entries.read_one(entry_id, entry)
                if batch is None:
                    is_whole, last_id = False, entry_id
                    continue
                if self.ring.end[0] not in ("", batch.epoch):
                    # Numbered again, from below what was read last: there may be entries before this one.
                    return
                if self.ring.end[1] and not await self._follows(batch, last_id):
                    self._forget()
                is_whole, epoch = self._keep(batch, entry_id) and is_whole, batch.epoch
                last_id = entry_id
            if not is_whole:
                await self._begin(epoch)

    async def _begin(self, epoch: str) -> None:
        if self._listener is not None:
            await self._listener.begin(epoch)

    def _forget(self) -> None:
        self.ring.clear()
        self._reads.forget()
        self._wake()

    async def _follows(self, batch: Batch, last_id: bytes) -> bool:
        """Tell whether nothing is missing between the ring's end and `batch`."""
        if batch.first_sequence == self.ring.end[1] + 1:
            return True
        # A sparse stream whose last entry that was read is still there lost nothing behind it.
        return not self.batches.is_dense and bool(await self._client.xrange(self._key, min=last_id, max=last_id))

    def _keep(self, batch: Batch, entry_id: bytes) -> bool:
        """Take a batch in; tell whether the listener could read it."""
        self.ring.append(batch)
        self.latest.note(batch)
        self._wake()
        try:
            if self._listener is not None:
                self._listener.note(batch)
        except (ValueError, NewerVersion) as exc:
            # Its head was fine, so those who follow get it as it is.
            self.entries.skip(entry_id, exc)
            return False
        return True

    def _tell(self, trouble: str) -> None:
        if self._listener is not None:
            self._listener.trouble(trouble)

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

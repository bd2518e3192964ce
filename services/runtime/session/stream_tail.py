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
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator
from itertools import islice
from random import Random
from typing import Any, Protocol

import redis
import redis.asyncio

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session.shared_reads import SharedReads
from services.runtime.session.stream_entries import Batch, Cut, Explains, Head, StreamEntries, UnreadableEntry, step
from services.runtime.session.versions import NewerVersion
from services.runtime.tasks import end_task, raise_if_cancelled
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

RING_BYTES_MAX = 16 * 1024 * 1024
"""Newest batches kept in memory for subscribers that keep up; older ones are read from Redis."""
RING_BATCHES_MAX = 4096
"""The same for small batches, whose bookkeeping outweighs their bytes."""
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
        head: Head,
        cut: Cut,
        explains: Explains | None,
        listener: Listener | None = None,
        unreadable: Unreadable | None = None,
    ) -> None:
        """`explains` is None for a sparse stream; what is skipped there is told to `unreadable`."""
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._key = key
        self._is_dense = explains is not None
        self._entries = StreamEntries(client, key, head=head, cut=cut, explains=explains, unreadable=unreadable)
        self._reads = SharedReads(self._entries.after)
        self._listener = listener
        self._ring: deque[Batch] = deque()
        self._ring_bytes = 0
        self._floor = 0
        """Everything of the ring's epoch after this sequence, and up to its end, is in the ring."""
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
        return self._ring[-1].last_sequence if self._ring else 0

    async def check_retained(self, after_sequence: int, epoch: str) -> None:
        """Raise FellBehind unless `follow` can begin there."""
        await self._entries.after(after_sequence, epoch)

    async def oldest_sequence(self) -> int:
        """First sequence that is still retained; 0 when the stream is empty."""
        return await self._entries.oldest_sequence()

    async def newest(self) -> Batch | None:
        """The last batch in the stream; None when it is empty."""
        return await self._entries.newest()

    async def follow(self, after_sequence: int | None, epoch: str) -> AsyncGenerator[Batch, None]:
        """Yield every batch behind `after_sequence` of `epoch`, for ever. Raises FellBehind.

        Without `after_sequence` it begins with whatever the stream holds first, or gets first. A position inside of a batch gets
        the rest of that batch first. When the numbering starts over (another epoch), it goes on with the new one's first sequence.
        """
        position = after_sequence
        while True:
            grown = self._grown
            batches = self._from_ring(position, epoch)
            if batches is None:
                batches = await (self._entries.oldest() if position is None else self._reads.after(position, epoch))
                raise_if_cancelled()
            for batch in batches:
                yield batch
                position, epoch = batch.last_sequence, batch.epoch
            if not batches:
                await grown.wait()

    def _from_ring(self, position: int | None, epoch: str) -> list[Batch] | None:
        """The next batches for a subscriber that keeps up; None when the stream has to be asked."""
        ring = self._ring
        if position is None or not ring or ring[-1].epoch != epoch:
            return None
        if position == ring[-1].last_sequence:
            return []
        index = bisect_left(ring, position + 1, key=lambda batch: batch.first_sequence)
        in_the_middle = index > 0 and ring[index - 1].last_sequence > position
        if index == len(ring) or in_the_middle or position < self._floor:
            return None
        return step(islice(ring, index, None))

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
        newest = await self._client.xrevrange(self._key, count=self._entries.look_count)
        self._backoff.reset()
        last_id = newest[0][0] if newest else b"0-0"
        self._forget()
        batches = self._entries.read(newest)
        if newest and not batches:
            raise ValueError(f"none of its newest {len(newest)} entries")
        epoch = batches[0].epoch if batches else ""
        await self._begin(epoch)
        self._tell("")
        self._complaint.over()
        if batches:
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
                batch = self._entries.read_one(entry_id, entry)
                if batch is None:
                    is_whole, last_id = False, entry_id
                    continue
                if self._ring and batch.epoch != self._ring[-1].epoch:
                    # Numbered again, from below what was read last: there may be entries before this one.
                    return
                if self._ring and not await self._follows(batch, last_id):
                    self._forget()
                is_whole, epoch = self._keep(batch, entry_id) and is_whole, batch.epoch
                last_id = entry_id
            if not is_whole:
                await self._begin(epoch)

    async def _begin(self, epoch: str) -> None:
        if self._listener is not None:
            await self._listener.begin(epoch)

    def _forget(self) -> None:
        self._ring.clear()
        self._ring_bytes = 0
        self._reads.forget()
        self._wake()

    async def _follows(self, batch: Batch, last_id: bytes) -> bool:
        """Tell whether nothing is missing between the ring's end and `batch`."""
        if batch.first_sequence == self._ring[-1].last_sequence + 1:
            return True
        # A sparse stream whose last entry that was read is still there lost nothing behind it.
        return not self._is_dense and bool(await self._client.xrange(self._key, min=last_id, max=last_id))

    def _keep(self, batch: Batch, entry_id: bytes) -> bool:
        """Take a batch in; tell whether the listener could read it."""
        if not self._ring:
            self._floor = batch.first_sequence - 1
        self._ring.append(batch)
        self._ring_bytes += len(batch.payload)
        while len(self._ring) > 1 and (self._ring_bytes > RING_BYTES_MAX or len(self._ring) > RING_BATCHES_MAX):
            dropped = self._ring.popleft()
            self._ring_bytes -= len(dropped.payload)
            self._floor = dropped.last_sequence
        self._wake()
        try:
            if self._listener is not None:
                self._listener.note(batch)
        except (ValueError, NewerVersion) as exc:
            # Its head was fine, so those who follow get it as it is.
            self._entries.skip(entry_id, exc)
            return False
        return True

    def _tell(self, trouble: str) -> None:
        if self._listener is not None:
            self._listener.trouble(trouble)

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

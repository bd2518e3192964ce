"""Follow a Redis stream of batches on behalf of many subscribers: one read for all that keep up, own reads for those that do not.

Nothing here holds the producer back. A subscriber that keeps up is served from a small ring in memory that all share; one that fell behind
reads from the stream at its own pace; one that fell behind what the stream retains is told so and ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, NamedTuple

import redis
import redis.asyncio

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.tasks import end_task

logger = logging.getLogger(__name__)

RING_BYTES_MAX = 16 * 1024 * 1024
"""Newest batches kept in memory for subscribers that keep up; older ones are read from Redis."""
BLOCK_MS = 1000
READ_COUNT = 16
RECONNECT = BackoffPolicy(base_s=0.05, cap_s=2.0)


class Batch(NamedTuple):
    """One entry of the stream."""

    epoch: str
    first_sequence: int
    last_sequence: int
    payload: bytes


class FellBehind(Exception):
    """The records after `last_sequence` are no longer retained."""

    def __init__(self, last_sequence: int, oldest_sequence: int) -> None:
        super().__init__(f"records after {last_sequence} are no longer retained, the oldest is {oldest_sequence}")
        self.last_sequence = last_sequence
        self.oldest_sequence = oldest_sequence


Head = Callable[[bytes], Batch]
"""Reads epoch and sequences out of a payload."""
Explains = Callable[[bytes, int], bool]
"""Tells whether a payload says in-band that the sequence after it is the one given."""


class StreamTail:
    """The newest batches of one stream, and a way to read any retained one."""

    def __init__(self, client: redis.asyncio.Redis, key: str, *, head: Head, explains: Explains | None = None) -> None:
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._key = key
        self._head = head
        self._explains = explains or (lambda payload, sequence: False)
        self._ring: deque[Batch] = deque()
        self._ring_bytes = 0
        self._grown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._epoch = ""
        self._backoff = Backoff(Random(), RECONNECT)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        await end_task(self._task)

    async def oldest_sequence(self) -> int:
        """First sequence that is still retained; 0 when the stream is empty."""
        entries = await self._client.xrange(self._key, count=1)
        return self._head(entries[0][1][b"b"]).first_sequence if entries else 0

    async def newest(self) -> Batch | None:
        """The last batch in the stream; None when it is empty."""
        entries = await self._client.xrevrange(self._key, count=1)
        return self._head(entries[0][1][b"b"]) if entries else None

    async def holding(self, sequence: int) -> Batch | None:
        """The batch that holds `sequence`, or else the first one after it; None when there is none yet."""
        before = await self._client.xrevrange(self._key, max=f"0-{sequence}", count=1)
        if before:
            batch = self._head(before[0][1][b"b"])
            if batch.last_sequence >= sequence:
                return batch
        after = await self._client.xrange(self._key, min=f"0-{sequence}", count=1)
        return self._head(after[0][1][b"b"]) if after else None

    async def follow(self, after_sequence: int, epoch: str) -> AsyncIterator[Batch]:
        """Yield every batch behind `after_sequence`, which must be the end of a batch, for ever. Raises FellBehind.

        A batch of another epoch starts over at its own first sequence.
        """
        position, last = after_sequence, None
        while True:
            grown = self._grown
            batches = self._ring_after(position, epoch)
            if batches is None:
                batches = await self._read_after(position)
            for batch in batches:
                if batch.epoch != epoch:
                    epoch, position, last = batch.epoch, batch.first_sequence - 1, None
                if batch.last_sequence <= position:
                    continue
                if batch.first_sequence > position + 1 and not (
                    last is not None and self._explains(last.payload, batch.first_sequence)
                ):
                    raise FellBehind(position, batch.first_sequence)
                yield batch
                position, last = batch.last_sequence, batch
            if not batches:
                await grown.wait()

    def _ring_after(self, position: int, epoch: str) -> list[Batch] | None:
        """Batches of the ring behind `position`; None when they have to be read from the stream."""
        if not self._ring:
            return None if not self._epoch else []
        if self._ring[0].epoch != epoch or self._ring[-1].epoch != epoch:
            return list(self._ring) if self._ring[0].first_sequence == 1 else None
        if position < self._ring[0].first_sequence - 1:
            return None
        found: list[Batch] = []
        for batch in reversed(self._ring):
            if batch.last_sequence <= position:
                break
            found.append(batch)
        found.reverse()
        return found

    async def _read_after(self, position: int) -> list[Batch]:
        entries = await self._client.xrange(self._key, min=f"0-{position + 1}", count=READ_COUNT)
        return [self._head(fields[b"b"]) for _, fields in entries]

    async def _run(self) -> None:
        while True:
            try:
                await self._tail()
            except (redis.RedisError, OSError) as exc:
                logger.warning("stream tail interrupted: key=%s error=%s", self._key, type(exc).__name__)
                await asyncio.sleep(self._backoff.next_s())

    async def _tail(self) -> None:
        """Read on until the connection breaks or the stream turns out to have started over."""
        newest = await self._client.xrevrange(self._key, count=1)
        self._backoff.reset()
        last_id = b"0-0"
        self._forget()
        if newest:
            last_id = newest[0][0]
            self._keep(self._head(newest[0][1][b"b"]))
        while True:
            answer = await self._client.xread({self._key: last_id}, count=READ_COUNT, block=BLOCK_MS)
            if not answer:
                top = await self._client.xrevrange(self._key, count=1)
                if (top[0][0] if top else b"0-0") != last_id:
                    # Nothing came although the top differs: the stream was deleted and numbered again.
                    return
                continue
            for entry_id, fields in answer[0][1]:
                self._keep(self._head(fields[b"b"]))
                last_id = entry_id

    def _forget(self) -> None:
        self._ring.clear()
        self._ring_bytes = 0
        self._wake()

    def _keep(self, batch: Batch) -> None:
        if self._ring and batch.epoch != self._epoch:
            self._forget()
        self._epoch = batch.epoch
        self._ring.append(batch)
        self._ring_bytes += len(batch.payload)
        while self._ring_bytes > RING_BYTES_MAX and len(self._ring) > 1:
            self._ring_bytes -= len(self._ring.popleft().payload)
        self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

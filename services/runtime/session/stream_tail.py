"""Follow a Redis stream of batches on behalf of many subscribers: one read for all that keep up, own reads for those that do not.

Nothing here holds the producer back. A subscriber that keeps up is served from a small ring in memory that all share; one that fell behind
reads from the stream at its own pace; one that fell behind what the stream retains is told so and ends.

An entry that cannot be read ends whoever gets to it in a dense stream: its records are somewhere, and going on without them would
be a hole that nobody sees. In a sparse one it is skipped, counted and said; the listener is told to look elsewhere for what it held.

The ring is only ever a run of batches of one epoch with nothing missing between them. Everything else that can happen to a stream (it
starts over, comes back with an older top, has a hole that a gap marker explains, is cut elsewhere than before) is decided from the
stream itself. In a dense stream every sequence is in some batch; in a sparse one a hole is normal, because batches without content
leave no entry, and only retention makes a subscriber fall behind: the oldest go first, so nothing behind a retained entry is gone.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Callable
from itertools import islice
from random import Random
from typing import Any, NamedTuple, Protocol

import redis
import redis.asyncio

from services.runtime.backoff import Backoff, BackoffPolicy
from services.runtime.errors import FailedPrecondition
from services.runtime.log_fields import fields
from services.runtime.logs import REPEAT_S, LogLimit
from services.runtime.session.versions import NewerVersion
from services.runtime.tasks import end_task, raise_if_cancelled
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

RING_BYTES_MAX = 16 * 1024 * 1024
"""Newest batches kept in memory for subscribers that keep up; older ones are read from Redis."""
RING_BATCHES_MAX = 4096
"""The same for small batches, whose bookkeeping outweighs their bytes."""
STEP_BYTES = 1024 * 1024
"""What one subscriber holds at a time: it outlives the ring in the hands of one that does not read."""
BLOCK_MS = 1000
READ_COUNT = 16
STEP_COUNT_MAX = 64
RECONNECT = BackoffPolicy(base_s=0.05, cap_s=2.0)


class Batch(NamedTuple):
    """One entry of the stream, or the rest of one."""

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


Head = Callable[[int, bytes], Batch]
"""Reads epoch and sequences out of a payload, whose entry says with which sequence it begins."""
Cut = Callable[[bytes, int], bytes | None]
"""Drops the records up to a sequence from a payload; None when nothing is left."""
Explains = Callable[[bytes, int], bool]
"""Tells whether a payload says in-band that the sequence after it is the one given."""


class UnreadableEntry(FailedPrecondition):
    """An entry of a dense stream is not what it should be."""

    def __init__(self, key: str, entry_id: bytes, error: Exception) -> None:
        super().__init__(
            f"entry {entry_id.decode()} of {key} cannot be read ({error}), and nothing says which records it holds: find out "
            "who wrote it; to go on without them, begin behind it"
        )


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
        self._head = head
        self._cut = cut
        self._explains = explains
        self._listener = listener
        self._skipped = unreadable or Unreadable()
        self._ring: deque[Batch] = deque()
        self._ring_bytes = 0
        self._floor = 0
        """Everything of the ring's epoch after this sequence, and up to its end, is in the ring."""
        self._entry_bytes = STEP_BYTES
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

    @property
    def last_sequence(self) -> int:
        """The last sequence that was read; 0 before the first."""
        return self._ring[-1].last_sequence if self._ring else 0

    async def check_retained(self, after_sequence: int, epoch: str) -> None:
        """Raise FellBehind unless `follow` can begin there."""
        await self._from_stream(after_sequence, epoch)

    async def oldest_sequence(self) -> int:
        """First sequence that is still retained; 0 when the stream is empty."""
        entries = self._batches(await self._client.xrange(self._key, count=self._look()))
        return entries[0].first_sequence if entries else 0

    async def newest(self) -> Batch | None:
        """The last batch in the stream; None when it is empty."""
        entries = self._batches(await self._client.xrevrange(self._key, count=self._look()))
        return entries[0] if entries else None

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
                batches = await self._from_stream(position, epoch)
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
        return self._step(islice(ring, index, None))

    def _step(self, batches: Any) -> list[Batch]:
        """As many batches as one subscriber may hold, at least one where there is one."""
        taken: list[Batch] = []
        size = 0
        for batch in batches:
            size += len(batch.payload)
            if taken and size > STEP_BYTES:
                break
            taken.append(batch)
        return taken

    async def _from_stream(self, position: int | None, epoch: str) -> list[Batch]:
        if position is None:
            return self._step(self._joined(self._batches(await self._client.xrange(self._key, count=self._count()))))
        # One transaction, because the stream may start over between two commands.
        async with self._client.pipeline(transaction=True) as both:
            both.xrange(self._key, min=f"0-{position + 1}", count=self._count())
            both.xrevrange(self._key, max=f"0-{position + 1}", count=self._look())
            answers = [self._batches(entries) for entries in await both.execute()]
        after, before = answers[0], answers[1][0] if answers[1] else None
        known = [batch for batch in (*after[:1], before) if batch is not None]
        if not known:
            return []
        if any(epoch not in ("", batch.epoch) for batch in known):
            return await self._start_over(position, epoch)
        if after and after[0].first_sequence == position + 1:
            return self._step(self._joined(after))
        if before is not None and before.last_sequence > position:
            return self._rest(before, position)
        if not after:
            # The stream ends at the position, or came back with an older top and will grow past it again.
            return []
        if self._explains is None:
            if before is None and await self._is_trimmed():
                raise FellBehind(position, after[0].first_sequence)
            return self._step(after)
        if before is not None and self._explains(before.payload, after[0].first_sequence):
            # Whoever has the marker goes on behind the hole. Whoever has lost records instead of it, because the stream came
            # back without them, gets the marker first.
            marker = self._rest(before, position) if before.last_sequence < position else []
            return [*marker, *self._step(self._joined(after))]
        raise FellBehind(position, after[0].first_sequence)

    def _rest(self, batch: Batch, position: int) -> list[Batch]:
        payload = self._cut(batch.payload, position)
        return [self._head(position + 1, payload)] if payload is not None else []

    async def _start_over(self, position: int, epoch: str) -> list[Batch]:
        """The beginning of an epoch that follows the one asked for."""
        batches = self._batches(await self._client.xrange(self._key, count=self._count()))
        if batches and batches[0].first_sequence != 1 and (self._explains is not None or await self._is_trimmed()):
            raise FellBehind(position, batches[0].first_sequence)
        logger.info("numbering started over", extra=fields(key=self._key, before=epoch, position=position))
        return self._step(self._joined(batches))

    async def _is_trimmed(self) -> bool:
        """Tell whether the stream may have lost its oldest entries."""
        try:
            facts = await self._client.xinfo_stream(self._key)
        except redis.ResponseError:
            return False
        # Since Redis 7 a stream knows how many entries it ever had; before, what is not there counts as trimmed.
        return bool(
            facts.get("entries-added", facts.get(b"entries-added")) != facts.get("length", facts.get(b"length"))
        )

    def _joined(self, batches: list[Batch]) -> list[Batch]:
        """The batches up to the first hole; what lies behind it is looked at when the subscriber gets there."""
        return batches if self._explains is None else _consecutive(batches)

    def _count(self) -> int:
        return min(max(STEP_BYTES // max(self._entry_bytes, 1), 1), STEP_COUNT_MAX)

    def _look(self) -> int:
        """How many entries to ask for where one is enough: in a sparse stream it may have to be the next one."""
        return 1 if self._explains is not None else READ_COUNT

    def _batches(self, entries: Any) -> list[Batch]:
        found = [self._batch(entry_id, fields) for entry_id, fields in entries]
        batches = [batch for batch in found if batch is not None]
        if batches:
            self._entry_bytes = len(batches[-1].payload)
        return batches

    def _batch(self, entry_id: bytes, fields: Any) -> Batch | None:
        """Read one entry; None where it is skipped. Raises UnreadableEntry."""
        try:
            if b"b" not in fields:
                raise ValueError("it has no field `b`")
            return self._head(_sequence(entry_id), fields[b"b"])
        except (ValueError, NewerVersion) as exc:
            if self._explains is not None:
                raise UnreadableEntry(self._key, entry_id, exc) from exc
            self._skip(entry_id, exc)
            return None

    def _skip(self, entry_id: bytes, exc: Exception) -> None:
        self._skipped.note("stream", f"{self._key} {entry_id.decode()}", exc)

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
        newest = await self._client.xrevrange(self._key, count=self._look())
        self._backoff.reset()
        last_id = newest[0][0] if newest else b"0-0"
        self._forget()
        batches = self._batches(newest)
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
                read = self._batch(entry_id, entry)
                if read is None:
                    is_whole, last_id = False, entry_id
                    continue
                batch = read
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
        self._wake()

    async def _follows(self, batch: Batch, last_id: bytes) -> bool:
        """Tell whether nothing is missing between the ring's end and `batch`."""
        if batch.first_sequence == self._ring[-1].last_sequence + 1:
            return True
        # A sparse stream whose last entry that was read is still there lost nothing behind it.
        return self._explains is None and bool(await self._client.xrange(self._key, min=last_id, max=last_id))

    def _keep(self, batch: Batch, entry_id: bytes) -> bool:
        """Take a batch in; tell whether the listener could read it."""
        if not self._ring:
            self._floor = batch.first_sequence - 1
        self._ring.append(batch)
        self._ring_bytes += len(batch.payload)
        self._entry_bytes = len(batch.payload)
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
            self._skip(entry_id, exc)
            return False
        return True

    def _tell(self, trouble: str) -> None:
        if self._listener is not None:
            self._listener.trouble(trouble)

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def _consecutive(batches: list[Batch]) -> list[Batch]:
    """The batches up to the first hole; what lies behind it is looked at when the subscriber gets there."""
    for index in range(1, len(batches)):
        if (batches[index].epoch, batches[index].first_sequence) != (
            batches[index - 1].epoch,
            batches[index - 1].last_sequence + 1,
        ):
            return batches[:index]
    return batches


def _sequence(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[2])

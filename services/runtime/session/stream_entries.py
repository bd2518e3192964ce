"""Read what a Redis stream of batches retains: its ends, and what follows a position.

An entry that cannot be read ends whoever gets to it in a dense stream: its records are somewhere, and going on without them would
be a hole that nobody sees. In a sparse one it is skipped, counted and said.

Everything that can happen to a stream (it starts over, comes back with an older top, has a hole, is cut elsewhere than before) is
decided from the stream itself. In a dense stream every sequence is in some batch, lost ones in that of the gap marker that names them; in
a sparse one a hole is normal, because batches without content leave no entry, and only retention makes a subscriber fall behind: the
oldest go first, so nothing behind a retained entry is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import redis
import redis.asyncio

from services.runtime.errors import FailedPrecondition
from services.runtime.log_fields import fields
from services.runtime.session.batch_format import Batch, BatchFormat
from services.runtime.session.versions import NewerVersion
from services.runtime.unreadable import Unreadable

logger = logging.getLogger(__name__)

STEP_BYTES = 1024 * 1024
"""What one subscriber holds at a time: it outlives the ring in the hands of one that does not read."""
STEP_COUNT_MAX = 64
LOOK_COUNT = 16
"""Entries to ask a sparse stream for where one is wanted: some may have to be skipped."""


class FellBehind(Exception):
    """The records after `last_sequence` are no longer retained; the oldest that is belongs to `epoch`."""

    def __init__(self, last_sequence: int, oldest: Batch) -> None:
        super().__init__(f"records after {last_sequence} are no longer retained, the oldest is {oldest.first_sequence}")
        self.last_sequence = last_sequence
        self.oldest_sequence = oldest.first_sequence
        self.epoch = oldest.epoch


class UnreadableEntry(FailedPrecondition):
    """An entry of a dense stream is not what it should be."""

    def __init__(self, key: str, entry_id: bytes, error: Exception) -> None:
        super().__init__(
            f"entry {entry_id.decode()} of {key} cannot be read ({error}), and nothing says which records it holds: find out "
            "who wrote it; to go on without them, begin behind it"
        )


def step(batches: Iterable[Batch]) -> list[Batch]:
    """As many batches as one subscriber may hold, at least one where there is one."""
    taken: list[Batch] = []
    size = 0
    for batch in batches:
        size += len(batch.payload)
        if taken and size > STEP_BYTES:
            break
        taken.append(batch)
    return taken


class StreamEntries:
    """The retained entries of one stream, read when asked for."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        key: str,
        *,
        batches: BatchFormat,
        unreadable: Unreadable | None = None,
    ) -> None:
        """What is skipped in a sparse stream is told to `unreadable`."""
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._key = key
        self._head = batches.head
        self._cut = batches.cut
        self._is_dense = batches.is_dense
        self._skipped = unreadable or Unreadable()
        self._entry_bytes = STEP_BYTES

    async def oldest_sequence(self) -> int:
        """First sequence that is still retained; 0 when the stream is empty."""
        batches = self.read(await self._client.xrange(self._key, count=self.look_count))
        return batches[0].first_sequence if batches else 0

    async def newest(self) -> Batch | None:
        """The last batch in the stream; None when it is empty."""
        batches = self.read(await self._client.xrevrange(self._key, count=self.look_count))
        return batches[0] if batches else None

    async def oldest(self) -> list[Batch]:
        """The first step of whatever the stream holds."""
        return step(self._joined(self.read(await self._client.xrange(self._key, count=self._count()))))

    async def beginning_at(self, sequence: int) -> Batch | None:
        """The first batch whose entry begins with this sequence or a later one; None when there is none."""
        batches = self.read(await self._client.xrange(self._key, min=f"0-{sequence}", count=self.look_count))
        return batches[0] if batches else None

    async def after(self, position: int, epoch: str) -> list[Batch]:
        """The step behind a position of an epoch; empty where nothing follows yet. Raises FellBehind and UnreadableEntry."""
        follows = {"min": f"0-{position + 1}", "count": self._count()}
        after = self.read(await self._client.xrange(self._key, **follows))
        if after and after[0].first_sequence == position + 1 and epoch in ("", after[0].epoch):
            return step(self._joined(after))
        # One transaction, because the stream may start over between two commands.
        async with self._client.pipeline(transaction=True) as both:
            both.xrange(self._key, **follows)
            both.xrevrange(self._key, max=f"0-{position + 1}", count=self.look_count)
            answers = [self.read(entries) for entries in await both.execute()]
        after, before = answers[0], answers[1][0] if answers[1] else None
        known = [batch for batch in (*after[:1], before) if batch is not None]
        if not known:
            return []
        if any(epoch not in ("", batch.epoch) for batch in known):
            return await self._start_over(position, epoch)
        if after and after[0].first_sequence == position + 1:
            return step(self._joined(after))
        if before is not None and before.last_sequence > position:
            return self._rest(before, position)
        if not after:
            # The stream ends at the position, or came back with an older top and will grow past it again.
            return []
        if self._is_dense or (before is None and await self._is_trimmed()):
            raise FellBehind(position, after[0])
        return step(after)

    def _rest(self, batch: Batch, position: int) -> list[Batch]:
        payload = self._cut(batch.payload, position)
        return [self._head(position + 1, payload)] if payload is not None else []

    async def _start_over(self, position: int, epoch: str) -> list[Batch]:
        """The beginning of an epoch that follows the one asked for."""
        batches = self.read(await self._client.xrange(self._key, count=self._count()))
        if batches and await self.begins_later(batches[0]):
            raise FellBehind(position, batches[0])
        logger.info("numbering started over", extra=fields(key=self._key, before=epoch, position=position))
        return step(self._joined(batches))

    async def begins_later(self, oldest: Batch) -> bool:
        """Tell whether there may have been records before the oldest retained batch."""
        return oldest.first_sequence > 1 and (self._is_dense or await self._is_trimmed())

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
        return _consecutive(batches) if self._is_dense else batches

    def _count(self) -> int:
        return min(max(STEP_BYTES // max(self._entry_bytes, 1), 1), STEP_COUNT_MAX)

    @property
    def look_count(self) -> int:
        """How many entries to ask for where one is enough: in a sparse stream it may have to be the next one."""
        return 1 if self._is_dense else LOOK_COUNT

    def read(self, entries: Any) -> list[Batch]:
        """Read the entries of an answer. Raises UnreadableEntry in a dense stream; what a sparse one skips is missing."""
        found = [self.read_one(entry_id, entry) for entry_id, entry in entries]
        return [batch for batch in found if batch is not None]

    def read_one(self, entry_id: bytes, entry: Any) -> Batch | None:
        """Read one entry; None where it is skipped. Raises UnreadableEntry."""
        try:
            if b"b" not in entry:
                raise ValueError("it has no field `b`")
            batch = self._head(_sequence(entry_id), entry[b"b"])
        except (ValueError, NewerVersion) as exc:
            if self._is_dense:
                raise UnreadableEntry(self._key, entry_id, exc) from exc
            self.skip(entry_id, exc)
            return None
        self._entry_bytes = len(batch.payload)
        return batch

    def cannot_read(self, first_sequence: int, exc: Exception) -> None:
        """An entry whose head is fine holds something else: as `read_one`."""
        entry_id = b"0-%d" % first_sequence
        if self._is_dense:
            raise UnreadableEntry(self._key, entry_id, exc) from exc
        self.skip(entry_id, exc)

    def skip(self, entry_id: bytes, exc: Exception) -> None:
        """Count and say that an entry, or what it holds, was left out."""
        self._skipped.note("stream", f"{self._key} {entry_id.decode()}", exc)


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

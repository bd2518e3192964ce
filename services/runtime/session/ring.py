"""The newest batches of a stream, in memory for all who keep up: a run of one epoch with nothing missing between them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import islice
from typing import Final

from services.runtime.session.batch_format import Batch
from services.runtime.session.behind import NOT_BEHIND, Behind
from services.runtime.session.stream_entries import step

RING_BYTES_MAX = 16 * 1024 * 1024
"""Newest batches kept in memory for subscribers that keep up; older ones are read from Redis."""
RING_BATCHES_MAX = 4096
"""The same for small batches, whose bookkeeping outweighs their bytes."""
NOTHING: Final = ("", 0)


class Ring:
    """A bounded run of batches. Figures may be read from any thread."""

    def __init__(self, bytes_max: int | None = None) -> None:
        """It keeps RING_BYTES_MAX, or `bytes_max` where there is less to spare."""
        self._bytes_max = bytes_max
        self._batches: deque[Batch] = deque()
        self._ends: deque[int] = deque()
        """Per batch: `read_bytes` when it was in."""
        self._bytes = 0
        self.floor = 0
        """Everything of the epoch after this sequence, and up to the end, is here."""
        self.end: tuple[str, int] = NOTHING
        """Epoch and sequence of the last record; ("", 0) where there is none."""
        self.read_bytes = 0
        """Bytes of all batches that ever were in."""
        self.last_arrival_time_ns = 0
        """Of the newest tick or mid; 0 before the first."""

    def __len__(self) -> int:
        return len(self._batches)

    def append(self, batch: Batch) -> None:
        """Take in what follows the end."""
        if not self._batches:
            self.floor = batch.first_sequence - 1
        self._batches.append(batch)
        self._bytes += len(batch.payload)
        self.read_bytes += len(batch.payload)
        self._ends.append(self.read_bytes)
        if batch.last_arrival_time_ns is not None:
            self.last_arrival_time_ns = batch.last_arrival_time_ns
        self.end = (batch.epoch, batch.last_sequence)
        bytes_max = RING_BYTES_MAX if self._bytes_max is None else self._bytes_max
        while len(self._batches) > 1 and (self._bytes > bytes_max or len(self._batches) > RING_BATCHES_MAX):
            dropped = self._batches.popleft()
            self._ends.popleft()
            self._bytes -= len(dropped.payload)
            self.floor = dropped.last_sequence

    def clear(self) -> None:
        """Begin anew."""
        self._batches.clear()
        self._ends.clear()
        self._bytes = 0
        self.end = NOTHING

    def following(self, position: int | None, epoch: str) -> list[Batch] | None:
        """The next step for a subscriber that keeps up; None when the stream has to be asked."""
        if position is None or self.end == NOTHING or self.end[0] != epoch:
            return None
        if position == self.end[1]:
            return []
        index = self._index(position)
        in_the_middle = index > 0 and self._batches[index - 1].last_sequence > position
        if index == len(self._batches) or in_the_middle or position < self.floor:
            return None
        return step(islice(self._batches, index, None))

    def boundary(self, sequence: int) -> int:
        """The last sequence before the first batch that begins behind `sequence`, or before the newest one."""
        index = min(self._index(sequence), len(self._batches) - 1)
        return self._batches[index].first_sequence - 1

    def behind(self, batch: Batch) -> Behind:
        """How far somebody is behind who has everything up to this batch; bytes below the floor are estimated."""
        epoch, last_sequence = self.end
        if epoch != batch.epoch or batch.last_sequence >= last_sequence:
            return NOT_BEHIND
        records = last_sequence - batch.last_sequence
        index = self._index(batch.last_sequence)
        if batch.last_sequence < self.floor:
            size = records * self._bytes // max(last_sequence - self.floor, 1)
        else:
            size = self.read_bytes - self._ends[index - 1] if index else self._bytes
        arrival_time_ns = batch.last_arrival_time_ns
        return Behind(records, size, 0 if arrival_time_ns is None else self.last_arrival_time_ns - arrival_time_ns)

    def _index(self, position: int) -> int:
        return bisect_left(self._batches, position + 1, key=lambda batch: batch.first_sequence)

"""What the batches of a stream are made of: the few things that following a stream has to know of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from protos.common.v1.market_pb2 import MidBatch, TickBatch


class Batch(NamedTuple):
    """One entry of the stream, or the rest of one."""

    epoch: str
    first_sequence: int
    last_sequence: int
    """Of its last record; where that is a gap marker, the last of the numbers that it says are lost."""
    payload: bytes
    last_arrival_time_ns: int | None = None
    """Of its last tick or mid; None where it has none."""


class LatestTable(Protocol):
    """The latest record of each ticker, as `LatestTicks` of fastpath.latest."""

    @property
    def epoch(self) -> str:
        """Of the numbering that it holds."""

    @property
    def last_sequence(self) -> int:
        """Up to where the stream was taken; 0 before the first batch."""

    def take(self, buffer: bytes, /) -> object:
        """Take one more batch; what was taken before is passed over. Raises FrameError."""

    def since(self, after: int, /) -> list[tuple[int, int, bytes]]:
        """What is new since a sequence: (first sequence, last sequence, encoded batch)."""


Head = Callable[[int, bytes], Batch]
"""Reads epoch and sequences out of a payload, whose entry says with which sequence it begins."""
Cut = Callable[[bytes, int], bytes | None]
"""Drops the records up to a sequence from a payload; None when nothing is left."""
FirstSince = Callable[[bytes, int], int | None]
"""Finds the sequence of the first record of a payload that arrived at a time or later. Slow: once per subscription."""


@dataclass(frozen=True)
class BatchFormat:
    """One kind of batches. The two slow functions are for where a subscription begins or has a hole."""

    message: type[TickBatch | MidBatch]
    head: Head
    cut: Cut
    is_dense: bool
    """Every sequence is in some batch; in a sparse stream holes are normal."""
    select: Callable[[bytes, Collection[str]], bytes | None]
    """Keeps these tickers only; None when nothing is left."""
    first_since: FirstSince
    table: Callable[[], LatestTable]
    nothing_left: bytes = b""
    """What a batch has to say besides its head when a filter took out all that it held."""

    def head_alone(self, payload: bytes) -> bytes:
        """The batch without what it holds. Slow."""
        batch = self.message.FromString(payload)
        head = self.message(epoch=batch.epoch, mode=batch.mode)
        head.first_sequence, head.last_sequence = batch.first_sequence, batch.last_sequence
        return head.SerializeToString(deterministic=True) + self.nothing_left

    def first_arrival_time_ns(self, payload: bytes) -> int | None:
        """Arrival time of the first record; None where there is none. Slow."""
        arrivals = self.message.FromString(payload).arrival_time_ns
        return arrivals[0] if arrivals else None

"""Follow a stream of one of our servers for as long as somebody listens: over lost connections, by sequence and epoch."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, TypeVar

import grpc

from clients.resilience.backoff import Backoff
from clients.resilience.ports import RandomSource
from clients.rpc.channel import Line
from protos.common.v1.market_pb2 import MidBatch, PartitionPosition

__all__ = ["Follower", "Lost", "Missed", "Start"]

LAST_SEQUENCE_TRAILER: Final = "midstream-last-sequence"

_LOST: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)
"""After these the same call may succeed, where it did before."""

BACKOFF: Final = Backoff(base_s=0.2, cap_s=10.0)


class Numbered(Protocol):
    """A batch of numbered records."""

    @property
    def epoch(self) -> str:
        """Of its numbering."""

    @property
    def last_sequence(self) -> int:
        """Of its last record."""


B = TypeVar("B", bound=Numbered)
R = TypeVar("R")


@dataclass(frozen=True)
class Start:
    """Where a stream begins; with what comes next, where nothing else is said. One of them at most."""

    after: int | None = None
    """Behind a sequence."""
    epoch: str = ""
    """Which numbering `after` is of; empty is the current one."""
    oldest: bool = False
    """At the oldest record that is retained."""
    latest: bool = False
    """With the latest of each ticker, and then with what follows."""
    arrival_time_ns: int | None = None
    """With the first record that arrived at this time or later."""
    positions: tuple[PartitionPosition, ...] = ()
    """Of a stream over all partitions of a session: behind these, as its batches say them.

    Partitions that are not named begin where the rest says, if they are those of mids."""


@dataclass(frozen=True)
class Lost:
    """The connection went, or the server sent us away; the stream goes on behind the last record by itself."""

    reason: str
    again_in_s: float


@dataclass(frozen=True)
class Missed:
    """Records are missing here: they are not retained any more, or the session began anew."""

    reason: str
    after: int
    """The last sequence before the gap; 0 when there was none."""


Open = Callable[[grpc.Channel, Start], "grpc._CallIterator[R]"]
"""Calls the method for a place to begin."""


class Follower(Generic[R, B]):
    """Gives batches in order, and says where something is missing or has to be waited for. Not for several threads."""

    def __init__(
        self,
        line: Line,
        open_stream: Open[R],
        batch_of: Callable[[R], B],
        start: Start,
        *,
        sleep: Callable[[float], None] = time.sleep,
        randomness: RandomSource | None = None,
    ) -> None:
        """`open_stream` calls the method, `batch_of` finds the batch in an answer; nothing is sent before the first is asked for."""
        self._line = line
        self._asked = start
        self._batch_of = batch_of
        self._open = open_stream
        self._next = start
        self._sleep = sleep
        self._random = randomness or random.SystemRandom()
        self._reached = False
        """Whether a stream was ever established: then trouble is waited out, and not before."""
        self._failures = 0
        self._last, self._epoch = 0, ""
        self._epochs: dict[int, str] = {}
        """Of each partition, where the batches say it."""

    def __iter__(self) -> Iterator[B | Lost | Missed]:
        """Raises grpc.RpcError for what waiting does not mend, UnusableChannel for certificates that cannot be used."""
        while True:
            try:
                yield from self._stream()
                trouble = Lost("the server ended the stream", self._delay_s())
            except grpc.RpcError as exc:
                found = self._after(exc)
                if isinstance(found, Missed):
                    yield found
                    continue
                trouble = found
            yield trouble
            self._sleep(trouble.again_in_s)

    def _stream(self) -> Iterator[B | Missed]:
        with self._line.channel() as channel:
            call = self._open(channel, self._next)
            try:
                call.initial_metadata()
                self._reached = self._reached or call.is_active()
                for answer in call:
                    batch = self._batch_of(answer)
                    self._reached, self._failures = True, 0
                    positions = tuple(getattr(batch, "positions", ()))
                    one = _partition_of(batch)
                    if self._begins_anew(batch, positions, one):
                        yield Missed("the session began anew: its numbering starts over", self._last)
                    self._epoch, self._last = batch.epoch, batch.last_sequence
                    if positions:
                        self._next = Start(positions=positions)
                    elif one is not None:
                        self._next = self._behind(one, batch)
                    elif not self._next.positions:
                        self._next = Start(after=_end(batch), epoch=batch.epoch)
                    yield batch
            finally:
                call.cancel()

    def _behind(self, partition: int, batch: B) -> Start:
        """Return where to go on behind a batch of one of several partitions: the others stay where they are."""
        here = PartitionPosition(partition=partition, epoch=batch.epoch, sequence=_end(batch))
        others = (each for each in self._next.positions if each.partition != partition)
        # What it began behind is the sequence of one partition, which has a position now.
        asked = Start() if self._asked.after is not None else self._asked
        return replace(asked, oldest=asked.oldest or self._next.oldest, positions=(*others, here))

    def _begins_anew(self, batch: B, positions: tuple[PartitionPosition, ...], one: int | None) -> bool:
        """Whether a numbering starts over that was known: of several, that of one partition at least."""
        if one is not None:
            before_it, self._epochs[one] = self._epochs.get(one, ""), batch.epoch
            return before_it not in ("", batch.epoch)
        if not positions:
            return not self._epochs and self._epoch not in ("", batch.epoch)
        before, self._epochs = self._epochs, {each.partition: each.epoch for each in positions}
        return any(before.get(partition, "") not in ("", epoch) for partition, epoch in self._epochs.items())

    def _after(self, exc: grpc.RpcError) -> Lost | Missed:
        """Say what a failed call means and where to go on. Raises it again where that is of no use."""
        code, details = exc.code(), str(exc.details())
        is_at_oldest = self._next.oldest and not self._next.positions
        if code is grpc.StatusCode.OUT_OF_RANGE and self._epoch and not is_at_oldest:
            self._next, self._epoch, self._epochs = Start(oldest=True), "", {}
            return Missed(details, self._last)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and (last := _last_sequence(exc)) is not None:
            # Too slow: what is not retained any more by then is the next call's to say.
            if self._epoch and not self._next.positions:
                self._next = Start(after=max(last, self._last), epoch=self._epoch)
            return Lost(f"reading too slowly for what is retained ({details})", self._delay_s())
        if self._reached and (code in _LOST or code is grpc.StatusCode.RESOURCE_EXHAUSTED):
            return Lost(f"{details} ({code.name})", self._delay_s())
        raise exc

    def _delay_s(self) -> float:
        delay_s = BACKOFF.delay_s(self._failures, 0.0, self._random)
        self._failures += 1
        return delay_s


def _partition_of(batch: object) -> int | None:
    """The partition whose numbers a batch has; None where it says nothing of partitions, or is of all of them."""
    return batch.partition if isinstance(batch, MidBatch) and batch.HasField("partition") else None


def _end(batch: Numbered) -> int:
    """The last number that a batch has, or says is lost."""
    lost: list[int] = [marker.next_sequence - 1 for marker in getattr(batch, "markers", ())]
    return max([batch.last_sequence, *lost])


def _last_sequence(exc: grpc.RpcError) -> int | None:
    for each in exc.trailing_metadata() or ():
        if each.key == LAST_SEQUENCE_TRAILER:
            return int(each.value)
    return None

"""What fastpath.weave does, one record at a time and with no thought of speed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from fastpath.frame import BATCH_BYTES_MAX, MARKER_DISCONTINUITY, MARKER_GAP, MARKER_SEAM, MODE_LIVE
from fastpath.records import FrameError, Marker, Rejection
from fastpath.weave import joint_epoch
from protos.common.v1 import market_pb2
from tests.reference import frame

STATE_BYTES_MAX = BATCH_BYTES_MAX // 2
BEFORE_EVERYTHING = (-(2**63), 0, 0)
Place = tuple[int, int, int]
"""Arrival time, tie order, partition."""


@dataclass(frozen=True)
class Item:
    """A record of one partition, as it waits."""

    what: Any
    """A tick without its number, a Rejection, or a Marker."""
    place: Place | None
    """None of a marker."""
    mode: int
    epoch: str
    sequence: int
    following: int
    """The number of the next record."""


@dataclass(frozen=True)
class Piece:
    """What comes out together: one record, or a barrier."""

    epoch: str
    mode: int
    records: list[tuple[int, Any]]
    positions: list[tuple[str, int]]


@dataclass(eq=False)
class Strand:
    """One partition."""

    partition: int
    epoch: str = ""
    sequence: int = 0
    items: deque[Item] = field(default_factory=deque)
    fed: int = 0
    fed_epoch: str = ""
    since: int = 0
    promised: tuple[str, int, int] | None = None
    last: Place | None = None
    bar: Marker | None = None
    mode: int = 0
    excused: bool = False

    def has_promise(self) -> bool:
        """Whether what was promised counts."""
        if self.promised is None:
            return False
        epoch, sequence, _ = self.promised
        return epoch == self.fed_epoch and self.since <= sequence <= self.fed

    def bound(self) -> Place:
        """Before this nothing follows, of one of which nothing waits."""
        found = self.last or BEFORE_EVERYTHING
        return max(found, (self.promised[2], 0, self.partition)) if self.promised and self.has_promise() else found

    def bars(self) -> bool:
        """Whether a barrier stands next."""
        what = self.items[0].what
        return isinstance(what, Marker) and what.kind in (MARKER_SEAM, MARKER_DISCONTINUITY) and not self.goes_on(what)

    def goes_on(self, marker: Marker) -> bool:
        """Whether a marker is a part of the barrier that came out last."""
        bar = self.bar
        return (
            bar is not None
            and marker.kind == MARKER_DISCONTINUITY
            and (bar.kind, bar.revision, bar.time_ns) == (marker.kind, marker.revision, marker.time_ns)
        )

    def is_whole(self) -> bool:
        """Whether all of a barrier is here."""
        return len(self.items[0].what.state) < STATE_BYTES_MAX or len(self.items) > 1 or self.has_promise()

    def enter(self) -> None:
        """Go to the epoch of what stands next."""
        item = self.items[0]
        if self.epoch != item.epoch:
            self.epoch, self.sequence, self.since = item.epoch, item.sequence - 1, item.sequence - 1
            self.last = self.bar = None

    def pop(self) -> Item:
        """Pass what stands next."""
        item = self.items.popleft()
        self.sequence = item.following - 1
        if item.place is not None:
            self.last, self.bar = item.place, None
        return item


class Weaver:
    """As fastpath.weave.Weaver, but `take` returns one piece."""

    def __init__(self, partitions: int, *, after: Iterable[tuple[int, str, int]] = ()) -> None:
        self.strands = [Strand(partition) for partition in range(partitions)]
        for partition, epoch, sequence in after:
            strand = self.strands[partition]
            strand.epoch = strand.fed_epoch = epoch
            strand.sequence = strand.fed = strand.since = sequence

    def feed(self, partition: int, buffer: bytes) -> None:
        """Take a batch apart."""
        strand, batch = self.strands[partition], frame.decode(buffer)
        ties = frame.parse(buffer, market_pb2.TickBatch).tie_order
        if batch.filtered or len(ties) != batch.tick_count:
            raise FrameError("no whole batch of a session of several partitions")
        if strand.fed and strand.fed_epoch == batch.epoch and batch.first_sequence != strand.fed + 1:
            raise FrameError("it does not follow")
        if not strand.fed and not strand.items:
            strand.epoch, strand.sequence = batch.epoch, batch.first_sequence - 1
        numbered: list[tuple[int, Any, Place | None]] = [
            (tick[0], tick[1:], (tick[3], tie, partition)) for tick, tie in zip(batch.ticks, ties, strict=True)
        ]
        numbered += [(r.sequence, r, (r.arrival_time_ns, r.tie_order, partition)) for r in batch.rejections]
        numbered += [(marker.sequence, marker, None) for marker in batch.markers]
        for sequence, what, place in sorted(numbered, key=lambda each: each[0]):
            following = sequence + 1
            if isinstance(what, Marker) and what.kind == MARKER_GAP:
                following = what.next_sequence or following
            strand.items.append(Item(what, place, batch.mode, batch.epoch, sequence, following))
        strand.fed_epoch, strand.fed = batch.epoch, strand.items[-1].following - 1
        strand.mode, strand.excused = batch.mode, False

    def promise(self, partition: int, epoch: str, sequence: int, arrival_time_ns: int) -> None:
        """Note a watermark."""
        strand = self.strands[partition]
        if not strand.epoch and not strand.items:
            strand.epoch = strand.fed_epoch = epoch
            strand.sequence = strand.fed = strand.since = 0
        strand.promised = (epoch, sequence, arrival_time_ns)

    def excuse(self, partition: int) -> None:
        """Do not wait for it until it is fed again."""
        self.strands[partition].excused = True

    def take(self) -> Piece | None:
        """Return the next record, or barrier."""
        for strand in self.strands:
            if strand.items and strand.items[0].place is None and not strand.bars():
                return self._one(strand)
        waiting = self._waiting()
        if waiting:
            first = min(waiting, key=_place)
            if all(_place(first) < strand.bound() for strand in self._awaited()):
                return self._one(first)
            return None
        barred = [strand for strand in self.strands if strand.items]
        if not barred or self._awaited() or not all(strand.is_whole() for strand in barred):
            return None
        return self._barrier(barred)

    def lagging(self) -> list[tuple[int, bool]]:
        """Tell who holds everything up."""
        waiting = self._waiting()
        barred = [strand for strand in self.strands if strand.items and strand not in waiting and strand.bars()]
        found = []
        for strand in self.strands:
            if strand in barred and not waiting and not strand.is_whole():
                found.append((strand.partition, False))
            if strand not in self._awaited():
                continue
            if waiting:
                first = min(waiting, key=_place)
                if not _place(first) < strand.bound():
                    is_live = first.items[0].mode == MODE_LIVE and strand.mode == 0
                    found.append((strand.partition, strand.mode == MODE_LIVE or is_live))
            elif barred:
                seam = min(barred, key=lambda each: each.items[0].what.revision).items[0].what
                passed = seam.kind == MARKER_SEAM and seam.mode == MODE_LIVE and seam.first_key is not None
                passed = passed and seam.first_key[0] < strand.bound()[0]
                found.append((strand.partition, strand.mode == MODE_LIVE or passed))
        return found

    @property
    def positions(self) -> list[tuple[str, int]]:
        """Where each stands."""
        return [(strand.epoch, strand.sequence) for strand in self.strands]

    def _waiting(self) -> list[Strand]:
        return [strand for strand in self.strands if strand.items and strand.items[0].place is not None]

    def _awaited(self) -> list[Strand]:
        return [strand for strand in self.strands if not strand.items and not strand.excused]

    def _total(self) -> int:
        return sum(strand.sequence for strand in self.strands)

    def _piece(self, mode: int, records: list[tuple[int, Any]]) -> Piece:
        epoch = joint_epoch([strand.epoch.encode() for strand in self.strands])
        return Piece(epoch, mode, records, self.positions)

    def _one(self, strand: Strand) -> Piece:
        strand.enter()
        number = self._total() + 1
        item = strand.pop()
        what = item.what
        if isinstance(what, Rejection):
            what = replace(what, sequence=number, tie_order=0)
        elif isinstance(what, Marker):
            jump = what.next_sequence and number + what.next_sequence - what.sequence
            what = replace(what, sequence=number, next_sequence=jump)
        return self._piece(item.mode, [(number, what)])

    def _barrier(self, barred: list[Strand]) -> Piece:
        lowest = min(barred, key=lambda strand: strand.items[0].what.revision).items[0].what
        like = (lowest.revision, lowest.kind)
        members = [s for s in barred if (s.items[0].what.revision, s.items[0].what.kind) == like]
        mode = members[0].items[0].mode
        for strand in members:
            strand.enter()
        number, firsts, taken = self._total(), [], 0
        quotes: list[market_pb2.Quote] = []
        for strand in members:
            strand.bar = strand.items[0].what
            firsts.append(strand.bar)
            is_one = True
            while is_one:
                taken += 1
                quotes += market_pb2.Marker.FromString(strand.items[0].what.state).state
                strand.since = strand.items[0].sequence
                strand.pop()
                is_one = bool(strand.items) and strand.items[0].place is None and strand.goes_on(strand.items[0].what)
            strand.last = None
        markers = _united(firsts, quotes, taken)
        return self._piece(mode, [(number + i, replace(m, sequence=number + i)) for i, m in enumerate(markers, 1)])


def _place(strand: Strand) -> Place:
    place = strand.items[0].place
    assert place is not None
    return place


def _united(firsts: list[Marker], quotes: list[market_pb2.Quote], taken: int) -> list[Marker]:
    last_keys = [marker.last_key for marker in firsts if marker.last_key is not None]
    first_keys = [marker.first_key for marker in firsts if marker.first_key is not None]
    one = replace(
        firsts[0],
        last_key=max(last_keys, default=None),
        first_key=min(first_keys, default=None),
        time_ns=max(marker.time_ns for marker in firsts),
        previous_mode=max(marker.previous_mode for marker in firsts),
        overlap_removed=sum(marker.overlap_removed for marker in firsts),
        lost_frames=sum(marker.lost_frames for marker in firsts),
        gap_ns=max(marker.gap_ns for marker in firsts),
        position_arrival_time_ns=max(marker.position_arrival_time_ns for marker in firsts),
        state=b"",
    )
    states = [b""]
    for quote in sorted(quotes, key=lambda each: each.ticker.encode()):
        if len(states[-1]) >= STATE_BYTES_MAX and len(states) < taken:
            states.append(b"")
        states[-1] += market_pb2.Marker(state=[quote]).SerializeToString()
    return [replace(one, state=state) for state in states]

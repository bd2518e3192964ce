"""What fastpath.latest does: the latest record of each ticker by brute force over everything that came, with no thought of speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastpath.frame import BATCH_ROWS_MAX, MARKER_DISCONTINUITY
from fastpath.records import Marker
from protos.common.v1.market_pb2 import MidBatch
from tests.reference import frame

Tick = tuple[Any, ...]
"""(sequence, ticker, ...), as the frames give it."""


@dataclass(frozen=True)
class Part:
    """A batch of what is new."""

    mode: int
    first_sequence: int
    last_sequence: int
    records: list[Tick]
    markers: list[Marker]


@dataclass
class Latest:
    """Keeps every record of an epoch."""

    epoch: str = ""
    last_sequence: int = 0
    mode: int = 0
    records: list[tuple[Tick, int]] = field(default_factory=list)
    """With the mode of each."""
    moved: int = 0
    """Number of the marker of the last discontinuity."""
    markers: list[Marker] = field(default_factory=list)

    def take_ticks(self, encoded: bytes) -> None:
        """Take a TickBatch."""
        batch = frame.decode(encoded)
        self._take(batch.epoch, batch.mode, batch.last_sequence, batch.ticks, batch.markers)

    def take_mids(self, encoded: bytes) -> None:
        """Take a MidBatch."""
        batch = frame.parse(encoded, MidBatch)
        self._take(batch.epoch, batch.mode, batch.last_sequence, frame.decode_mids(encoded), [])

    def _take(self, epoch: str, mode: int, last_sequence: int, records: Sequence[Tick], markers: list[Marker]) -> None:
        if epoch != self.epoch:
            self.epoch, self.last_sequence, self.records, self.markers, self.moved = epoch, 0, [], [], 0
        self.records += [(record, mode) for record in records if record[0] > self.last_sequence]
        for marker in markers:
            if marker.sequence > self.last_sequence:
                self._mark(marker)
        if last_sequence > self.last_sequence:
            self.last_sequence, self.mode = last_sequence, mode

    def _mark(self, marker: Marker) -> None:
        if marker.kind == MARKER_DISCONTINUITY:
            self.records = [each for each in self.records if each[0][0] > marker.sequence]
            before = self.markers[-1] if self.markers else None
            if before is None or (before.kind, before.sequence + 1, before.revision, before.time_ns) != (
                marker.kind,
                marker.sequence,
                marker.revision,
                marker.time_ns,
            ):
                self.moved = marker.sequence
                self.markers = [each for each in self.markers if each.kind != MARKER_DISCONTINUITY]
        self.markers.append(marker)

    def tickers(self) -> int:
        """How many there are."""
        return len({record[1] for record, _ in self.records})

    def since(self, after: int) -> list[Part]:
        """Tell what is new since a sequence."""
        latest = {record[1]: (record, mode) for record, mode in self.records}
        chosen = sorted((each for each in latest.values() if each[0][0] > after), key=lambda each: each[0][0])
        parts: list[Part] = []
        marked = after or (self.moved - 1 if self.moved else self.last_sequence)
        markers = [marker for marker in self.markers if marker.sequence > marked]
        for record, mode in chosen:
            if not parts or parts[-1].mode != mode or len(parts[-1].records) == BATCH_ROWS_MAX:
                parts.append(Part(mode, 0, 0, [], []))
            parts[-1].records.append(record)
            parts[-1].markers.extend(marker for marker in markers if marker.sequence < record[0])
            markers = [marker for marker in markers if marker.sequence > record[0]]
        if markers and (not parts or parts[-1].mode != self.mode):
            parts.append(Part(self.mode, 0, 0, [], []))
        if markers:
            parts[-1].markers.extend(markers)
        ends = [part.records[-1][0] for part in parts[:-1]] + [self.last_sequence]
        begins = [after + 1] + [end + 1 for end in ends]
        return [
            Part(part.mode, begin, end, part.records, part.markers)
            for part, begin, end in zip(parts, begins, ends, strict=False)
        ]

"""Name what a batch carries beside its ticks: markers, rejections, places to read from again, and its head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastpath.columns import Key


class FrameError(ValueError):
    """The bytes are not a message that this version can read; what it says names the fault and its place."""


@dataclass(frozen=True)
class Marker:
    """A record that tells what happened between two rows: `kind` is one of the MARKER_ constants of `fastpath.frame`."""

    kind: int
    sequence: int = 0
    previous_mode: int = 0
    mode: int = 0
    last_key: Key | None = None
    first_key: Key | None = None
    time_ns: int = 0
    reason: str = ""
    lost_frames: int = 0
    next_sequence: int = 0
    revision: int = 0
    overlap_removed: int = 0
    gap_ns: int = 0
    state: bytes = b""
    """Of a discontinuity: the quotes as they lie on the wire (`fastpath.quotes` writes and reads them)."""
    position_arrival_time_ns: int = 0


@dataclass(frozen=True)
class OrderProof:
    """What records in their order come to (OrderProof in market.proto says more)."""

    first_sequence: int
    last_sequence: int
    records: int
    digest: str
    window_first_sequence: int
    """Where the records begin that came since the proof before."""
    window_digest: str


@dataclass(frozen=True)
class Rejection:
    """A line or an object that could not be used, and why."""

    sequence: int
    arrival_time_ns: int
    source: str
    line: int
    reason: str
    raw: bytes
    tie_order: int = 0
    """`source_rank << 48 | row`; 0 in sessions of one partition."""


@dataclass(frozen=True)
class SourceCursor:
    """Where to read one source again, and what was known there. `offset` and `order` mean what its reader says.

    `channel_arrival_time_ns` is the arrival of the last good row under a latency model, 0 without one.
    """

    offset: int
    line: int
    previous_arrival_time_ns: int
    skipped: int
    previous_event_time_ns: int
    order: int
    channel_arrival_time_ns: int = 0


@dataclass(frozen=True)
class Cursor:
    """Where to read all sources again, and the last row that needs no second look."""

    last_key: Key | None
    sources: tuple[SourceCursor, ...]


class FrameHead(NamedTuple):
    """What a queue needs to know of an entry, without reading its columns."""

    epoch: str
    mode: int
    first_sequence: int
    last_sequence: int
    tick_count: int
    last_arrival_time_ns: int
    """Arrival of the last tick; BEFORE_EVERYTHING when there is none."""
    publish_time_ns: int
    next_sequence: int
    """What follows: behind a gap marker at the end the numbers may go on elsewhere."""

"""Hold, within bounds, what a feed delivered and nobody has polled yet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP
from fastpath.records import Marker

FRAME_OVERHEAD_BYTES: Final = 200
"""What keeping one frame costs beside its payload."""
DROP_SHARE: Final = 8
"""A full buffer drops an eighth of itself, so that a reader that is a little too slow sees few long gaps instead of many short ones."""


@dataclass(frozen=True)
class FeedLimits:
    """How much may wait."""

    frames: int = 262_144
    size: int = 64 << 20
    """Bytes of payloads and what keeping them costs."""


class Frame(NamedTuple):
    """One message as it came."""

    number: int
    receive_time_ns: int
    payload: bytes


class Taken(NamedTuple):
    """Markers, and the frames behind them."""

    markers: list[Marker]
    frames: list[Frame]


class FeedBuffer:
    """Frames and markers in the order in which they came. One thread puts, another one takes.

    When it is full the *oldest* frames go: the newest ones are worth more, and what is lost is one run directly behind what was
    taken last. Its place is held by one gap marker, which also stands for markers inside of the run.
    """

    def __init__(self, limits: FeedLimits, *, wake: Callable[[], None], time_ns: Callable[[], int]) -> None:
        self._limits = limits
        self._wake = wake
        self._time_ns = time_ns
        self._lock = threading.Lock()
        self._entries: deque[Frame | Marker] = deque()
        self._frames = 0
        self._size = 0
        self._gap: Marker | None = None
        self._feed_losses = 0
        """Markers of a lost feed inside of the gap."""
        self.lost_frames = 0

    def __len__(self) -> int:
        return self._frames

    def put(self, marker: Marker) -> None:
        """Append a marker; wakes the reader."""
        with self._lock:
            self._entries.append(marker)
        self._wake()

    def put_frames(self, frames: list[Frame]) -> None:
        """Append frames; wakes the reader when there was nothing before."""
        size = sum([len(frame.payload) for frame in frames]) + len(frames) * FRAME_OVERHEAD_BYTES
        with self._lock:
            was_empty = not self._entries
            self._entries.extend(frames)
            self._frames += len(frames)
            self._size += size
            if self._frames > self._limits.frames or self._size > self._limits.size:
                self._shed()
        if was_empty:
            self._wake()

    def take(self, limit: int) -> Taken:
        """Take the markers in front and then at most `limit` frames; a marker behind a frame ends them."""
        with self._lock:
            entries = self._entries
            markers: list[Marker] = []
            frames: list[Frame] = []
            if self._gap is not None:
                markers.append(self._gap)
                self._gap = None
            while entries and isinstance(entries[0], Marker):
                markers.append(cast(Marker, entries.popleft()))
            while entries and len(frames) < limit:
                head = entries[0]
                if isinstance(head, Marker):
                    break
                entries.popleft()
                frames.append(head)
                self._size -= len(head.payload) + FRAME_OVERHEAD_BYTES
            self._frames -= len(frames)
        return Taken(markers, frames)

    def discard(self) -> int:
        """Drop everything; return how many frames are lost with it, those of a gap included."""
        with self._lock:
            lost = self._frames + (self._gap.lost_frames if self._gap is not None else 0)
            self.lost_frames += self._frames
            self._entries.clear()
            self._frames = self._size = 0
            self._gap = None
        return lost

    def _shed(self) -> None:
        """Drop the oldest frames, and let the gap in front tell how many."""
        frames_max = self._limits.frames - self._limits.frames // DROP_SHARE
        size_max = self._limits.size - self._limits.size // DROP_SHARE
        lost = 0
        if self._gap is None:
            self._feed_losses = 0
        while self._frames > 1 and (self._frames > frames_max or self._size > size_max):
            head = self._entries.popleft()
            if isinstance(head, Marker):
                self._feed_losses += head.kind == MARKER_DISCONNECTED
                lost += head.lost_frames
                continue
            lost += 1
            self._frames -= 1
            self._size -= len(head.payload) + FRAME_OVERHEAD_BYTES
        self.lost_frames += lost
        reason = "the buffer for live frames was full"
        if self._feed_losses:
            reason += f"; the feed itself was lost {self._feed_losses} times meanwhile"
        if self._gap is None:
            self._gap = Marker(kind=MARKER_GAP, time_ns=self._time_ns(), reason=reason, lost_frames=lost)
        else:
            self._gap = replace(self._gap, reason=reason, lost_frames=self._gap.lost_frames + lost)

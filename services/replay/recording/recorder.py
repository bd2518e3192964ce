"""From a live feed to a recording, for as long as it is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from fastpath.columns import Block, Tickers
from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP, MARKER_RECONNECTED
from fastpath.live import decode_live_frame
from fastpath.records import Marker
from fastpath.survey import Survey
from services.replay.engine.feed_buffer import Frame, Taken
from services.replay.recording.records import frame_record, marker_record, note_record
from services.replay.recording.segments import Ending, RecordingFailed, SegmentWriter
from services.runtime.clock import Clock

TAKE_FRAMES: Final = 4096
WAIT_S: Final = 0.05
"""A signal and the end of the duration are noticed after so long at most."""
GATHER_S: Final = 0.002
"""Frames are given so long to come together: a write of its own for each of a fast feed would cost more than the frames."""
TICKERS_MAX: Final = 100_000


class Feed(Protocol):
    """What a recorder uses of `LiveSource`."""

    @property
    def problem(self) -> str: ...
    def start(self, wake: Callable[[], None]) -> None: ...
    def stop(self) -> None: ...
    def take(self, limit: int) -> Taken: ...


@dataclass(frozen=True)
class Bounds:
    """When a recording is long enough; 0 is never."""

    seconds: float = 0.0
    size: int = 0
    """Bytes of records, at most."""


@dataclass
class Figures:
    """What was recorded so far, by this recorder."""

    frames: int = 0
    ticks: int = 0
    rejected: int = 0
    """Frames and parts of frames that a replay will not be able to use; they are recorded as they came."""
    disconnects: int = 0
    reconnects: int = 0
    gaps: int = 0
    lost_frames: int = 0
    """Frames that came faster than they could be written."""
    first_receive_time_ns: int = 0
    last_receive_time_ns: int = 0
    held_back: int = 0
    """Frames whose receive time was raised to that of the frame before, because the clock had gone back."""
    bytes: int = 0
    segments: int = 0


class _Entry(NamedTuple):
    """One record, and what it is of. There is one for every frame, and a tuple is made faster than a frozen dataclass."""

    record: bytes
    of: Frame | Marker


class Recorder:
    """Writes what a feed brings. Receive times never fall, so a replay has the frames in the order in which they came."""

    def __init__(
        self,
        feed: Feed,
        writer: SegmentWriter,
        ending: Ending,
        bounds: Bounds,
        *,
        clock: Clock,
        on_progress: Callable[[Figures], None] = lambda _: None,
    ) -> None:
        """Go on behind `ending`; for a new recording, one with nothing before it."""
        self.figures = Figures()
        self.survey = Survey(latency_threshold_ns=0)
        """Of the ticks: latencies and reasons of rejections."""
        self.problem = ""
        """What was wrong with the feed when the end came; a feed that was ended has no problem any more."""
        self._feed = feed
        self._writer = writer
        self._bounds = bounds
        self._clock = clock
        self._on_progress = on_progress
        self._ending = ending
        self._numbers_before = self._latest_number = ending.head.frames_before
        self._latest_ns = ending.head.latest_ns
        self._block = Block(Tickers(live_names_max=TICKERS_MAX))
        self._wake = threading.Event()
        self._is_full = False

    def run(self, is_over: Callable[[], bool]) -> str:
        """Record until `is_over` or a bound is reached; return which: `asked`, `duration` or `size`. Raises RecordingFailed."""
        began_ns = self._clock.monotonic_ns()
        try:
            self._tell_beginning()
            self._feed.start(self._wake.set)
            why = ""
            while not why:
                self._wake.wait(WAIT_S)
                self._wake.clear()
                self._clock.sleep(GATHER_S)
                self._record_waiting()
                why = self._why_over(began_ns, is_over)
                self._on_progress(self.figures)
            self.problem = self._feed.problem
            self._feed.stop()
            # What came before the end was asked for is part of it.
            self._record_waiting()
            self._writer.append(note_record(self._clock.time_ns(), {"kind": "stopped", "reason": why}))
            self._writer.close()
        finally:
            self._feed.stop()
            self._writer.abandon()
            self._show_written()
        return why

    def _why_over(self, began_ns: int, is_over: Callable[[], bool]) -> str:
        if self._is_full:
            return "size"
        if self._bounds.seconds and self._clock.monotonic_ns() - began_ns >= self._bounds.seconds * 1e9:
            return "duration"
        return "asked" if is_over() else ""

    def _tell_beginning(self) -> None:
        now_ns, latest, ending = self._clock.time_ns(), self._ending.latest, self._ending
        if ending.head.segment > 1 or ending.cut_bytes:
            told: dict[str, object] = {"kind": "gap", "reason": "no recorder was running"}
            if latest is not None:
                told |= {"after_frame": latest.number, "since_ns": latest.receive_time_ns}
            if ending.cut_bytes:
                told["cut_bytes"] = ending.cut_bytes
            self._writer.append(note_record(now_ns, told))
            self.figures.gaps += 1
        self._writer.append(note_record(now_ns, {"kind": "started"}))

    def _record_waiting(self) -> None:
        while not self._is_full:
            taken = self._feed.take(TAKE_FRAMES)
            if not taken.markers and not taken.frames:
                break
            self._write(self._within_bound(self._entries(taken)))
        self._writer.tend(frames=self._latest_number, latest_ns=self._latest_ns)
        self._show_written()

    def _show_written(self) -> None:
        self.figures.bytes, self.figures.segments = self._writer.bytes, self._writer.segments

    def _entries(self, taken: Taken) -> list[_Entry]:
        entries = [_Entry(marker_record(marker), marker) for marker in taken.markers]
        latest_ns = self._latest_ns
        for frame in taken.frames:
            latest_ns = max(latest_ns, frame.receive_time_ns)
            record = frame_record(latest_ns, self._numbers_before + frame.number, frame.payload)
            entries.append(_Entry(record, frame))
        return entries

    def _within_bound(self, entries: list[_Entry]) -> list[_Entry]:
        if not self._bounds.size:
            return entries
        room = self._bounds.size - self._writer.bytes
        for count, entry in enumerate(entries):
            room -= len(entry.record)
            if room < 0:
                self._is_full = True
                return entries[:count]
        return entries

    def _write(self, entries: Sequence[_Entry]) -> None:
        try:
            self._writer.append(b"".join([entry.record for entry in entries]))
        except RecordingFailed as failed:
            self._count(entries[: _records_in(entries, failed.written)])
            raise
        self._count(entries)

    def _count(self, entries: Sequence[_Entry]) -> None:
        figures, block = self.figures, self._block
        for entry in entries:
            of = entry.of
            if isinstance(of, Marker):
                figures.disconnects += of.kind == MARKER_DISCONNECTED
                figures.reconnects += of.kind == MARKER_RECONNECTED
                figures.gaps += of.kind == MARKER_GAP
                figures.lost_frames += of.lost_frames
                continue
            figures.held_back += of.receive_time_ns < self._latest_ns
            self._latest_ns = max(self._latest_ns, of.receive_time_ns)
            self._latest_number = self._numbers_before + of.number
            figures.frames += 1
            decode_live_frame(
                of.payload,
                block,
                receive_time_ns=self._latest_ns,
                source_rank=0,
                frame_number=self._latest_number,
            )
        if figures.frames:
            figures.first_receive_time_ns = figures.first_receive_time_ns or _first_ns(entries)
            figures.last_receive_time_ns = self._latest_ns
        self.survey.add(block)
        counts = self.survey.counts()
        figures.ticks, figures.rejected = counts["ticks"], counts["rejected"]
        block.clear()


def _records_in(entries: Sequence[_Entry], size: int) -> int:
    """Return how many records the first `size` bytes hold."""
    for count, entry in enumerate(entries):
        size -= len(entry.record)
        if size < 0:
            return count
    return len(entries)


def _first_ns(entries: Sequence[_Entry]) -> int:
    return next((entry.of.receive_time_ns for entry in entries if isinstance(entry.of, Frame)), 0)

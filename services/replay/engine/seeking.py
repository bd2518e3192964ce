"""Move replay time: find a position in the recorded files, tell it with the state as it had arrived, and read on from there."""

from __future__ import annotations

import bisect
import threading
from typing import TYPE_CHECKING, Final

from fastpath.columns import AFTER_EVERYTHING, BEFORE_EVERYTHING, Block
from fastpath.frame import (
    BATCH_BYTES_MAX,
    MARKER_DISCONTINUITY,
    MODE_HISTORICAL,
    TickFrame,
    decode_cursor,
    encode_cursor,
)
from fastpath.records import Cursor, Marker
from services.replay.engine.figures import EngineFigures
from services.replay.engine.history import Anchor
from services.replay.engine.journal import JournalEntry
from services.replay.engine.lane import HistoricalLane
from services.replay.engine.lanes import Lanes
from services.replay.engine.outlet import Outlet
from services.replay.engine.playback import Move, Playback
from services.replay.engine.ports import Publishing
from services.replay.queue.errors import Stopped
from services.replay.sources import UnusableInput
from services.runtime.clock import Clock
from services.runtime.session.events import Seek
from services.runtime.session.report import EngineState

if TYPE_CHECKING:
    from fastpath.columns import Key

TEND_NS: Final = 100_000_000
"""How long reading may go on before the queue is looked after."""
STATE_BYTES_MAX: Final = BATCH_BYTES_MAX // 2
"""Of the state in one marker; what is more goes into further ones."""
_BEGIN: Final = (BEFORE_EVERYTHING, 0, 0)
_END: Final = (AFTER_EVERYTHING, (1 << 32) - 1, (1 << 64) - 1)


class NoSuchPlace(Exception):
    """The position cannot be found; says why and what can be done."""


class Seeking:
    """Finds positions and moves to them. Nothing has changed when it raises NoSuchPlace."""

    def __init__(
        self,
        *,
        playback: Playback,
        lanes: Lanes,
        outlet: Outlet,
        publisher: Publishing,
        report: EngineFigures,
        clock: Clock,
        stopping: threading.Event,
    ) -> None:
        self._playback = playback
        self._lanes = lanes
        self._outlet = outlet
        self._publisher = publisher
        self._report = report
        self._clock = clock
        self._stopping = stopping
        self._tended_ns = 0

    def problem_of(self, seek: Seek) -> str:
        """Say why nothing can be sought now; empty when it can."""
        if self._playback.mode != MODE_HISTORICAL:
            return "the session is live, and live records come once; switch to historical first"
        if self._lanes.historical is None:
            return "no recorded files are configured, so there is nothing to move in"
        if seek.to == "sequence" and seek.at < 1:
            return f"sequence {seek.at} is none; the first record has 1"
        return ""

    def seek(self, seek: Seek, entry: JournalEntry) -> None:
        """Move to where `seek` says. Raises NoSuchPlace, Stopped, and what publishing raises."""
        key, time_ns = self._bound_of(seek)
        self.move(key, time_ns, entry=entry, reason=f"seek {seek.to}")

    def move(self, bound: Key, time_ns: int | None, *, reason: str, entry: JournalEntry | None = None) -> None:
        """Put the position behind every record up to the key `bound`, at the replay time `time_ns` if it lies between two records."""
        lane = self.find(bound)
        playback, lanes = self._playback, self._lanes
        move = Move(bound, _time_at(lane, time_ns))
        quotes = lanes.history.quotes
        assert quotes is not None
        first_key = lane.block.key(lane.start) if lane.remaining else None
        now_ns = self._clock.time_ns()
        markers = [
            Marker(
                kind=MARKER_DISCONTINUITY,
                previous_mode=MODE_HISTORICAL,
                mode=MODE_HISTORICAL,
                last_key=playback.last_key,
                first_key=first_key,
                time_ns=now_ns,
                reason=reason,
                revision=0 if entry is None else entry.revision,
                state=state,
                position_arrival_time_ns=move.arrival_time_ns,
            )
            for state in quotes.encode(STATE_BYTES_MAX)
        ]
        lanes.settle(lane)
        if move.arrival_time_ns:
            playback.pacing.stand_at(move.arrival_time_ns)
        else:
            playback.pacing.release()
        playback.position_arrival_time_ns = move.arrival_time_ns
        if entry is not None:
            playback.note_effect(entry, time_ns=now_ns, moved=move)
            if not entry.triggered:
                playback.decide(revision=entry.revision)
        self._outlet.move(markers, self._stopping)
        if self._report.phase == EngineState.COMPLETED:
            self._report.phase = EngineState.RUNNING

    def _bound_of(self, seek: Seek) -> tuple[Key, int | None]:
        match seek.to:
            case "begin":
                return _BEGIN, None
            case "end":
                return _END, None
            case "time":
                return (seek.at, 0, 0), seek.at
            case "by":
                time_ns = self._playback.replay_time_ns(self._clock.monotonic_ns()) + seek.at
                time_ns = max(min(time_ns, AFTER_EVERYTHING), BEFORE_EVERYTHING)
                return (time_ns, 0, 0), time_ns
            case "key":
                assert seek.key is not None
                return seek.key, seek.at or None
            case "sequence":
                return self._before_sequence(seek.at), None

    def _before_sequence(self, sequence: int) -> Key:
        """Return the key of the last record before the one that has this number; a marker stands where it went out.

        So the number of a discontinuity leads back to where replay time was before it was moved.
        """
        playback = self._playback
        if sequence >= playback.next:
            raise NoSuchPlace(f"record {sequence} is not published yet; the last one is {playback.next - 1}")
        found = [TickFrame(entry) for entry in self._publisher.entries_around(sequence)]
        if found and found[0].epoch == playback.epoch and found[0].last_sequence >= sequence:
            frame = found[0]
            if frame.mode != MODE_HISTORICAL:
                raise NoSuchPlace(f"record {sequence} was live, and live records come once; name a historical one")
            rows = sequence - frame.first_sequence - sum(marker.sequence < sequence for marker in frame.markers)
            if frame.first_sequence == 1:
                return self._count(Cursor(None, ()), rows)
            if len(found) > 1:
                return self._count(decode_cursor(found[1].cursor), rows)
        if playback.countable:
            return self._count(Cursor(None, ()), sequence - 1)
        raise NoSuchPlace(
            f"where record {sequence} comes from is not known any more: it is not retained, and replay time was moved or the source "
            "switched since the numbering began; seek to a time"
        )

    def _count(self, cursor: Cursor, rows: int) -> Key:
        """Return the key of the last of `rows` rows behind `cursor`."""
        places = encode_cursor(Cursor(None, cursor.sources)) if cursor.sources else b""
        lane = self._lanes.count_from(Anchor(cursor.last_key, places, self._lanes.history.beginning.quotes))
        try:
            last_key = cursor.last_key
            while rows > 0:
                self.read(lane)
                if lane.failure is not None or (lane.remaining == 0 and lane.ended):
                    raise NoSuchPlace(
                        f"the files end {rows:,} rows before that record ({lane.failure or 'they are shorter now'})"
                    )
                taken = min(rows, lane.remaining)
                if taken:
                    last_key = lane.block.key(lane.start + taken - 1)
                    lane.start += taken
                rows -= taken
        finally:
            lane.source.stop()
        return last_key if last_key is not None else _BEGIN

    def find(self, bound: Key) -> HistoricalLane:
        """Return a lane that stands behind every record up to `bound`, beside the one in use."""
        lanes = self._lanes
        try:
            lane = lanes.search(lanes.history.before(bound))
        except (UnusableInput, OSError) as exc:
            lanes.history.forget()
            raise NoSuchPlace(f"the files cannot be read again: {exc}") from exc
        try:
            while True:
                self.read(lane)
                rows = _rows_up_to(lane.block, lane.start, bound)
                if rows:
                    lane.advance(rows)
                if lane.failure is not None:
                    raise NoSuchPlace(f"the files cannot be read up to there: {lane.failure}")
                if lane.remaining or lane.ended:
                    return lane
        except BaseException:
            lanes.give_up(lane)
            raise

    def read(self, lane: HistoricalLane) -> None:
        """Read on, with an eye on the queue and on those who want us to stop. Raises Stopped."""
        now_ns = self._report.turned_ns = self._clock.monotonic_ns()
        if self._stopping.is_set():
            raise Stopped("told to stop while looking for a position")
        if now_ns - self._tended_ns >= TEND_NS:
            self._publisher.tend()
            self._tended_ns = now_ns
        lane.fill(1)


def _rows_up_to(block: Block, start: int, bound: Key) -> int:
    """Count the rows from `start` on whose key is at most `bound`."""
    return bisect.bisect_right(range(start, len(block)), bound, key=block.key)


def _time_at(lane: HistoricalLane, time_ns: int | None) -> int:
    """Return the replay time where a lane stands: `time_ns` where it lies between two records, that of a record next to it otherwise."""
    before = lane.last_key[0] if lane.last_key is not None and lane.last_key[0] != BEFORE_EVERYTHING else None
    after = lane.block.key(lane.start)[0] if lane.remaining else None
    if time_ns is None or after is None or after == BEFORE_EVERYTHING:
        return before or 0
    if before is None:
        return min(time_ns, after) if time_ns >= after else 0
    return time_ns

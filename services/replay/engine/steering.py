"""Apply the intents of the journal in order, and leave the seams that they cause."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import assert_never

import clients.tracing as tracing
from fastpath.frame import BATCH_ROWS_MAX, MARKER_GAP, MODE_LIVE
from fastpath.records import Marker
from services.replay.engine.figures import EngineFigures
from services.replay.engine.journal import Journal, JournalEntry
from services.replay.engine.lanes import Lanes
from services.replay.engine.outlet import Outlet
from services.replay.engine.playback import Playback
from services.replay.engine.seeking import NoSuchPlace, Seeking
from services.runtime.clock import Clock
from services.runtime.log_fields import fields
from services.runtime.logs import correlation
from services.runtime.session.intents import (
    MODE_NAMES,
    SPEED_MAX,
    Change,
    Pause,
    RefusedIntent,
    Resume,
    Seek,
    SetMode,
    SetSpeed,
)
from services.runtime.session.report import EngineState

logger = logging.getLogger(__name__)


class Steering:
    """Applies intents. What they change is saved before it is reported."""

    def __init__(
        self,
        *,
        playback: Playback,
        lanes: Lanes,
        outlet: Outlet,
        journal: Journal,
        seeking: Seeking,
        report: EngineFigures,
        clock: Clock,
    ) -> None:
        self._seeking = seeking
        self._playback = playback
        self._lanes = lanes
        self._outlet = outlet
        self._journal = journal
        self._report = report
        self._clock = clock
        self._entries: deque[JournalEntry] = deque()
        self._never_wait = threading.Event()
        self._never_wait.set()

    @property
    def waits(self) -> bool:
        """Whether the next intent moves replay time and has to wait until everything that has a number is out again under it."""
        intent = self._entries[0].intent if self._entries else None
        return self._playback.repeating and intent is not None and isinstance(intent.change, Seek)

    def apply(self) -> bool:
        """Apply what the journal brought; False when that was nothing."""
        self._entries.extend(self._journal.take())
        if not self._entries:
            return False
        while self._entries and not self.waits:
            # It leaves the line only when it is applied: publishing what is left of a feed may fail on the way.
            entry = self._entries[0]
            with (
                correlation(entry.correlation_id),
                tracing.span(
                    "apply intent",
                    "consumer",
                    parent="" if entry.intent is None else entry.intent.traceparent,
                    attributes={"midstream.revision": entry.revision},
                ),
            ):
                self._apply(entry)
            self._entries.popleft()
        self._outlet.save()
        self._report.effective = self._playback.effective()
        return True

    def _apply(self, entry: JournalEntry) -> None:
        playback = self._playback
        if not entry.restarts and entry.revision <= playback.revision:
            return
        change = entry.intent.change if entry.intent is not None else None
        problem = entry.problem or (self._problem_of(change) if change is not None else "")
        if change is not None and not problem:
            problem = self._take_effect(change, entry)
        if problem:
            logger.warning("intent refused", extra=fields(revision=entry.revision, reason=problem))
            playback.decide(refused=RefusedIntent(entry.revision, problem))
            playback.note_effect(entry, time_ns=self._clock.time_ns(), refused=problem)
        elif change is not None:
            if not isinstance(change, Seek):
                playback.note_effect(entry, time_ns=self._clock.time_ns())
            logger.info(
                "intent applied",
                extra=fields(
                    revision=entry.revision,
                    kind=change.kind,
                    mode=MODE_NAMES[playback.mode],
                    speed=playback.pacing.speed,
                ),
            )
        playback.decide(revision=entry.revision)

    def _problem_of(self, change: Change) -> str:
        match change:
            case SetMode(mode=mode):
                if mode not in MODE_NAMES:
                    return f"mode {mode} is unknown"
                if not self._lanes.configured(mode):
                    setting = "MIDSTREAM_LIVE_URL" if mode == MODE_LIVE else "MIDSTREAM_HISTORICAL"
                    return f"no {MODE_NAMES[mode]} source is configured; set {setting} and restart the server"
            case SetSpeed():
                if not change.in_range:
                    return f"speed {change.speed} is not between 0 and {SPEED_MAX:g}"
            case Seek():
                return self._seeking.problem_of(change)
            case Pause() | Resume():
                pass
            case _:
                assert_never(change)
        return ""

    def _take_effect(self, change: Change, entry: JournalEntry) -> str:
        """Do what was asked for; returns why it could not be done, empty when it was."""
        playback, now_ns = self._playback, self._clock.monotonic_ns()
        match change:
            case SetMode(mode=mode):
                if mode != playback.mode:
                    self._switch(mode, entry.revision, now_ns)
            case Pause():
                if not playback.paused:
                    playback.pacing.hold(now_ns)
                    playback.decide(paused=True)
            case Resume():
                playback.decide(paused=False)
            case SetSpeed(speed=speed):
                playback.pacing.set_speed(speed, now_ns)
            case Seek():
                try:
                    self._seeking.seek(change, entry)
                except NoSuchPlace as exc:
                    return str(exc)
            case _:
                assert_never(change)
        return ""

    def _switch(self, mode: int, revision: int, now_ns: int) -> None:
        playback = self._playback
        previous = playback.mode
        if mode == MODE_LIVE:
            playback.pacing.hold(now_ns)
            playback.decide(mode=mode)
            self._lanes.start_live()
        else:
            self._leave_live()
            playback.decide(mode=mode)
        playback.add_seam(previous, time_ns=self._clock.time_ns(), revision=revision)
        if self._report.phase == EngineState.COMPLETED:
            self._report.phase = EngineState.RUNNING

    def _leave_live(self) -> None:
        """Disconnect and publish what was received, as far as there is room at once; the rest is a gap."""
        lane, playback = self._lanes.live, self._playback
        if lane is None:
            return
        lane.source.stop()
        while not playback.paused and not playback.repeating:
            if lane.remaining == 0:
                poll = lane.poll()
                playback.take_markers(poll)
                if not poll.rows:
                    break
            stop = min(lane.start + BATCH_ROWS_MAX, len(lane.block))
            if not self._outlet.publish(lane, stop, MODE_LIVE, self._never_wait, urgent=True):
                break
        playback.urgent = False
        lost = lane.discard()
        if lost:
            why = "the session was paused" if playback.paused else "the queue had no room"
            playback.markers.append(
                Marker(
                    kind=MARKER_GAP,
                    previous_mode=MODE_LIVE,
                    mode=MODE_LIVE,
                    last_key=playback.last_key,
                    time_ns=self._clock.time_ns(),
                    reason=f"frames received before the switch were dropped, because {why}",
                    lost_frames=lost,
                )
            )

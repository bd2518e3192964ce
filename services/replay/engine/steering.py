"""Apply the intents of the journal in order, and leave the seams that they cause."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from typing import Final, assert_never

import clients.tracing as tracing
from fastpath.columns import BEFORE_EVERYTHING
from fastpath.frame import BATCH_ROWS_MAX, MARKER_GAP, MODE_HISTORICAL, MODE_LIVE
from fastpath.records import Marker
from services.replay.engine.boundaries import Boundaries, Due, hand_over_of
from services.replay.engine.figures import EngineFigures
from services.replay.engine.hand_over import HandOver
from services.replay.engine.journal import Journal, JournalEntry
from services.replay.engine.lanes import Lanes
from services.replay.engine.outlet import Outlet
from services.replay.engine.playback import Playback, StepUnderWay
from services.replay.engine.seeking import NoSuchPlace, Seeking
from services.runtime.clock import Clock
from services.runtime.log_fields import fields
from services.runtime.logs import correlation
from services.runtime.session.events import STEPS_MAX, Cancel, Seek, Step, When
from services.runtime.session.hand_over import HandOverKind
from services.runtime.session.intents import (
    MODE_NAMES,
    SPEED_MAX,
    Change,
    Pause,
    Range,
    RefusedIntent,
    Resume,
    SetMode,
    SetRange,
    SetSpeed,
)
from services.runtime.session.report import EngineState

logger = logging.getLogger(__name__)

SCHEDULED_MAX: Final = 100
"""Commands that wait for their place; each is looked at for every batch."""
MOVING: Final = (Seek, SetRange)
"""What may move replay time."""
ENDING_STEPS: Final = (Seek, SetRange, Resume, SetMode)
"""What a step under way gives way to."""


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
        hand_over: HandOver,
        boundaries: Boundaries,
        report: EngineFigures,
        clock: Clock,
    ) -> None:
        self._seeking = seeking
        self._hand_over = hand_over
        self._boundaries = boundaries
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
        """Whether the next intent has to wait: a move until all that has a number is out again, a step until that before is over."""
        intent, playback = self._entries[0].intent if self._entries else None, self._playback
        if intent is None or intent.when is not None:
            return False
        moves = isinstance(intent.change, MOVING)
        return (playback.repeating and moves) or (playback.step is not None and isinstance(intent.change, Step))

    def apply(self) -> bool:
        """Apply what the journal brought; False when that was nothing."""
        self._entries.extend(self._journal.take())
        if not self._entries or self.waits:
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
        self._tell()
        return True

    def _tell(self) -> None:
        self._report.effective = self._playback.effective()
        self._report.scheduled = tuple(entry.fields() for entry in self._playback.scheduled)

    def _apply(self, entry: JournalEntry) -> None:
        playback = self._playback
        if not entry.restarts and entry.revision <= playback.revision:
            return
        intent = entry.intent
        if intent is not None and intent.when is not None and not hand_over_of(entry) and not self._is_due(intent.when):
            self._schedule(entry, intent.when)
        else:
            self._happen(entry)
        playback.decide(revision=entry.revision)

    def happen(self, due: Due) -> None:
        """Do what comes before the next record. Its being over is saved with it."""
        playback = self._playback
        if due.entry is None:
            start_ns = playback.decided.range.start_ns
            self._seeking.move((BEFORE_EVERYTHING if start_ns is None else start_ns, 0, 0), start_ns, reason="loop")
            playback.loop_sequence = playback.next
            return
        playback.scheduled = tuple(entry for entry in playback.scheduled if entry.revision != due.entry.revision)
        with correlation(due.entry.correlation_id):
            self._happen(replace(due.entry, triggered=True))
        self._outlet.save()
        self._tell()

    def _is_due(self, when: When) -> bool:
        """Tell whether a command that comes now needs not wait for its place."""
        lane = self._lanes.historical
        if when.at_end:
            return self._playback.mode == MODE_HISTORICAL and lane is not None and self._boundaries.over(lane)
        return when.after_sequence == self._playback.next - 1

    def _schedule(self, entry: JournalEntry, when: When) -> None:
        assert entry.intent is not None
        playback, time_ns = self._playback, self._clock.time_ns()
        problem = self._problem_of(entry.intent.change, later=True) or self._problem_of_place(when)
        if problem:
            self._refuse(entry, problem)
            return
        playback.scheduled = (*playback.scheduled, entry)
        playback.note_effect(entry, time_ns=time_ns, scheduled=True)
        logger.info("intent scheduled", extra=fields(revision=entry.revision, kind=entry.intent.change.kind, when=when))

    def _problem_of_place(self, when: When) -> str:
        playback = self._playback
        if len(playback.scheduled) >= SCHEDULED_MAX:
            return f"{SCHEDULED_MAX} commands are scheduled already; cancel some first"
        if when.after_sequence is not None:
            last = playback.next - 1
            return (
                f"record {when.after_sequence} is published already, the last one is {last}"
                if when.after_sequence < last
                else ""
            )
        if self._lanes.historical is None:
            return "no recorded files are configured, so that place is never reached"
        now_ns = playback.replay_time_ns(self._clock.monotonic_ns())
        if when.arrival_time_ns is not None and when.arrival_time_ns <= now_ns:
            return f"replay time {when.arrival_time_ns} is over, it is {now_ns}; seek back first"
        return ""

    def _refuse(self, entry: JournalEntry, problem: str) -> None:
        logger.warning("intent refused", extra=fields(revision=entry.revision, reason=problem))
        self._playback.decide(refused=RefusedIntent(entry.revision, problem))
        self._playback.note_effect(entry, time_ns=self._clock.time_ns(), refused=problem)

    def _happen(self, entry: JournalEntry) -> None:
        playback, effects = self._playback, self._playback.effect_number
        change = entry.intent.change if entry.intent is not None else None
        problem = entry.problem or (self._problem_of(change) if change is not None else "")
        if change is not None and not problem:
            if isinstance(change, ENDING_STEPS):
                playback.end_step(self._clock.time_ns())
                effects = playback.effect_number
            problem = self._take_effect(change, entry)
        if problem:
            self._refuse(entry, problem)
        elif change is not None:
            if playback.effect_number == effects and not isinstance(change, Step):
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

    def _problem_of(self, change: Change, *, later: bool = False) -> str:
        """Say why something cannot be done, now or `later`; empty when it can."""
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
            case Seek() | Step() | SetRange() if self._lanes.historical is None:
                return "no recorded files are configured, so there is nothing to move in"
            case Seek():
                return "" if later else self._seeking.problem_of(change)
            case Step():
                if self._playback.mode == MODE_LIVE and not later:
                    return "the session is live, and a live feed is not stepped; switch to historical first"
                if not 1 <= change.ticks <= STEPS_MAX:
                    return f"{change.ticks} ticks are not between 1 and {STEPS_MAX:,}"
            case SetRange():
                if not change.in_order:
                    return "the range ends before it begins"
            case Cancel(revision=revision):
                if revision not in {entry.revision for entry in self._playback.scheduled}:
                    return f"no command with revision {revision} is scheduled"
            case Pause() | Resume():
                pass
            case _:
                assert_never(change)
        return ""

    def _take_effect(self, change: Change, entry: JournalEntry) -> str:
        """Do what was asked for; returns why it could not be done, empty when it was."""
        playback, now_ns = self._playback, self._clock.monotonic_ns()
        match change:
            case SetMode() if change.waits:
                return self._hand_over.accept(entry, change)
            case SetMode(mode=mode):
                self._hand_over.drop()
                if mode != playback.mode:
                    self._switch(mode, entry.revision, now_ns)
                self._hand_over.dropped()
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
            case Step():
                self._begin_step(change, entry, now_ns)
            case SetRange():
                return self._set_range(change.range, entry)
            case Cancel(revision=cancelled):
                playback.scheduled = tuple(one for one in playback.scheduled if one.revision != cancelled)
                self._hand_over.dropped()
            case _:
                assert_never(change)
        return ""

    def _begin_step(self, step: Step, entry: JournalEntry, now_ns: int) -> None:
        playback = self._playback
        if not playback.paused:
            playback.pacing.hold(now_ns)
            playback.decide(paused=True)
        playback.step = StepUnderWay(
            entry=entry,
            left=1 if step.ticker else step.ticks,
            ticker=step.ticker,
            done=0,
            epoch=playback.epoch,
            sequence=playback.next - 1,
            last_key=playback.last_key,
        )

    def _set_range(self, played: Range, entry: JournalEntry) -> str:
        """Play this part from now on; who is outside of it is put at its start."""
        playback, before = self._playback, self._playback.decided.range
        if played == before:
            return ""
        playback.decide(range=played)
        time_ns, start_ns, end_ns = playback.position_arrival_time_ns, played.start_ns, played.end_ns
        outside = (start_ns is not None and time_ns < start_ns) or (end_ns is not None and time_ns >= end_ns)
        if outside and playback.mode == MODE_HISTORICAL:
            try:
                bound = (BEFORE_EVERYTHING if start_ns is None else start_ns, 0, 0)
                self._seeking.move(bound, start_ns, reason="range", entry=entry)
            except NoSuchPlace as exc:
                playback.decide(range=before)
                return str(exc)
        if self._report.phase == EngineState.COMPLETED:
            self._report.phase = EngineState.RUNNING
        return ""

    def _switch(self, mode: int, revision: int, now_ns: int) -> None:
        playback = self._playback
        previous = playback.mode
        if mode == MODE_LIVE:
            playback.pacing.hold(now_ns)
            playback.decide(mode=mode, hand_over=HandOverKind.AT_ONCE)
            self._lanes.start_live()
        else:
            self._hand_over.left()
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

"""From history to live data: at history's end, or where history has caught up with what the feed has sent.

While one is under way the feed's messages wait, bounded, and its command is on the list of scheduled ones, so a restart finds it there
and begins the hand-over anew: what was published is read back from the queue, and of the feed only what this connection sends counts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from fastpath.columns import Block
from fastpath.frame import (
    BATCH_ROWS_MAX,
    MARKER_GAP,
    MARKER_RECONNECTED,
    MODE_HISTORICAL,
    MODE_LIVE,
)
from fastpath.records import Marker
from services.replay.engine import markers as marking
from services.replay.engine.boundaries import hand_over_of
from services.replay.engine.figures import EngineFigures
from services.replay.engine.journal import JournalEntry
from services.replay.engine.lane import HistoricalLane, LiveLane
from services.replay.engine.lanes import Lanes
from services.replay.engine.meeting import Meeting
from services.replay.engine.outlet import Outlet
from services.replay.engine.overlap import SLACK_NS
from services.replay.engine.playback import Playback
from services.replay.engine.ports import Publishing
from services.replay.engine.seeking import NoSuchPlace, Seeking
from services.replay.sources import Poll, UnusableInput
from services.runtime.clock import Clock
from services.runtime.faults import fault
from services.runtime.log_fields import fields
from services.runtime.session.events import When
from services.runtime.session.hand_over import HandOverKind, HandOverPhase
from services.runtime.session.intents import Intent, SetMode
from services.runtime.session.report import EngineState

logger = logging.getLogger(__name__)

MEET_NS: Final = 10_000_000_000
"""How long a join waits for the files to grow until both have met; each growth begins the wait anew. Then it tells a gap."""
LOOK_NS: Final = 200_000_000
"""How often a file is looked at for growth, at most."""
LOOK_SHARE: Final = 10
"""Reading on takes a tenth of the time, at most: a file that is read on is scanned from its beginning."""


class HandOver:
    """Brings a session from history to live data. The engine's thread uses it."""

    def __init__(
        self,
        *,
        playback: Playback,
        lanes: Lanes,
        outlet: Outlet,
        publisher: Publishing,
        report: EngineFigures,
        clock: Clock,
        seeking: Seeking,
        interrupt: threading.Event,
        stopping: threading.Event,
    ) -> None:
        self._seeking = seeking
        self._stopping = stopping
        self._playback = playback
        self._lanes = lanes
        self._outlet = outlet
        self._report = report
        self._clock = clock
        self._interrupt = interrupt
        self._meeting = Meeting(playback=playback, lanes=lanes, publisher=publisher, report=report)
        self._met_until_ns: int | None = None
        self._look_ns = 0
        self.broken = False
        """The session had joined, and something of the feed was lost: what is missing is looked for before its next records go out."""

    @property
    def rushes(self) -> bool:
        """Whether history is played as fast as possible: at a pace it would never catch up."""
        entry = self.pending
        return entry is not None and hand_over_of(entry) is HandOverKind.JOIN

    @property
    def pending(self) -> JournalEntry | None:
        """The command of the hand-over that is under way."""
        return next((entry for entry in self._playback.scheduled if hand_over_of(entry)), None)

    def is_due(self, lane: HistoricalLane, *, over: bool) -> bool:
        """Tell whether history is at its end and a hand-over waits for that; what failed comes first, and a step."""
        return over and lane.failure is None and self._playback.step is None and self.pending is not None

    # Beginning and giving up

    def accept(self, entry: JournalEntry, change: SetMode) -> str:
        """Put a hand-over on the list and let the feed connect; returns why it cannot be done."""
        playback = self._playback
        if self._lanes.historical is None:
            return "no recorded files are configured, so there is nothing to hand over from; switch at once"
        if playback.mode == MODE_LIVE:
            playback.decide(hand_over=change.hand_over)
            return ""
        assert entry.intent is not None
        self.drop()
        entry = replace(entry, intent=replace(entry.intent, when=When(at_end=True)), triggered=False)
        playback.scheduled = (*playback.scheduled, entry)
        playback.note_effect(entry, time_ns=self._clock.time_ns(), scheduled=True)
        self.begin()
        logger.info("hand-over begins", extra=fields(revision=entry.revision, kind=change.hand_over.name))
        return ""

    def begin(self) -> None:
        """Let the feed connect, where a hand-over is under way: after it was asked for, and at each start."""
        entry, playback = self.pending, self._playback
        if entry is None:
            # Nobody knows what the feed sent between two engines.
            self.broken = (
                playback.mode == MODE_LIVE and playback.decided.hand_over is HandOverKind.JOIN and playback.next > 1
            )
            return
        self._reset()
        if hand_over_of(entry) is HandOverKind.JOIN:
            self._lanes.follow_growth()
            self._meeting.use_numbers()
        self._lanes.start_live()
        self._tell(HandOverPhase.CATCHING_UP)
        fault("join_catching_up")

    def drop(self) -> None:
        """Take the hand-over off the list."""
        self._playback.scheduled = tuple(entry for entry in self._playback.scheduled if not hand_over_of(entry))

    def dropped(self) -> None:
        """Disconnect the feed when the hand-over was taken off the list before it was over."""
        if self.pending is not None or self._report.hand_over.phase not in (
            HandOverPhase.CATCHING_UP,
            HandOverPhase.MEETING,
        ):
            return
        if self._playback.mode == MODE_HISTORICAL and self._lanes.live is not None:
            self._lanes.live.source.stop()
            self._lanes.live.discard()
        self._reset()
        self._report.hand_over = replace(self._report.hand_over, phase=HandOverPhase.NONE)

    def left(self) -> None:
        """Forget what was joined: the session is not live any more."""
        self._reset()
        self._report.hand_over = replace(self._report.hand_over, phase=HandOverPhase.NONE)

    # At the end of history

    def step(self, lane: HistoricalLane) -> bool:
        """Go on where history is at its end; False when there is nothing to do but to wait."""
        entry, live = self.pending, self._lanes.live
        assert entry is not None
        assert live is not None
        kind = hand_over_of(entry)
        self._tell(HandOverPhase.MEETING)
        fault("join_meeting")
        if kind is HandOverKind.JOIN and lane.remaining == 0 and self._grow(lane):
            return True
        self._meeting.receive(live, screens=kind is HandOverKind.JOIN)
        if live.remaining == 0:
            self._met_until_ns = None
            return False
        fault("join_buffering")
        if kind is HandOverKind.JOIN and not self._meeting.met:
            now_ns = self._clock.monotonic_ns()
            if self._met_until_ns is None:
                self._met_until_ns = now_ns + MEET_NS
            if now_ns < self._met_until_ns:
                return False
        return self._switch(entry, live, kind)

    def _grow(self, lane: HistoricalLane) -> bool:
        """Read on in files that have grown."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._look_ns:
            return False
        grown = lane.source.has_grown()
        if grown:
            self._lanes.reopen(lane.cursor())
            self._met_until_ns = None
        spent_ns = self._clock.monotonic_ns() - now_ns
        self._look_ns = now_ns + max(LOOK_NS, LOOK_SHARE * spent_ns)
        return grown

    def _switch(self, entry: JournalEntry, live: LiveLane, kind: HandOverKind | None) -> bool:
        """Publish the seam with the first live records, and with it that the session is live; all of it or nothing."""
        assert kind is not None
        playback = self._playback
        before = (
            playback.decided,
            playback.scheduled,
            playback.markers,
            playback.effect_number,
            list(playback.effects),
        )
        now_ns, time_ns = self._clock.monotonic_ns(), self._clock.time_ns()
        first_key = live.block.key(live.start)
        removed = self._meeting.removed
        gap_ns = 0 if self._meeting.met or playback.last_key is None else first_key[0] - playback.last_key[0]
        markers = [
            replace(marker, previous_mode=MODE_LIVE, mode=MODE_LIVE, last_key=playback.last_key)
            for marker in self._meeting.held
        ]
        reason = ""
        if kind is HandOverKind.JOIN and not self._meeting.met:
            reason = "no record that the feed has sent is in the files, so some may be missing between them"
            if not markers:
                markers = [
                    Marker(
                        kind=MARKER_GAP,
                        previous_mode=MODE_LIVE,
                        mode=MODE_LIVE,
                        last_key=playback.last_key,
                        time_ns=time_ns,
                        reason=reason,
                    )
                ]
        playback.scheduled = tuple(one for one in playback.scheduled if one.revision != entry.revision)
        playback.decide(mode=MODE_LIVE, hand_over=kind)
        seam = marking.seam(
            previous_mode=MODE_HISTORICAL,
            mode=MODE_LIVE,
            last_key=playback.last_key,
            time_ns=time_ns,
            revision=entry.revision,
            reason=reason,
        )
        playback.markers = [*playback.markers, replace(seam, overlap_removed=removed, gap_ns=gap_ns), *markers]
        if entry.revision:
            playback.note_effect(entry, time_ns=time_ns)
        published = False
        try:
            stop = min(live.start + BATCH_ROWS_MAX, len(live.block))
            fault("join_before_seam")
            published = self._outlet.publish(live, stop, MODE_LIVE, self._interrupt, urgent=True, save=True)
            fault("join_after_seam")
        finally:
            if not published:
                playback.decided, playback.scheduled, playback.markers, playback.effect_number = before[:4]
                playback.effects = before[4]
        if published:
            playback.pacing.hold(now_ns)
            self._meeting.held = []
            if kind is HandOverKind.JOIN:
                # Some may come late, or again.
                live.screen = self._meeting.screen_late
            self._report.phase = EngineState.RUNNING
            self._report.effective = playback.effective()
            self._report.scheduled = tuple(one.fields() for one in playback.scheduled)
            self._report.hand_over = replace(
                self._report.hand_over, phase=HandOverPhase.JOINED, overlap_removed=removed, gap_ns=gap_ns
            )
            logger.info(
                "live joined",
                extra=fields(revision=entry.revision, kind=kind.name, overlap_removed=removed, gap_ns=gap_ns),
            )
        return published

    # When the feed was lost

    def watch(self, poll: Poll) -> None:
        """Note what the feed tells of itself while the session is live."""
        if self._playback.decided.hand_over is HandOverKind.JOIN and any(
            marker.kind in (MARKER_RECONNECTED, MARKER_GAP) for marker in poll.markers
        ):
            self._reset()
            self.broken = True

    def mend(self, live: LiveLane) -> bool:
        """Find what is missing before the records that wait: sent again by the feed, or in the files. False: wait for the files to grow.

        Only what this connection sends counts, and only records that the queue has acknowledged.
        """
        now_ns = self._clock.monotonic_ns()
        self._meeting.screen(live)
        if self._meeting.met:
            self._mended(live)
            return True
        if live.remaining == 0:
            return True
        if self._met_until_ns is None:
            self._met_until_ns = now_ns + MEET_NS
        if now_ns < self._look_ns and now_ns < self._met_until_ns:
            return False
        behind = self._behind_last_published()
        if behind is not None:
            self._fill(behind)
            return True
        if now_ns >= self._met_until_ns:
            self.broken, self._met_until_ns = False, None
            return True
        spent_ns = self._clock.monotonic_ns() - now_ns
        self._look_ns = now_ns + max(LOOK_NS, LOOK_SHARE * spent_ns)
        return False

    def _mended(self, live: LiveLane) -> None:
        """Go on live: the feed has sent again what was published, so nothing is missing."""
        playback = self._playback
        playback.markers = [one for one in playback.markers if one.kind != MARKER_GAP or one.next_sequence]
        self.broken, self._met_until_ns = False, None
        live.screen = self._meeting.screen_late

    def _behind_last_published(self) -> HistoricalLane | None:
        """Return a lane that reads on behind the last record that was published; None when the files do not have it."""
        lanes, overlap = self._lanes, self._meeting.overlap
        if overlap is None or overlap.last_event_time_ns is None or lanes.historical is None:
            return None
        lanes.growing = True
        bound = (overlap.last_event_time_ns - SLACK_NS, 0, 0)
        lane = None
        try:
            lane = lanes.count_from(lanes.history.before(bound))
            key = overlap.behind_last(self._blocks(lane))
            return None if key is None or lane.failure is not None else self._seeking.find(key)
        except (UnusableInput, OSError, NoSuchPlace) as exc:
            logger.warning("files cannot fill what the feed left out", extra=fields(reason=exc))
            return None
        finally:
            if lane is not None:
                lane.source.stop()

    def _blocks(self, lane: HistoricalLane) -> Iterator[Block]:
        while not lane.ended and lane.failure is None:
            self._seeking.read(lane)
            yield lane.block
            lane.start = len(lane.block)

    def _fill(self, lane: HistoricalLane) -> None:
        """Go back to the files, and join again behind what they have; at once told, so that a restart reads on there."""
        playback, lanes = self._playback, self._lanes
        rejoins = self._report.hand_over.rejoins + 1
        lanes.settle(lane)
        playback.decide(mode=MODE_HISTORICAL)
        asked = Intent(SetMode(MODE_LIVE, hand_over=HandOverKind.JOIN), when=When(at_end=True))
        playback.scheduled = (*playback.scheduled, JournalEntry(0, asked))
        seam = marking.seam(
            previous_mode=MODE_LIVE,
            mode=MODE_HISTORICAL,
            last_key=playback.last_key,
            time_ns=self._clock.time_ns(),
            reason="something of the feed was lost, recorded files fill it",
        )
        told = [one for one in playback.markers if one.kind != MARKER_GAP or one.next_sequence]
        playback.markers = []
        playback.pacing.release()
        self._reset()
        fault("join_before_filling")
        self._outlet.move([*told, seam], self._stopping)
        fault("join_after_filling")
        self._report.hand_over = replace(self._report.hand_over, rejoins=rejoins)
        self._report.effective = playback.effective()
        self._tell(HandOverPhase.CATCHING_UP)
        logger.info("live feed was lost, recorded files fill it", extra=fields(sequence=playback.next - 1))

    # Telling

    def _tell(self, phase: HandOverPhase) -> None:
        entry, report = self.pending, self._report
        kind = hand_over_of(entry) if entry is not None else None
        if kind is None:
            return
        removed = self._meeting.removed
        report.hand_over = replace(report.hand_over, kind=kind, phase=phase, overlap_removed=removed, gap_ns=0)

    def _reset(self) -> None:
        self._meeting.reset()
        self.broken = False
        self._met_until_ns = None

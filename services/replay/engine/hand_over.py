"""From history to live data: at history's end, or where history has caught up with what the feed has sent.

While one is under way the feed's messages wait, bounded, and its command is on the list of scheduled ones, so a restart finds it there
and begins the hand-over anew: what was published is read back from the queue, and of the feed only what this connection sends counts.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Final

from fastpath.columns import Block
from fastpath.frame import (
    BATCH_ROWS_MAX,
    MARKER_DISCONNECTED,
    MARKER_GAP,
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
from services.replay.engine.outlet import Outlet
from services.replay.engine.overlap import Overlap
from services.replay.engine.playback import Playback
from services.replay.engine.ports import Publishing
from services.runtime.clock import Clock
from services.runtime.log_fields import fields
from services.runtime.session.events import When
from services.runtime.session.hand_over import HandOverKind, HandOverPhase
from services.runtime.session.intents import SetMode
from services.runtime.session.report import EngineState

logger = logging.getLogger(__name__)

MEET_NS: Final = 10_000_000_000
"""How long a join waits for the files to grow until both have met; each growth begins the wait anew. Then it tells a gap."""
LOOK_NS: Final = 200_000_000
"""How often a file is looked at for growth, at most."""
LOOK_SHARE: Final = 10
"""Reading on takes a tenth of the time, at most: a file that is read on is scanned from its beginning."""
HELD_ROWS_MAX: Final = 16_384
"""Rows of the feed that are looked at before the seam; the rest waits as messages."""


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
        interrupt: threading.Event,
    ) -> None:
        self._playback = playback
        self._lanes = lanes
        self._outlet = outlet
        self._publisher = publisher
        self._report = report
        self._clock = clock
        self._interrupt = interrupt
        self._overlap: Overlap | None = None
        self._counted_to = 0
        self._met = False
        """A record of the feed was one of history's, and nothing of the feed was lost since."""
        self._held: list[Marker] = []
        """Markers of the feed that came before the rows that wait."""
        self._met_until_ns: int | None = None
        self._look_ns = 0

    @property
    def pending(self) -> JournalEntry | None:
        """The command of the hand-over that is under way."""
        return next((entry for entry in self._playback.scheduled if hand_over_of(entry)), None)

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
        entry = self.pending
        if entry is None:
            return
        self._reset()
        if hand_over_of(entry) is HandOverKind.JOIN:
            self._lanes.follow_growth()
        self._lanes.start_live()
        self._tell(HandOverPhase.CATCHING_UP)

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
        if kind is HandOverKind.JOIN and lane.remaining == 0 and self._grow(lane):
            return True
        self._receive(live, kind)
        if live.remaining == 0:
            self._met_until_ns = None
            return False
        if kind is HandOverKind.JOIN and not self._met:
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

    def _receive(self, live: LiveLane, kind: HandOverKind | None) -> None:
        """Look at what the feed sent, and leave out what history had."""
        if live.remaining and kind is HandOverKind.JOIN and self._counted_to < self._playback.next - 1:
            # What history had in the meantime may be among what waits already.
            live.forget(live.start)
            self._screen(live.block, 0)
        while len(live.block) - live.start < HELD_ROWS_MAX:
            poll = live.poll()
            if any(marker.kind in (MARKER_DISCONNECTED, MARKER_GAP) for marker in poll.markers):
                # What the feed sent before proves nothing for what it sends from here on.
                self._met = False
            self._held += poll.markers
            if not poll.rows:
                break
            if kind is HandOverKind.JOIN:
                self._screen(live.block, len(live.block) - poll.rows)

    def _screen(self, block: Block, start: int) -> int:
        """Take out rows that were published; returns how many are left from `start` on."""
        rows = block.to_rows()[start:]
        overlap = self._overlap
        ages = [row[1] for row in rows if len(row) != 3]
        if not ages:
            return len(rows)
        if overlap is None:
            overlap = self._overlap = Overlap(self._publisher.entries_around, epoch=self._playback.epoch)
        self._counted_to = self._playback.next - 1
        overlap.count(self._counted_to, min(ages))
        left, found = overlap.screen(block, start)
        if found:
            self._met = True
            # History has what is behind a loss, so it has what was lost.
            self._held = []
        return left

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
        removed = 0 if self._overlap is None else self._overlap.removed
        gap_ns = 0 if self._met or playback.last_key is None else first_key[0] - playback.last_key[0]
        markers = [
            replace(marker, previous_mode=MODE_LIVE, mode=MODE_LIVE, last_key=playback.last_key)
            for marker in self._held
        ]
        reason = ""
        if kind is HandOverKind.JOIN and not self._met:
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
        playback.note_effect(entry, time_ns=time_ns)
        published = False
        try:
            stop = min(live.start + BATCH_ROWS_MAX, len(live.block))
            published = self._outlet.publish(live, stop, MODE_LIVE, self._interrupt, urgent=True, save=True)
        finally:
            if not published:
                playback.decided, playback.scheduled, playback.markers, playback.effect_number = before[:4]
                playback.effects = before[4]
        if published:
            playback.pacing.hold(now_ns)
            self._held = []
            if kind is HandOverKind.JOIN:
                # Some may come late, or again.
                live.screen = self._screen_late
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

    def _screen_late(self, block: Block, start: int) -> int:
        """Leave out what history had and the feed sends late, until its times are beyond all that."""
        overlap, live = self._overlap, self._lanes.live
        assert overlap is not None
        assert live is not None
        rows = len(block) - start
        newest = max((row[1] for row in block.to_rows()[start:] if len(row) != 3), default=None)
        if not overlap.counts or (newest is not None and overlap.is_behind(newest)):
            live.screen = None
            return rows
        left, _ = overlap.screen(block, start)
        self._report.hand_over = replace(self._report.hand_over, overlap_removed=overlap.removed)
        return left

    # Telling

    def _tell(self, phase: HandOverPhase) -> None:
        entry, report = self.pending, self._report
        kind = hand_over_of(entry) if entry is not None else None
        if kind is None:
            return
        removed = 0 if self._overlap is None else self._overlap.removed
        report.hand_over = replace(report.hand_over, kind=kind, phase=phase, overlap_removed=removed, gap_ns=0)

    def _reset(self) -> None:
        self._overlap, self._met, self._held = None, False, []
        self._met_until_ns = None
        if self._lanes.live is not None:
            self._lanes.live.screen = None

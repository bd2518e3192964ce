"""Where history and the feed meet: what the feed has sent, held against what the queue has acknowledged."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastpath.columns import Block
from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP, MARKER_RECONNECTED
from fastpath.records import Marker
from services.replay.engine.feed_numbers import FeedNumbers
from services.replay.engine.figures import EngineFigures
from services.replay.engine.lane import LiveLane
from services.replay.engine.lanes import Lanes
from services.replay.engine.overlap import Overlap
from services.replay.engine.playback import Playback
from services.replay.engine.ports import Publishing, RecordedSource
from services.replay.sources.source_numbers import KnownNumbers

_LOSSES: Final = (MARKER_DISCONNECTED, MARKER_RECONNECTED, MARKER_GAP)
HELD_ROWS_MAX: Final = 16_384
"""Rows of the feed that are looked at before the seam; the rest waits as messages."""


class Meeting:
    """One attempt to meet. What an earlier attempt or an earlier connection has seen of the feed counts for nothing."""

    def __init__(self, *, playback: Playback, lanes: Lanes, publisher: Publishing, report: EngineFigures) -> None:
        self._playback = playback
        self._lanes = lanes
        self._publisher = publisher
        self._report = report
        self.overlap: Overlap | None = None
        self._counted_to = 0
        self.met = False
        """A record of the feed was published already, and nothing of the feed was lost since."""
        self.held: list[Marker] = []
        """Markers of the feed that came before the rows that wait."""
        self._numbers = FeedNumbers()
        self._uses_numbers = False
        self._known = KnownNumbers()
        self._known_of: RecordedSource | None = None

    @property
    def removed(self) -> int:
        """How many records of the feed were left out."""
        return 0 if self.overlap is None else self.overlap.removed

    def reset(self) -> None:
        """Begin another attempt."""
        self.overlap, self._counted_to, self.met, self.held = None, 0, False, []
        self._forget_numbers()
        if self._lanes.live is not None:
            self._lanes.live.screen = None

    def use_numbers(self) -> None:
        """Go by what the source numbers its records with, too: everything that recordings have is published before the feed's."""
        self._uses_numbers = True
        if self._lanes.live is not None:
            self._lanes.live.source.note_numbers(self._numbers.note)

    def _forget_numbers(self) -> None:
        self._uses_numbers, self._known_of, self._known = False, None, KnownNumbers()
        self._numbers.clear()
        if self._lanes.live is not None:
            self._lanes.live.source.note_numbers(None)

    def receive(self, live: LiveLane, *, screens: bool) -> None:
        """Look at what the feed sent, and leave out what was published."""
        if screens:
            self.screen_again(live)
        while len(live.block) - live.start < HELD_ROWS_MAX:
            live.forget(live.start)
            before = len(live.block)
            poll = live.poll()
            if before and any(marker.kind in _LOSSES for marker in poll.markers):
                # What stands before a loss goes out before it.
                live.put_back(poll)
                break
            self._note(poll.markers)
            if not poll.rows:
                break
            if screens:
                self._screen(live.block, before)

    def _note(self, markers: tuple[Marker, ...]) -> None:
        """Take notice of what was lost: what the feed sent before proves nothing for what it sends from here on."""
        kinds = {marker.kind for marker in markers}
        if kinds & set(_LOSSES):
            self.met = False
            self.held += markers
        if kinds & {MARKER_DISCONNECTED, MARKER_RECONNECTED}:
            # Another connection may send anything again.
            self.overlap = self._new_overlap()

    def _new_overlap(self) -> Overlap:
        return Overlap(self._publisher.entries_around, epoch=self._playback.epoch, removed=self.removed)

    def screen_again(self, live: LiveLane) -> None:
        """Look again at the rows that wait: what was published in the meantime may be among them."""
        if live.remaining and self._counted_to < self._playback.next - 1:
            self.screen(live)

    def screen(self, live: LiveLane) -> None:
        """Look at all rows that wait."""
        live.forget(live.start)
        self._screen(live.block, 0)

    def _screen(self, block: Block, start: int) -> None:
        ages = [row[1] for row in block.to_rows()[start:] if len(row) != 3]
        if not ages:
            return
        overlap = self.overlap
        if overlap is None:
            overlap = self.overlap = self._new_overlap()
        self._counted_to = self._playback.next - 1
        overlap.count(self._counted_to, min(ages))
        overlap.known = self._known_numbers()
        _, found = overlap.screen(block, start, self._numbers.of)
        if found:
            self.met = True
            # Whoever has what is behind a loss has what was lost.
            self.held = []

    def _known_numbers(self) -> KnownNumbers:
        """Return what recordings have, as long as all of that is published."""
        lane = self._lanes.historical
        if not self._uses_numbers or lane is None or not lane.finished:
            return KnownNumbers()
        if self._known_of is not lane.source:
            self._known_of, self._known = lane.source, lane.source.numbers()
        return self._known

    def screen_late(self, block: Block, start: int) -> int:
        """Leave out what was published and the feed sends late, until its times are beyond all that; returns how many rows are left."""
        overlap, live = self.overlap, self._lanes.live
        assert overlap is not None
        assert live is not None
        rows = len(block) - start
        newest = max((row[1] for row in block.to_rows()[start:] if len(row) != 3), default=None)
        if not overlap.counts or (newest is not None and overlap.is_behind(newest)):
            live.screen = None
            self._forget_numbers()
            return rows
        left, _ = overlap.screen(block, start, self._numbers.of)
        self._report.hand_over = replace(self._report.hand_over, overlap_removed=overlap.removed)
        return left

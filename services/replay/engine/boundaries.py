"""Where in the records something else happens than publishing the next one: scheduled commands, the end of a range, the end of a step."""

from __future__ import annotations

from dataclasses import dataclass

from services.replay.engine.journal import JournalEntry
from services.replay.engine.lane import HistoricalLane, Lane
from services.replay.engine.playback import Playback
from services.runtime.session.events import When
from services.runtime.session.hand_over import HandOverKind
from services.runtime.session.intents import SetMode

STEP_ROWS_MAX = 512
"""Rows of a step that go out in one batch: it holds that many whatever they are, so that what was stepped is known before."""


def hand_over_of(entry: JournalEntry) -> HandOverKind | None:
    """Return the kind of a hand-over that is under way; None for every other command."""
    intent = entry.intent
    if intent is None or intent.when is None or not intent.when.at_end or not isinstance(intent.change, SetMode):
        return None
    return intent.change.hand_over if intent.change.waits else None


@dataclass(frozen=True)
class Due:
    """What happens before the next record."""

    entry: JournalEntry | None
    """The scheduled command; None: a range begins again."""
    time_ns: int | None
    """Replay time at which it happens; None is at once."""


class Boundaries:
    """Knows them; changes nothing."""

    def __init__(self, playback: Playback) -> None:
        self._playback = playback

    def stop(self, lane: Lane, stop: int) -> int:
        """Return behind which row of the lane, at most `stop`, the next boundary lies."""
        playback = self._playback
        for entry in playback.scheduled:
            stop = min(stop, self._row_of(_when(entry), lane, stop))
        end_ns = playback.decided.range.end_ns
        if end_ns is not None and isinstance(lane, HistoricalLane):
            stop = min(stop, lane.start + lane.block.count_due(lane.start, end_ns - 1))
        return max(stop, lane.start)

    def step(self, lane: HistoricalLane, stop: int) -> tuple[int, int, int]:
        """Return behind which row, at most `stop`, the step under way ends, how many ticks count for it, and how many there are."""
        step = self._playback.step
        assert step is not None
        stop = min(stop, lane.start + STEP_ROWS_MAX)
        stop, found = lane.block.behind_ticks(lane.start, stop, step.left, ticker=step.ticker or None)
        return stop, found, lane.block.behind_ticks(lane.start, stop, stop)[1]

    def now(self) -> JournalEntry | None:
        """Return a scheduled command whose sequence has been published."""
        last = self._playback.next - 1
        for entry in self._playback.scheduled:
            when = _when(entry)
            if when.after_sequence is not None and last >= when.after_sequence:
                return entry
        return None

    def due(self, lane: HistoricalLane) -> Due | None:
        """Return what comes before the next record of the lane: the earliest in replay time, then the first that was asked for."""
        playback, over = self._playback, self.over(lane)
        next_ns = lane.block.key(lane.start)[0] if lane.remaining else None
        played = playback.decided.range
        found: list[tuple[int, int, Due]] = []
        hands_over = False
        for entry in playback.scheduled:
            when = _when(entry)
            if hand_over_of(entry):
                hands_over = True
            elif when.at_end and over:
                # The end is where the range says, which may be in the midst of a pause between two records.
                time_ns = played.end_ns if lane.remaining else None
                found.append((_order(time_ns), entry.revision, Due(entry, time_ns)))
            elif (
                when.arrival_time_ns is not None
                and next_ns is not None
                and next_ns >= when.arrival_time_ns
                and (played.end_ns is None or when.arrival_time_ns <= played.end_ns)
            ):
                found.append((when.arrival_time_ns, entry.revision, Due(entry, when.arrival_time_ns)))
        if over and played.loop and not hands_over and playback.next != playback.loop_sequence:
            time_ns = played.end_ns if lane.remaining else None
            found.append((_order(time_ns), 1 << 64, Due(None, time_ns)))
        return min(found, key=lambda one: one[:2])[2] if found else None

    def over(self, lane: HistoricalLane) -> bool:
        """Tell whether nothing more of the range, or of the files, is to be played."""
        end_ns = self._playback.decided.range.end_ns
        if lane.remaining == 0:
            return lane.ended
        return end_ns is not None and lane.block.key(lane.start)[0] >= end_ns

    def _row_of(self, when: When, lane: Lane, stop: int) -> int:
        if when.after_sequence is not None:
            playback = self._playback
            return lane.start + max(0, when.after_sequence - playback.next + 1 - len(playback.markers))
        if when.arrival_time_ns is not None and isinstance(lane, HistoricalLane):
            return lane.start + lane.block.count_due(lane.start, when.arrival_time_ns - 1)
        return stop


def _when(entry: JournalEntry) -> When:
    assert entry.intent is not None
    assert entry.intent.when is not None
    return entry.intent.when


def _order(time_ns: int | None) -> int:
    return -(1 << 63) if time_ns is None else time_ns

"""Finding out where the session goes on: at the start, and again whenever the queue was lost."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.frame import MARKER_GAP, MODE_HISTORICAL, MODE_LIVE, TickFrame, decode_cursor
from fastpath.records import Cursor
from services.replay.engine import markers as marking
from services.replay.engine.figures import EngineFigures
from services.replay.engine.journal import JournalEntry
from services.replay.engine.lanes import Lanes
from services.replay.engine.outlet import Outlet
from services.replay.engine.playback import Playback, StepUnderWay
from services.replay.engine.ports import Beginning, Publishing
from services.replay.queue.model import Adopted, Checkpoint
from services.replay.sources import GROWING, UnusableInput, fingerprint_difference
from services.runtime.clock import Clock
from services.runtime.log_fields import fields
from services.runtime.session.events import When
from services.runtime.session.hand_over import HandOverKind
from services.runtime.session.intents import MODE_NAMES, Intent, SetMode

if TYPE_CHECKING:
    from fastpath.columns import Key

logger = logging.getLogger(__name__)

ENTRIES: Final = 16
"""Of the queue that are looked at for the newest record: those behind it hold markers alone."""


class Positioning:
    """Has the publisher adopt the session, and puts playback and sources where it goes on."""

    def __init__(
        self,
        *,
        beginning: Beginning,
        playback: Playback,
        lanes: Lanes,
        outlet: Outlet,
        publisher: Publishing,
        report: EngineFigures,
        clock: Clock,
        stopping: threading.Event,
    ) -> None:
        self._beginning = beginning
        self._playback = playback
        self._lanes = lanes
        self._outlet = outlet
        self._publisher = publisher
        self._report = report
        self._clock = clock
        self._stopping = stopping

    def start(self) -> None:
        """Find out where the session stands. Unusable files are refused before Redis is touched."""
        playback, lanes = self._playback, self._lanes
        opened = lanes.open(None)
        adopted = self._publisher.adopt()
        self._report.owned = True
        cursor = decode_cursor(adopted.cursor)
        checkpoint = adopted.checkpoint
        if opened is not None and checkpoint is not None and checkpoint.inputs.startswith(GROWING):
            opened.stop()
            lanes.growing = True
            opened = lanes.open(None)
            assert opened is not None
        if opened is not None and checkpoint is not None and adopted.cursor:
            _check_inputs(checkpoint.inputs, opened.fingerprint)
        if opened is not None and adopted.cursor:
            opened.stop()
            opened = lanes.open(cursor)
        self._stand(adopted)
        if opened is not None:
            lanes.place(opened, adopted.cursor)
        playback.countable = adopted.next_sequence == 1 and not adopted.cursor
        if cursor.last_key is not None and cursor.last_key[0] != BEFORE_EVERYTHING:
            playback.position_arrival_time_ns = cursor.last_key[0]
        if checkpoint is not None:
            self._resume_from(checkpoint, cursor)
        elif adopted.cursor:
            playback.last_key = cursor.last_key
        else:
            self._begin_hand_over()
        self._add_gap(adopted)
        self._outlet.save()
        self._report.effective = playback.effective()
        self._report.position_arrival_time_ns = playback.position_arrival_time_ns
        self._report.scheduled = tuple(entry.fields() for entry in playback.scheduled)

    def adopt_again(self) -> Key | None:
        """Go on after the queue was lost. What was in effect stays in effect; memory knows it better than the queue.

        Returns where replay time stood when the queue forgot that it was moved there: it has to be moved again.
        """
        playback = self._playback
        epoch, sequence = playback.epoch, playback.next
        lane = self._lanes.historical
        stood = None if lane is None else lane.last_key or (BEFORE_EVERYTHING, 0, 0)
        adopted = self._publisher.adopt()
        was_moved = adopted.epoch != epoch or playback.unrepeatable >= adopted.next_sequence
        was_moved = was_moved and playback.unrepeatable > 0
        if (adopted.epoch, adopted.next_sequence) != (epoch, sequence):
            self._lanes.reopen(adopted.cursor)
            self._stand(adopted)
            playback.pacing.release()
            self._repeat(epoch, adopted)
            logger.warning(
                "repositioned", extra=fields(epoch=playback.epoch, next_sequence=playback.next, before=sequence)
            )
            if adopted.epoch != epoch:
                playback.unrepeatable = 0
                playback.countable = adopted.next_sequence == 1 and not adopted.cursor
        self._add_gap(adopted)
        self._outlet.save()
        return stood if was_moved else None

    def _begin_hand_over(self) -> None:
        """Have a new session begin with what its settings say of a hand-over."""
        playback, kind = self._playback, self._beginning.hand_over
        if playback.mode == MODE_LIVE:
            playback.decide(hand_over=kind)
        elif kind is not HandOverKind.AT_ONCE:
            asked = Intent(SetMode(MODE_LIVE, hand_over=kind), when=When(at_end=True))
            playback.scheduled = (JournalEntry(0, asked),)

    def _stand(self, adopted: Adopted) -> None:
        playback, report = self._playback, self._report
        playback.epoch, playback.next = adopted.epoch, adopted.next_sequence
        report.epoch, report.last_sequence = adopted.epoch, adopted.next_sequence - 1
        self._outlet.stand(adopted.next_sequence, adopted.order_state)

    def _resume_from(self, checkpoint: Checkpoint, cursor: Cursor) -> None:
        """Take over what was in effect. Settings rule as long as no operator has said anything."""
        playback, before = self._playback, checkpoint.effective
        playback.decide(revision=before.revision, paused=before.paused)
        playback.unrepeatable, playback.effect_number = checkpoint.unrepeatable, checkpoint.effect_number
        playback.moving = checkpoint.moving
        playback.countable = playback.countable or (
            checkpoint.countable and before.mode == MODE_HISTORICAL and not checkpoint.seams
        )
        playback.markers = marking.from_json(checkpoint.seams)
        playback.scheduled = tuple(JournalEntry.read(entry) for entry in checkpoint.scheduled)
        playback.step = None if checkpoint.step is None else StepUnderWay.read(checkpoint.step)
        playback.decide(range=before.range, hand_over=before.hand_over)
        if before.mode == MODE_HISTORICAL and not playback.markers:
            playback.last_key = cursor.last_key
        elif before.mode == MODE_LIVE:
            playback.last_key = self._last_key(cursor)
        mode = before.mode
        if before.revision > 0:
            playback.pacing.speed = before.speed
        elif before.hand_over is HandOverKind.AT_ONCE:
            mode = self._beginning.mode
        if (
            checkpoint.sequence == playback.next - 1
            and checkpoint.position_arrival_time_ns > playback.position_arrival_time_ns
        ):
            # Replay time was moved into a gap between two records, and nothing has left since.
            playback.position_arrival_time_ns = checkpoint.position_arrival_time_ns
            playback.pacing.stand_at(checkpoint.position_arrival_time_ns)
        if not self._lanes.configured(mode):
            mode = self._beginning.mode
            logger.warning(
                "mode is not configured any more", extra=fields(mode=MODE_NAMES.get(before.mode, before.mode))
            )
        playback.decide(mode=mode)
        if mode != before.mode and playback.next > 1:
            playback.add_seam(before.mode, time_ns=self._clock.time_ns(), reason="the settings changed")

    def _last_key(self, cursor: Cursor) -> Key | None:
        """Return the key of the newest record in the queue. The number of a live frame is not in there; it is 0 then."""
        playback = self._playback
        for entry in self._publisher.entries_around(playback.next - 1, ENTRIES):
            frame = TickFrame(entry)
            if frame.epoch != playback.epoch:
                break
            arrivals = [(sequence, arrival_ns) for sequence, _, _, arrival_ns, *_ in frame.ticks()]
            arrivals += [(rejection.sequence, rejection.arrival_time_ns) for rejection in frame.rejections]
            if arrivals:
                return (max(arrivals)[1], 0, 0) if frame.mode == MODE_LIVE else cursor.last_key
        return None

    def _repeat(self, epoch_before: str, adopted: Adopted) -> None:
        """Have records that are numbered already go out again under the same numbers, whatever the mode is now."""
        playback = self._playback
        if adopted.epoch != epoch_before:
            playback.numbered = 0
            playback.repeats.reset()
            return
        jumps = adopted.gap is not None and adopted.gap.next_sequence > 0
        readable = not jumps and self._lanes.historical is not None
        playback.repeats.restart(playback.next, playback.numbered if readable else 0)

    def _add_gap(self, adopted: Adopted) -> None:
        gap, playback = adopted.gap, self._playback
        if gap is None:
            return
        marker = replace(gap, last_key=gap.last_key or playback.last_key)
        if gap.next_sequence:
            self._outlet.jump(marker, self._stopping)
        elif not any(other.kind == MARKER_GAP and other.reason == gap.reason for other in playback.markers):
            playback.markers.append(marker)


def _check_inputs(before: str, now: str) -> None:
    difference = fingerprint_difference(before, now) if before else ""
    if difference:
        raise UnusableInput(
            f"the session stands in the middle of its inputs and {difference}; restore them, or take another session name"
        )

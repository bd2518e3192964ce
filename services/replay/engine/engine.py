"""The main loop: apply intents, poll the active source, pace, encode, publish.

One thread, and everything from outside is handed in. The order of what leaves depends on the inputs and the intents alone; clocks decide
only when.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from fastpath.columns import Tickers
from fastpath.decode import BEFORE_EVERYTHING
from fastpath.frame import (
    BATCH_ROWS_MAX,
    MARKER_GAP,
    MODE_HISTORICAL,
    MODE_LIVE,
    Cursor,
    Marker,
    decode_cursor,
    encode_batch,
    encode_cursor,
    peek,
)
from services.replay.engine import markers as marking
from services.replay.engine import state
from services.replay.engine.journal import Intent, Journal
from services.replay.engine.lane import CursorSource, HistoricalLane, Lane
from services.replay.engine.pacing import Linger, PacingClock, Waiter
from services.replay.engine.state import Effective, EngineReport
from services.replay.queue import Adopted, Checkpoint, Fenced, QueueLost, Stopped
from services.replay.sources import Poll, TickSource, UnusableInput, fingerprint_difference
from services.runtime.clock import Clock
from services.runtime.errors import Refused

if TYPE_CHECKING:
    from fastpath.columns import Key

logger = logging.getLogger(__name__)

IDLE_NS: Final = 250_000_000
"""Longest sleep; the publisher wants to be tended twice a second."""
TEND_SLACK_NS: Final = 5_000_000
"""Tending and reading ahead take a round trip or a few thousand rows: they are done when the next row is further away than this."""
TEND_LATEST_NS: Final = 450_000_000
POLLS_MAX: Final = 8
"""Polls before the next look at the journal."""
SENT_MARKERS_MAX: Final = 256
"""Markers remembered, to publish them again at their place when Redis loses its last second."""
SPEED_MAX: Final = 1e6
MODE_NAMES: Final = {MODE_HISTORICAL: "historical", MODE_LIVE: "live"}


class Publishing(Protocol):
    """The part of the publisher that the engine uses; see services.replay.queue.Publisher."""

    def adopt(self) -> Adopted: ...
    def publish(
        self,
        batch: bytes,
        first_sequence: int,
        last_sequence: int,
        *,
        wake: threading.Event,
        arrival_time_ns: int,
        checkpoint: Checkpoint | None = None,
        urgent: bool = False,
    ) -> bool: ...
    def save(self, checkpoint: Checkpoint) -> None: ...
    def flush(self) -> None: ...
    def tend(self) -> None: ...
    def close(self) -> None: ...


class RecordedSource(CursorSource, Protocol):
    """What the engine uses of services.replay.sources.HistoricalSource."""

    fingerprint: str
    first_read_monotonic_ns: int

    @property
    def skipped(self) -> int: ...
    @property
    def damaged(self) -> tuple[str, ...]: ...


class FeedSource(TickSource, Protocol):
    """What the engine uses of services.replay.engine.live.LiveSource."""

    connected: bool
    problem: str
    reconnects: int

    @property
    def lost_frames(self) -> int: ...
    @property
    def queued_frames(self) -> int: ...
    def discard(self) -> int:
        """Drop what was received and not polled; return how many frames that were."""


@dataclass(frozen=True)
class Beginning:
    """How a session begins that no operator has touched yet."""

    mode: int
    speed: float


class Engine:
    """Replays one session until it is told to stop. `run` returns then, and raises whatever ended it otherwise.

    `wake` interrupts any wait of the engine, `interrupt` (set by intents and by stopping) also a publisher that waits for
    room. Whoever sets `interrupt` sets `wake` behind it.
    """

    def __init__(
        self,
        *,
        beginning: Beginning,
        publisher: Publishing,
        open_historical: Callable[[Cursor | None], RecordedSource] | None,
        live: FeedSource | None,
        journal: Journal,
        report: EngineReport,
        changed: Callable[[], None],
        clock: Clock,
        waiter: Waiter,
        wake: threading.Event,
        interrupt: threading.Event,
        stopping: threading.Event,
    ) -> None:
        self._beginning = beginning
        self._publisher = publisher
        self._open_historical = open_historical
        self._journal = journal
        self._report = report
        self._changed = changed
        self._clock = clock
        self._waiter = waiter
        self._wake = wake
        self._interrupt = interrupt
        self._stopping = stopping
        self._never_wait = threading.Event()
        self._never_wait.set()

        self._tickers = Tickers()
        self._historical: HistoricalLane | None = None
        self._feed = live
        self._live = None if live is None else Lane(live, self._tickers)
        self._inputs = ""
        self._pacing = PacingClock(beginning.speed)
        self._linger = Linger()
        self._tended_ns = 0

        self._mode = beginning.mode
        self._paused = False
        self._revision = 0
        self._refused: tuple[int, str] | None = None
        self._intents: deque[Intent] = deque()
        self._markers: list[Marker] = []
        """Due with the next record."""
        self._urgent = False
        """The markers go out now, without a record."""
        self._markers_stored = False
        """The checkpoint in Redis names markers, so the batch that carries them has to renew it."""

        self._lost = False
        self._epoch = ""
        self._next = 1
        self._numbered = 0
        """Highest number ever given in this epoch."""
        self._last_key: Key | None = None
        self._again_until = 0
        """Up to here, numbers were given to historical records already; they go out again before anything else."""
        self._again_markers: deque[Marker] = deque()
        self._sent_markers: deque[Marker] = deque(maxlen=SENT_MARKERS_MAX)

    def run(self) -> None:
        """Replay until `stopping` is set; everything published is acknowledged and saved then."""
        try:
            self._start()
            while True:
                # Cleared before anything is looked at, so that whatever comes later ends the next wait.
                self._wake.clear()
                self._interrupt.clear()
                if self._stopping.is_set():
                    break
                try:
                    if self._lost:
                        self._adopt_again()
                    self._step()
                except QueueLost as exc:
                    logger.warning("queue lost, adopting again: %s", exc)
                    self._lost = True
            self._drain()
        except Stopped:
            logger.info("stopped while waiting for the queue: published=%d", self._next - 1)
        except Exception as exc:
            # The state of a session that another producer has is not ours to write.
            self._report.owned = self._report.owned and not isinstance(exc, Fenced)
            self._report.error = str(exc)
            self._set_phase(state.FAILED)
            raise
        finally:
            self._close()

    # Starting

    def _start(self) -> None:
        """Find out where the session stands. Unusable files are refused before Redis is touched."""
        opened = self._open_source(None)
        adopted = self._publisher.adopt()
        self._report.owned = True
        cursor = decode_cursor(adopted.cursor)
        checkpoint = adopted.checkpoint
        if opened is not None and checkpoint is not None and adopted.cursor:
            self._check_inputs(checkpoint.inputs, opened.fingerprint)
        if opened is not None and adopted.cursor:
            opened.stop()
            opened = self._open_source(cursor)
        self._place(adopted, opened)
        if checkpoint is not None:
            self._resume_from(checkpoint, cursor)
        elif adopted.cursor:
            self._last_key = cursor.last_key
        self._add_gap(adopted)
        self._publisher.save(self._checkpoint())
        self._markers_stored = bool(self._markers)
        self._tell_effective()
        # What is journalled already counts from the first record on.
        self._journal.start(self._revision)
        self._apply_intents()
        if self._mode == MODE_LIVE and self._live is not None:
            self._live.source.start(self._wake.set)
        self._set_phase(state.RUNNING)
        logger.info(
            "replay ready: epoch=%s next_sequence=%d mode=%s speed=%g paused=%s revision=%d",
            *(self._epoch, self._next, MODE_NAMES[self._mode], self._pacing.speed, self._paused, self._revision),
        )

    def _open_source(self, cursor: Cursor | None) -> RecordedSource | None:
        if self._open_historical is None:
            return None
        source = self._open_historical(cursor)
        report = self._report
        report.sources = tuple(source.names)
        report.first_read_monotonic_ns = report.first_read_monotonic_ns or source.first_read_monotonic_ns
        report.historical = source
        self._inputs = source.fingerprint
        return source

    @staticmethod
    def _check_inputs(before: str, now: str) -> None:
        difference = fingerprint_difference(before, now) if before else ""
        if difference:
            raise UnusableInput(
                f"the session stands in the middle of its inputs and {difference}; restore them, or take another session name"
            )

    def _resume_from(self, checkpoint: Checkpoint, cursor: Cursor) -> None:
        """Take over what was in effect. Settings rule as long as no operator has said anything."""
        self._revision = checkpoint.revision
        self._paused = checkpoint.paused
        self._markers = marking.from_json(checkpoint.seams)
        if checkpoint.mode == MODE_HISTORICAL and not self._markers:
            self._last_key = cursor.last_key
        mode = checkpoint.mode
        if checkpoint.revision > 0:
            self._pacing = PacingClock(checkpoint.speed)
        else:
            mode = self._beginning.mode
        if not self._configured(mode):
            mode = self._beginning.mode
            logger.warning("mode %s is not configured any more", MODE_NAMES.get(checkpoint.mode, checkpoint.mode))
        self._mode = mode
        if mode != checkpoint.mode and self._next > 1:
            self._add_seam(checkpoint.mode, reason="the settings changed")

    def _configured(self, mode: int) -> bool:
        return (mode == MODE_HISTORICAL and self._open_historical is not None) or (
            mode == MODE_LIVE and self._live is not None
        )

    # Positions

    def _place(self, adopted: Adopted, source: RecordedSource | None) -> None:
        """Stand where the publisher says that the session goes on."""
        self._epoch, self._next = adopted.epoch, adopted.next_sequence
        self._report.epoch, self._report.last_sequence = self._epoch, self._next - 1
        cursor = decode_cursor(adopted.cursor)
        if source is not None:
            places = encode_cursor(replace(cursor, last_key=None)) if adopted.cursor else b""
            self._historical = HistoricalLane(source, self._tickers, cursor=places, last_key=cursor.last_key)

    def _adopt_again(self) -> None:
        """Go on after the queue was lost. What was in effect stays in effect; memory knows it better than the queue."""
        before = (self._epoch, self._next)
        self._set_phase(state.STARTING)
        adopted = self._publisher.adopt()
        if (adopted.epoch, adopted.next_sequence) != before:
            source: RecordedSource | None = None
            if self._historical is not None:
                self._historical.source.stop()
                source = self._open_source(decode_cursor(adopted.cursor) if adopted.cursor else None)
            self._place(adopted, source)
            self._pacing.release()
            self._repeat(before[0], adopted)
            logger.warning("repositioned: epoch=%s next_sequence=%d before=%d", self._epoch, self._next, before[1])
        self._add_gap(adopted)
        self._publisher.save(self._checkpoint())
        self._markers_stored = bool(self._markers)
        self._lost = False
        self._set_phase(state.RUNNING)

    def _repeat(self, epoch_before: str, adopted: Adopted) -> None:
        """Have records that are numbered already go out again under the same numbers, whatever the mode is now."""
        sent = {marker.sequence: marker for marker in (*self._again_markers, *self._sent_markers)}
        self._again_until, self._again_markers = 0, deque()
        self._sent_markers.clear()
        if adopted.epoch != epoch_before:
            self._numbered = 0
            return
        self._sent_markers.extend(sent[sequence] for sequence in sorted(sent) if sequence < self._next)
        jumps = adopted.gap is not None and adopted.gap.next_sequence > 0
        if not jumps and self._historical is not None:
            self._again_until = self._numbered
            self._again_markers.extend(sent[sequence] for sequence in sorted(sent) if sequence >= self._next)

    def _add_gap(self, adopted: Adopted) -> None:
        gap = adopted.gap
        if gap is None:
            return
        if gap.next_sequence == 0:
            if not any(marker.kind == MARKER_GAP and marker.reason == gap.reason for marker in self._markers):
                self._markers.append(replace(gap, last_key=gap.last_key or self._last_key))
            return
        # The numbers jump behind this marker, so it is a batch of its own.
        lane = self._live or self._historical
        assert lane is not None
        marker = replace(gap, last_key=gap.last_key or self._last_key)
        if not self._append(lane, lane.start, MODE_LIVE, [marker], self._stopping, urgent=True):
            raise Stopped("told to stop before the gap was published")
        self._next = gap.next_sequence

    # The loop

    def _step(self) -> None:
        self._apply_intents()
        if self._paused:
            self._wait_until(self._clock.monotonic_ns() + IDLE_NS)
        elif self._historical is not None and (self._mode == MODE_HISTORICAL or self._next <= self._again_until):
            self._step_historical(self._historical)
        elif self._live is not None:
            self._step_live(self._live)

    def _step_historical(self, lane: HistoricalLane) -> None:
        fast = self._pacing.speed == 0 or self._next <= self._again_until
        if fast or lane.remaining == 0:
            lane.fill(POLLS_MAX if fast else 1)
        if lane.remaining == 0:
            if lane.failure is not None:
                self._fail(lane.failure)
            if lane.ended:
                self._complete()
                self._wait_until(self._clock.monotonic_ns() + IDLE_NS)
            else:
                self._tend(self._clock.monotonic_ns(), idle=False)
            return
        stop = min(lane.start + BATCH_ROWS_MAX, len(lane.block)) if fast else self._wait_for_due(lane)
        if stop > lane.start:
            self._publish(lane, stop, MODE_HISTORICAL, self._interrupt, urgent=not fast)

    def _wait_for_due(self, lane: HistoricalLane) -> int:
        """Wait until rows are due; return behind which row they end (the start when the wait ended early)."""
        clock, pacing, block = self._clock, self._pacing, lane.block
        first_ns = block.key(lane.start)[0]
        if first_ns == BEFORE_EVERYTHING:
            return min(lane.start + max(1, block.count_due(lane.start, BEFORE_EVERYTHING)), lane.start + BATCH_ROWS_MAX)
        now_ns = clock.monotonic_ns()
        pacing.begin(first_ns, now_ns)
        due_at_ns = pacing.deadline_ns(first_ns)
        leave_at_ns = max(due_at_ns, self._linger.earliest_ns())
        if leave_at_ns - now_ns > TEND_SLACK_NS and lane.remaining < BATCH_ROWS_MAX:
            lane.fill(1)
        if now_ns < leave_at_ns:
            self._wait_until(leave_at_ns)
            now_ns = clock.monotonic_ns()
            if now_ns < leave_at_ns:
                return lane.start
        self._report.lateness.note(now_ns - due_at_ns)
        self._linger.sent(now_ns)
        return lane.start + self._count_due(lane, max(pacing.due_ns(now_ns), first_ns))

    @staticmethod
    def _count_due(lane: HistoricalLane, due_ns: int) -> int:
        """Count the rows that are due, at most a batch; polls on while all that is at hand is due."""
        for _ in range(POLLS_MAX):
            due = lane.block.count_due(lane.start, due_ns)
            if due < lane.remaining or due >= BATCH_ROWS_MAX or lane.ended:
                break
            before = lane.remaining
            lane.fill(1)
            if lane.remaining == before:
                break
        return min(due, BATCH_ROWS_MAX)

    def _step_live(self, lane: Lane) -> None:
        if lane.remaining == 0 and not self._urgent:
            now_ns = self._clock.monotonic_ns()
            if self._linger.earliest_ns() > now_ns:
                self._wait_until(self._linger.earliest_ns())
            if not self._poll_live(lane) and not self._urgent:
                self._wait_until(self._clock.monotonic_ns() + IDLE_NS)
                return
        stop = min(lane.start + BATCH_ROWS_MAX, len(lane.block))
        if self._publish(lane, stop, MODE_LIVE, self._interrupt, urgent=True):
            self._linger.sent(self._clock.monotonic_ns())

    def _poll_live(self, lane: Lane) -> int:
        poll: Poll = lane.poll()
        if poll.markers:
            self._markers += [
                replace(marker, previous_mode=MODE_LIVE, mode=MODE_LIVE, last_key=self._last_key)
                for marker in poll.markers
            ]
        self._urgent = poll.urgent and poll.rows == 0
        return poll.rows

    def _wait_until(self, deadline_ns: int) -> None:
        """Wait, at most IDLE_NS, with an eye on the queue; returns early when woken."""
        now_ns = self._clock.monotonic_ns()
        self._tend(now_ns, idle=deadline_ns - now_ns > TEND_SLACK_NS)
        self._waiter.wait_until(min(deadline_ns, now_ns + IDLE_NS))

    def _tend(self, now_ns: int, *, idle: bool) -> None:
        since_ns = now_ns - self._tended_ns
        if since_ns >= TEND_LATEST_NS or (idle and since_ns >= TEND_SLACK_NS):
            self._publisher.tend()
            self._tended_ns = now_ns

    def _complete(self) -> None:
        if self._report.phase != state.COMPLETED:
            self._publisher.flush()
            logger.info("every historical record is published: last_sequence=%d", self._next - 1)
            self._set_phase(state.COMPLETED)

    def _fail(self, failure: Exception) -> None:
        """End with what a source raised, after everything before it went out."""
        self._publisher.flush()
        raise failure

    def _drain(self) -> None:
        try:
            self._publisher.flush()
            self._publisher.save(self._checkpoint())
        except QueueLost as exc:
            logger.warning("not drained, the queue is lost: %s", exc)
        logger.info("stopped: last_sequence=%d", self._next - 1)

    def _close(self) -> None:
        for lane in (self._live, self._historical):
            if lane is not None:
                lane.source.stop()
        self._publisher.close()

    # Publishing

    def _publish(self, lane: Lane, stop: int, mode: int, wake: threading.Event, *, urgent: bool) -> bool:
        """Publish markers that are due and the rows up to `stop`; False: nothing was, because `wake` was set."""
        if self._next > self._again_until:
            checkpoint = None
            if self._markers and self._markers_stored:
                checkpoint = replace(self._checkpoint(), seams=())
            published = self._append(lane, stop, mode, self._markers, wake, checkpoint=checkpoint, urgent=urgent)
            if published:
                self._markers, self._urgent = [], False
                self._markers_stored = self._markers_stored and checkpoint is None
            return published
        due: list[Marker] = []
        again = self._again_markers
        while again and again[0].sequence == self._next + len(due):
            due.append(again.popleft())
        following = again[0].sequence if again else self._again_until + 1
        rows = min(stop - lane.start, following - self._next - len(due))
        published = self._append(lane, lane.start + rows, mode, due, wake, urgent=urgent)
        if not published:
            again.extendleft(reversed(due))
        return published

    def _append(
        self,
        lane: Lane,
        stop: int,
        mode: int,
        markers: list[Marker],
        wake: threading.Event,
        *,
        urgent: bool,
        checkpoint: Checkpoint | None = None,
    ) -> bool:
        block, start, historical = lane.block, lane.start, self._historical
        first_key = block.key(start) if stop > start else None
        batch, rows, last_sequence = encode_batch(
            block,
            start,
            stop,
            epoch=self._epoch,
            mode=mode,
            first_sequence=self._next,
            sources=lane.source.names,
            markers=marking.addressed(markers, first_key) if markers else (),
            cursor_sources=historical.cursor_sources() if historical is not None else b"",
            last_key=historical.last_key if historical is not None else None,
            publish_time_ns=self._clock.time_ns(),
        )
        last_key = block.key(start + rows - 1) if rows else self._last_key
        arrival_time_ns = last_key[0] if last_key is not None and last_key[0] != BEFORE_EVERYTHING else 0
        if checkpoint is not None:
            checkpoint = replace(checkpoint, sequence=last_sequence)
        if not self._publisher.publish(
            batch,
            self._next,
            last_sequence,
            wake=wake,
            arrival_time_ns=arrival_time_ns,
            checkpoint=checkpoint,
            urgent=urgent,
        ):
            return False
        if rows:
            self._last_key = lane.advance(rows)
        for offset, marker in enumerate(markers):
            self._sent_markers.append(replace(marker, sequence=self._next + offset))
        self._account(batch, rows, markers, last_sequence, arrival_time_ns)
        return True

    def _account(
        self, batch: bytes, rows: int, markers: list[Marker], last_sequence: int, arrival_time_ns: int
    ) -> None:
        report = self._report
        self._next = last_sequence + 1
        self._numbered = max(self._numbered, last_sequence)
        report.last_sequence = last_sequence
        if arrival_time_ns:
            report.last_arrival_time_ns = arrival_time_ns
        report.rows += rows
        report.rejected += rows - peek(batch).tick_count
        report.batches += 1
        report.published_bytes += len(batch)
        report.gaps += sum(marker.kind == MARKER_GAP for marker in markers)

    # Intents

    def _apply_intents(self) -> None:
        self._intents.extend(self._journal.take())
        if not self._intents:
            return
        while self._intents:
            # It leaves the line only when it is applied: publishing what is left of a feed may fail on the way.
            self._apply(self._intents[0])
            self._intents.popleft()
        self._publisher.save(self._checkpoint())
        self._markers_stored = bool(self._markers)
        self._tell_effective()
        self._changed()

    def _apply(self, intent: Intent) -> None:
        if not intent.restarts and intent.revision <= self._revision:
            return
        problem = intent.problem or self._problem_of(intent)
        if problem:
            logger.warning("intent refused: revision=%d reason=%s", intent.revision, problem)
            self._refused = (intent.revision, problem)
        else:
            self._take_effect(intent)
            logger.info(
                "intent applied: revision=%d kind=%s mode=%s speed=%g correlation_id=%s",
                *(intent.revision, intent.kind, MODE_NAMES[self._mode], self._pacing.speed, intent.correlation_id),
            )
        self._revision = intent.revision

    def _problem_of(self, intent: Intent) -> str:
        match intent.kind:
            case "mode":
                if intent.mode not in MODE_NAMES:
                    return f"mode {intent.mode} is unknown"
                if not self._configured(intent.mode):
                    setting = "MIDSTREAM_LIVE_URL" if intent.mode == MODE_LIVE else "MIDSTREAM_HISTORICAL"
                    return f"no {MODE_NAMES[intent.mode]} source is configured; set {setting} and restart the server"
            case "speed":
                if not (math.isfinite(intent.speed) and 0 <= intent.speed <= SPEED_MAX):
                    return f"speed {intent.speed} is not between 0 and {SPEED_MAX:g}"
            case "pause" | "resume" | "none":
                pass
            case _:
                return f"intent {intent.kind!r} is unknown"
        return ""

    def _take_effect(self, intent: Intent) -> None:
        now_ns = self._clock.monotonic_ns()
        match intent.kind:
            case "mode" if intent.mode != self._mode:
                self._switch(intent.mode, intent.revision, now_ns)
            case "pause" if not self._paused:
                self._pacing.hold(now_ns)
                self._paused = True
            case "resume":
                self._paused = False
            case "speed":
                self._pacing.set_speed(intent.speed, now_ns)

    def _switch(self, mode: int, revision: int, now_ns: int) -> None:
        previous = self._mode
        if mode == MODE_LIVE:
            self._pacing.hold(now_ns)
            self._mode = mode
            if self._live is not None:
                self._live.source.start(self._wake.set)
        else:
            self._leave_live()
            self._mode = mode
        self._add_seam(previous, revision=revision)
        if self._report.phase == state.COMPLETED:
            self._report.phase = state.RUNNING

    def _add_seam(self, previous_mode: int, *, revision: int = 0, reason: str = "") -> None:
        self._markers.append(
            marking.seam(
                previous_mode=previous_mode,
                mode=self._mode,
                last_key=self._last_key,
                time_ns=self._clock.time_ns(),
                revision=revision,
                reason=reason,
            )
        )

    def _leave_live(self) -> None:
        """Disconnect and publish what was received, as far as there is room at once; the rest is a gap."""
        lane, feed = self._live, self._feed
        if lane is None or feed is None:
            return
        feed.stop()
        while not self._paused and self._next > self._again_until:
            if lane.remaining == 0 and not self._poll_live(lane):
                break
            stop = min(lane.start + BATCH_ROWS_MAX, len(lane.block))
            if not self._publish(lane, stop, MODE_LIVE, self._never_wait, urgent=True):
                break
        self._urgent = False
        lost = feed.discard()
        if lane.remaining:
            lost += lane.block.key(len(lane.block) - 1)[2] - lane.block.key(lane.start)[2] + 1
            lane.clear()
        if lost:
            why = "the session was paused" if self._paused else "the queue had no room"
            self._markers.append(
                Marker(
                    kind=MARKER_GAP,
                    previous_mode=MODE_LIVE,
                    mode=MODE_LIVE,
                    last_key=self._last_key,
                    time_ns=self._clock.time_ns(),
                    reason=f"frames received before the switch were dropped, because {why}",
                    lost_frames=lost,
                )
            )

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            revision=self._revision,
            mode=self._mode,
            paused=self._paused,
            speed=self._pacing.speed,
            seams=marking.to_json(self._markers),
            inputs=self._inputs,
            sequence=self._next - 1,
        )

    def _tell_effective(self) -> None:
        self._report.effective = Effective(
            mode=self._mode,
            revision=self._revision,
            paused=self._paused,
            speed=self._pacing.speed,
            refused=self._refused,
        )

    def _set_phase(self, phase: str) -> None:
        if self._report.phase != phase:
            self._report.phase = phase
            self._changed()


def check_sources(beginning: Beginning, *, historical: bool, live: bool) -> None:
    """Raise Refused when there is nothing to begin with."""
    if not historical and not live:
        raise Refused("no source is configured: set MIDSTREAM_HISTORICAL to files, or MIDSTREAM_LIVE_URL to a feed")
    if beginning.mode == MODE_LIVE and not live:
        raise Refused("the session is to begin live, but no feed is configured: set MIDSTREAM_LIVE_URL")

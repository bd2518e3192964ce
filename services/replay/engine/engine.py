"""The main loop: apply intents, poll the active source, pace, publish.

One thread, and everything from outside is handed in. The order of what leaves depends on the inputs and the intents alone; clocks decide
only when. `positioning` says where the session goes on, `steering` applies what operators ask for, `outlet` publishes; they share one
`Playback`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fastpath.columns import BEFORE_EVERYTHING, Tickers
from fastpath.frame import BATCH_ROWS_MAX, MODE_HISTORICAL, MODE_LIVE
from services.replay.engine.boundaries import Boundaries, Due
from services.replay.engine.figures import EngineFigures
from services.replay.engine.hand_over import LOOK_NS, HandOver
from services.replay.engine.journal import Journal
from services.replay.engine.lane import PACED_POLL_ROWS, HistoricalLane, Lane, LiveLane
from services.replay.engine.lanes import Lanes
from services.replay.engine.outlet import Outlet
from services.replay.engine.pace import AS_RECORDED, Pace
from services.replay.engine.pacer import Pacer
from services.replay.engine.pacing import Waiter
from services.replay.engine.playback import Playback
from services.replay.engine.ports import Beginning, FeedSource, OpenRecorded, Publishing
from services.replay.engine.positioning import Positioning
from services.replay.engine.proving import Proving
from services.replay.engine.seeking import Seeking
from services.replay.engine.steering import Steering
from services.replay.engine.watermarks import Watermarks
from services.replay.queue.errors import Fenced, QueueLost, Stopped
from services.runtime.clock import Clock
from services.runtime.log_fields import fields
from services.runtime.session.intents import MODE_NAMES, Effective
from services.runtime.session.report import EngineState

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
        open_historical: OpenRecorded | None,
        live: FeedSource | None,
        live_tickers_max: int = 0,
        partitioned: bool = False,
        pace: Pace = AS_RECORDED,
        proving: Proving | None = None,
        journal: Journal,
        report: EngineFigures,
        changed: Callable[[], None],
        clock: Clock,
        waiter: Waiter,
        wake: threading.Event,
        interrupt: threading.Event,
        stopping: threading.Event,
    ) -> None:
        report.pace, report.debt = pace, pace.time_debt()
        self._publisher = publisher
        self._journal = journal
        self._report = report
        self._changed = changed
        self._clock = clock
        self._waiter = waiter
        self._wake = wake
        self._interrupt = interrupt
        self._stopping = stopping

        playback = self._playback = Playback(Effective(mode=beginning.mode), pace.clock(beginning.speed))
        lanes = self._lanes = Lanes(
            open_historical=open_historical,
            live=live,
            tickers=Tickers(live_names_max=live_tickers_max),
            report=report,
            wake=wake.set,
        )
        outlet = self._outlet = Outlet(
            playback=playback,
            lanes=lanes,
            publisher=publisher,
            report=report,
            clock=clock,
            partitioned=partitioned,
            proving=proving,
        )
        self._watermarks = (
            Watermarks(playback=playback, lanes=lanes, publisher=publisher, clock=clock) if partitioned else None
        )
        self._boundaries = Boundaries(playback)
        self._seeking = Seeking(
            playback=playback,
            lanes=lanes,
            outlet=outlet,
            publisher=publisher,
            report=report,
            clock=clock,
            stopping=stopping,
        )
        self._hand_over = HandOver(
            playback=playback,
            lanes=lanes,
            outlet=outlet,
            publisher=publisher,
            report=report,
            clock=clock,
            seeking=self._seeking,
            interrupt=interrupt,
            stopping=stopping,
        )
        self._steering = Steering(
            playback=playback,
            lanes=lanes,
            outlet=outlet,
            journal=journal,
            seeking=self._seeking,
            hand_over=self._hand_over,
            boundaries=self._boundaries,
            report=report,
            clock=clock,
        )
        self._positioning = Positioning(
            beginning=beginning,
            playback=playback,
            lanes=lanes,
            outlet=outlet,
            publisher=publisher,
            report=report,
            clock=clock,
            stopping=stopping,
        )
        self._pacer = Pacer(playback=playback, report=report, clock=clock, wait_until=self._wait_until)
        self._linger = self._pacer.linger
        self._tended_ns = 0
        self._lost = False
        """The queue was lost, so the session has to be adopted again."""
        self._stood: Key | None = None
        """Where replay time stood when the queue was lost and forgot that it was moved there."""

    def run(self) -> None:
        """Replay until `stopping` is set; everything published is acknowledged and saved then."""
        try:
            self._start()
            while True:
                # Cleared before anything is looked at, so that whatever comes later ends the next wait.
                self._wake.clear()
                self._interrupt.clear()
                self._report.turned_ns = self._clock.monotonic_ns()
                if self._stopping.is_set():
                    break
                try:
                    if self._lost:
                        self._adopt_again()
                    self._step()
                except QueueLost as exc:
                    logger.warning("queue lost, adopting again", extra=fields(reason=exc))
                    self._lost = True
            self._drain()
        except Stopped:
            logger.info("stopped while waiting for the queue", extra=fields(published=self._playback.next - 1))
        except Exception as exc:
            # The state of a session that another producer has is not ours to write.
            self._report.owned = self._report.owned and not isinstance(exc, Fenced)
            self._report.error = str(exc)
            self._set_phase(EngineState.FAILED)
            raise
        finally:
            self._close()

    def _start(self) -> None:
        playback = self._playback
        self._positioning.start()
        if playback.moving and self._lanes.historical is not None:
            # What was told of the state before the end is not all of it.
            self._stood = self._lanes.historical.last_key or (BEFORE_EVERYTHING, 0, 0)
        # What is journalled already counts from the first record on.
        self._journal.start(playback.revision)
        self._apply_intents()
        if playback.mode == MODE_LIVE:
            self._lanes.start_live()
        self._hand_over.begin()
        self._set_phase(EngineState.RUNNING)
        logger.info(
            "replay ready",
            extra=fields(
                epoch=playback.epoch,
                next_sequence=playback.next,
                mode=MODE_NAMES[playback.mode],
                speed=playback.pacing.speed,
                paused=playback.paused,
                revision=playback.revision,
            ),
        )

    def _adopt_again(self) -> None:
        self._set_phase(EngineState.STARTING)
        self._stood = self._positioning.adopt_again() or self._stood
        if self._watermarks is not None:
            self._watermarks.forget()
        if self._hand_over.pending is not None:
            self._hand_over.begin()
        self._return()
        self._lost = False
        self._set_phase(EngineState.RUNNING)

    def _return(self) -> None:
        """Move replay time to where it stood, when that was lost with the queue."""
        if self._stood is not None and not self._playback.repeating:
            self._seeking.move(self._stood, None, reason="that replay time had been moved was not told in full")
            self._stood = None

    def _apply_intents(self) -> None:
        if self._steering.apply():
            self._changed()

    # One step

    def _step(self) -> None:
        self._return()
        self._apply_intents()
        playback, lanes = self._playback, self._lanes
        if playback.scheduled and not playback.repeating and (entry := self._boundaries.now()) is not None:
            self._happen(Due(entry, None))
            return
        if playback.paused and not (self._steering.waits or playback.step):
            self._pacer.rest()
            self._wait_until(self._clock.monotonic_ns() + IDLE_NS)
        elif lanes.historical is not None and (playback.mode == MODE_HISTORICAL or playback.repeating):
            self._step_historical(lanes.historical)
        elif lanes.live is not None:
            self._pacer.rest()
            self._step_live(lanes.live)

    def _step_historical(self, lane: HistoricalLane) -> None:
        fast = self._is_fast()
        if fast or lane.remaining == 0:
            if fast:
                lane.fill(POLLS_MAX)
            else:
                lane.fill(1, rows=PACED_POLL_ROWS)
        bounded = self._playback.bounded and not self._playback.repeating
        if bounded and lane.failure is None and self._reach(lane, fast=fast):
            return
        if bounded and self._hand_over.is_due(lane, over=self._boundaries.over(lane)):
            if not self._hand_over.step(lane):
                self._wait_until(self._clock.monotonic_ns() + LOOK_NS)
            return
        if lane.remaining == 0 or (bounded and self._boundaries.over(lane)):
            if lane.remaining == 0 and lane.failure is not None:
                self._fail(lane.failure)
            if lane.remaining or lane.ended:
                if self._playback.step is not None:
                    self._end_step()
                    return
                self._complete()
                self._wait_until(self._clock.monotonic_ns() + IDLE_NS)
            else:
                now_ns = self._clock.monotonic_ns()
                self._tend(now_ns, idle=False)
                if self._watermarks is not None:
                    self._watermarks.tell(now_ns)
            return
        if bounded and self._playback.step is not None:
            self._publish_step(lane)
            return
        if not self._report.achieved.going and not self._playback.paused:
            self._report.achieved.go(self._clock.monotonic_ns())
        if fast:
            self._pacer.at_once()
            self._publish_at_hand(lane)
            return
        stop = self._bounded(lane, self._pacer.wait_for_due(lane))
        if stop > lane.start and self._outlet.publish(lane, stop, MODE_HISTORICAL, self._interrupt, urgent=True):
            self._pacer.left()

    def _is_fast(self) -> bool:
        playback = self._playback
        return playback.pacing.speed == 0 or playback.repeating or playback.step is not None or self._hand_over.rushes

    def _reach(self, lane: HistoricalLane, *, fast: bool) -> bool:
        """Have what comes before the next record happen, or wait for it; False when that is nothing."""
        due = self._boundaries.due(lane)
        if due is None:
            return False
        if due.time_ns is not None and not fast:
            now_ns, pacing = self._clock.monotonic_ns(), self._playback.pacing
            pacing.begin(due.time_ns, now_ns)
            deadline_ns = pacing.deadline_ns(due.time_ns)
            if deadline_ns > now_ns:
                self._wait_until(deadline_ns)
                return True
        self._happen(due)
        return True

    def _happen(self, due: Due) -> None:
        self._steering.happen(due)
        self._changed()

    def _publish_step(self, lane: HistoricalLane) -> None:
        """Publish rows of a step; what is left of it then is saved with them."""
        playback, step = self._playback, self._playback.step
        assert step is not None
        stop, found, done = self._boundaries.step(lane, self._bounded(lane, len(lane.block)))
        if stop == lane.start:
            return
        after = replace(step, left=step.left - found, done=step.done + done)
        effects = playback.effect_number, list(playback.effects)
        playback.step = after
        if after.left == 0:
            playback.end_step(self._clock.time_ns(), behind_ns=lane.block.key(stop - 1)[0])
        if not self._outlet.publish(lane, stop, MODE_HISTORICAL, self._interrupt, urgent=True, save=True):
            playback.step = step
            playback.effect_number, playback.effects = effects
        elif after.left == 0:
            self._changed()

    def _end_step(self) -> None:
        """There are no more ticks for a step."""
        self._playback.end_step(self._clock.time_ns())
        self._outlet.save()
        self._changed()

    def _bounded(self, lane: Lane, stop: int) -> int:
        return self._boundaries.stop(lane, stop) if self._playback.bounded and not self._playback.repeating else stop

    def _publish_at_hand(self, lane: HistoricalLane) -> None:
        """Publish a batch, and the full ones that were polled with it, until an intent or a stop wants to be looked at."""
        while True:
            stop = self._bounded(lane, min(lane.start + BATCH_ROWS_MAX, len(lane.block)))
            if stop == lane.start:
                return
            published = self._outlet.publish(lane, stop, MODE_HISTORICAL, self._interrupt, urgent=False)
            if not published or lane.remaining < BATCH_ROWS_MAX or self._interrupt.is_set() or not self._is_fast():
                return
            self._report.turned_ns = self._clock.monotonic_ns()

    def _step_live(self, lane: LiveLane) -> None:
        playback = self._playback
        if lane.remaining == 0 and not playback.urgent:
            now_ns = self._clock.monotonic_ns()
            if self._linger.earliest_ns() > now_ns:
                self._wait_until(self._linger.earliest_ns())
            poll = lane.poll()
            playback.take_markers(poll)
            self._hand_over.watch(poll)
            if not poll.rows and not playback.urgent:
                self._wait_until(self._clock.monotonic_ns() + IDLE_NS)
                return
        if self._hand_over.broken and lane.remaining:
            if not self._hand_over.mend(lane):
                self._wait_until(self._clock.monotonic_ns() + LOOK_NS)
            return
        stop = self._bounded(lane, min(lane.start + BATCH_ROWS_MAX, len(lane.block)))
        if self._outlet.publish(lane, stop, MODE_LIVE, self._interrupt, urgent=True):
            self._linger.sent(self._clock.monotonic_ns())

    # Waiting, and the end

    def _wait_until(self, deadline_ns: int) -> None:
        """Wait, at most IDLE_NS, with an eye on the queue; returns early when woken."""
        now_ns = self._clock.monotonic_ns()
        self._tend(now_ns, idle=deadline_ns - now_ns > TEND_SLACK_NS)
        self._waiter.wait_until(min(deadline_ns, now_ns + IDLE_NS))

    def _tend(self, now_ns: int, *, idle: bool) -> None:
        since_ns = now_ns - self._tended_ns
        if since_ns >= TEND_LATEST_NS or (idle and since_ns >= TEND_SLACK_NS):
            if self._watermarks is not None:
                self._watermarks.tell(now_ns)
            self._publisher.tend()
            self._tended_ns = now_ns

    def _complete(self) -> None:
        self._pacer.rest()
        if self._report.phase != EngineState.COMPLETED:
            if self._watermarks is not None:
                self._watermarks.tell(self._clock.monotonic_ns(), at_once=True)
            self._publisher.flush()
            self._outlet.prove()
            logger.info("every historical record is published", extra=fields(last_sequence=self._playback.next - 1))
            for remark in self._report.historical.complaints.remarks if self._report.historical is not None else ():
                logger.warning("recorded file is not as it should be", extra=fields(remark=remark))
            self._set_phase(EngineState.COMPLETED)

    def _fail(self, failure: Exception) -> None:
        """End with what a source raised, after everything before it went out."""
        self._publisher.flush()
        raise failure

    def _drain(self) -> None:
        try:
            self._publisher.flush()
            self._outlet.save()
        except QueueLost as exc:
            logger.warning("not drained, the queue is lost", extra=fields(reason=exc))
        logger.info("replay stopped", extra=fields(last_sequence=self._playback.next - 1))

    def _close(self) -> None:
        self._lanes.stop()
        self._publisher.close()

    def _set_phase(self, phase: EngineState) -> None:
        if self._report.phase != phase:
            self._report.phase = phase
            self._changed()

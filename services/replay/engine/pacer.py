"""Have recorded rows leave when they are due: which ones, after which wait, and how late that was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.frame import BATCH_ROWS_MAX
from services.replay.engine.figures import EngineFigures
from services.replay.engine.lane import PACED_POLL_ROWS, HistoricalLane
from services.replay.engine.pacing import Linger
from services.replay.engine.playback import Playback
from services.runtime.clock import Clock

AHEAD_NS: Final = 5_000_000
"""Reading ahead takes a few thousand rows' time: it is done when the next row is further away than this."""
POLLS_MAX: Final = 8
"""Polls in a row while everything at hand is due."""


class Pacer:
    """Waits for rows to be due. `wait_until` returns early when the engine is woken."""

    def __init__(
        self, *, playback: Playback, report: EngineFigures, clock: Clock, wait_until: Callable[[int], None]
    ) -> None:
        self._playback = playback
        self._report = report
        self._clock = clock
        self._wait_until = wait_until
        self.linger = Linger()
        self._due_at_ns: int | None = None
        """When the next row is to leave; None where it has no time."""

    def wait_for_due(self, lane: HistoricalLane) -> int:
        """Wait until rows are due; return behind which row they end (the start when the wait ended early). Raises TimeDebtExceeded."""
        clock, pacing, debt, block = self._clock, self._playback.pacing, self._report.debt, lane.block
        self.at_once()
        first_ns = block.key(lane.start)[0]
        if first_ns == BEFORE_EVERYTHING:
            return min(lane.start + max(1, block.count_due(lane.start, BEFORE_EVERYTHING)), lane.start + BATCH_ROWS_MAX)
        now_ns = clock.monotonic_ns()
        pacing.begin(first_ns, now_ns)
        due_at_ns = self._due_at_ns = pacing.deadline_ns(first_ns)
        debt.expect(due_at_ns)
        leave_at_ns = max(due_at_ns, self.linger.earliest_ns())
        if leave_at_ns - now_ns > AHEAD_NS and lane.remaining < BATCH_ROWS_MAX:
            lane.fill(1, rows=PACED_POLL_ROWS)
        if now_ns < leave_at_ns:
            self._wait_until(leave_at_ns)
            now_ns = clock.monotonic_ns()
            if now_ns < leave_at_ns:
                return lane.start
        self.linger.sent(now_ns)
        debt.settle(now_ns, pacing)
        due = self._count_due(lane, now_ns)
        return lane.start + due  # in this order: a poll moves the start

    def left(self) -> None:
        """Note how late the rows were that were waited for: the queue has them now. Raises TimeDebtExceeded."""
        if self._due_at_ns is not None:
            now_ns, debt = self._clock.monotonic_ns(), self._report.debt
            self._report.lateness.note(now_ns - self._due_at_ns)
            debt.settle(now_ns, self._playback.pacing)
            debt.expect(None)

    def at_once(self) -> None:
        """Account for rows that have no time to be due at."""
        self._due_at_ns = None
        self._report.debt.expect(None)

    def rest(self) -> None:
        """Have neither real time count nor anything be owed until rows are waited for again."""
        self.at_once()
        self._report.achieved.rest(self._clock.monotonic_ns())

    def _count_due(self, lane: HistoricalLane, now_ns: int) -> int:
        """Count the rows that are due, at most a batch; polls on while all that is at hand is due."""
        pacing = self._playback.pacing
        for _ in range(POLLS_MAX):
            due = pacing.count_due(lane.block, lane.start, now_ns)
            if due < lane.remaining or due >= BATCH_ROWS_MAX or lane.ended:
                break
            before = lane.remaining
            lane.fill(1, rows=PACED_POLL_ROWS)
            if lane.remaining == before:
                break
        return min(due, BATCH_ROWS_MAX)

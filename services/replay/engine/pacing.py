"""Pace rows: know when the next are due, and wait for that moment without drifting past it."""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Final, Protocol

from services.runtime.clock import Clock

if TYPE_CHECKING:
    from fastpath.columns import Block

LINGER_NS: Final = 1_000_000
"""Batches leave at most this often, and no row waits longer than this for others."""
LINGER_BURST: Final = 32
"""Batches that may leave without lingering after a quiet time, so that rare ticks are exact."""
SPIN_NS_MIN: Final = 100_000
SPIN_NS_MAX: Final = 300_000
"""How long before a deadline the thread stops sleeping: between the usual and the worst lateness of a wake-up."""
SPIN_SHARE: Final = 0.1
"""Of a core: what looking at the clock beyond SPIN_NS_MIN may cost on average."""
SPIN_SAVED_NS_MAX: Final = 10 * SPIN_NS_MAX
"""What a quiet time saves up for a burst of deadlines."""

_PR_SET_TIMERSLACK: Final = 29


class PacingClock:
    """Data time against real time, on an anchor: deadline = anchor + (arrival - anchor arrival) / speed.

    The anchor moves at a start, a resume, a change of speed and a seam, never per tick, so nothing drifts. While it is held (paused, or the
    other source is active) data time stands still. Speed 0 is as fast as possible: everything is due. With a cap, what a gap is longer is
    skipped: the anchor moves by exactly that.
    """

    def __init__(self, speed: float, *, gap_cap_ns: int = 0) -> None:
        self.speed = speed
        self._gap_cap_ns = gap_cap_ns
        self._anchor_arrival_ns: int | None = None
        self._anchor_ns = 0
        self._held_ns: int | None = None
        self._left_ns: int | None = None
        """Arrival of the last row that left, or where data time was moved to since; None: the next row follows no gap."""
        self._skipped_ns = 0
        """Of the gap behind it."""

    @property
    def anchored(self) -> bool:
        """Tell whether deadlines can be computed."""
        return self._anchor_arrival_ns is not None

    def begin(self, arrival_ns: int, now_ns: int) -> None:
        """Anchor at `arrival_ns`, the next row's, or where data time was held; nothing happens when anchored."""
        if self._anchor_arrival_ns is None:
            self._anchor_arrival_ns = arrival_ns if self._held_ns is None else self._held_ns
            self._anchor_ns = now_ns
            self._held_ns = None
        if self._gap_cap_ns and self._left_ns is not None:
            excess_ns = arrival_ns - self._left_ns - self._gap_cap_ns - self._skipped_ns
            if excess_ns > 0:
                anchor_ns = self._anchor_arrival_ns
                self._anchor_arrival_ns = max(anchor_ns, min(anchor_ns + excess_ns, arrival_ns))
                self._skipped_ns += excess_ns

    def anchor_at(self, arrival_ns: int, now_ns: int) -> None:
        """Have data time be this now."""
        self._anchor_arrival_ns, self._anchor_ns = arrival_ns, now_ns

    def hold(self, now_ns: int) -> None:
        """Stop data time; `begin` lets it go on from there."""
        if self._anchor_arrival_ns is not None and self.speed > 0:
            self._held_ns = self.due_ns(now_ns)
        self._anchor_arrival_ns = None

    def release(self) -> None:
        """Forget anchor and held time; the next row is due at once."""
        self._anchor_arrival_ns = None
        self._held_ns = None
        self._left_ns = None

    def stand_at(self, arrival_ns: int) -> None:
        """Have data time go on from here when it begins again."""
        self._anchor_arrival_ns = None
        self._held_ns = self._left_ns = arrival_ns
        self._skipped_ns = 0

    def replay_time_ns(self, now_ns: int) -> int | None:
        """Return the data time of the moment; None where there is none: at full speed, and before the first row."""
        return self._held_ns if self._anchor_arrival_ns is None or self.speed == 0 else self.due_ns(now_ns)

    def set_speed(self, speed: float, now_ns: int) -> None:
        """Change the speed from now on; data time does not jump."""
        if speed == self.speed:
            return
        if self.speed > 0 and speed > 0:
            self.hold(now_ns)
        else:
            # At full speed there is no data time to go on from.
            self.release()
        self.speed = speed

    def deadline_ns(self, arrival_ns: int) -> int:
        """Return the monotonic time at which a row with this arrival is due."""
        assert self._anchor_arrival_ns is not None
        return self._anchor_ns + _scaled(arrival_ns - self._anchor_arrival_ns, 1.0 / self.speed)

    def due_ns(self, now_ns: int) -> int:
        """Return the arrival time up to which rows are due."""
        assert self._anchor_arrival_ns is not None
        return self._anchor_arrival_ns + _scaled(now_ns - self._anchor_ns, self.speed)

    def count_due(self, block: Block, start: int, now_ns: int) -> int:
        """Count the rows of a block in arrival order that are due, from `start` on; at least that one, which was waited for."""
        due_ns = max(self.due_ns(now_ns), block.key(start)[0])
        if self._gap_cap_ns:
            return block.count_due_capped(start, due_ns, self._gap_cap_ns)
        return block.count_due(start, due_ns)

    def sent(self, block: Block, start: int, stop: int, now_ns: int) -> None:
        """Account for rows that left now."""
        if self._gap_cap_ns:
            self._left_ns, self._skipped_ns = block.key(stop - 1)[0], 0
            if self._anchor_arrival_ns is not None:
                self._anchor_arrival_ns += block.beyond_gaps(start, stop, self._gap_cap_ns)

    def wait_for_late(self, duration_ns: int) -> None:
        """Have data time have stood still for so long."""
        self._anchor_ns += duration_ns


def _scaled(duration_ns: int, factor: float) -> int:
    # Exact at 1x however far away the anchor is; elsewhere a float's 53 bits are 100 days of nanoseconds.
    return duration_ns if factor == 1.0 else round(duration_ns * factor)


class Linger:
    """Lets batches leave at once while they are rare, and at most one per interval when they are not.

    A row is never sent before it is due; under dense traffic it waits up to one interval, for company.
    """

    def __init__(self, interval_ns: int = LINGER_NS, burst: int = LINGER_BURST) -> None:
        self._interval_ns = interval_ns
        self._allowance_ns = interval_ns * (burst - 1)
        self._earned_ns = 0

    def earliest_ns(self) -> int:
        """Return the monotonic time before which no batch should leave."""
        return self._earned_ns - self._allowance_ns

    def sent(self, now_ns: int) -> None:
        """Account for one batch."""
        self._earned_ns = max(self._earned_ns, now_ns) + self._interval_ns


class Waiter(Protocol):
    """How the engine waits."""

    def wait_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns` of the monotonic clock, or earlier when the engine was woken."""


class WakeableWaiter:
    """Sleeps until shortly before the deadline, then looks at the clock; `wake` ends it early.

    Waking earlier costs processor time and meets more deadlines: it wakes as early as its share of a core allows.
    """

    def __init__(self, wake: threading.Event, clock: Clock) -> None:
        self._wake = wake
        self._clock = clock
        self._saved_ns = SPIN_SAVED_NS_MAX

    def wait_until(self, deadline_ns: int) -> None:
        clock, wake = self._clock, self._wake
        began_ns = clock.monotonic_ns()
        spin_ns = min(SPIN_NS_MAX, max(SPIN_NS_MIN, self._saved_ns))
        sleep_ns = deadline_ns - spin_ns - began_ns
        if sleep_ns > 0 and wake.wait(sleep_ns / 1e9):
            return
        woken_ns = now_ns = clock.monotonic_ns()
        while now_ns < deadline_ns and not wake.is_set():
            now_ns = clock.monotonic_ns()
        earned_ns = int((now_ns - began_ns) * SPIN_SHARE)
        self._saved_ns = min(SPIN_SAVED_NS_MAX, self._saved_ns + earned_ns - (now_ns - woken_ns))


def use_precise_timers() -> None:
    """Have the kernel wake this thread on time instead of up to 50 us later; does nothing where that is not known."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)

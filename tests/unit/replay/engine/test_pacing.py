"""Clocks, linger and waiting."""

from __future__ import annotations

import threading

import pytest

from services.replay.engine.pacing import Linger, PacingClock, WakeableWaiter
from services.runtime.clock import SystemClock
from tests.support.clock import FakeClock

MS = 1_000_000
US = 1_000


@pytest.mark.parametrize("speed", [0.001, 0.3, 1.0, 7.0, 1000.0])
def test_deadlines_and_due_times_are_each_others_inverse(speed: float) -> None:
    clock = PacingClock(speed)
    clock.begin(5_000, 100)

    for arrival_ns in (5_000, 6_000, 5_000 + 86_400_000_000_000):
        assert abs(clock.due_ns(clock.deadline_ns(arrival_ns)) - arrival_ns) <= max(1, speed)


def test_at_1x_deadlines_are_exact_however_far_away() -> None:
    clock = PacingClock(1.0)
    clock.begin(0, 0)

    assert clock.deadline_ns(4_000_000_000_000_000_007) == 4_000_000_000_000_000_007


def test_held_data_time_goes_on_where_it_stood() -> None:
    clock = PacingClock(2.0)
    clock.begin(1_000, 0)
    clock.hold(500)
    clock.begin(999_999, 10_000)

    assert clock.deadline_ns(2_000) == 10_000
    assert clock.deadline_ns(2_200) == 10_100


def test_linger_lets_a_burst_through_and_then_one_batch_per_interval() -> None:
    linger = Linger(MS, 4)
    now = 1_000 * MS
    left: list[int] = []
    for _ in range(10):
        now = max(now, linger.earliest_ns())
        left.append(now - 1_000 * MS)
        linger.sent(now)

    assert left == [0, 0, 0, 0, 1 * MS, 2 * MS, 3 * MS, 4 * MS, 5 * MS, 6 * MS]


def test_a_wait_ends_when_woken() -> None:
    wake = threading.Event()
    clock = FakeClock()
    wake.set()

    WakeableWaiter(wake, clock).wait_until(clock.monotonic_ns() + 3_600_000 * MS)


def test_a_deadline_in_the_past_does_not_wait() -> None:
    clock = FakeClock()

    WakeableWaiter(threading.Event(), clock).wait_until(clock.monotonic_ns() - 1)


class _StepClock(SystemClock):
    """Moves on by a microsecond with each look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        self.now_ns += US
        return self.now_ns


class _ExactSleep(threading.Event):
    """Sleeps as long as it is told to, on that clock."""

    def __init__(self, clock: _StepClock) -> None:
        super().__init__()
        self._clock = clock
        self.slept_ns = 0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.slept_ns += round(timeout * 1e9)
        self._clock.now_ns += round(timeout * 1e9)
        return False


def test_after_a_quiet_time_it_wakes_early_enough_for_a_late_wake_up() -> None:
    clock = _StepClock()
    wake = _ExactSleep(clock)

    WakeableWaiter(wake, clock).wait_until(5_000 * US)

    assert 4_690 * US <= wake.slept_ns <= 4_700 * US
    assert clock.now_ns >= 5_000 * US


@pytest.mark.parametrize("gap_us", [300, 500, 1000, 2000, 5000])
def test_looking_at_the_clock_costs_a_share_of_a_core_at_most(gap_us: int) -> None:
    clock = _StepClock()
    wake = _ExactSleep(clock)
    waiter = WakeableWaiter(wake, clock)
    deadlines = 5_000

    for number in range(1, deadlines + 1):
        waiter.wait_until(number * gap_us * US)

    spun_us = (clock.now_ns - wake.slept_ns) / US / deadlines
    # The least, which it always costs, or the share; and what was saved before.
    assert spun_us <= max(100, 0.1 * gap_us) + 3000 / deadlines + 5

"""Probes: how many, what they decide, and what happens to those that hang, come late or say nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from clients.resilience.breaker import CircuitBreaker
from clients.resilience.breaker_config import BreakerState, Cause
from clients.resilience.errors import CallNotPermitted
from tests.support.resilience_breakers import bench

S = 1_000_000_000


@dataclass
class FakeTimers:
    """Collects what would run later."""

    due: list[FakeTimer] = field(default_factory=list)

    def __call__(self, seconds: float, callback: object) -> FakeTimer:
        timer = FakeTimer(seconds, callback)
        self.due.append(timer)
        return timer


@dataclass
class FakeTimer:
    seconds: float
    callback: object
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        assert callable(self.callback)
        self.callback()


def test_cb11_without_timer_an_elapsed_wait_without_calls_stays_open() -> None:
    here = bench(open_s=5)
    here.open()

    here.clock.advance(3_600)

    assert here.breaker.state is BreakerState.OPEN
    assert here.admits()


def test_cb11_with_timer_half_open_begins_by_itself() -> None:
    timers = FakeTimers()
    here = bench(open_s=5, call_later=timers)
    here.open()
    assert [timer.seconds for timer in timers.due] == [5.0]

    here.clock.advance(5)
    timers.due[0].fire()

    assert here.breaker.state is BreakerState.HALF_OPEN
    assert here.told.transitions[-1].cause is Cause.WAIT_ELAPSED


def test_cb11_timer_that_is_early_waits_for_the_rest() -> None:
    timers = FakeTimers()
    here = bench(open_s=5, call_later=timers)
    here.open()

    here.clock.advance(4)
    timers.due[0].fire()

    assert here.breaker.state is BreakerState.OPEN
    assert timers.due[1].seconds == 1.0


@pytest.mark.parametrize("state", [BreakerState.CLOSED, BreakerState.FORCED_OPEN, BreakerState.DISABLED])
def test_cb11_change_by_hand_cancels_the_timer(state: BreakerState) -> None:
    timers = FakeTimers()
    here = bench(open_s=5, call_later=timers)
    here.open()

    here.breaker.transition_to(state)
    assert timers.due[0].cancelled
    here.clock.advance(5)
    timers.due[0].fire()

    assert here.breaker.state is state


def test_cb11_works_with_a_real_loop() -> None:
    async def main() -> BreakerState:
        loop = asyncio.get_running_loop()
        entered = asyncio.Event()
        here = bench(open_s=0.001, call_later=loop.call_later, monotonic_ns=lambda: round(loop.time() * 1e9))
        here.breaker.add_listener(
            lambda event: entered.set() if here.told.path[-1:] == [BreakerState.HALF_OPEN] else None
        )
        here.fail(10)
        await asyncio.wait_for(entered.wait(), 5)
        return here.breaker.state

    assert asyncio.run(main()) is BreakerState.HALF_OPEN


def test_cb11_closed_loop_does_not_break_the_call_that_opens() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    here = bench(call_later=loop.call_later)

    here.open()
    here.clock.advance(5)

    assert here.admits()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("results", "undecided_until", "verdict"),
    [
        ("FFss", 2, BreakerState.OPEN),
        ("Fsss", 4, BreakerState.CLOSED),
        ("sss", 3, BreakerState.CLOSED),
        ("sFsF", 4, BreakerState.OPEN),
        ("FsF", 3, BreakerState.OPEN),
        ("ssFs", 4, BreakerState.CLOSED),
    ],
)
def test_cb13_verdict_falls_as_soon_as_it_is_settled_and_never_earlier(
    results: str, undecided_until: int, verdict: BreakerState
) -> None:
    here = bench(probes=4, failure_rate=0.5)
    here.half_open()
    permits = [here.breaker.acquire() for _ in range(4)]

    for number, (permit, result) in enumerate(zip(permits, results, strict=False), start=1):
        assert here.breaker.state is (BreakerState.HALF_OPEN if number <= undecided_until else verdict)
        permit.failure() if result == "F" else permit.success()

    assert here.breaker.state is verdict


def test_cb13_slow_probes_open_again() -> None:
    here = bench(probes=2, slow_call_s=1, slow_rate=0.5)
    here.half_open()

    permit = here.breaker.acquire()
    here.clock.advance(1.5)
    permit.success()

    assert here.breaker.state is BreakerState.OPEN
    assert here.told.transitions[-1].cause is Cause.PROBES_FAILED


def test_cb14_ignored_probe_gives_its_place_back_and_counts_nothing() -> None:
    here = bench(probes=1)
    here.half_open()

    for _ in range(100):
        here.breaker.acquire().ignore()

    assert here.breaker.state is BreakerState.HALF_OPEN
    assert here.breaker.snapshot().counts.ignored == 100
    here.succeed()
    assert here.breaker.state is BreakerState.CLOSED


def test_places_are_for_results_too_not_only_for_calls_under_way() -> None:
    here = bench(probes=3)
    here.half_open()

    here.succeed(1)
    permits = [here.breaker.acquire() for _ in range(2)]

    assert not here.admits()
    permits[0].success()
    assert here.breaker.state is BreakerState.CLOSED


async def test_cb18_cancelled_probe_gives_its_place_back() -> None:
    here = bench(probes=1)
    here.half_open()

    async def hang() -> None:
        await asyncio.Event().wait()

    task = asyncio.ensure_future(here.call_async(hang))
    await asyncio.sleep(0)
    assert not here.admits()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert here.admits()
    counts = here.breaker.snapshot().counts
    assert (counts.successes, counts.failures) == (0, 10)


@pytest.mark.quick
@pytest.mark.parametrize("ending", ["success", "failure", "ignore", "cancel"])
def test_cb20_late_result_arriving_in_open_changes_nothing(ending: str) -> None:
    here = bench(open_s=5)
    late = here.breaker.acquire()
    here.open()
    here.clock.advance(1)
    events = len(here.told.events)

    getattr(late, ending)()

    taken = here.breaker.snapshot()
    assert len(here.told.events) == events
    assert taken.retry_after_s == 4.0
    assert taken.counts.late == 1


def test_cb20_late_caller_gets_its_own_result() -> None:
    here = bench()

    def opens_meanwhile() -> str:
        here.open()
        return "mine"

    def fails_meanwhile() -> None:
        here.breaker.reset()
        here.open()
        raise KeyError("mine")

    assert here.call(opens_meanwhile) == "mine"
    here.breaker.reset()
    with pytest.raises(KeyError, match="mine"):
        here.call(fails_meanwhile)


@pytest.mark.quick
@pytest.mark.parametrize("ending", ["success", "failure", "ignore", "cancel"])
def test_cb21_late_result_of_closed_is_no_probe(ending: str) -> None:
    here = bench(probes=1)
    late = here.breaker.acquire()
    here.half_open()
    probe = here.breaker.acquire()

    getattr(late, ending)()

    assert here.breaker.state is BreakerState.HALF_OPEN
    assert not here.admits()
    assert here.breaker.snapshot().counts.late == 1
    probe.success()
    assert here.breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize("ending", ["success", "failure"])
def test_cb22_probe_of_an_older_half_open_is_not_judged_in_a_later_one(ending: str) -> None:
    here = bench(probes=2, open_s=5)
    here.half_open()
    old = here.breaker.acquire()
    here.fail()
    assert here.breaker.state is BreakerState.OPEN
    here.clock.advance(10)
    here.breaker.acquire()
    assert here.told.path == [BreakerState.OPEN, BreakerState.HALF_OPEN] * 2

    getattr(old, ending)()

    taken = here.breaker.snapshot()
    assert taken.state is BreakerState.HALF_OPEN
    assert taken.outstanding_probes == 1
    assert taken.counts.late == 1


@pytest.mark.quick
def test_cb23_hung_probe_opens_again_after_its_lease() -> None:
    here = bench(probes=1, open_s=5, probe_lease_s=30)
    here.half_open()
    hung = here.breaker.acquire()

    here.clock.advance(30)
    assert here.breaker.state is BreakerState.HALF_OPEN
    here.clock.advance_ns(1)
    assert here.breaker.state is BreakerState.OPEN
    assert here.told.transitions[-1].cause is Cause.PROBE_HUNG
    hung.success()

    assert here.breaker.state is BreakerState.OPEN
    assert here.breaker.snapshot().counts.late == 1


def test_cb23_wait_after_a_hung_probe_counts_from_the_end_of_its_lease() -> None:
    here = bench(probes=1, open_s=5, probe_lease_s=30)
    here.half_open()
    here.breaker.acquire()

    # Nobody looks for an hour: lease and second wait (10 s) have long passed, and the next call is a probe.
    here.clock.advance(3_600)
    here.breaker.acquire()

    assert here.told.path == [BreakerState.OPEN, BreakerState.HALF_OPEN] * 2


def test_cb23_result_at_the_very_end_of_the_lease_counts() -> None:
    here = bench(probes=1, probe_lease_s=30)
    here.half_open()
    probe = here.breaker.acquire()

    here.clock.advance(30)
    probe.success()

    assert here.breaker.state is BreakerState.CLOSED


def test_cb23_one_hung_probe_among_several_is_enough() -> None:
    here = bench(probes=3, probe_lease_s=30, failure_rate=1.0)
    here.half_open()
    here.breaker.acquire()
    here.clock.advance(20)
    here.succeed(0)
    other = here.breaker.acquire()
    here.clock.advance(11)

    other.success()

    assert here.breaker.state is BreakerState.OPEN


def test_full_half_open_says_when_its_verdict_is_due() -> None:
    here = bench(probes=1, open_s=5, probe_lease_s=30)
    here.half_open()
    here.breaker.acquire()
    here.clock.advance(28)

    with pytest.raises(CallNotPermitted) as refused:
        here.breaker.acquire()

    assert refused.value.retry_after_s == pytest.approx(2.0)
    assert "half_open" in refused.value.message


def test_permit_settles_once() -> None:
    here = bench()

    permit = here.breaker.acquire()
    permit.failure()
    permit.failure()
    permit.success()

    counts = here.breaker.snapshot().counts
    assert (counts.failures, counts.successes) == (1, 0)


def test_dropped_permit_of_a_closed_breaker_holds_nothing() -> None:
    here = bench()
    for _ in range(1_000):
        here.breaker.acquire()

    assert isinstance(here.breaker, CircuitBreaker)
    assert here.admits()

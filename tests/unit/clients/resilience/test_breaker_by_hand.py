"""What operators and listeners do to a breaker."""

from __future__ import annotations

import logging
import threading

import pytest

from clients.resilience.breaker import EVENTS_MAX
from clients.resilience.breaker_config import BreakerEvent, BreakerState, Cause
from clients.resilience.errors import CallNotPermitted
from tests.support.resilience_breakers import Bench, bench

STATES = list(BreakerState)


def in_state(state: BreakerState, **config: object) -> Bench:
    here = bench(**config)
    if state is BreakerState.OPEN:
        here.open()
    elif state is BreakerState.HALF_OPEN:
        here.half_open()
    elif state is not BreakerState.CLOSED:
        here.breaker.transition_to(state)
    here.told.events.clear()
    return here


@pytest.mark.parametrize("state", STATES)
def test_cb28_reset_closes_from_every_state_and_empties_the_window(state: BreakerState) -> None:
    here = in_state(state)
    if state in (BreakerState.CLOSED, BreakerState.METRICS_ONLY):
        here.fail(5)
    late = here.breaker.acquire() if here.admits() else None

    here.breaker.reset()

    assert here.breaker.state is BreakerState.CLOSED
    assert here.breaker.snapshot().window_calls == 0
    expected = [] if state is BreakerState.CLOSED else [(state, BreakerState.CLOSED, Cause.BY_HAND)]
    assert [(t.previous, t.state, t.cause) for t in here.told.transitions] == expected
    if late is not None:
        late.failure()
        assert here.breaker.snapshot().window_calls == 0


def test_cb30_forced_open_stays_open_until_it_is_closed_by_hand() -> None:
    here = bench()
    late = here.breaker.acquire()
    here.breaker.transition_to(BreakerState.FORCED_OPEN)

    here.clock.advance(86_400)
    late.success()

    with pytest.raises(CallNotPermitted) as refused:
        here.breaker.acquire()
    assert refused.value.retry_after_s is None
    for state in STATES:
        if state not in (BreakerState.CLOSED, BreakerState.FORCED_OPEN):
            with pytest.raises(ValueError, match="close it first"):
                here.breaker.transition_to(state)
    here.breaker.transition_to(BreakerState.CLOSED)
    assert here.admits()


def test_cb31_disabled_lets_everything_pass_and_counts_nothing() -> None:
    here = bench()
    here.breaker.transition_to(BreakerState.DISABLED)

    here.fail(1_000)

    taken = here.breaker.snapshot()
    assert taken.state is BreakerState.DISABLED
    assert taken.window_calls == 0
    assert taken.counts.failures == 0
    assert here.told.thresholds == []


def test_cb31_metrics_only_counts_and_tells_once_and_never_refuses() -> None:
    here = bench()
    here.breaker.transition_to(BreakerState.METRICS_ONLY)

    here.fail(1_000)
    assert here.breaker.snapshot().counts.failures == 1_000
    assert len(here.told.thresholds) == 1
    here.succeed(10)
    here.fail(10)

    assert len(here.told.thresholds) == 2
    assert here.breaker.state is BreakerState.METRICS_ONLY
    assert here.breaker.snapshot().counts.rejected == 0


def test_call_of_a_disabled_breaker_is_late_once_it_is_closed() -> None:
    here = bench()
    here.breaker.transition_to(BreakerState.DISABLED)
    permit = here.breaker.acquire()
    here.breaker.transition_to(BreakerState.CLOSED)

    permit.failure()

    assert here.breaker.snapshot().window_calls == 0


@pytest.mark.parametrize("state", [s for s in STATES if s not in (BreakerState.OPEN, BreakerState.HALF_OPEN)])
def test_cb32_half_open_by_hand_is_refused_from_anything_but_open(state: BreakerState) -> None:
    here = in_state(state)

    with pytest.raises(ValueError, match="half_open"):
        here.breaker.transition_to(BreakerState.HALF_OPEN)

    assert here.breaker.state is state


def test_half_open_by_hand_skips_the_wait() -> None:
    here = in_state(BreakerState.OPEN)

    here.breaker.transition_to(BreakerState.HALF_OPEN)

    assert here.admits()
    assert here.told.transitions[0].cause is Cause.BY_HAND


def test_open_by_hand_waits_as_any_opening_does() -> None:
    here = bench(open_s=5)

    here.breaker.transition_to(BreakerState.OPEN)

    assert not here.admits()
    here.clock.advance(5)
    assert here.admits()


@pytest.mark.parametrize("state", STATES)
def test_change_to_the_same_state_is_no_event(state: BreakerState) -> None:
    here = in_state(state)

    here.breaker.transition_to(state)

    assert here.told.events == []


@pytest.mark.timeout(2, method="thread")
def test_cb27_listener_that_raises_or_calls_the_breaker_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    here = bench()
    seen: list[BreakerState] = []

    def raises(event: BreakerEvent) -> None:
        raise RuntimeError("listener is broken")

    def reenters(event: BreakerEvent) -> None:
        seen.append(here.breaker.state)
        if here.breaker.state is BreakerState.OPEN:
            here.breaker.reset()
            here.breaker.acquire().success()

    here.breaker.add_listener(raises)
    here.breaker.add_listener(reenters)

    with caplog.at_level(logging.ERROR):
        here.fail(10)

    assert here.breaker.state is BreakerState.CLOSED
    assert here.told.path == [BreakerState.OPEN, BreakerState.CLOSED]
    assert "listener of a breaker failed" in caplog.text
    assert seen


def test_cb27_events_caused_by_a_listener_come_after_the_one_it_was_told() -> None:
    here = bench()
    order: list[tuple[str, str]] = []
    here.breaker.add_listener(lambda event: here.breaker.reset() if here.breaker.state is BreakerState.OPEN else None)
    here.breaker.add_listener(lambda event: order.append((type(event).__name__, str(getattr(event, "state", "")))))

    here.fail(10)

    assert order == [("ThresholdExceeded", ""), ("Transition", "open"), ("Transition", "closed")]


def test_stuck_listener_costs_bounded_memory_and_blocks_nobody() -> None:
    here = bench()
    stuck, go_on = threading.Event(), threading.Event()

    def hangs(event: BreakerEvent) -> None:
        stuck.set()
        go_on.wait(10)

    here.breaker.add_listener(hangs)
    thread = threading.Thread(target=here.breaker.transition_to, args=(BreakerState.OPEN,))
    thread.start()
    stuck.wait(10)

    for _ in range(EVENTS_MAX):
        here.breaker.transition_to(BreakerState.CLOSED)
        here.breaker.transition_to(BreakerState.OPEN)
    go_on.set()
    thread.join(10)

    assert not thread.is_alive()
    assert len(here.told.events) == EVENTS_MAX + 1

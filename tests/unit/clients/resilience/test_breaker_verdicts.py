"""When a closed breaker opens, what it counts, and what it says while it is open."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from clients.resilience.breaker_config import SECONDS_MAX, BreakerConfig, BreakerState, Cause
from clients.resilience.errors import CallNotPermitted
from tests.support.resilience_breakers import bench

S = 1_000_000_000


@pytest.mark.quick
def test_cb01_tenth_of_ten_failures_opens_with_one_event() -> None:
    here = bench()

    here.fail(9)
    assert here.breaker.state is BreakerState.CLOSED
    assert here.told.events == []
    here.fail()

    assert here.breaker.state is BreakerState.OPEN
    assert [(t.previous, t.state, t.cause) for t in here.told.transitions] == [
        (BreakerState.CLOSED, BreakerState.OPEN, Cause.FAILURES)
    ]


@pytest.mark.parametrize(
    ("share", "failures", "calls"),
    [(0.5, 5, 10), (0.1, 3, 30), (0.3, 3, 10), (0.7, 7, 10), (0.07, 7, 100), (1.0, 10, 10)],
)
def test_cb02_rate_exactly_at_the_threshold_opens(share: float, failures: int, calls: int) -> None:
    below = bench(window_calls=calls, calls_min=calls, failure_rate=share)
    at = bench(window_calls=calls, calls_min=calls, failure_rate=share)

    below.succeed(calls - failures + 1)
    below.fail(failures - 1)
    at.succeed(calls - failures)
    at.fail(failures)

    assert below.breaker.state is BreakerState.CLOSED
    assert at.breaker.state is BreakerState.OPEN


def test_cb02_success_that_completes_the_minimum_opens_too() -> None:
    here = bench()

    here.fail(9)
    here.succeed()

    assert here.breaker.state is BreakerState.OPEN


def test_cb03_minimum_above_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="`calls_min` is 11"):
        BreakerConfig(window_calls=10, calls_min=11)


def test_cb04_rate_is_of_the_last_calls_only_and_totals_stay() -> None:
    here = bench()
    here.breaker.transition_to(BreakerState.METRICS_ONLY)

    here.fail(10)
    assert here.breaker.snapshot().failure_rate == 1.0
    here.succeed(10)

    taken = here.breaker.snapshot()
    assert taken.failure_rate == 0.0
    assert taken.window_calls == 10
    assert (taken.counts.failures, taken.counts.successes) == (10, 10)


@pytest.mark.quick
@pytest.mark.parametrize(("age_ns", "opens"), [(30 * S - 1, True), (30 * S, False)], ids=["counted", "dropped"])
def test_cb05_time_window_ends_exactly_at_its_length(age_ns: int, opens: bool) -> None:
    here = bench(window_s=30, calls_min=2, window_calls=10)

    here.fail()
    here.clock.advance_ns(age_ns)
    here.fail()

    assert (here.breaker.state is BreakerState.OPEN) is opens
    assert here.breaker.snapshot().window_calls == (0 if opens else 1)


def test_cb05_time_window_forgets_without_calls_too() -> None:
    here = bench(window_s=30)
    here.breaker.transition_to(BreakerState.METRICS_ONLY)
    here.fail(10)

    here.clock.advance(30)

    assert here.breaker.snapshot().window_calls == 0
    assert here.breaker.snapshot().failure_rate == -1.0


@pytest.mark.parametrize(("lasts_ns", "slow"), [(2 * S, 0), (2 * S + 1, 1)], ids=["at the limit", "one ns more"])
def test_cb06_slow_is_strictly_above_the_limit(lasts_ns: int, slow: int) -> None:
    here = bench(slow_call_s=2)

    permit = here.breaker.acquire()
    here.clock.advance_ns(lasts_ns)
    permit.success()

    assert here.breaker.snapshot().counts.slow == slow


def slow_calls(here: Any, times: int, *, failing: bool = False) -> None:
    for _ in range(times):
        permit = here.breaker.acquire()
        here.clock.advance(3)
        permit.failure() if failing else permit.success()


def test_cb07_slow_successes_open_and_the_event_says_so() -> None:
    here = bench(slow_call_s=2, slow_rate=0.5)

    here.succeed(5)
    slow_calls(here, 5)

    assert here.breaker.state is BreakerState.OPEN
    assert here.told.transitions[0].cause is Cause.SLOW_CALLS
    assert (here.told.thresholds[0].failure_rate, here.told.thresholds[0].slow_rate) == (0.0, 0.5)


def test_cb08_both_rates_at_once_make_one_transition_and_one_threshold_event() -> None:
    here = bench(slow_call_s=2, slow_rate=0.5)

    here.succeed(5)
    slow_calls(here, 5, failing=True)

    assert len(here.told.transitions) == len(here.told.thresholds) == 1
    assert here.told.thresholds[0].cause is Cause.FAILURES_AND_SLOW_CALLS


@pytest.mark.quick
def test_cb09_open_refuses_without_running_and_says_when_to_come_back() -> None:
    here = bench(open_s=5)
    here.open()
    here.clock.advance(2)
    ran: list[int] = []

    with pytest.raises(CallNotPermitted) as refused:
        here.call(lambda: ran.append(1))

    assert ran == []
    assert refused.value.retry_after_s == 3.0
    taken = here.breaker.snapshot()
    assert taken.counts.rejected == 1
    assert taken.window_calls == 0
    assert taken.retry_after_s == 3.0


@pytest.mark.parametrize(("waited_ns", "admits"), [(5 * S - 1, False), (5 * S, True)], ids=["wait-1ns", "wait"])
def test_cb10_wait_ends_exactly_at_its_length(waited_ns: int, admits: bool) -> None:
    here = bench(open_s=5)
    here.open()

    here.clock.advance_ns(waited_ns)

    assert here.admits() is admits
    assert (here.breaker.state is BreakerState.HALF_OPEN) is admits


def test_check_refuses_as_acquire_does_and_takes_nothing() -> None:
    here = bench(open_s=5, probes=1)
    here.breaker.check()
    here.open()

    with pytest.raises(CallNotPermitted):
        here.breaker.check()
    here.clock.advance(5)
    for _ in range(10):
        here.breaker.check()

    assert here.breaker.state is BreakerState.OPEN
    here.breaker.acquire()
    with pytest.raises(CallNotPermitted):
        here.breaker.check()
    assert here.breaker.snapshot().counts.rejected == 2


@pytest.mark.parametrize("n", range(1, 12))
def test_cb24_each_opening_in_a_row_lasts_twice_as_long_up_to_the_cap(n: int) -> None:
    here = bench(open_s=1, open_s_max=60, probes=1)
    here.open()

    for _ in range(n - 1):
        here.clock.advance(61)
        here.fail()

    assert here.told.transitions[-1].state is BreakerState.OPEN
    assert here.told.transitions[-1].open_s == min(2 ** (n - 1), 60)


def test_cb24_open_time_starts_over_after_closing() -> None:
    here = bench(open_s=1, open_s_max=60, probes=1)
    here.open()
    for _ in range(3):
        here.clock.advance(61)
        here.fail()

    here.clock.advance(61)
    here.succeed()
    assert here.breaker.state is BreakerState.CLOSED
    here.open()

    assert here.told.transitions[-1].open_s == 1.0


def test_cb24_jitter_spreads_the_open_time_to_both_sides() -> None:
    from random import Random

    lengths = []
    for seed in range(200):
        here = bench(open_s=10, open_jitter=0.2, random=Random(seed))
        here.open()
        open_s = here.told.transitions[-1].open_s
        assert open_s is not None
        lengths.append(open_s)

    assert 8 <= min(lengths) < 8.5
    assert 11.5 < max(lengths) <= 12


@pytest.mark.parametrize("jump_s", [3_600, -3_600, 86_400, -86_400, 1, -1])
@pytest.mark.parametrize("window_s", [None, 30.0], ids=["count", "time"])
def test_cb25_wall_clock_has_no_effect(jump_s: int, window_s: float | None) -> None:
    here = bench(window_s=window_s)
    here.fail(9)

    here.clock.jump_wall_ns(jump_s * S)
    assert here.breaker.snapshot().window_calls == 9
    here.fail()
    here.clock.jump_wall_ns(jump_s * S)
    assert not here.admits()
    here.clock.advance(5)

    assert here.admits()


@pytest.mark.parametrize(
    "field",
    ["window_calls", "calls_min", "probes", "failure_rate", "slow_rate", "slow_call_s", "open_s", "probe_lease_s"],
)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, None, "1", True], ids=repr)
def test_cb33_wrong_figure_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        BreakerConfig(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("failure_rate", 1.01),
        ("slow_rate", 101),
        ("window_s", 0),
        ("window_s", math.nan),
        ("open_jitter", -0.1),
        ("open_jitter", 1),
        ("open_jitter", None),
        ("open_s_max", 4.9),
        ("open_s_max", math.inf),
        ("window_calls", 9.5),
    ],
)
def test_cb33_share_above_all_and_other_nonsense_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        BreakerConfig(**{field: value})  # type: ignore[arg-type]


def test_cb34_open_wait_of_ages_is_cut() -> None:
    here = bench(open_s=1e18, open_s_max=1e18, probe_lease_s=1e18, slow_call_s=1e18)

    here.open()
    with pytest.raises(CallNotPermitted) as refused:
        here.breaker.acquire()

    assert refused.value.retry_after_s == SECONDS_MAX
    here.clock.advance(SECONDS_MAX)
    assert here.admits()


def test_cb34_five_thousandth_opening_in_a_row_does_not_overflow() -> None:
    config = BreakerConfig(open_s=1, open_s_max=60, open_jitter=0.1)

    assert config.open_ns(5_000, 1.0) == 66 * S
    assert config.open_ns(5_000, -1.0) == 54 * S
    assert BreakerConfig(open_s=1e-12, open_jitter=0.0).open_ns(1, 0.0) == 1


def test_cb29_closing_clears_the_window() -> None:
    here = bench(probes=1)
    here.open()
    here.clock.advance(5)
    here.succeed()

    here.fail(9)

    assert here.breaker.state is BreakerState.CLOSED


def test_window_of_a_time_breaker_stays_bounded() -> None:
    here = bench(window_s=3_600, window_calls=100, calls_min=10)
    for _ in itertools.repeat(None, 10_000):
        here.succeed()

    assert here.breaker.snapshot().window_calls == 100

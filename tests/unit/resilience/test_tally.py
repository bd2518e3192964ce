"""Figures for health and metrics: they say what happened, and stay bounded."""

from __future__ import annotations

import pytest

from clients.resilience.breaker_config import BreakerConfig, BreakerState
from clients.resilience.events import AttemptEnded
from clients.resilience.executor import Policies
from clients.resilience.outcome import Outcome
from clients.resilience.retry import RetryPolicy
from clients.resilience.tally import DURATIONS_MAX, CallTally, percentile
from tests.support.resilience_calls import CallFailed, Upstream, executor_on, outcome_of, spec
from tests.support.virtual_time import VirtualLoop, run_virtual


@pytest.mark.quick
def test_tally_says_what_happened_to_each_group() -> None:
    async def main(loop: VirtualLoop) -> None:
        tally = CallTally()
        executor = executor_on(loop, observe=tally)
        script = [CallFailed(Outcome.RETRYABLE), CallFailed(Outcome.THROTTLED), None, None, ValueError()]
        upstream = Upstream(loop, script, latency_s=0.25)
        for _ in range(3):
            await outcome_of(executor.call(spec(), upstream))
        await executor.call(spec(group="orders"), Upstream(loop))

        figures = tally.figures()
        market = figures["exchange/market"]

        assert list(figures) == ["exchange/market", "exchange/orders"]
        assert market.attempts == {"retryable": 1, "throttled": 1, "success": 2, "bug": 1}
        assert market.retries == {"retryable": 1, "throttled": 1}
        assert market.calls == {"success": 2, "broken": 1}
        assert market.throttled == 1
        assert market.attempts_per_call == pytest.approx(5 / 3)
        assert market.duration_s == pytest.approx({"p50": 0.25, "p90": 0.25, "p99": 0.25, "max": 0.25})
        assert market.breaker_state is BreakerState.CLOSED

    run_virtual(main)


def test_tally_follows_the_breaker_and_counts_refusals() -> None:
    async def main(loop: VirtualLoop) -> None:
        tally = CallTally()
        policies = Policies(
            breaker=BreakerConfig(window_calls=2, calls_min=2, open_s=5),
            retry=RetryPolicy(attempts_max=1, breaker_waits_max=0),
        )
        executor = executor_on(loop, policies=policies, observe=tally)
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE))
        for _ in range(5):
            await outcome_of(executor.call(spec(), upstream))

        figures = tally.figures()["exchange/market"]

        assert figures.breaker_state is BreakerState.OPEN
        assert figures.transitions == {"open": 1}
        assert figures.thresholds_exceeded == 1
        assert figures.refused == {"breaker": 3}
        assert figures.calls == {"failed": 2, "refused": 3}

    run_virtual(main)


def test_waits_for_a_breaker_are_retries_of_their_own_kind() -> None:
    async def main(loop: VirtualLoop) -> None:
        tally = CallTally()
        executor = executor_on(loop, observe=tally)
        executor.breakers.get("exchange", "market").transition_to(BreakerState.OPEN)
        await executor.call(spec(), Upstream(loop))
        assert tally.figures()["exchange/market"].retries == {"breaker": 1}

    run_virtual(main)


def test_tally_keeps_the_latest_durations_only() -> None:
    tally = CallTally()
    for number in range(DURATIONS_MAX * 3):
        tally(AttemptEnded(spec(), 1, float(number), None))

    figures = tally.figures()["exchange/market"]

    assert figures.duration_s["max"] == DURATIONS_MAX * 3 - 1
    assert figures.duration_s["p50"] == DURATIONS_MAX * 2.5 - 1
    assert figures.attempts == {"success": DURATIONS_MAX * 3}


def test_tally_of_nothing_is_empty() -> None:
    assert CallTally().figures() == {}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10), (0.0, 1)])
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile(range(1, 11), share) == expected

"""Fault campaigns in virtual time: how much reaches the other side, what callers see, how long until all is well again."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from clients.resilience.backoff import Backoff
from clients.resilience.breaker_config import BreakerConfig, BreakerState, Cause
from clients.resilience.budget import RetryBudget
from clients.resilience.errors import CallNotPermitted
from clients.resilience.executor import Policies
from clients.resilience.outcome import Outcome
from clients.resilience.retry import DEFAULT_BACKOFFS, RetryPolicy
from tests.support.resilience_calls import SEED, CallFailed, Upstream, executor_on, spec
from tests.support.resilience_campaign import Campaign, peak_to_mean
from tests.support.virtual_time import VirtualLoop, run_virtual

IMPATIENT = RetryPolicy(breaker_waits_max=0)


@pytest.mark.quick
@pytest.mark.parametrize("guarded", [True, False], ids=["with breaker", "budget alone"])
def test_r10_total_outage_is_not_amplified(guarded: bool) -> None:
    total_outage(1_000, guarded=guarded)


@pytest.mark.cases(1)
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("guarded", [True, False], ids=["with breaker", "budget alone"])
def test_r10_ten_thousand_requests_into_an_outage_are_not_amplified(guarded: bool) -> None:
    total_outage(10_000, guarded=guarded)


def total_outage(requests: int, *, guarded: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        campaign = Campaign(loop)
        # Per target the bucket would stop retries altogether; here the client's share has to do it.
        budget = RetryBudget(target_tokens=1e6) if not guarded else RetryBudget()
        executor = executor_on(loop, budget=budget, observe=campaign.observe)
        if not guarded:
            executor.breakers.get("exchange", "market").transition_to(BreakerState.DISABLED)
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE), latency_s=0.02)

        await campaign.drive(executor, upstream, spec(deadline_s=3), every_s=0.1, seconds=requests * 0.1)

        assert upstream.requests <= 1.10 * requests + 3
        assert sum(campaign.seen.values()) == requests
        if guarded:
            # A handful until it opens, then one probe each time, at last every 60 s.
            assert upstream.requests < 20 + requests * 0.1 / 30
            assert campaign.seen.keys() <= {"CallFailed", "CallNotPermitted"}
            assert campaign.seen["CallNotPermitted"] > 0.95 * requests
        else:
            assert upstream.requests > 1.09 * requests
            assert set(campaign.seen) == {"CallFailed"}

    run_virtual(main)


@pytest.mark.parametrize("outage_s", [8.0, 30.0, pytest.param(300.0, marks=pytest.mark.long)])
def test_outage_is_noticed_soon_and_recovery_takes_no_longer_than_one_open_period(outage_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        campaign = Campaign(loop)
        begin = loop.time() + 20
        end = begin + outage_s
        upstream = Upstream(loop, latency_s=0.05, down=lambda: begin <= loop.time() < end)
        executor = executor_on(loop, budget=RetryBudget(), policies=Policies(retry=IMPATIENT), observe=campaign.observe)

        await campaign.drive(executor, upstream, spec(), every_s=0.2, seconds=20 + outage_s + 75)

        refused = [start for start, _, result in campaign.results if result == "CallNotPermitted"]
        assert min(refused) - begin < 5.5
        last_open_s = next(t.open_s for t in reversed(campaign.transitions) if t.state is BreakerState.OPEN)
        assert last_open_s is not None
        assert campaign.recovered_s(end) <= last_open_s + 0.2
        after = [result for start, _, result in campaign.results if start > end + last_open_s + 0.2]
        assert set(after) == {"answer"}
        during = sum(begin * 1e9 <= at_ns < end * 1e9 for at_ns in upstream.requests_ns)
        assert during <= 60

    run_virtual(main)


WAVES = {
    "retryable": (CallFailed(Outcome.RETRYABLE), DEFAULT_BACKOFFS[Outcome.RETRYABLE]),
    "throttled": (CallFailed(Outcome.THROTTLED), DEFAULT_BACKOFFS[Outcome.THROTTLED]),
    "throttled with hint": (CallFailed(Outcome.THROTTLED, retry_after_s=2), DEFAULT_BACKOFFS[Outcome.THROTTLED]),
    "slow base": (CallFailed(Outcome.RETRYABLE), Backoff(base_s=2, cap_s=20)),
}


@pytest.mark.quick
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name == "slow base" else name for name in WAVES]
)
def test_r16_thousand_clients_that_fail_together_do_not_come_back_together(name: str) -> None:
    failure, backoff = WAVES[name]

    async def main(loop: VirtualLoop) -> None:
        times_s = await retry_times(loop, failure, backoff)
        assert len(times_s) == 1_000
        assert max(times_s) - min(times_s) > 0.9 * backoff.base_s
        assert peak_to_mean(times_s) <= 2

    run_virtual(main)


async def retry_times(loop: VirtualLoop, failure: CallFailed, backoff: Backoff) -> list[float]:
    """Return when each of 1,000 clients made its second attempt after all failed at the same instant."""
    upstreams = [Upstream(loop, [failure]) for _ in range(1_000)]
    policies = Policies(retry=RetryPolicy(backoffs={failure.outcome: backoff}))
    await asyncio.gather(
        *(
            executor_on(loop, policies=policies, seed=SEED + number).call(spec(deadline_s=60), upstream)
            for number, upstream in enumerate(upstreams)
        )
    )
    return [(upstream.requests_ns[1] - upstream.requests_ns[0]) / 1e9 for upstream in upstreams]


def test_r16_clients_whose_breakers_opened_together_probe_apart() -> None:
    async def main(loop: VirtualLoop) -> None:
        config = BreakerConfig(open_s=10, open_s_max=60, open_jitter=0.1)
        times_s = []
        for number in range(1_000):
            executor = executor_on(loop, policies=Policies(breaker=config), seed=SEED + number)
            breaker = executor.breakers.get("exchange", "market")
            for _ in range(10):
                breaker.acquire().failure()
            with pytest.raises(CallNotPermitted) as refused:
                breaker.acquire()
            assert refused.value.retry_after_s is not None
            times_s.append(refused.value.retry_after_s)
        assert peak_to_mean(times_s) <= 2
        assert max(times_s) - min(times_s) > 1.9

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize(
    "period_s", [10, pytest.param(7, marks=pytest.mark.long), pytest.param(61, marks=pytest.mark.long)]
)
def test_l12_hour_of_flapping_costs_at_most_one_probe_per_open_period(period_s: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        campaign = Campaign(loop)
        upstream = Upstream(loop, latency_s=0.05, down=lambda: int(loop.time()) // period_s % 2 == 1)
        breaker = BreakerConfig(window_s=10, calls_min=5)
        executor = executor_on(
            loop,
            policies=Policies(breaker=breaker, retry=IMPATIENT),
            budget=RetryBudget(),
            observe=campaign.observe,
        )

        await campaign.drive(executor, upstream, spec(), every_s=1, seconds=3_600)

        opened = [t for t in campaign.transitions if t.state is BreakerState.OPEN]
        probes = campaign.probes_per_half_open(upstream.requests_ns)
        assert len(opened) > 20
        assert max(probes) == 1
        assert sum(probes) <= len(opened)
        assert upstream.requests <= 1.1 * len(campaign.results) + 3
        assert campaign.seen["answer"] > 0.1 * len(campaign.results)
        assert campaign.seen.keys() <= {"answer", "CallFailed", "CallNotPermitted"}

    run_virtual(main)


@pytest.mark.parametrize("attempt_timeout_s", [2.0, 300.0], ids=["timeout ends it", "lease ends it"])
def test_hung_probes_cannot_wedge_the_breaker(attempt_timeout_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        campaign = Campaign(loop)
        begin, end = loop.time() + 10, loop.time() + 610
        upstream = Upstream(
            loop, latency_s=0.05, hang=lambda: begin + 20 <= loop.time() < end, down=lambda: begin <= loop.time() < end
        )
        breaker = BreakerConfig(open_s=5, open_s_max=30, open_jitter=0.1, probe_lease_s=10)
        retry = replace(IMPATIENT, attempt_timeout_s=attempt_timeout_s)
        executor = executor_on(
            loop, policies=Policies(breaker=breaker, retry=retry), budget=RetryBudget(), observe=campaign.observe
        )

        await campaign.drive(executor, upstream, spec(deadline_s=400), every_s=0.5, seconds=700)

        assert campaign.recovered_s(end) <= 33 + 10 + 1
        hung = sum((begin + 20) * 1e9 <= at_ns < end * 1e9 for at_ns in upstream.requests_ns)
        opened = sum(t.state is BreakerState.OPEN for t in campaign.transitions)
        assert 5 <= hung <= opened
        assert max(campaign.probes_per_half_open(upstream.requests_ns)) == 1
        causes = {t.cause for t in campaign.transitions}
        assert (Cause.PROBE_HUNG in causes) is (attempt_timeout_s > 10)
        assert executor.breakers.get("exchange", "market").state is BreakerState.CLOSED

    run_virtual(main)


def test_slow_side_is_left_alone_until_it_is_fast_again() -> None:
    async def main(loop: VirtualLoop) -> None:
        campaign = Campaign(loop)
        begin, end = loop.time() + 20, loop.time() + 320
        upstream = Upstream(loop)
        breaker = BreakerConfig(slow_call_s=1, slow_rate=0.5, window_calls=20, open_s=5, open_s_max=30, open_jitter=0.1)
        executor = executor_on(
            loop, policies=Policies(breaker=breaker, retry=IMPATIENT), budget=RetryBudget(), observe=campaign.observe
        )

        async def weather() -> None:
            upstream.latency_s = 0.05
            await asyncio.sleep(begin - loop.time())
            upstream.latency_s = 3.0
            await asyncio.sleep(end - loop.time())
            upstream.latency_s = 0.05

        await asyncio.gather(weather(), campaign.drive(executor, upstream, spec(), every_s=0.2, seconds=400))

        assert campaign.transitions[0].cause is Cause.SLOW_CALLS
        slow = sum(begin * 1e9 <= at_ns < end * 1e9 for at_ns in upstream.requests_ns)
        assert slow <= 60
        assert campaign.seen.keys() == {"answer", "CallNotPermitted"}
        first_after = min(ended for started, ended, result in campaign.results if result == "answer" and started >= end)
        assert first_after - end <= 33 + 3 + 0.5
        # Slow answers arrive long after the breaker opened; none of them moved it.
        assert executor.breakers.get("exchange", "market").snapshot().counts.late > 0

    run_virtual(main)


@pytest.mark.cases(2)
@pytest.mark.quick
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 10))])
def test_r18_every_execution_is_an_attempt_that_somebody_saw(seed: int) -> None:
    outcomes = [None, None, *Outcome]

    async def main(loop: VirtualLoop) -> None:
        random, campaign = Random(seed), Campaign(loop)
        script = [
            None if outcome is None else CallFailed(outcome, retry_after_s=random.choice([None, 0.0, 0.3, 99, -1]))
            for outcome in random.choices(outcomes, k=2_000)
        ]
        upstream = Upstream(loop, script, latency_s=0.05)
        executor = executor_on(loop, observe=campaign.observe)

        await campaign.drive(executor, upstream, spec(idempotent=seed % 2 == 0), every_s=0.1, seconds=60)

        assert upstream.requests == campaign.attempts == sum(call.attempts for call in campaign.calls)
        assert len(campaign.calls) == len(campaign.results) == 600
        assert max(Counter(call.attempts for call in campaign.calls)) <= 3
        counts = executor.breakers.get("exchange", "market").snapshot().counts
        assert counts.successes + counts.failures + counts.ignored + counts.cancelled + counts.late == upstream.requests

    run_virtual(main)

"""Each guard is there for a reason: with it a scenario holds, without it the same scenario fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from clients.resilience import executor as executor_module
from clients.resilience import retry as retry_module
from clients.resilience.backoff import Backoff
from clients.resilience.breaker import CircuitBreaker
from clients.resilience.breaker_config import BreakerConfig, BreakerState
from clients.resilience.breaker_permit import BreakerPermit
from clients.resilience.budget import RetryBudget
from clients.resilience.executor import Policies
from clients.resilience.outcome import Outcome
from clients.resilience.ports import RandomSource
from clients.resilience.retry import DEFAULT_BACKOFFS, RetryPolicy
from tests.support.resilience_breakers import bench
from tests.support.resilience_calls import SEED, CallFailed, Upstream, executor_on, outcome_of, spec
from tests.support.resilience_campaign import peak_to_mean
from tests.support.virtual_time import VirtualLoop, run_virtual


class NoGenerations(CircuitBreaker):
    def _is_late(self, permit: BreakerPermit) -> bool:
        return False


class NoLeases(CircuitBreaker):
    def _expire_leases(self, now_ns: int) -> None:
        return


class NoProbeCount(CircuitBreaker):
    def _refusal(self, now_ns: int) -> Any:
        return None if self._state is BreakerState.HALF_OPEN else super()._refusal(now_ns)


class NoGrowth(BreakerConfig):
    def open_ns(self, times_in_a_row: int, jitter: float) -> int:
        return super().open_ns(1, jitter)


def late_success_does_not_close(kind: type[CircuitBreaker]) -> None:
    here = bench(kind=kind, probes=1)
    late = here.breaker.acquire()
    here.half_open()
    late.success()
    assert here.breaker.state is BreakerState.HALF_OPEN


def hung_probe_does_not_wedge(kind: type[CircuitBreaker]) -> None:
    here = bench(kind=kind, probes=1, probe_lease_s=30)
    here.half_open()
    here.breaker.acquire()
    here.clock.advance(3_600)
    assert here.admits()


def only_the_probes_get_out(kind: type[CircuitBreaker]) -> None:
    here = bench(kind=kind, probes=1)
    here.half_open()
    here.breaker.acquire()
    assert not here.admits()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("scenario", "without"),
    [
        (late_success_does_not_close, NoGenerations),
        (hung_probe_does_not_wedge, NoLeases),
        (only_the_probes_get_out, NoProbeCount),
    ],
    ids=["generation", "lease", "probe count"],
)
def test_breaker_without_its_guard_fails(
    scenario: Callable[[type[CircuitBreaker]], None], without: type[CircuitBreaker]
) -> None:
    scenario(CircuitBreaker)
    with pytest.raises(AssertionError):
        scenario(without)


def test_open_time_that_does_not_grow_probes_a_dead_side_for_ever() -> None:
    def probes_in_an_hour(config: BreakerConfig) -> int:
        here = bench(probes=1)
        here.breaker.config = config
        here.fail(10)
        probes = 0
        for _ in range(3_600):
            here.clock.advance(1)
            if here.admits():
                here.fail()
                probes += 1
        return probes

    figures: dict[str, Any] = {"calls_min": 10, "open_s": 5, "open_s_max": 60, "open_jitter": 0.0, "probes": 1}

    assert probes_in_an_hour(BreakerConfig(**figures)) <= 65
    assert probes_in_an_hour(NoGrowth(**figures)) > 600


class NoFloor(Backoff):
    def delay_s(self, retry: int, previous_s: float, random: RandomSource) -> float:
        return super().delay_s(retry, previous_s, random) - self.floor_s


class NoJitter(Backoff):
    def delay_s(self, retry: int, previous_s: float, random: RandomSource) -> float:
        return self.floor_s + self.nominal_s(retry)


def copied(backoff: Backoff, kind: type[Backoff]) -> Backoff:
    return kind(base_s=backoff.base_s, cap_s=backoff.cap_s, floor_s=backoff.floor_s)


async def waits(loop: VirtualLoop, backoff: Backoff) -> list[float]:
    policies = Policies(retry=RetryPolicy(backoffs={Outcome.THROTTLED: backoff}))
    upstreams = [Upstream(loop, [CallFailed(Outcome.THROTTLED)]) for _ in range(200)]
    await asyncio.gather(
        *(
            executor_on(loop, policies=policies, seed=SEED + number).call(spec(), upstream)
            for number, upstream in enumerate(upstreams)
        )
    )
    return [(upstream.requests_ns[1] - upstream.requests_ns[0]) / 1e9 for upstream in upstreams]


@pytest.mark.quick
def test_throttled_calls_without_floor_or_jitter_come_back_too_early_or_together() -> None:
    backoff = replace(DEFAULT_BACKOFFS[Outcome.THROTTLED], base_s=2)

    async def main(loop: VirtualLoop) -> None:
        guarded = await waits(loop, backoff)
        assert min(guarded) >= backoff.floor_s
        assert max(guarded) - min(guarded) > 1.5
        assert peak_to_mean(guarded) <= 2.5

        assert min(await waits(loop, copied(backoff, NoFloor))) < 0.1
        together = await waits(loop, copied(backoff, NoJitter))
        assert max(together) - min(together) < 0.001

    run_virtual(main)


class NoBudget(RetryBudget):
    def try_retry(self, target: str) -> bool:
        return True


@pytest.mark.quick
@pytest.mark.parametrize(("budget", "amplified"), [(RetryBudget, False), (NoBudget, True)])
def test_outage_without_budget_is_amplified(budget: type[RetryBudget], amplified: bool) -> None:
    async def main(loop: VirtualLoop) -> None:
        executor = executor_on(loop, budget=budget())
        executor.breakers.get("exchange", "market").transition_to(BreakerState.DISABLED)
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE))
        for _ in range(100):
            await outcome_of(executor.call(spec(), upstream))
        assert (upstream.requests > 1.1 * 100 + 3) is amplified

    run_virtual(main)


async def nested_requests(loop: VirtualLoop) -> int:
    executor, upstream = executor_on(loop), Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE))
    executor.breakers.get("exchange", "market").transition_to(BreakerState.DISABLED)
    await outcome_of(executor.call(spec(deadline_s=60), lambda made: executor.call(spec(deadline_s=60), upstream)))
    return upstream.requests


async def repeated_orders(loop: VirtualLoop) -> int:
    upstream = Upstream(loop, otherwise=CallFailed(Outcome.UNKNOWN))
    await outcome_of(executor_on(loop).call(spec("place_order", idempotent=False), upstream))
    return upstream.requests


async def hung_seconds(loop: VirtualLoop) -> int:
    started = loop.time()
    call = asyncio.ensure_future(outcome_of(executor_on(loop).call(spec(), Upstream(loop, hang=lambda: True))))
    await asyncio.wait([call], timeout=600)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    return round(loop.time() - started)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("scenario", "module", "guard", "without", "expected", "unguarded"),
    [
        (nested_requests, executor_module, "enclosing_attempt", lambda: None, 3, 9),
        (repeated_orders, retry_module, "may_repeat", lambda spec, outcome: True, 1, 3),
        (hung_seconds, executor_module.asyncio, "timeout", lambda seconds: nullcontext(), 10, 600),
    ],
    ids=["nesting marker", "idempotency", "attempt timeout"],
)
def test_executor_without_its_guard_does_harm(
    scenario: Callable[[VirtualLoop], Any],
    module: Any,
    guard: str,
    without: Callable[..., Any],
    expected: int,
    unguarded: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_virtual(scenario) == expected
    monkeypatch.setattr(module, guard, without)
    assert run_virtual(scenario) == unguarded


def test_breaker_jitter_keeps_clients_apart() -> None:
    def open_times(jitter: float) -> list[float]:
        found = []
        for seed in range(200):
            here = bench(open_s=10, open_jitter=jitter, random=Random(seed))
            here.open()
            found.append(here.told.transitions[-1].open_s or 0.0)
        return found

    assert peak_to_mean(open_times(0.2)) <= 2.5
    assert len(set(open_times(0.0))) == 1

"""How the policies work together: who is asked when, what the caller sees, what observers are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from clients.resilience.breaker_config import BreakerConfig, BreakerState, Transition
from clients.resilience.bulkhead import BulkheadConfig
from clients.resilience.call import Attempt, Cost, Executor, LimitReport, Priority
from clients.resilience.errors import BulkheadFull, CallNotPermitted, DeadlineExpired, LimitReached
from clients.resilience.events import (
    AttemptEnded,
    CallEnded,
    CallRefused,
    Ended,
    Event,
    GaveUp,
    Refuser,
    RetryScheduled,
)
from clients.resilience.executor import Policies, PolicyExecutor, Ports
from clients.resilience.outcome import Outcome, Verdict
from clients.resilience.retry import RetryPolicy
from tests.support.resilience_calls import CallFailed, Upstream, classify, executor_on, outcome_of, spec
from tests.support.virtual_time import VirtualLoop, run_virtual

QUICK_BREAKER = BreakerConfig(window_calls=4, calls_min=4, open_s=2, open_jitter=0, probes=1)
ONE_TRY = RetryPolicy(attempts_max=1, breaker_waits_max=0)


@dataclass
class FakePermit:
    log: list[str]

    def observe(self, report: LimitReport) -> None:
        self.log.append("observe")

    def not_sent(self) -> None:
        self.log.append("not sent")

    async def settle(self, *, answered: bool) -> None:
        self.log.append(f"settle answered={answered}")

    async def release(self) -> None:
        self.log.append("release")


@dataclass
class FakeLimiter:
    """Lets calls pass after `wait_s`; fails with `refusal` instead."""

    wait_s: float = 0.0
    refusal: LimitReached | None = None
    log: list[str] = field(default_factory=list)
    broken_end: bool = False

    async def acquire(self, costs: Sequence[Cost], *, priority: Priority, deadline_s: float) -> FakePermit:
        self.log.append(f"acquire {[cost.units for cost in costs]} {priority.name} {deadline_s:.3f}")
        await asyncio.sleep(self.wait_s)
        if self.refusal is not None:
            raise self.refusal
        return BrokenPermit(self.log) if self.broken_end else FakePermit(self.log)

    async def resize(self, sizes: Mapping[str, int]) -> None: ...

    async def block(self, name: str, seconds: float) -> None: ...


class BrokenPermit(FakePermit):
    async def settle(self, *, answered: bool) -> None:
        raise OSError("redis is gone")


COSTLY = replace(spec(), costs=(Cost("exchange:weight", 2),))


def test_it_is_an_executor() -> None:
    executor: Executor = PolicyExecutor(classify)
    assert executor is not None


@pytest.mark.quick
def test_r12_open_breaker_refuses_without_attempt_where_its_wait_is_longer_than_the_deadline() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        executor = executor_on(loop, policies=Policies(breaker=QUICK_BREAKER), observe=events.append)
        await break_it(executor, loop)
        upstream, started = Upstream(loop), loop.time()

        with pytest.raises(CallNotPermitted) as refused:
            await executor.call(spec(deadline_s=1), upstream)

        assert refused.value.retry_after_s == pytest.approx(2)
        assert (upstream.requests, loop.time()) == (0, started)
        assert refusals(events) == [Refuser.BREAKER]
        assert last_call(events).ended is Ended.REFUSED

    run_virtual(main)


def test_r12_open_breaker_is_waited_for_once_where_the_deadline_allows() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        executor = executor_on(loop, policies=Policies(breaker=QUICK_BREAKER), observe=events.append)
        await break_it(executor, loop)
        upstream, started = Upstream(loop), loop.time()

        assert await executor.call(spec(deadline_s=10), upstream) == "answer"

        assert 2 <= loop.time() - started < 2.2
        assert upstream.attempts[0].number == 1
        assert [event.reason for event in events if isinstance(event, RetryScheduled)] == [None]

    run_virtual(main)


def test_r12_breaker_that_stays_open_is_not_waited_for_twice() -> None:
    async def main(loop: VirtualLoop) -> None:
        policies = Policies(breaker=QUICK_BREAKER, retry=RetryPolicy(attempt_timeout_s=60))
        executor = executor_on(loop, policies=policies)
        await break_it(executor, loop)
        await asyncio.sleep(2)
        probe = asyncio.ensure_future(executor.call(spec(deadline_s=60), Upstream(loop, hang=lambda: True)))
        await asyncio.sleep(0)
        upstream = Upstream(loop)

        with pytest.raises(CallNotPermitted):
            await executor.call(spec(deadline_s=10), upstream)

        assert upstream.requests == 0
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)

    run_virtual(main)


def test_breaker_that_opens_between_attempts_leaves_the_caller_its_own_error() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        policies = Policies(breaker=replace(QUICK_BREAKER, calls_min=1), retry=RetryPolicy(breaker_waits_max=0))
        failure = CallFailed(Outcome.UNKNOWN)
        upstream = Upstream(loop, otherwise=failure)

        with pytest.raises(CallFailed) as raised:
            await executor_on(loop, policies=policies, observe=events.append).call(spec(), upstream)

        assert raised.value is failure
        assert upstream.requests == 1
        assert refusals(events) == [Refuser.BREAKER]
        assert last_call(events).gave_up is GaveUp.REFUSED
        assert last_call(events).outcome is Outcome.UNKNOWN

    run_virtual(main)


@pytest.mark.quick
def test_calls_that_waited_in_line_do_not_go_to_a_side_that_failed_meanwhile() -> None:
    async def main(loop: VirtualLoop) -> None:
        policies = Policies(breaker=QUICK_BREAKER, retry=ONE_TRY)
        limiter = FakeLimiter(wait_s=1)
        executor = executor_on(loop, policies=policies, limiter=limiter)
        upstream = Upstream(loop)
        waiting = [asyncio.ensure_future(outcome_of(executor.call(COSTLY, upstream))) for _ in range(10)]
        await asyncio.sleep(0.5)

        await break_it(executor, loop)

        assert await asyncio.gather(*waiting) == ["CallNotPermitted"] * 10
        assert upstream.requests == 0
        assert limiter.log.count("release") == 10

    run_virtual(main)


def test_open_breaker_refuses_before_anything_is_reserved_or_waited_for() -> None:
    async def main(loop: VirtualLoop) -> None:
        limiter = FakeLimiter(wait_s=1)
        executor = executor_on(loop, limiter=limiter, policies=Policies(breaker=QUICK_BREAKER, retry=ONE_TRY))
        await break_it(executor, loop)
        started = loop.time()

        with pytest.raises(CallNotPermitted):
            await executor.call(COSTLY, Upstream(loop))

        assert (limiter.log, loop.time()) == ([], started)

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("failure", "ended"),
    [
        (None, "settle answered=True"),
        (CallFailed(Outcome.REJECTED), "settle answered=True"),
        (CallFailed(Outcome.UNKNOWN), "settle answered=False"),
        (ValueError("a bug"), "settle answered=False"),
    ],
    ids=["success", "rejected", "unknown", "bug"],
)
def test_limiter_is_asked_per_attempt_and_told_how_it_ended(failure: Exception | None, ended: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        limiter = FakeLimiter()
        executor = executor_on(loop, limiter=limiter, policies=Policies(retry=ONE_TRY))
        recovery = replace(COSTLY, priority=Priority.RECOVERY)
        upstream = Upstream(loop, [failure])

        await outcome_of(executor.call(recovery, upstream))

        assert limiter.log == ["acquire [2] RECOVERY 10.000", ended]
        assert isinstance(upstream.attempts[0].permit, FakePermit)

    run_virtual(main)


def test_call_without_costs_does_not_bother_the_limiter() -> None:
    async def main(loop: VirtualLoop) -> None:
        limiter = FakeLimiter()
        await executor_on(loop, limiter=limiter).call(spec(), Upstream(loop))
        assert limiter.log == []

    run_virtual(main)


def test_cancelled_attempt_is_settled_as_under_way() -> None:
    async def main(loop: VirtualLoop) -> None:
        limiter = FakeLimiter()
        call = asyncio.ensure_future(executor_on(loop, limiter=limiter).call(COSTLY, Upstream(loop, latency_s=5)))
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert limiter.log[-1] == "settle answered=False"

    run_virtual(main)


def test_limiter_that_cannot_end_a_permit_costs_nobody_a_result(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> None:
        executor = executor_on(loop, limiter=FakeLimiter(broken_end=True))
        with caplog.at_level(logging.ERROR):
            assert await executor.call(COSTLY, Upstream(loop)) == "answer"
        assert "could not end a permit" in caplog.text

    run_virtual(main)


def test_refusal_of_the_limiter_reaches_the_caller_unrepeated() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        refusal = LimitReached("too many", retry_after_s=3)
        limiter = FakeLimiter(refusal=refusal)
        upstream = Upstream(loop)

        with pytest.raises(LimitReached) as raised:
            await executor_on(loop, limiter=limiter, observe=events.append).call(COSTLY, upstream)

        assert raised.value is refusal
        assert (upstream.requests, len(limiter.log)) == (0, 1)
        assert refusals(events) == [Refuser.LIMITER]

    run_virtual(main)


def test_full_bulkhead_refuses_and_gives_the_units_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        bulkhead = BulkheadConfig(concurrent_max=1, recovery_extra=0, waiting_max=0)
        limiter = FakeLimiter()
        executor = executor_on(loop, limiter=limiter, policies=Policies(bulkhead=bulkhead), observe=events.append)
        slow = asyncio.ensure_future(executor.call(spec(), Upstream(loop, latency_s=3)))
        await asyncio.sleep(0)
        upstream = Upstream(loop)

        with pytest.raises(BulkheadFull):
            await executor.call(COSTLY, upstream)

        assert upstream.requests == 0
        assert limiter.log[-1] == "release"
        assert refusals(events) == [Refuser.BULKHEAD]
        assert await slow == "answer"

    run_virtual(main)


def test_waiting_for_a_limit_holds_no_place_of_the_bulkhead() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead = BulkheadConfig(concurrent_max=1, recovery_extra=0, waiting_max=0)
        executor = executor_on(loop, limiter=FakeLimiter(wait_s=5), policies=Policies(bulkhead=bulkhead))
        waits = asyncio.ensure_future(executor.call(COSTLY, Upstream(loop)))
        await asyncio.sleep(1)

        assert await executor.call(spec(), Upstream(loop)) == "answer"
        assert await waits == "answer"

    run_virtual(main)


def test_time_spent_waiting_is_not_the_calls_duration() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        breaker = BreakerConfig(window_calls=2, calls_min=1, slow_call_s=1)
        executor = executor_on(
            loop, limiter=FakeLimiter(wait_s=5), policies=Policies(breaker=breaker), observe=events.append
        )

        await executor.call(COSTLY, Upstream(loop, latency_s=0.5))

        assert executor.breakers.get("exchange", "market").snapshot().counts.slow == 0
        assert [event.duration_s for event in events if isinstance(event, AttemptEnded)] == [pytest.approx(0.5)]
        assert last_call(events).elapsed_s == pytest.approx(5.5)

    run_virtual(main)


def test_deadline_that_passes_while_waiting_for_the_limiter_sends_nothing() -> None:
    async def main(loop: VirtualLoop) -> None:
        limiter, upstream = FakeLimiter(wait_s=5), Upstream(loop)
        with pytest.raises(DeadlineExpired):
            await executor_on(loop, limiter=limiter).call(COSTLY, upstream, deadline_s=2)
        assert upstream.requests == 0
        assert limiter.log[-1] == "release"

    run_virtual(main)


@pytest.mark.parametrize(
    ("failure", "counted"),
    [
        (None, "successes"),
        (CallFailed(Outcome.UNKNOWN), "failures"),
        (CallFailed(Outcome.REJECTED), "successes"),
        (CallFailed(Outcome.THROTTLED), "successes"),
        (ValueError("a bug"), "ignored"),
    ],
    ids=["success", "unknown", "rejected", "throttled", "bug"],
)
def test_breaker_counts_by_the_verdict(failure: Exception | None, counted: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        executor = executor_on(loop, policies=Policies(retry=ONE_TRY))
        await outcome_of(executor.call(spec(), Upstream(loop, [failure])))
        counts = vars(executor.breakers.get("exchange", "market").snapshot().counts)
        assert {name: count for name, count in counts.items() if count} == {counted: 1}

    run_virtual(main)


def test_cb17_classifier_that_raises_hides_nothing_and_nothing_is_repeated_blindly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(loop: VirtualLoop) -> None:
        def bug(error: BaseException) -> Verdict | None:
            raise ZeroDivisionError

        executor = PolicyExecutor(bug, ports=Ports(monotonic_ns=loop.monotonic_ns))
        upstream = Upstream(loop, otherwise=OSError("original"))

        with pytest.raises(OSError, match="original"):
            await executor.call(spec(idempotent=False), upstream)

        assert upstream.requests == 1
        assert executor.breakers.get("exchange", "market").snapshot().counts.failures == 1

    with caplog.at_level(logging.CRITICAL):
        run_virtual(main)


def test_cb18_cancelled_call_gives_a_probe_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        executor = executor_on(loop, policies=Policies(breaker=QUICK_BREAKER))
        await break_it(executor, loop)
        await asyncio.sleep(2)
        call = asyncio.ensure_future(executor.call(spec(), Upstream(loop, latency_s=9)))
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        assert await executor.call(spec(), Upstream(loop)) == "answer"
        assert executor.breakers.get("exchange", "market").state is BreakerState.CLOSED

    run_virtual(main)


def test_cb37_breakers_are_per_target_and_group_and_never_per_operation_or_content() -> None:
    async def main(loop: VirtualLoop) -> None:
        executor = executor_on(loop)
        for number in range(1_000):
            await executor.call(spec(f"operation_{number}"), Upstream(loop))
        await executor.call(spec(group="orders"), Upstream(loop))

        assert sorted(executor.breakers.all()) == ["exchange/market", "exchange/orders"]
        assert sorted(executor.bulkheads.all()) == ["exchange/market", "exchange/orders"]
        for number in range(200):
            result = await outcome_of(executor.call(spec(target=f"user-{number}"), Upstream(loop)))
            assert result == ("answer" if number < 126 else "ValueError")

    run_virtual(main)


def test_groups_fail_apart() -> None:
    async def main(loop: VirtualLoop) -> None:
        executor = executor_on(loop, policies=Policies(breaker=QUICK_BREAKER))
        await break_it(executor, loop)

        assert await executor.call(spec(group="orders"), Upstream(loop)) == "answer"

    run_virtual(main)


def test_observers_see_attempts_retries_and_state_changes_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []

        def broken(event: Event) -> None:
            raise RuntimeError("observer is broken")

        executor = PolicyExecutor(
            classify,
            policies=Policies(breaker=replace(QUICK_BREAKER, window_calls=2, calls_min=2)),
            observers=[broken, events.append],
            ports=Ports(monotonic_ns=loop.monotonic_ns),
        )
        script = [CallFailed(Outcome.RETRYABLE)] * 2

        assert await executor.call(spec(), Upstream(loop, script)) == "answer"

        kinds = [type(event).__name__ for event in events]
        assert kinds.count("AttemptEnded") == 3
        assert kinds.count("RetryScheduled") == 3
        assert [e.state for e in events if isinstance(e, Transition)] == ["open", "half_open", "closed"]
        assert last_call(events).attempts == 3
        assert last_call(events).ended is Ended.SUCCESS

    with caplog.at_level(logging.ERROR):
        run_virtual(main)
    assert caplog.text.count("observer of calls failed") == 1


def test_unknown_error_ends_as_broken() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        await outcome_of(executor_on(loop, observe=events.append).call(spec(), Upstream(loop, [ValueError()])))
        assert last_call(events).ended is Ended.BROKEN
        assert [e.known for e in events if isinstance(e, AttemptEnded)] == [False]

    run_virtual(main)


def test_attempts_own_timeout_error_is_not_taken_for_ours() -> None:
    async def main(loop: VirtualLoop) -> None:
        with pytest.raises(TimeoutError, match="inner"):
            await executor_on(loop).call(spec(), Upstream(loop, [TimeoutError("inner")]))

    run_virtual(main)


def test_attempts_have_ids_of_their_own() -> None:
    async def main(loop: VirtualLoop) -> None:
        upstream = Upstream(loop, [CallFailed(Outcome.RETRYABLE)])
        await executor_on(loop).call(spec(), upstream)
        assert [attempt.correlation_id for attempt in upstream.attempts] == ["call-1", "call-2"]

    run_virtual(main)


def test_nan_is_no_deadline() -> None:
    async def main(loop: VirtualLoop) -> None:
        with pytest.raises(ValueError, match="`deadline_s`"):
            await executor_on(loop).call(spec(), Upstream(loop), deadline_s=float("nan"))

    run_virtual(main)


async def test_default_ports_work() -> None:
    async def attempt(made: Attempt) -> str:
        return made.correlation_id

    assert (await PolicyExecutor(classify).call(spec(), attempt)).endswith("-1")


async def break_it(executor: PolicyExecutor, loop: VirtualLoop, *, target: str = "exchange") -> None:
    """Open the breaker of one target without waiting."""
    breaker = executor.breakers.get(target, "market")
    for _ in range(4):
        breaker.acquire().failure()
    assert breaker.state is BreakerState.OPEN


def refusals(events: Sequence[Event]) -> list[Refuser]:
    return [event.by for event in events if isinstance(event, CallRefused)]


def last_call(events: Sequence[Any]) -> CallEnded:
    found: CallEnded = [event for event in events if isinstance(event, CallEnded)][-1]
    return found

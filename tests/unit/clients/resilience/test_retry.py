"""Which failures are repeated, how often and when: rows R01 to R20 of the conformance table."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from clients.resilience.backoff import Backoff
from clients.resilience.budget import RetryBudget
from clients.resilience.call import Attempt, CallSpec
from clients.resilience.errors import AttemptTimedOut, DeadlineExpired
from clients.resilience.events import CallEnded, Ended, Event, GaveUp, RetryScheduled, Throttled
from clients.resilience.executor import Policies
from clients.resilience.outcome import Outcome
from clients.resilience.retry import DEFAULT_BACKOFFS, NEVER_REPEATED, RetryPolicy
from tests.support.resilience_calls import CallFailed, Upstream, executor_on, spec
from tests.support.virtual_time import VirtualLoop, run_virtual


def retries(events: Sequence[Event]) -> list[RetryScheduled]:
    return [event for event in events if isinstance(event, RetryScheduled)]


def ended(events: Sequence[Event]) -> CallEnded:
    return next(event for event in events if isinstance(event, CallEnded))


def with_retry(**figures: object) -> Policies:
    return Policies(retry=RetryPolicy(**figures))  # type: ignore[arg-type]


@pytest.mark.quick
@pytest.mark.parametrize("attempts_max", [1, 2, 3, 7])
def test_r01_attempts_are_counted_with_the_first_and_the_last_cause_is_kept(attempts_max: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        failures = [CallFailed(Outcome.RETRYABLE, text=str(number)) for number in range(10)]
        upstream = Upstream(loop, failures)
        executor = executor_on(loop, policies=with_retry(attempts_max=attempts_max), observe=events.append)

        with pytest.raises(CallFailed) as raised:
            await executor.call(spec(deadline_s=60), upstream)

        assert upstream.requests == attempts_max
        assert len(retries(events)) == attempts_max - 1
        assert raised.value is failures[attempts_max - 1]
        assert [attempt.number for attempt in upstream.attempts] == list(range(1, attempts_max + 1))
        assert ended(events).gave_up is GaveUp.ATTEMPTS

    run_virtual(main)


@pytest.mark.parametrize(
    "failure",
    [
        None,
        ValueError("a bug"),
        *[CallFailed(outcome) for outcome in sorted(NEVER_REPEATED)],
        CallFailed(Outcome.NOT_FOUND),
    ],
    ids=lambda failure: str(getattr(failure, "outcome", failure)),
)
def test_r02_success_and_what_cannot_be_helped_is_one_call_without_sleep(failure: Exception | None) -> None:
    async def main(loop: VirtualLoop) -> None:
        started, upstream = loop.time(), Upstream(loop, [failure])
        call = executor_on(loop).call(spec(), upstream)

        if failure is None:
            assert await call == "answer"
        else:
            with pytest.raises(type(failure)) as raised:
                await call
            assert raised.value is failure
            assert not hasattr(failure, "__notes__")

        assert upstream.requests == 1
        assert loop.time() == started

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize("latency_s", [0.3, 0.31, 0.9, 5.0])
def test_r06_attempts_and_sleeps_keep_within_the_deadline(latency_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        started, upstream = loop.time(), Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE), latency_s=latency_s)
        executor = executor_on(loop, policies=with_retry(attempts_max=100, attempt_timeout_s=0.6))

        with pytest.raises((CallFailed, AttemptTimedOut)):
            await executor.call(spec(), upstream, deadline_s=1.0)

        assert loop.time() - started <= 1.010
        for attempt, at_ns in zip(upstream.attempts, upstream.requests_ns, strict=True):
            remaining_s = started + 1.0 - at_ns / 1e9
            assert attempt.timeout_s == pytest.approx(min(0.6, remaining_s), abs=1e-6)

    run_virtual(main)


@pytest.mark.parametrize("deadline_s", [0, -1, 0.0005, 0.049])
def test_r06_without_time_nothing_is_sent(deadline_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        upstream = Upstream(loop)
        with pytest.raises(DeadlineExpired, match="nothing was sent"):
            await executor_on(loop).call(spec(), upstream, deadline_s=deadline_s)
        assert upstream.requests == 0

    run_virtual(main)


async def second_request_after(
    loop: VirtualLoop, hint_s: float | None, outcome: Outcome, *, seed: int = 1
) -> float | None:
    failure = CallFailed(outcome, retry_after_s=hint_s)
    upstream = Upstream(loop, [failure])
    try:
        await executor_on(loop, seed=seed).call(spec(deadline_s=10), upstream)
    except CallFailed:
        return None
    return (upstream.requests_ns[1] - upstream.requests_ns[0]) / 1e9


@pytest.mark.quick
@pytest.mark.parametrize("outcome", [Outcome.RETRYABLE, Outcome.THROTTLED, Outcome.MAINTENANCE])
def test_r07_hint_is_waited_for(outcome: Outcome) -> None:
    async def main(loop: VirtualLoop) -> None:
        for seed in range(100):
            waited_s = await second_request_after(loop, 0.7, outcome, seed=seed)
            assert waited_s is not None
            assert waited_s >= 0.7

    run_virtual(main)


@pytest.mark.parametrize("hint_s", [-1.0, -1e-9, math.nan, math.inf, 9.96, 10.0, 11.0, 1e18])
def test_r07_hint_that_is_negative_garbage_or_too_far_stops_at_once(hint_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        started, events = loop.time(), list[Event]()
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.THROTTLED, retry_after_s=hint_s))

        with pytest.raises(CallFailed):
            await executor_on(loop, observe=events.append).call(spec(deadline_s=10), upstream)

        assert (upstream.requests, loop.time()) == (1, started)
        assert ended(events).gave_up is GaveUp.HINT

    run_virtual(main)


@pytest.mark.parametrize("hint_s", [9.0, 9.9, 9.94])
def test_r07_hint_just_within_the_deadline_is_used(hint_s: float) -> None:
    async def main(loop: VirtualLoop) -> None:
        for seed in range(50):
            waited_s = await second_request_after(loop, hint_s, Outcome.THROTTLED, seed=seed)
            assert waited_s is not None
            assert hint_s <= waited_s < 10

    run_virtual(main)


@pytest.mark.parametrize("hint_s", [None, 0.0])
def test_r08_throttled_without_usable_hint_waits_for_the_floor(hint_s: float | None) -> None:
    floor_s = DEFAULT_BACKOFFS[Outcome.THROTTLED].floor_s

    async def main(loop: VirtualLoop) -> None:
        for seed in range(200):
            waited_s = await second_request_after(loop, hint_s, Outcome.THROTTLED, seed=seed)
            assert waited_s is not None
            assert waited_s >= floor_s

    run_virtual(main)


def test_r09_budget_suppresses_retries_and_never_first_attempts() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.THROTTLED))
        executor = executor_on(loop, budget=RetryBudget(share=1.0, burst=1_000), observe=events.append)

        for _ in range(20):
            with pytest.raises(CallFailed):
                await executor.call(spec(deadline_s=60), upstream)

        assert upstream.requests == 20 + 5
        assert len(retries(events)) == 5
        assert events[-1].gave_up is GaveUp.BUDGET  # type: ignore[union-attr]

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_r11_nested_layers_retry_as_one(layers: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE))
        executors = [executor_on(loop, observe=events.append) for _ in range(layers)]

        async def layer(number: int, attempt: Attempt | None = None) -> str:
            inner = upstream if number == layers - 1 else lambda made: layer(number + 1, made)
            return await executors[number].call(spec(), inner)

        with pytest.raises(CallFailed):
            await layer(0)

        assert upstream.requests == 3

    run_virtual(main)


def test_r11_nested_call_ends_with_the_attempt_around_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        inner, outer = executor_on(loop), executor_on(loop, policies=with_retry(attempt_timeout_s=2.0))
        upstream = Upstream(loop)

        await outer.call(spec(), lambda attempt: inner.call(spec(deadline_s=100), upstream))

        assert upstream.attempts[0].timeout_s <= 2.0

    run_virtual(main)


def test_r11_nested_call_earns_no_retries_of_its_own() -> None:
    class Counting(RetryBudget):
        requests = 0

        def on_request(self) -> None:
            self.requests += 1

    async def main(loop: VirtualLoop) -> None:
        budget = Counting()
        executor, upstream = executor_on(loop, budget=budget), Upstream(loop)
        await executor.call(spec(), lambda attempt: executor.call(spec(), upstream))
        assert budget.requests == 1

    run_virtual(main)


def test_r11_task_that_outlives_the_attempt_is_by_itself() -> None:
    async def main(loop: VirtualLoop) -> None:
        executor, upstream = executor_on(loop), Upstream(loop, [CallFailed(Outcome.RETRYABLE)])
        background: list[asyncio.Future[str]] = []

        async def later() -> str:
            await asyncio.sleep(100)
            return await executor.call(spec(), upstream)

        async def attempt(made: Attempt) -> str:
            background.append(asyncio.ensure_future(later()))
            return "answer"

        await executor.call(spec(), attempt)

        assert await background[0] == "answer"
        assert upstream.requests == 2

    run_virtual(main)


@pytest.mark.quick
def test_r13_cancel_while_waiting_for_a_retry_ends_the_call_at_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.THROTTLED, retry_after_s=5))
        call = asyncio.ensure_future(executor_on(loop, observe=events.append).call(spec(), upstream))
        await asyncio.sleep(1)
        asked = loop.time()

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert loop.time() - asked < 0.050
        await asyncio.sleep(60)

        assert upstream.requests == 1
        assert ended(events).ended is Ended.CANCELLED

    run_virtual(main)


def test_r13_cancel_during_a_later_attempt_is_not_retried() -> None:
    async def main(loop: VirtualLoop) -> None:
        upstream = Upstream(loop, [CallFailed(Outcome.RETRYABLE)], latency_s=1)
        call = asyncio.ensure_future(executor_on(loop).call(spec(), upstream))
        await asyncio.sleep(1.5)

        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(60)

        assert upstream.requests == 2

    run_virtual(main)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("outcome", "idempotent", "requests"),
    [
        (Outcome.UNKNOWN, False, 1),
        (Outcome.UNKNOWN, True, 3),
        (Outcome.RETRYABLE, False, 3),
        (Outcome.THROTTLED, False, 3),
        (Outcome.DUPLICATE, False, 1),
    ],
)
def test_r15_what_may_have_been_executed_is_repeated_only_where_harmless(
    outcome: Outcome, idempotent: bool, requests: int
) -> None:
    async def main(loop: VirtualLoop) -> None:
        upstream = Upstream(loop, otherwise=CallFailed(outcome))
        with pytest.raises(CallFailed):
            await executor_on(loop).call(spec("place_order", idempotent=idempotent, deadline_s=60), upstream)
        assert upstream.requests == requests

    run_virtual(main)


@pytest.mark.parametrize(("idempotent", "requests"), [(False, 1), (True, 3)])
def test_r15_attempt_that_timed_out_may_have_been_executed(idempotent: bool, requests: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        upstream = Upstream(loop, hang=lambda: True)
        executor = executor_on(loop, policies=with_retry(attempt_timeout_s=1))

        with pytest.raises(AttemptTimedOut, match="may have been executed"):
            await executor.call(spec("place_order", idempotent=idempotent), upstream)

        assert upstream.requests == requests

    run_virtual(main)


def test_r15_later_attempt_that_was_not_executed_does_not_hide_an_unknown_one() -> None:
    async def main(loop: VirtualLoop) -> None:
        unknown, refused = CallFailed(Outcome.UNKNOWN), CallFailed(Outcome.RETRYABLE)
        with pytest.raises(CallFailed) as raised:
            await executor_on(loop).call(spec("cancel_order"), Upstream(loop, [unknown, refused, refused]))
        assert raised.value is unknown

        rejected = CallFailed(Outcome.NOT_FOUND)
        with pytest.raises(CallFailed) as raised:
            await executor_on(loop).call(spec("cancel_order"), Upstream(loop, [unknown, rejected]))
        assert raised.value is rejected

    run_virtual(main)


@pytest.mark.parametrize(
    ("resynced", "script", "requests"),
    [
        (True, [Outcome.CLOCK], 2),
        (True, [Outcome.CLOCK, Outcome.CLOCK], 2),
        (True, [Outcome.CLOCK, Outcome.RETRYABLE, Outcome.CLOCK], 3),
        (False, [Outcome.CLOCK], 1),
    ],
)
def test_clock_error_is_retried_once_and_only_after_measuring_again(
    resynced: bool, script: list[Outcome], requests: int
) -> None:
    async def main(loop: VirtualLoop) -> None:
        measured: list[CallSpec] = []

        async def resync(asked: CallSpec) -> None:
            measured.append(asked)
            if not resynced:
                raise OSError("no time server")

        upstream = Upstream(loop, [CallFailed(outcome) for outcome in script])
        call = executor_on(loop, resync=resync).call(spec("place_order", idempotent=False), upstream)

        if requests > len(script):
            assert await call == "answer"
        else:
            with pytest.raises(CallFailed) as raised:
                await call
            assert raised.value.outcome is Outcome.CLOCK
        assert upstream.requests == requests
        assert len(measured) == 1

    run_virtual(main)


def test_r19_wall_clock_jumps_do_not_matter_while_waiting() -> None:
    async def main(loop: VirtualLoop) -> None:
        failure = CallFailed(Outcome.THROTTLED, retry_after_s=5)
        upstream = Upstream(loop, [failure])
        call = asyncio.ensure_future(executor_on(loop).call(spec(deadline_s=20), upstream))
        for jump_s in (3_600, -86_400, 86_400 * 365):
            await asyncio.sleep(0.1)
            loop.jump_wall_ns(jump_s * 1_000_000_000)

        assert await call == "answer"
        assert 5 <= (upstream.requests_ns[1] - upstream.requests_ns[0]) / 1e9 < 5.6

    run_virtual(main)


@pytest.mark.quick
def test_r20_exhausted_call_says_attempts_time_and_cause_and_no_secret() -> None:
    secret = "https://api.example/order?symbol=X&signature=deadbeef&apiKey=k3y"

    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        upstream = Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE, text=secret), latency_s=0.25)

        with pytest.raises(CallFailed) as raised:
            await executor_on(loop, observe=events.append).call(spec(), upstream)

        (note,) = raised.value.__notes__
        text = ended(events).text
        assert text == note
        assert "3 attempts" in text
        assert f"{ended(events).elapsed_s:.3f} s" in text
        assert "CallFailed, retryable" in text
        assert "attempts used up" in text
        for piece in ("?", "signature", "deadbeef", "k3y", "api.example"):
            assert piece not in "".join(map(repr, events))

    run_virtual(main)


def test_r20_same_error_object_keeps_one_note() -> None:
    async def main(loop: VirtualLoop) -> None:
        failure = CallFailed(Outcome.RETRYABLE)
        failure.add_note("the caller's own")
        upstream = Upstream(loop, otherwise=failure)
        for _ in range(5):
            with pytest.raises(CallFailed):
                await executor_on(loop).call(spec(), upstream)
        assert len(failure.__notes__) == 2

    run_virtual(main)


def test_operations_have_policies_of_their_own() -> None:
    async def main(loop: VirtualLoop) -> None:
        policies = Policies(retry_of={"place_order": RetryPolicy(attempts_max=1), "ping": RetryPolicy(attempts_max=5)})
        for operation, requests in (("place_order", 1), ("ping", 5), ("get_quote", 3)):
            upstream = Upstream(loop, otherwise=CallFailed(Outcome.RETRYABLE))
            with pytest.raises(CallFailed):
                await executor_on(loop, policies=policies).call(spec(operation, deadline_s=60), upstream)
            assert upstream.requests == requests

    run_virtual(main)


def test_outcomes_have_delays_of_their_own() -> None:
    async def main(loop: VirtualLoop) -> None:
        backoffs = {**DEFAULT_BACKOFFS, Outcome.NOT_FOUND: Backoff(base_s=0, cap_s=0, floor_s=3)}
        del backoffs[Outcome.MAINTENANCE]
        policies = with_retry(backoffs=backoffs)
        not_there_yet = Upstream(loop, [CallFailed(Outcome.NOT_FOUND)])
        closed = Upstream(loop, [CallFailed(Outcome.MAINTENANCE)])

        await executor_on(loop, policies=policies).call(spec(), not_there_yet)
        with pytest.raises(CallFailed):
            await executor_on(loop, policies=policies).call(spec(), closed)

        assert (not_there_yet.requests_ns[1] - not_there_yet.requests_ns[0]) / 1e9 == pytest.approx(3)
        assert closed.requests == 1

    run_virtual(main)


def test_throttles_are_told_with_their_hint() -> None:
    async def main(loop: VirtualLoop) -> None:
        events: list[Event] = []
        upstream = Upstream(loop, [CallFailed(Outcome.THROTTLED, retry_after_s=2)])
        await executor_on(loop, observe=events.append).call(spec(), upstream)
        assert [event.retry_after_s for event in events if isinstance(event, Throttled)] == [2]

    run_virtual(main)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts_max", 0),
        ("attempt_timeout_s", 0),
        ("attempt_timeout_s", math.nan),
        ("breaker_waits_max", -1),
        ("attempt_s_min", -0.1),
        ("attempt_s_min", 6),
        ("backoffs", {Outcome.REJECTED: Backoff(base_s=0, cap_s=0)}),
        ("backoffs", {Outcome.AUTH: Backoff(base_s=0, cap_s=0)}),
    ],
)
def test_wrong_figure_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]

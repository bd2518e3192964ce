"""Runs calls under all policies, composed in this order, from the outside in:

1. **Total deadline**, first, because it bounds everything below: waiting, attempts and delays. Inside another call's attempt it ends
   with that attempt.
2. **Retry**, around everything else, so that each attempt asks every policy anew: a breaker that opened meanwhile refuses the second
   attempt, and each attempt pays the limiter for itself.
3. **Breaker, asked whether it refuses**, before anything is waited for or reserved: refusing has to be cheap while the other side is down.
4. **Limiter**: reserves units of the other side's limits. Before the bulkhead, because calls that wait for a window to pass must not
   hold the places of calls that could go out, a cancel's above all.
5. **Bulkhead**: a place among the calls under way. Its wait is short and bounded, so the reservation does not grow old meanwhile.
6. **Breaker, asked for its permit**, right before the request goes out. What it said in 3 may be old by now: a thousand calls that waited
   in line must not all go to a side that failed in the meantime, a probe's lease must not run while waiting, and the call's duration
   is that of the call alone.
7. **Attempt timeout**: the policy's own, or what is left of the deadline.

The limiter's permit ends after the attempt with what is known of it; the breaker's before the bulkhead's place is free again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from clients.logs import fields
from clients.resilience.breaker import CircuitBreaker
from clients.resilience.breaker_config import BreakerConfig, CallLater
from clients.resilience.breaker_permit import BreakerPermit
from clients.resilience.budget import RetryBudget
from clients.resilience.bulkhead import Bulkhead, BulkheadConfig
from clients.resilience.call import Attempt, CallSpec, Classifier, LimitPermit
from clients.resilience.deadline import Deadline, enclosing_attempt, inside_attempt
from clients.resilience.errors import (
    AttemptTimedOut,
    BulkheadFull,
    CallNotPermitted,
    DeadlineExpired,
    ResilienceError,
)
from clients.resilience.events import (
    AttemptEnded,
    CallEnded,
    CallRefused,
    Ended,
    Observer,
    Observers,
    Refuser,
    Throttled,
)
from clients.resilience.keyed import Keyed
from clients.resilience.limiter import Limiter
from clients.resilience.outcome import Outcome, Verdict
from clients.resilience.ports import MonotonicNs, RandomSource, Sleep, system_random
from clients.resilience.retry import Resync, RetriedCall, RetryPolicy, RetryTools

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REFUSERS: Final = (
    (CallNotPermitted, Refuser.BREAKER),
    (BulkheadFull, Refuser.BULKHEAD),
    (DeadlineExpired, Refuser.DEADLINE),
    (ResilienceError, Refuser.LIMITER),
)


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The figures of every policy. Breakers and bulkheads are per `target/group`, retries per operation."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retry_of: Mapping[str, RetryPolicy] = field(default_factory=dict)
    """Operations that are retried differently."""
    breaker: BreakerConfig = field(default_factory=BreakerConfig)
    breaker_of: Mapping[str, BreakerConfig] = field(default_factory=dict)
    """`target/group` -> its own."""
    bulkhead: BulkheadConfig = field(default_factory=BulkheadConfig)
    bulkhead_of: Mapping[str, BulkheadConfig] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What executors take instead of the system's. `monotonic_ns` and `sleep` have to follow the event loop's clock."""

    monotonic_ns: MonotonicNs = time.monotonic_ns
    sleep: Sleep = asyncio.sleep
    random: RandomSource = field(default_factory=system_random)
    new_id: Callable[[], str] = field(default=lambda: secrets.token_hex(8))
    """Correlation ids; each attempt's is the call's with the attempt's number behind it."""
    call_later: CallLater | None = None
    """Lets breakers become HALF_OPEN by themselves; without it the next call finds out."""


class PolicyExecutor:
    """Implements Executor; the module says in which order. Used within one event loop.

    One per client: its budget bounds the retries of all of its calls together. Pass `budget` to share one among several.
    """

    def __init__(
        self,
        classify: Classifier,
        *,
        policies: Policies | None = None,
        limiter: Limiter | None = None,
        budget: RetryBudget | None = None,
        resync: Resync | None = None,
        observers: Sequence[Observer] = (),
        ports: Ports | None = None,
    ) -> None:
        self.policies = Policies() if policies is None else policies
        self._ports = Ports() if ports is None else ports
        self._classify = classify
        self._limiter = limiter
        self._observe = Observers(observers)
        self._budget = RetryBudget() if budget is None else budget
        self._tools = RetryTools(
            classify=self._judge,
            budget=self._budget,
            sleep=self._ports.sleep,
            random=self._ports.random,
            observe=self._observe,
            resync=resync,
        )
        self.breakers = Keyed("breaker", self._new_breaker)
        self.bulkheads = Keyed("bulkhead", self._new_bulkhead)

    async def call(
        self, spec: CallSpec, attempt: Callable[[Attempt], Awaitable[T]], *, deadline_s: float | None = None
    ) -> T:
        """Implement Executor.

        What `attempt` raises and the classifier does not know passes through untouched and unrepeated. Where attempts were made,
        the error has a note (`__notes__`) saying how many, for how long, and why there were no more.
        """
        outer = enclosing_attempt()
        deadline = Deadline.after(
            spec.deadline_s if deadline_s is None else deadline_s,
            self._ports.monotonic_ns,
            not_after_ns=None if outer is None else outer.end_ns,
        )
        policy = self.policies.retry_of.get(spec.operation, self.policies.retry)
        name = self._ports.new_id()

        async def send(call: RetriedCall[T]) -> T:
            return await self._send(call, attempt, name)

        call = RetriedCall(spec, policy, self._tools, deadline, send, nested=outer is not None)
        if outer is None:
            self._budget.on_request()
        ended = Ended.BROKEN
        try:
            result = await call.run()
            ended = Ended.SUCCESS
            return result
        except asyncio.CancelledError:
            ended = Ended.CANCELLED
            raise
        except ResilienceError:
            ended = Ended.BROKEN if call.sent else Ended.REFUSED
            raise
        except Exception:
            if call.verdict is not None:
                ended = Ended.FAILED
            raise
        finally:
            outcome = None if call.verdict is None else call.verdict.outcome
            text = "" if ended in (Ended.SUCCESS, Ended.CANCELLED) else call.summary()
            self._observe(
                CallEnded(
                    spec, ended, call.sent, deadline.elapsed_s(), outcome=outcome, gave_up=call.gave_up, text=text
                )
            )

    async def _send(self, call: RetriedCall[T], attempt: Callable[[Attempt], Awaitable[T]], name: str) -> T:
        """Make one attempt under every policy below the retry layer."""
        spec, deadline = call.spec, call.deadline
        breaker = self.breakers.get(spec.target, spec.group)
        bulkhead = self.bulkheads.get(spec.target, spec.group)
        units: LimitPermit | None = None
        before = call.sent
        try:
            self._time_left(call)
            breaker.check()
            if self._limiter is not None and spec.costs:
                units = await self._limiter.acquire(
                    spec.costs, priority=spec.priority, deadline_s=self._time_left(call)
                )
            async with bulkhead.place(spec.priority, wait_s=deadline.remaining_s()):
                timeout_s = min(call.policy.attempt_timeout_s, self._time_left(call))
                permit = breaker.acquire()
                number = call.on_sent()
                result = await self._attempt(
                    spec, Attempt(number, timeout_s, f"{name}-{number}", units), attempt, permit
                )
        except BaseException as exc:
            if isinstance(exc, ResilienceError) and call.sent == before:
                self._observe(CallRefused(spec, _refuser(exc), exc.retry_after_s))
            if units is not None:
                verdict = self._judge(exc) if isinstance(exc, Exception) and call.sent > before else None
                await self._end(units, sent=call.sent > before, answered=_is_answer(verdict))
            raise
        if units is not None:
            await self._end(units, sent=True, answered=True)
        return result

    async def _attempt(
        self, spec: CallSpec, made: Attempt, attempt: Callable[[Attempt], Awaitable[T]], permit: BreakerPermit
    ) -> T:
        started_ns = self._ports.monotonic_ns()
        try:
            with inside_attempt(started_ns + round(made.timeout_s * 1e9)):
                result = await self._in_time(spec, made, attempt)
        except Exception as exc:
            verdict = self._judge(exc)
            if verdict is None:
                permit.ignore()
            elif verdict.counts_against_server:
                permit.failure()
            else:
                permit.success()
            self._report(spec, made, started_ns, verdict, known=verdict is not None)
            raise
        except BaseException:
            permit.cancel()
            raise
        permit.success()
        self._budget.on_success(spec.target)
        self._report(spec, made, started_ns, None)
        return result

    async def _in_time(self, spec: CallSpec, made: Attempt, attempt: Callable[[Attempt], Awaitable[T]]) -> T:
        limit = asyncio.timeout(made.timeout_s)
        try:
            async with limit:
                return await attempt(made)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise AttemptTimedOut(
                f"{spec.target} {spec.operation}: attempt {made.number} had no answer within {made.timeout_s:.3g} s; "
                f"it may have been executed" + ("" if spec.idempotent else ": ask the other side before repeating it")
            ) from exc

    def _judge(self, error: BaseException) -> Verdict | None:
        if isinstance(error, AttemptTimedOut):
            return Verdict(Outcome.UNKNOWN, counts_against_server=True)
        try:
            return self._classify(error)
        except Exception:
            # A broken classifier must not hide what it was asked about; nobody knows what became of the attempt.
            logger.exception("classifier failed", extra=fields(error=type(error).__name__))
            return Verdict(Outcome.UNKNOWN, counts_against_server=True)

    def _report(
        self, spec: CallSpec, made: Attempt, started_ns: int, verdict: Verdict | None, *, known: bool = True
    ) -> None:
        duration_s = (self._ports.monotonic_ns() - started_ns) / 1e9
        outcome = None if verdict is None else verdict.outcome
        self._observe(AttemptEnded(spec, made.number, duration_s, outcome, known=known))
        if verdict is not None and verdict.outcome is Outcome.THROTTLED:
            self._observe(Throttled(spec, verdict.retry_after_s))

    def _time_left(self, call: RetriedCall[T]) -> float:
        remaining_s = call.deadline.remaining_s()
        if remaining_s < call.policy.attempt_s_min or not remaining_s:
            raise DeadlineExpired(
                f"{call.spec.target} {call.spec.operation}: only {remaining_s:.3f} s left after {call.deadline.elapsed_s():.3f} s; "
                "nothing was sent; give a longer `deadline_s`"
            )
        return remaining_s

    async def _end(self, units: LimitPermit, *, sent: bool, answered: bool) -> None:
        try:
            if sent:
                await units.settle(answered=answered)
            else:
                await units.release()
        except Exception:
            # Units that are not given back run out by themselves; the call's own result matters more.
            logger.exception("limiter could not end a permit")

    def _new_breaker(self, name: str) -> CircuitBreaker:
        breaker = CircuitBreaker(
            name,
            self.policies.breaker_of.get(name, self.policies.breaker),
            monotonic_ns=self._ports.monotonic_ns,
            random=self._ports.random,
            call_later=self._ports.call_later,
        )
        breaker.add_listener(self._observe)
        return breaker

    def _new_bulkhead(self, name: str) -> Bulkhead:
        return Bulkhead(name, self.policies.bulkhead_of.get(name, self.policies.bulkhead))


def _is_answer(verdict: Verdict | None) -> bool:
    # RETRYABLE may be either; an attempt that knows tells its permit itself (`observe`, `not_sent`).
    return verdict is not None and verdict.outcome not in (Outcome.UNKNOWN, Outcome.RETRYABLE)


def _refuser(refusal: ResilienceError) -> Refuser:
    return next(by for kind, by in _REFUSERS if isinstance(refusal, kind))

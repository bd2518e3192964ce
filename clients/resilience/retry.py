"""One retry layer, on tenacity: whether a failed attempt is repeated, when, and what the caller is told when it is not.

A retry has to be allowed by everything: the outcome (what may have been executed is repeated only where that does no harm), the
number of attempts, the server's hint, the deadline, and the client's budget. Inside another call's attempt nothing is repeated:
the outermost layer does it, or three nested layers of three would send twenty-seven.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from tenacity import RetryCallState
from tenacity.asyncio import AsyncRetrying

from clients.logs import fields
from clients.resilience.backoff import Backoff
from clients.resilience.budget import RetryBudget
from clients.resilience.call import CallSpec, Classifier
from clients.resilience.deadline import Deadline
from clients.resilience.errors import CallNotPermitted, ResilienceError
from clients.resilience.events import GaveUp, Observer, RetryScheduled
from clients.resilience.outcome import Outcome, Verdict
from clients.resilience.ports import RandomSource, Sleep

logger = logging.getLogger(__name__)

T = TypeVar("T")

Resync = Callable[[CallSpec], Awaitable[None]]
"""Measures the other side's clock again."""

NEVER_REPEATED: Final = frozenset({Outcome.REJECTED, Outcome.DUPLICATE, Outcome.AUTH})
"""The same request gets the same answer, or a person has to act first."""

NOT_EXECUTED: Final = frozenset({Outcome.RETRYABLE, Outcome.THROTTLED, Outcome.CLOCK, Outcome.MAINTENANCE})
"""Outcomes that speak of their own attempt only: an earlier one that may have been executed outweighs them."""

DEFAULT_BACKOFFS: Final[Mapping[Outcome, Backoff]] = MappingProxyType(
    {
        Outcome.RETRYABLE: Backoff(base_s=0.25, cap_s=5.0),
        Outcome.UNKNOWN: Backoff(base_s=0.25, cap_s=5.0),
        Outcome.THROTTLED: Backoff(base_s=0.5, cap_s=10.0, floor_s=1.0),
        Outcome.MAINTENANCE: Backoff(base_s=1.0, cap_s=10.0, floor_s=1.0),
        Outcome.CLOCK: Backoff(base_s=0.0, cap_s=0.0),
    }
)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How one type of operation is retried."""

    attempts_max: int = 3
    """The first one included."""
    attempt_timeout_s: float = 5.0
    """For one attempt; what is left of the deadline where that is less."""
    attempt_s_min: float = 0.05
    """With less time left no attempt is made: it would end unanswered, and the breaker would blame the other side for that."""
    backoffs: Mapping[Outcome, Backoff] = field(default_factory=lambda: DEFAULT_BACKOFFS)
    """What is retried at all, and when. UNKNOWN is retried for idempotent calls only, CLOCK once, whatever stands here."""
    breaker_waits_max: int = 1
    """How often a call may wait for an open breaker, where the deadline leaves time for that; 0: refused at once."""

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise ValueError(f"`attempts_max` is {self.attempts_max!r}; give at least 1, which means no retry")
        if not (math.isfinite(self.attempt_timeout_s) and self.attempt_timeout_s > 0):
            raise ValueError(f"`attempt_timeout_s` is {self.attempt_timeout_s!r}; give seconds above 0")
        if not 0 <= self.attempt_s_min <= self.attempt_timeout_s:
            raise ValueError(f"`attempt_s_min` is {self.attempt_s_min!r}; give seconds from 0 to `attempt_timeout_s`")
        if self.breaker_waits_max < 0:
            raise ValueError(f"`breaker_waits_max` is {self.breaker_waits_max!r}; give 0 or more")
        if wrong := NEVER_REPEATED & self.backoffs.keys():
            raise ValueError(f"`backoffs` has {', '.join(sorted(wrong))}: a repetition cannot help there; leave it out")


def may_repeat(spec: CallSpec, outcome: Outcome) -> bool:
    """Return whether sending the same again, here or elsewhere, can do no harm as far as this outcome tells."""
    return spec.idempotent or outcome not in (Outcome.UNKNOWN, Outcome.DUPLICATE)


@dataclass(frozen=True)
class RetryTools:
    """What every retried call shares."""

    classify: Classifier
    budget: RetryBudget
    sleep: Sleep
    random: RandomSource
    observe: Observer
    resync: Resync | None = None


class RetriedCall(Generic[T]):
    """One call with its attempts. `send` makes an attempt: it calls `on_sent` right before anything goes out.

    `send` raising a ResilienceError before that is a refusal: nothing was sent. Use `run` once.
    """

    def __init__(
        self,
        spec: CallSpec,
        policy: RetryPolicy,
        tools: RetryTools,
        deadline: Deadline,
        send: Callable[[RetriedCall[T]], Awaitable[T]],
        *,
        nested: bool = False,
    ) -> None:
        self.spec = spec
        self.policy = policy
        self.deadline = deadline
        self.sent = 0
        """Attempts that went out."""
        self.verdict: Verdict | None = None
        """Of the error that `run` raises; None for a refusal or an unknown error."""
        self.gave_up: GaveUp | None = None
        self._tools = tools
        self._send = send
        self._nested = nested
        self._error: Exception | None = None
        self._error_verdict: Verdict | None = None
        # What the latest round came to; both None for a success and for what must pass untouched, such as a cancellation.
        self._last: Verdict | None = None
        self._refusal: ResilienceError | None = None
        self._unknown: tuple[BaseException, Verdict] | None = None
        self._retries: dict[Outcome, int] = {}
        self._delay_s = 0.0
        self._hint_s: float | None = None
        self._breaker_waits = 0

    async def run(self) -> T:
        """Return what the last attempt returned, or raise the error that tells what became of the call.

        That is the last attempt's; an earlier one's whose outcome is unknown, if the last one only says that it was not executed
        itself; or a refusal, if nothing was sent.
        """
        try:
            # Nearly every call succeeds at once, and the machine for the others costs as much as a third of all policies.
            return await self._attempt()
        except Exception as exc:  # noqa: BLE001  raised again below, or tried again
            first: Exception | None = exc

        async def attempt() -> T:
            nonlocal first
            if first is not None:
                failed, first = first, None
                raise failed
            return await self._attempt()

        # tenacity keeps its state per object and thread, so each call has an object of its own.
        retrying = AsyncRetrying(
            sleep=self._tools.sleep,
            retry=self._is_failure,
            wait=self._wait,
            stop=self._stop,
            before_sleep=self._before_sleep,
            reraise=True,
        )
        try:
            result: T = await retrying(attempt)
            return result
        except Exception as exc:
            error = self._error_to_raise(exc)
            if error is exc:
                raise
        # Outside of the handler: its refusal is not what the error happened in.
        raise error

    def on_sent(self) -> int:
        """Count an attempt that is about to go out; return its number."""
        self.sent += 1
        return self.sent

    def summary(self) -> str:
        """Say what was tried, in names and figures only: texts of foreign errors may hold what nobody should read."""
        what = f"{self.spec.target} {self.spec.operation}"
        tried = f"{self.sent} attempt{'' if self.sent == 1 else 's'} in {self.deadline.elapsed_s():.3f} s"
        cause = type(self._error).__name__ if self._error is not None else type(self._refusal).__name__
        outcome = f", {self.verdict.outcome}" if self.verdict is not None else ""
        reason = f" ({self.gave_up})" if self.gave_up is not None else ""
        return f"gave up {what} after {tried}{reason}: {cause}{outcome}"

    async def _attempt(self) -> T:
        before = self.sent
        self._last, self._refusal = None, None
        try:
            return await self._send(self)
        except ResilienceError as exc:
            if self.sent == before:
                self._refusal = exc
            else:
                self._error, self._error_verdict = exc, None
            raise
        except Exception as exc:
            self._last = self._tools.classify(exc)
            self._error, self._error_verdict = exc, self._last
            if self._last is not None and self._last.outcome is Outcome.UNKNOWN:
                self._unknown = (exc, self._last)
            raise

    # tenacity's strategies, in the order in which it asks them

    def _is_failure(self, state: RetryCallState) -> bool:
        if state.outcome is None or not state.outcome.failed:
            return False
        if self._refusal is not None:
            return self._may_wait_for_breaker(self._refusal)
        if self._last is None:
            return False
        outcome = self._last.outcome
        if outcome not in self.policy.backoffs or not may_repeat(self.spec, outcome):
            return self._give_up(GaveUp.NOT_RETRYABLE)
        if self._nested:
            return self._give_up(GaveUp.NESTED)
        return True

    def _wait(self, state: RetryCallState) -> float:
        if self._refusal is not None:
            # Everybody who waits for this breaker was told the same moment.
            backoff = self.policy.backoffs.get(Outcome.RETRYABLE, DEFAULT_BACKOFFS[Outcome.RETRYABLE])
            return self._after(self._refusal.retry_after_s or 0.0, backoff.delay_s(0, 0.0, self._tools.random))
        assert self._last is not None
        outcome = self._last.outcome
        retry = self._retries.get(outcome, 0)
        self._retries[outcome] = retry + 1
        backoff = self.policy.backoffs[outcome]
        self._delay_s = backoff.delay_s(retry, self._delay_s, self._tools.random)
        self._hint_s = self._last.retry_after_s
        if self._hint_s is None or not self._hint_s >= 0:
            return self._delay_s
        return self._after(max(self._hint_s, backoff.floor_s), self._delay_s - backoff.floor_s)

    def _stop(self, state: RetryCallState) -> bool:
        in_time = state.upcoming_sleep < self._time_to_wait_s()
        if self._refusal is not None:
            return not in_time
        assert self._last is not None
        if self.sent >= self.policy.attempts_max:
            return self._stopped(GaveUp.ATTEMPTS)
        if self._last.outcome is Outcome.CLOCK and self._retries[Outcome.CLOCK] > 1:
            return self._stopped(GaveUp.NOT_RETRYABLE)
        if self._hint_s is not None and not 0 <= self._hint_s < self._time_to_wait_s():
            return self._stopped(GaveUp.HINT)
        if not in_time:
            return self._stopped(GaveUp.DEADLINE)
        if not self._tools.budget.try_retry(self.spec.target):
            return self._stopped(GaveUp.BUDGET)
        return False

    async def _before_sleep(self, state: RetryCallState) -> None:
        reason = None if self._last is None else self._last.outcome
        if reason is None:
            self._breaker_waits += 1
        elif reason is Outcome.CLOCK and not await self._resynced():
            assert self._error is not None
            self.gave_up = GaveUp.RESYNC
            raise self._error
        self._tools.observe(RetryScheduled(self.spec, reason, state.upcoming_sleep))

    # The rest

    def _time_to_wait_s(self) -> float:
        return self.deadline.remaining_s() - self.policy.attempt_s_min

    def _after(self, hint_s: float, delay_s: float) -> float:
        # After the hint, not at it: everybody was told the same. Spread less where the deadline would forbid it.
        room_s = (self._time_to_wait_s() - hint_s) / 2
        return hint_s + max(0.0, min(delay_s, room_s))

    def _may_wait_for_breaker(self, refusal: ResilienceError) -> bool:
        return (
            isinstance(refusal, CallNotPermitted)
            and refusal.retry_after_s is not None
            and self._breaker_waits < self.policy.breaker_waits_max
            and not self._nested
        )

    async def _resynced(self) -> bool:
        if self._tools.resync is None:
            return True
        try:
            await self._tools.resync(self.spec)
        except Exception:
            # Whatever kept the clock from being measured, the caller gets the error of its own call.
            logger.warning("clock could not be measured again", exc_info=True, extra=fields(target=self.spec.target))
            return False
        return True

    def _give_up(self, reason: GaveUp) -> bool:
        self.gave_up = reason
        return False

    def _stopped(self, reason: GaveUp) -> bool:
        self.gave_up = reason
        return True

    def _error_to_raise(self, error: Exception) -> BaseException:
        raised: BaseException = error
        if error is self._refusal:
            if self._error is None:
                return error
            # Something was sent before: a refusal would say that nothing was.
            self.gave_up = GaveUp.REFUSED
            raised = self._error
        self.verdict = self._error_verdict
        if self.verdict is not None and self.verdict.outcome in NOT_EXECUTED and self._unknown is not None:
            raised, self.verdict = self._unknown
        if self.gave_up not in (None, GaveUp.NOT_RETRYABLE):
            _note(raised, self.summary())
        return raised


def _note(error: BaseException, text: str) -> None:
    # One note however often the same object is raised.
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith("gave up ")]
    error.__notes__ = [*notes, text]

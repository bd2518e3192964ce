"""Pieces for tests of the resilience policies: errors with a verdict, executors on a virtual loop, an upstream that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from clients.resilience.budget import RetryBudget
from clients.resilience.call import Attempt, CallSpec
from clients.resilience.events import Event
from clients.resilience.executor import Policies, PolicyExecutor, Ports
from clients.resilience.limiter import Limiter
from clients.resilience.outcome import Outcome, Verdict
from clients.resilience.retry import Resync
from tests.support.virtual_time import VirtualLoop

SEED: Final = 20261121
"""Of every random source here unless a test asks for another; a failing test names it by this constant."""

AGAINST_SERVER: Final = frozenset({Outcome.RETRYABLE, Outcome.UNKNOWN, Outcome.MAINTENANCE})


class CallFailed(Exception):
    """What a fake upstream raises."""

    def __init__(self, outcome: Outcome, *, retry_after_s: float | None = None, text: str = "it failed") -> None:
        super().__init__(text)
        self.outcome = outcome
        self.retry_after_s = retry_after_s


def classify(error: BaseException) -> Verdict | None:
    """Judge CallFailed; everything else is unknown."""
    if not isinstance(error, CallFailed):
        return None
    return Verdict(error.outcome, error.outcome in AGAINST_SERVER, error.retry_after_s)


def spec(
    operation: str = "get_quote",
    *,
    target: str = "exchange",
    group: str = "market",
    idempotent: bool = True,
    deadline_s: float = 10.0,
) -> CallSpec:
    """Return a call's description."""
    return CallSpec(target, group, operation, idempotent=idempotent, deadline_s=deadline_s)


def ample_budget() -> RetryBudget:
    """Return a budget that does not get in the way of what a test is about."""
    return RetryBudget(share=1.0, burst=1_000_000, target_tokens=1_000_000)


def executor_on(
    loop: VirtualLoop,
    *,
    policies: Policies | None = None,
    limiter: Limiter | None = None,
    budget: RetryBudget | None = None,
    resync: Resync | None = None,
    observe: Callable[[Event], None] | None = None,
    seed: int = SEED,
) -> PolicyExecutor:
    """Return an executor whose time is the loop's, with an ample budget unless one is given."""
    return PolicyExecutor(
        classify,
        policies=policies,
        limiter=limiter,
        budget=ample_budget() if budget is None else budget,
        resync=resync,
        observers=() if observe is None else (observe,),
        ports=Ports(monotonic_ns=loop.monotonic_ns, random=Random(seed), new_id=lambda: "call"),
    )


@dataclass
class Upstream:
    """A fake other side: takes `latency_s`, then does the next of `script` (None: succeeds), for ever `otherwise` after that.

    `down` fails everything while it is true; every request is recorded with its time.
    """

    loop: VirtualLoop
    script: Sequence[BaseException | None] = ()
    otherwise: BaseException | None = None
    latency_s: float = 0.0
    down: Callable[[], bool] = lambda: False
    hang: Callable[[], bool] = lambda: False
    requests_ns: list[int] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Requests that reached it."""
        return len(self.requests_ns)

    async def __call__(self, attempt: Attempt) -> str:
        number = len(self.requests_ns)
        self.requests_ns.append(self.loop.monotonic_ns())
        self.attempts.append(attempt)
        if self.hang():
            await asyncio.Event().wait()
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        failure = self.script[number] if number < len(self.script) else self.otherwise
        if failure is None and self.down():
            failure = CallFailed(Outcome.RETRYABLE)
        if failure is not None:
            raise failure
        return "answer"


async def outcome_of(call: Awaitable[object]) -> str:
    """Return what a call came to: `answer`, or the name of what it raised."""
    try:
        return str(await call)
    except Exception as exc:  # noqa: BLE001 - which one is what the test asks
        return type(exc).__name__

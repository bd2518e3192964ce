"""Breakers for tests: on a clock that stands still, with what they told their listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from clients.resilience.breaker import CircuitBreaker
from clients.resilience.breaker_config import (
    BreakerConfig,
    BreakerEvent,
    BreakerState,
    CallLater,
    ThresholdExceeded,
    Transition,
)
from clients.resilience.breaker_permit import BreakerRules
from clients.resilience.errors import CallNotPermitted
from clients.resilience.ports import MonotonicNs, RandomSource
from tests.support.clock import FakeClock

T = TypeVar("T")


class MiddleOfTheRoad(Random):
    """Randomness that always answers the middle: no jitter where it goes to both sides."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@dataclass
class Told:
    """What a listener was told."""

    events: list[BreakerEvent] = field(default_factory=list)

    def __call__(self, event: BreakerEvent) -> None:
        self.events.append(event)

    @property
    def transitions(self) -> list[Transition]:
        return [event for event in self.events if isinstance(event, Transition)]

    @property
    def thresholds(self) -> list[ThresholdExceeded]:
        return [event for event in self.events if isinstance(event, ThresholdExceeded)]

    @property
    def path(self) -> list[BreakerState]:
        """The states entered, in order."""
        return [event.state for event in self.transitions]


@dataclass
class Bench:
    """A breaker with its clock and its listener."""

    clock: FakeClock
    breaker: CircuitBreaker
    told: Told

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.acquire().failure()

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.acquire().success()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function under a permit, judged by the rules."""
        with self.breaker.acquire() as permit:
            result = function()
            permit.result(result)
        return result

    async def call_async(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await a function's result under a permit, judged by the rules."""
        async with self.breaker.acquire() as permit:
            result = await function()
            permit.result(result)
        return result

    def open(self) -> None:
        """Make it open by failing calls."""
        self.fail(self.breaker.config.calls_min)
        assert self.breaker.state is BreakerState.OPEN

    def half_open(self) -> None:
        """Make it half open, every probe's place free."""
        self.open()
        self.clock.advance(self.breaker.config.open_s)
        self.breaker.acquire().cancel()
        assert self.breaker.state is BreakerState.HALF_OPEN

    def admits(self) -> bool:
        """Return whether a call would be let out now; takes no place."""
        try:
            self.breaker.acquire().cancel()
        except CallNotPermitted:
            return False
        return True


def bench(
    *,
    random: RandomSource | None = None,
    rules: BreakerRules | None = None,
    call_later: CallLater | None = None,
    monotonic_ns: MonotonicNs | None = None,
    kind: type[CircuitBreaker] = CircuitBreaker,
    **config: Any,
) -> Bench:
    """Return a breaker: window and minimum 10 calls, open for 5 s without jitter, 3 probes, unless told otherwise."""
    clock = FakeClock()
    figures = {"window_calls": 10, "calls_min": 10, "open_jitter": 0.0, "probes": 3, **config}
    breaker = kind(
        "exchange/market",
        BreakerConfig(**figures),
        monotonic_ns=clock.monotonic_ns if monotonic_ns is None else monotonic_ns,
        random=MiddleOfTheRoad() if random is None else random,
        rules=rules,
        call_later=call_later,
    )
    told = Told()
    breaker.add_listener(told)
    return Bench(clock, breaker, told)

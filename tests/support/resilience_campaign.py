"""Open-loop load in virtual time: calls start when they are due, whatever became of the ones before."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from clients.resilience.breaker_config import BreakerState, Transition
from clients.resilience.call import Attempt, CallSpec
from clients.resilience.events import AttemptEnded, CallEnded, Event, RetryScheduled
from clients.resilience.executor import PolicyExecutor
from tests.support.resilience_calls import Upstream, outcome_of
from tests.support.virtual_time import VirtualLoop


@dataclass
class Campaign:
    """What happened: events in order, results with the time at which each call began."""

    loop: VirtualLoop
    events: list[tuple[int, Event]] = field(default_factory=list)
    results: list[tuple[float, float, str]] = field(default_factory=list)
    """Started and ended (seconds of the loop), what the caller saw."""

    def observe(self, event: Event) -> None:
        self.events.append((self.loop.monotonic_ns(), event))

    async def drive(
        self, executor: PolicyExecutor, upstream: Upstream, spec: CallSpec, *, every_s: float, seconds: float
    ) -> None:
        """Start a call every `every_s` for so long, and wait for all of them."""
        started = self.loop.time()
        tasks = []
        for number in range(round(seconds / every_s)):
            await asyncio.sleep(max(0.0, started + number * every_s - self.loop.time()))
            tasks.append(asyncio.ensure_future(self._call(executor, upstream, spec)))
        await asyncio.gather(*tasks)

    async def _call(self, executor: PolicyExecutor, upstream: Upstream, spec: CallSpec) -> None:
        async def attempt(made: Attempt) -> str:
            return await upstream(made)

        started = self.loop.time()
        result = await outcome_of(executor.call(spec, attempt))
        self.results.append((started, self.loop.time(), result))

    @property
    def seen(self) -> Counter[str]:
        """How often callers saw what."""
        return Counter(result for _, _, result in self.results)

    @property
    def transitions(self) -> list[Transition]:
        return [event for _, event in self.events if isinstance(event, Transition)]

    @property
    def retries(self) -> list[RetryScheduled]:
        return [event for _, event in self.events if isinstance(event, RetryScheduled) and event.reason is not None]

    @property
    def attempts(self) -> int:
        return sum(isinstance(event, AttemptEnded) for _, event in self.events)

    @property
    def calls(self) -> list[CallEnded]:
        return [event for _, event in self.events if isinstance(event, CallEnded)]

    def probes_per_half_open(self, requests_ns: Sequence[int]) -> list[int]:
        """Return for each HALF_OPEN how many requests reached the other side while it lasted."""
        found: list[int] = []
        since: int | None = None
        for at_ns, event in self.events:
            if isinstance(event, Transition):
                if since is not None:
                    found.append(bisect_left(requests_ns, at_ns + 1) - bisect_left(requests_ns, since))
                since = at_ns if event.state is BreakerState.HALF_OPEN else None
        return found

    def recovered_s(self, since_s: float) -> float:
        """Return how long after a moment the first call succeeded."""
        return min(ended for _, ended, result in self.results if result == "answer" and ended >= since_s) - since_s


def peak_to_mean(times_s: Sequence[float], *, bin_s: float = 0.1) -> float:
    """Return the largest number of moments in any bin, by the mean over the span from 0 to the last (at least one bin)."""
    ordered = sorted(times_s)
    peak = max(bisect_left(ordered, start + bin_s) - place for place, start in enumerate(ordered))
    return peak / (len(ordered) * bin_s / max(bin_s, ordered[-1] - ordered[0]))

"""Counts what the policies tell, per endpoint group, for health reports and metrics. Bounded however long it runs."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from clients.resilience.breaker_config import BreakerState, ThresholdExceeded, Transition
from clients.resilience.call import CallSpec
from clients.resilience.events import AttemptEnded, CallEnded, Event, Refused, RetryScheduled, Throttled
from clients.resilience.keyed import Keyed

DURATIONS_MAX: Final = 512
"""Percentiles are of the last so many attempts of a group: enough for a 99th, young enough to show how it is now."""

SUCCESS: Final = "success"
BUG: Final = "bug"
"""An attempt that raised what the classifier does not know."""
BREAKER_WAIT: Final = "breaker"


@dataclass(frozen=True)
class GroupFigures:
    """What happened to one `target/group` since the start. Keys of the mappings are from fixed sets."""

    name: str
    attempts: Mapping[str, int]
    """By outcome; SUCCESS and BUG beside the outcomes."""
    retries: Mapping[str, int]
    """By reason: an outcome, or BREAKER_WAIT."""
    refused: Mapping[str, int]
    """By the policy that refused."""
    calls: Mapping[str, int]
    """By how they ended."""
    transitions: Mapping[str, int]
    """State changes of the breaker, by the state entered."""
    throttled: int
    thresholds_exceeded: int
    breaker_state: BreakerState
    attempts_per_call: float
    """Mean over the calls of which anything was sent; 0 before the first."""
    duration_s: Mapping[str, float]
    """`p50`, `p90`, `p99`, `max` of the latest attempts; empty before the first."""


@dataclass
class _Group:
    attempts: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    thresholds_exceeded: int = 0
    calls_sent: int = 0
    breaker_state: BreakerState = BreakerState.CLOSED
    durations_s: deque[float] = field(default_factory=lambda: deque(maxlen=DURATIONS_MAX))


class CallTally:
    """An observer: give it to executors, and ask it for figures. Several executors may share one within an event loop."""

    def __init__(self) -> None:
        self._groups = Keyed("endpoint group", lambda name: _Group())

    def __call__(self, event: Event) -> None:
        match event:
            case Transition():
                group = self._groups.get(event.breaker)
                group.transitions[event.state] += 1
                group.breaker_state = event.state
            case ThresholdExceeded():
                self._groups.get(event.breaker).thresholds_exceeded += 1
            case AttemptEnded():
                group = self._of(event.spec)
                group.attempts[event.outcome or (SUCCESS if event.known else BUG)] += 1
                group.durations_s.append(event.duration_s)
            case RetryScheduled():
                self._of(event.spec).retries[event.reason or BREAKER_WAIT] += 1
            case Throttled():
                self._of(event.spec).throttled += 1
            case Refused():
                self._of(event.spec).refused[event.by] += 1
            case CallEnded():
                group = self._of(event.spec)
                group.calls[event.ended] += 1
                group.calls_sent += event.attempts > 0

    def figures(self) -> dict[str, GroupFigures]:
        """Return the figures of every group of which anything was heard, by name."""
        return {name: _figures(name, group) for name, group in sorted(self._groups.all().items())}

    def _of(self, spec: CallSpec) -> _Group:
        return self._groups.get(spec.target, spec.group)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _figures(name: str, group: _Group) -> GroupFigures:
    ordered = sorted(group.durations_s)
    sent = sum(group.attempts.values())
    return GroupFigures(
        name=name,
        attempts=dict(group.attempts),
        retries=dict(group.retries),
        refused=dict(group.refused),
        calls=dict(group.calls),
        transitions=dict(group.transitions),
        throttled=group.throttled,
        thresholds_exceeded=group.thresholds_exceeded,
        breaker_state=group.breaker_state,
        attempts_per_call=sent / group.calls_sent if group.calls_sent else 0.0,
        duration_s={
            "p50": percentile(ordered, 0.5),
            "p90": percentile(ordered, 0.9),
            "p99": percentile(ordered, 0.99),
            "max": ordered[-1],
        }
        if ordered
        else {},
    )

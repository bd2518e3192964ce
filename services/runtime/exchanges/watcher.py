"""Turn the policies' events into metrics, and into one line per endpoint group for the health report."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry

from clients.resilience.breaker_config import BreakerState, Transition
from clients.resilience.events import (
    AttemptEnded,
    CallEnded,
    CallRefused,
    Ended,
    Event,
    Refuser,
    RetryScheduled,
    Throttled,
)
from clients.resilience.keyed import Keyed
from clients.resilience.outcome import Outcome
from clients.resilience.ports import MonotonicNs
from services.runtime.figures import Figure

LATENCIES_KEPT: Final = 512
LATENCY_AGE_NS_MAX: Final = 300_000_000_000
GROUPS_MAX: Final = 128
BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_GROUP: Final = ("target", "group")
_SUCCESS: Final = "success"
_BREAKER: Final = "breaker"
_PREFIX: Final = "midstream_exchange"

ATTEMPTS: Final = Figure(
    f"{_PREFIX}_attempts_total", "counter", "Attempts by outcome", (*_GROUP, "operation", "outcome")
)
ATTEMPT_SECONDS: Final = Figure(
    f"{_PREFIX}_attempt_seconds", "histogram", "Duration of attempts", _GROUP, buckets=BUCKETS_S
)
CALLS: Final = Figure(f"{_PREFIX}_calls_total", "counter", "Calls by how they ended", (*_GROUP, "ended"))
CALL_ATTEMPTS: Final = Figure(
    f"{_PREFIX}_call_attempts", "histogram", "Attempts per call", _GROUP, buckets=(0, 1, 2, 3, 5, 8)
)
RETRIES: Final = Figure(f"{_PREFIX}_retries_total", "counter", "Repetitions by reason", (*_GROUP, "reason"))
THROTTLES: Final = Figure(f"{_PREFIX}_throttles_total", "counter", "Answers that say we ask too often", _GROUP)
REFUSALS: Final = Figure(f"{_PREFIX}_refusals_total", "counter", "Calls that a policy did not let out", (*_GROUP, "by"))
BREAKER_CHANGES: Final = Figure(
    f"{_PREFIX}_breaker_changes_total", "counter", "Changes of a breaker's state", (*_GROUP, "state")
)
BREAKER_STATE: Final = Figure(
    f"{_PREFIX}_breaker_state", "gauge", "1 for the state that a breaker is in", (*_GROUP, "state")
)
LIMITER_FILL: Final = Figure(f"{_PREFIX}_limiter_fill", "gauge", "Share of a limit in use", ("limit",))
CLOCK_OFFSET: Final = Figure(f"{_PREFIX}_clock_offset_seconds", "gauge", "Exchange clock minus ours", ("target",))
STREAM_AGE: Final = Figure(f"{_PREFIX}_stream_age_seconds", "gauge", "Age of the newest streamed message", ("target",))
EXCHANGE_FIGURES: Final = (
    ATTEMPTS, ATTEMPT_SECONDS, CALLS, CALL_ATTEMPTS, RETRIES, THROTTLES, REFUSALS, BREAKER_CHANGES, BREAKER_STATE,
    LIMITER_FILL, CLOCK_OFFSET, STREAM_AGE,
)  # fmt: skip
"""Of every server that talks to exchanges."""

OnAnswer = Callable[[str, str, bool, str], None]
"""Told of every attempt: the exchange, target and group in one word, whether it was answered, and what was tried."""


class ExchangeMetrics:
    """Prometheus metrics of exchange clients; labels are from fixed sets."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.attempts = ATTEMPTS.counter(registry)
        self.attempt_seconds = ATTEMPT_SECONDS.histogram(registry)
        self.calls = CALLS.counter(registry)
        self.call_attempts = CALL_ATTEMPTS.histogram(registry)
        self.retries = RETRIES.counter(registry)
        self.throttles = THROTTLES.counter(registry)
        self.refusals = REFUSALS.counter(registry)
        self.breaker_changes = BREAKER_CHANGES.counter(registry)
        self.breaker_state = BREAKER_STATE.gauge(registry)
        self.limiter_fill = LIMITER_FILL.gauge(registry)
        self.clock_offset_seconds = CLOCK_OFFSET.gauge(registry)
        self.stream_age_seconds = STREAM_AGE.gauge(registry)

    def begin(self, target: str, group: str, operations: Sequence[str] = ()) -> None:
        """Let the series of an endpoint group begin at 0: the first event of a series that is born with it is no increase."""
        for operation in operations:
            for outcome in (_SUCCESS, *Outcome):
                self.attempts.labels(target, group, operation, outcome)
        for ended in Ended:
            self.calls.labels(target, group, ended.value)
        for reason in (_BREAKER, *Outcome):
            self.retries.labels(target, group, reason)
        for refuser in Refuser:
            self.refusals.labels(target, group, refuser.value)
        for state in BreakerState:
            self.breaker_changes.labels(target, group, state.value)
            # Made with the first call, and closed until something happens.
            self.breaker_state.labels(target, group, state.value).set(state is BreakerState.CLOSED)
        self.throttles.labels(target, group)
        self.attempt_seconds.labels(target, group)
        self.call_attempts.labels(target, group)


@dataclass
class GroupStatus:
    """How one endpoint group is, as this process sees it; the fields are those of `midstream.health.v1.ExchangeHealth`."""

    target: str
    group: str
    reachable: bool | None = None
    """Whether the last attempt was answered; None before the first."""
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    breaker_state: str = ""
    limiter_fill: float = 0.0
    clock_offset_ms: float = 0.0
    clock_error_ms: float = 0.0
    stream_age_ms: int = -1
    last_error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class ExchangeWatcher:
    """Observes executors. Cheap per event: a counter, and a place in a ring of latencies."""

    def __init__(self, metrics: ExchangeMetrics, *, monotonic_ns: MonotonicNs) -> None:
        self._metrics = metrics
        self._monotonic_ns = monotonic_ns
        self._groups = Keyed("endpoint group", self._new_group, names_max=GROUPS_MAX)
        self._begun: set[tuple[str, str]] = set()
        self._latencies: dict[tuple[str, str], deque[tuple[int, float]]] = {}
        self._listeners: list[OnAnswer] = []

    def begin(self, target: str, group: str, operations: Sequence[str] = ()) -> None:
        """Let the figures of an endpoint group begin, before the first call."""
        self._begun.add((target, group))
        self._metrics.begin(target, group, operations)

    def listen(self, listener: OnAnswer) -> None:
        """Tell `listener` of every attempt from now on."""
        self._listeners.append(listener)

    def __call__(self, event: Event) -> None:
        match event:
            case AttemptEnded():
                self._attempt(event)
            case CallEnded():
                labels = (event.spec.target, event.spec.group)
                self._metrics.calls.labels(*labels, event.ended.value).inc()
                self._metrics.call_attempts.labels(*labels).observe(event.attempts)
                if event.ended is Ended.FAILED and event.text:
                    self.group(*labels).last_error = f"{event.spec.operation}: {event.text}"[:300]
            case RetryScheduled(spec=spec, reason=reason):
                name = _BREAKER if reason is None else reason.value
                self._metrics.retries.labels(spec.target, spec.group, name).inc()
            case Throttled(spec=spec):
                self._metrics.throttles.labels(spec.target, spec.group).inc()
            case CallRefused(spec=spec, by=by):
                self._metrics.refusals.labels(spec.target, spec.group, by.value).inc()
            case Transition():
                self._transition(event)

    def groups(self) -> list[GroupStatus]:
        """Return the groups seen so far, with their latencies of the last five minutes."""
        groups = list(self._groups.all().values())
        for group in groups:
            group.latency_p50_ms, group.latency_p99_ms = self._percentiles((group.target, group.group))
        return groups

    def groups_of(self, target: str) -> list[GroupStatus]:
        """Return the groups of a target and of its markets (`NAME`: also `NAME:MARKET`), without a look at latencies."""
        return [
            group
            for group in self._groups.all().values()
            if group.target == target or group.target.startswith(f"{target}:")
        ]

    def group(self, target: str, name: str) -> GroupStatus:
        """Return the status of a group, made when it is new."""
        return self._groups.get(target, name)

    def _attempt(self, event: AttemptEnded) -> None:
        key = (event.spec.target, event.spec.group)
        outcome = _SUCCESS if event.outcome is None else event.outcome.value
        self._metrics.attempts.labels(*key, event.spec.operation, outcome).inc()
        self._metrics.attempt_seconds.labels(*key).observe(event.duration_s)
        group = self.group(*key)
        answered = event.known and outcome not in ("unknown", "retryable", "maintenance")
        group.reachable = answered
        exchange = event.spec.target.partition(":")[0]
        for listener in self._listeners:
            listener(exchange, "/".join(key), answered, f"{event.spec.operation}: {outcome}")
        if answered:
            ring = self._latencies.setdefault(key, deque(maxlen=LATENCIES_KEPT))
            ring.append((self._monotonic_ns(), event.duration_s))

    def _transition(self, event: Transition) -> None:
        target, _, group = event.breaker.rpartition("/")
        self._metrics.breaker_changes.labels(target, group, event.state.value).inc()
        for state in BreakerState:
            self._metrics.breaker_state.labels(target, group, state.value).set(state is event.state)

    def _percentiles(self, key: tuple[str, str]) -> tuple[float, float]:
        oldest_ns = self._monotonic_ns() - LATENCY_AGE_NS_MAX
        values = sorted(seconds for at_ns, seconds in self._latencies.get(key, ()) if at_ns >= oldest_ns)
        if not values:
            return 0.0, 0.0
        return values[len(values) // 2] * 1e3, values[min(len(values) - 1, len(values) * 99 // 100)] * 1e3

    def _new_group(self, name: str) -> GroupStatus:
        target, _, group = name.rpartition("/")
        if (target, group) not in self._begun:
            # Of an exchange that does not say what it may be asked.
            self.begin(target, group)
        return GroupStatus(target, group)

"""What becomes of the policies' events: metrics and lines of the health report."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from clients.exchanges.names import EXCHANGES
from clients.exchanges.registry import endpoints
from clients.resilience.breaker_config import BreakerState, Cause, Transition
from clients.resilience.call import CallSpec
from clients.resilience.events import AttemptEnded, CallEnded, CallRefused, Ended, Refuser, RetryScheduled, Throttled
from clients.resilience.outcome import Outcome
from services.runtime.exchanges.watcher import GROUPS_MAX, LATENCY_AGE_NS_MAX, ExchangeMetrics, ExchangeWatcher

pytestmark = pytest.mark.quick

SPEC = CallSpec("binance:spot", "market", "get_quote")


class Watched:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.now_ns = 0
        self.watcher = ExchangeWatcher(ExchangeMetrics(self.registry), monotonic_ns=lambda: self.now_ns)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"target": "binance:spot", "group": "market", **labels})


def test_attempts_are_counted_by_outcome_and_their_latency_is_kept() -> None:
    at = Watched()
    for milliseconds in range(1, 101):
        at.watcher(AttemptEnded(SPEC, 1, milliseconds / 1e3, None))
    at.watcher(AttemptEnded(SPEC, 2, 9.0, Outcome.UNKNOWN))

    (group,) = at.watcher.groups()

    assert at.value("midstream_exchange_attempts_total", operation="get_quote", outcome="success") == 100
    assert at.value("midstream_exchange_attempts_total", operation="get_quote", outcome="unknown") == 1
    assert (group.latency_p50_ms, group.latency_p99_ms) == (pytest.approx(51), pytest.approx(100))
    assert group.reachable is False


def test_a_refused_request_shows_that_the_exchange_is_reachable() -> None:
    at = Watched()

    at.watcher(AttemptEnded(SPEC, 1, 0.1, Outcome.REJECTED))

    assert at.watcher.groups()[0].reachable is True


def test_latencies_are_forgotten_after_five_minutes() -> None:
    at = Watched()
    at.watcher(AttemptEnded(SPEC, 1, 0.5, None))
    at.now_ns = LATENCY_AGE_NS_MAX + 1
    at.watcher(AttemptEnded(SPEC, 1, 0.1, None))

    assert at.watcher.groups()[0].latency_p99_ms == pytest.approx(100)


def test_every_kind_of_event_has_its_metric() -> None:
    at = Watched()
    at.watcher(RetryScheduled(SPEC, Outcome.THROTTLED, 1.0))
    at.watcher(RetryScheduled(SPEC, None, 1.0))
    at.watcher(Throttled(SPEC, None))
    at.watcher(CallRefused(SPEC, Refuser.LIMITER, None))
    at.watcher(CallEnded(SPEC, Ended.FAILED, 3, 1.0, text="3 attempts in 1.0 s"))
    at.watcher(Transition("binance:spot/market", BreakerState.CLOSED, BreakerState.OPEN, Cause.FAILURES, 5.0))

    assert at.value("midstream_exchange_retries_total", reason="throttled") == 1
    assert at.value("midstream_exchange_retries_total", reason="breaker") == 1
    assert at.value("midstream_exchange_throttles_total") == 1
    assert at.value("midstream_exchange_refusals_total", by="limiter") == 1
    assert at.value("midstream_exchange_calls_total", ended="failed") == 1
    assert at.value("midstream_exchange_call_attempts_sum") == 3
    assert at.value("midstream_exchange_breaker_changes_total", state="open") == 1
    assert at.value("midstream_exchange_breaker_state", state="open") == 1
    assert at.value("midstream_exchange_breaker_state", state="closed") == 0
    assert at.watcher.groups()[0].last_error == "get_quote: 3 attempts in 1.0 s"


def test_the_number_of_groups_is_bounded() -> None:
    at = Watched()
    for number in range(GROUPS_MAX):
        at.watcher.group("binance:spot", f"group{number}")

    with pytest.raises(ValueError, match="fixed set"):
        at.watcher.group("binance:spot", "one-more")


def test_the_series_of_an_endpoint_group_are_there_before_its_first_call() -> None:
    at = Watched()
    at.watcher.begin("binance:spot", "market", ("get_quote",))
    before = {sample_key(sample) for metric in at.registry.collect() for sample in metric.samples}

    assert at.value("midstream_exchange_attempts_total", operation="get_quote", outcome="auth") == 0
    assert at.value("midstream_exchange_throttles_total") == 0
    assert at.value("midstream_exchange_breaker_state", state="closed") == 1
    for outcome in (None, *Outcome):
        at.watcher(AttemptEnded(SPEC, 1, 0.1, outcome))
        at.watcher(RetryScheduled(SPEC, outcome, 1.0))
    for refuser in Refuser:
        at.watcher(CallRefused(SPEC, refuser, None))
    for ended in Ended:
        at.watcher(CallEnded(SPEC, ended, 1, 1.0, text=""))
    for state in BreakerState:
        at.watcher(Transition("binance:spot/market", BreakerState.CLOSED, state, Cause.BY_HAND, 0.0))
    at.watcher(Throttled(SPEC, None))

    # Nothing that can happen makes a series of its own.
    assert {sample_key(sample) for metric in at.registry.collect() for sample in metric.samples} == before


def sample_key(sample: Sample) -> tuple[str, ...]:
    return (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_exchange_says_what_it_may_be_asked(name: str) -> None:
    groups = {(target, group) for target, group, _ in endpoints(name).known(trading=True)}

    assert groups > {(target, group) for target, group, _ in endpoints(name).known(trading=False)}
    assert {group for _, group in groups} >= {"market", "orders", "account"}
    assert all(operations for _, _, operations in endpoints(name).known(trading=True))

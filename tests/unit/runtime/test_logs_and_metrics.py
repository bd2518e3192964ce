"""Repeated log lines are counted; metrics have fixed names."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.cli.metrics_catalogue import LIBRARY_FIGURES, catalogue
from services.power.figures import DEAL_FIGURES
from services.price.metrics import PRICE_FIGURES
from services.replay.metrics import REPLAY_FIGURES
from services.runtime.figures import Figure
from services.runtime.logs import LogLimit
from services.runtime.metrics import Metrics
from tests.support.clock import FakeClock


def test_log_limit_passes_one_per_interval_and_counts_the_rest() -> None:
    clock = FakeClock()
    limit = LogLimit(10.0, clock=clock)

    assert [limit.passes() for _ in range(3)] == [0, None, None]
    clock.advance(10.0)
    assert limit.passes() == 2
    limit.over()
    assert [limit.passes() for _ in range(2)] == [0, None]


def test_figures_have_full_names_with_units() -> None:
    library = {figure.name for figure in LIBRARY_FIGURES}

    for series in catalogue():
        assert series.name.startswith(("midstream_", "grpc_server_")) or series.name in library
        assert series.name.endswith("_total") == (series.kind == "counter"), series.name
        assert series.help


def test_reported_counters_go_on_when_an_engine_starts_again_at_zero() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.declare((*REPLAY_FIGURES, *PRICE_FIGURES))

    metrics.take({"midstream_queue_entries_total": 5, "midstream_lag_seconds": 1.5}, origin="1")
    metrics.take({"midstream_queue_entries_total": 7, "midstream_lag_seconds": 0.5}, origin="1")
    metrics.take({"midstream_queue_entries_total": 2}, origin="2")
    metrics.take({"midstream_queue_entries_total": 3}, origin="2")

    assert registry.get_sample_value("midstream_queue_entries_total") == 10
    assert registry.get_sample_value("midstream_lag_seconds") == 0.5


def test_unknown_figures_create_no_series(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    metrics.declare(PRICE_FIGURES)
    before = {metric.name: metric.samples for metric in registry.collect()}

    metrics.take({"midstream_surprise": 1, "midstream_lag_records": "many"}, origin="1")

    assert {metric.name: metric.samples for metric in registry.collect()} == before
    assert caplog.text.count("figure ignored") == 2


def test_what_is_declared_begins_at_zero_unless_nobody_knows_it() -> None:
    registry = CollectorRegistry()
    Metrics(registry).declare((*REPLAY_FIGURES, *DEAL_FIGURES))

    for figure in (*REPLAY_FIGURES, *DEAL_FIGURES):
        name = figure.name + ("_count" if figure.kind == "histogram" else "")
        assert registry.get_sample_value(name) == (0.0 if figure.born else None), figure.name
        assert figure.born or figure.kind == "gauge"


def test_a_gauge_that_an_engine_does_not_know_any_more_has_no_series() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.declare(REPLAY_FIGURES)

    metrics.take({"midstream_pacing_late_p99_seconds": 0.25}, origin="1")
    assert registry.get_sample_value("midstream_pacing_late_p99_seconds") == 0.25
    metrics.take({"midstream_pacing_late_p99_seconds": None}, origin="1")

    assert registry.get_sample_value("midstream_pacing_late_p99_seconds") is None


def test_a_histogram_that_engines_count_goes_on_over_a_restart() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.declare([Figure("midstream_waits_seconds", "histogram", "Waits", (), (0.1, 1.0), reported=True)])

    for counts, origin in (([1, 2, 3, 4.5], "1"), ([1, 3, 4, 5.0], "1"), ([0, 1, 1, 0.7], "2"), (7, "2")):
        metrics.take({"midstream_waits_seconds": counts}, origin=origin)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"midstream_waits_seconds_{name}", labels)

    assert [value("bucket", le=le) for le in ("0.1", "1.0", "+Inf")] == [1, 4, 5]
    assert (value("count"), value("sum")) == (5, 5.7)


def test_declared_figures_are_known_and_declaring_them_again_changes_nothing() -> None:
    metrics = Metrics(CollectorRegistry())
    with pytest.raises(KeyError):
        metrics.add("midstream_deals_total")

    metrics.declare(DEAL_FIGURES)
    metrics.add("midstream_deals_total", 2)
    metrics.declare(DEAL_FIGURES)
    metrics.add("midstream_deals_total")

    assert metrics.registry.get_sample_value("midstream_deals_total") == 3


def test_a_name_is_declared_for_one_thing_only() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.declare(DEAL_FIGURES)

    with pytest.raises(ValueError, match="midstream_deals_waiting"):
        metrics.declare([Figure("midstream_deals_waiting", "counter", "Something else")])

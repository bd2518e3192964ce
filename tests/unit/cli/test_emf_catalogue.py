"""What goes to CloudWatch is there, under labels that it has."""

from __future__ import annotations

from services.cli.emf_catalogue import emf_catalogue
from services.cli.metrics_catalogue import catalogue
from services.runtime.emf_choice import CHOSEN


def test_everything_chosen_is_a_figure_with_these_labels() -> None:
    known = {series.name: series for series in catalogue()}

    assert set(CHOSEN) <= set(known)
    for name, chosen in CHOSEN.items():
        assert set(chosen.labels) <= set(known[name].labels), name


def test_a_metric_is_named_with_all_of_its_dimensions_and_whoever_sends_it() -> None:
    found = {metric.name: metric for metric in emf_catalogue()}

    assert set(found) == set(CHOSEN)
    halted = found["midstream_orders_halted_total"]
    assert (halted.unit, halted.dimensions, halted.servers) == ("Count", ("stage", "server", "exchange"), ("orders",))
    assert found["midstream_serving"].dimensions == ("stage", "server")
    assert all(len(metric.dimensions) <= 5 for metric in found.values())

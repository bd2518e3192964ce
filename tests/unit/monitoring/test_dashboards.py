"""Dashboards are dashboards: queries over what exists, units, thresholds, sentences, no address of somebody's Grafana."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.metrics_catalogue import catalogue
from tests.support.dashboards import DASHBOARDS, Asked, panels, queries, read_dashboard
from tests.support.rules import MONITORING, alerts, all_rules, grouped_labels, selectors

RECORDED = {rule.name: grouped_labels(rule.expr) for rule in all_rules() if not rule.alerting}
KNOWN = {sample: {*series.labels} for series in catalogue() for sample in series.samples}
OF_TARGETS = {"job", "instance", "server"}
OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity", "team"}}
LABELS = KNOWN | RECORDED | OF_PROMETHEUS
NAMES = {
    "exchanges", "orders", "power-desk", "queue", "replay-fidelity", "service-overview",
}  # fmt: skip
COLUMNS = 24


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_is_a_dashboard_for_every_part() -> None:
    assert {each.stem for each in DASHBOARDS} == NAMES


@pytest.mark.parametrize("asked", [pytest.param(each, id=f"{each.title} {each.legend}") for each in queries()])
def test_a_query_is_promql_over_metrics_and_labels_that_exist(asked: Asked) -> None:
    read = selectors(asked.expr)

    for selected in read:
        assert selected.metric in LABELS, selected.metric
        assert {label for label, _, _ in selected.matchers} <= LABELS[selected.metric] | OF_TARGETS, selected
    known = set().union(*(LABELS[selected.metric] for selected in read)) | OF_TARGETS
    named = set(re.findall(r"\{\{(\w+)\}\}", asked.legend))
    assert named <= known
    # What an aggregation takes away cannot be in a name.
    if re.match(r"(sum|max|min|count)\b", asked.expr):
        assert named <= grouped_labels(asked.expr), asked.legend


def test_no_query_draws_series_without_a_bound() -> None:
    """Labels that others choose (groups, methods, routes, reasons) are cut; the rest is servers, exchanges and fixed sets."""
    open_ended = {"group", "session", "route", "grpc_method"}
    for asked in queries():
        named = set(re.findall(r"\{\{(\w+)\}\}", asked.legend)) & open_ended
        of_exchanges = "midstream_exchange" in asked.expr
        assert not named or of_exchanges or asked.expr.startswith("topk("), asked
        assert "_bucket" not in asked.expr.replace("histogram_quantile", "") or "histogram_quantile" in asked.expr


def test_a_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"]
        assert defaults["noValue"]
        assert panel["maxDataPoints"] <= 1000
        assert defaults["thresholds"]["steps"][0]["value"] is None
        assert 1 <= len(panel["targets"]) <= 8


def test_a_panel_leads_to_runbooks_that_exist(path: Path) -> None:
    names = {rule.name for rule in alerts()}
    for panel in panels(path):
        for sentence in re.findall(r"Runbooks?: ([\w, ]+)\.", panel["description"]):
            assert set(sentence.split(", ")) <= names, sentence


def test_steps_of_thresholds_rise(path: Path) -> None:
    for panel in panels(path):
        values = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]
        assert values == sorted(values), panel["title"]


def test_ids_and_places_are_there_once(path: Path) -> None:
    every = read_dashboard(path)["panels"]

    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations(every, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS for panel in every)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_the_source_of_data_is_a_variable_everywhere(path: Path) -> None:
    def sources(node: Any) -> list[Any]:
        below = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        own = [node["datasource"]] if isinstance(node, dict) and "datasource" in node else []
        return own + [found for each in below for found in sources(each)]

    found = sources(read_dashboard(path))

    assert found
    assert all(each == {"type": "prometheus", "uid": "${datasource}"} for each in found)
    variables = read_dashboard(path)["templating"]["list"]
    assert variables[0]["name"] == "datasource"
    assert variables[0]["type"] == "datasource"


def test_every_dashboard_has_an_address_of_its_own_and_leads_to_the_others() -> None:
    read = [read_dashboard(each) for each in DASHBOARDS]

    assert sorted(each["uid"] for each in read) == sorted(f"midstream-{name}" for name in NAMES)
    assert all(each["tags"] == ["midstream"] and each["links"][0]["tags"] == ["midstream"] for each in read)


def test_every_figure_of_a_server_is_drawn_or_watched() -> None:
    """Whoever adds a figure says where it is looked at, or here why nobody does."""
    seen = {selected.family for asked in queries() for selected in selectors(asked.expr)}
    seen |= {selected.family for rule in all_rules() for selected in selectors(rule.expr)}
    own = {series.name for series in catalogue() if series.name.startswith("midstream_")}

    assert own - seen == {
        # Totals beside a rate that is drawn.
        "midstream_deals_total",
        "midstream_reporting_deals_total",
        "midstream_orders_events_total",
        # Drawn as states, durations and refusals.
        "midstream_exchange_breaker_changes_total",
        "midstream_exchange_call_attempts",
        # For who compares two servers by hand.
        "midstream_replay_revision",
        "midstream_reporting_spooled_messages",
        "midstream_health_check_age_seconds",
        "midstream_session_report_age_seconds",
    }


def test_grafana_finds_prometheus_and_the_folder() -> None:
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "midstream.yml").read_text())["providers"]
    scrape = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["global"]["scrape_interval"]

    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scrape
    assert provider["options"]["path"] in (MONITORING.parents[1] / "docs" / "monitoring.md").read_text()

"""Rules of deploy/monitoring: PromQL that type-checks, over metrics and labels that exist, with what somebody who is paged needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from clients.resilience.breaker_config import BreakerState
from clients.resilience.outcome import Outcome
from services.cli.metrics_catalogue import catalogue
from services.cli.servers import SERVERS
from services.orders.engine.outcomes import Fate
from services.orders.errors import Reason
from services.reporting.engine.alerts import AlertKind
from tests.support.rules import RULE_FILES, Rule, alerts, all_rules, grouped_labels, selectors

RULES = all_rules()
RECORDED = {rule.name: grouped_labels(rule.expr) for rule in RULES if not rule.alerting}
KNOWN = {sample: {*series.labels} for series in catalogue() for sample in series.samples}
# What Prometheus adds to every series of ours, from targets and by itself.
OF_TARGETS = {"job", "instance", "server"}
OF_PROMETHEUS = {
    "up": OF_TARGETS,
    "prometheus_notifications_dropped_total": OF_TARGETS,
    "prometheus_rule_evaluation_failures_total": {*OF_TARGETS, "rule_group"},
}
# Every value that a label can have, where an expression waits for certain ones.
VALUES = {
    "state": set(BreakerState),
    "outcome": {*Outcome, "accepted", *(fate.name.lower() for fate in Fate)},
    "result": {"ok", "failed"},
    "kind": {"position", *AlertKind},
    "reason": set(Reason),
    "server": set(SERVERS),
    "job": {"midstream", "prometheus", "alertmanager"},
    "grpc_type": {"unary", "server_stream"},
    "grpc_code": {"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"},
    "check": {"redis", "exchanges", "exposure", "feed", "queue", *SERVERS},
    "status": {"5.."},
}


def named(rules: Sequence[Rule]) -> list[object]:
    return [pytest.param(rule, id=rule.name) for rule in rules]


@pytest.mark.parametrize("rule", named(RULES))
def test_a_rule_is_promql_over_metrics_and_labels_that_exist(rule: Rule) -> None:
    read = selectors(rule.expr)

    assert read
    labels = set()
    for selected in read:
        own = KNOWN.get(selected.metric) or RECORDED.get(selected.metric) or OF_PROMETHEUS.get(selected.metric)
        assert own is not None or selected.metric in KNOWN, selected.metric
        known = {*(own or ()), *OF_TARGETS, *({"le"} if selected.metric.endswith("_bucket") else ())}
        assert {label for label, _, _ in selected.matchers} <= known, selected
        labels |= known
    assert grouped_labels(rule.expr) <= labels


@pytest.mark.parametrize("rule", named(RULES))
def test_a_value_that_a_rule_waits_for_can_occur(rule: Rule) -> None:
    for selected in selectors(rule.expr):
        for label, _, value in selected.matchers:
            assert set(value.split("|")) <= VALUES[label], (label, value)


@pytest.mark.parametrize("rule", named(alerts()))
def test_an_alert_says_how_bad_it_is_whose_it_is_and_what_to_do(rule: Rule) -> None:
    assert set(rule.labels) == {"severity", "team"}
    assert rule.labels["severity"] in ("page", "ticket")
    assert rule.labels["team"] in ("ops", "desk")
    assert set(rule.annotations) == {"summary", "description", "runbook_url"}
    assert rule.annotations["runbook_url"] == f"docs/monitoring.md#{rule.name.lower()}"
    assert rule.annotations["description"].endswith(".")
    assert not rule.annotations["summary"].endswith(".")


@pytest.mark.parametrize("rule", named(alerts()))
def test_a_message_names_labels_that_the_alert_has(rule: Rule) -> None:
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule.annotations.values())))
    read = selectors(rule.expr)
    # An aggregation leaves those that it groups by; without one all are there.
    left = grouped_labels(rule.expr) if re.search(r"\b(sum|max|count|min) *(by|\()", rule.expr) else set()
    for selected in read:
        if selected.metric in RECORDED:
            left |= RECORDED[selected.metric]
        elif not re.search(r"\b(sum|max|count|min) *(by|\()", rule.expr):
            left |= {*KNOWN.get(selected.metric, OF_PROMETHEUS.get(selected.metric, set())), *OF_TARGETS}

    assert used <= left


def test_names_of_rules_are_there_once() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_what_is_recorded_says_its_level_metric_and_operations() -> None:
    assert [
        name for name in RECORDED if not re.fullmatch(r"[a-z_]+:[a-z0-9_]+:(ratio_)?(rate\d+[mh]|p\d\d)", name)
    ] == []


def test_every_server_with_figures_of_its_own_has_an_alert_about_them() -> None:
    """Those that every server has (up, serving, certificates) count for nobody in particular."""
    everywhere = max(len(series.servers) for series in catalogue())
    own = {series.name: series.servers for series in catalogue() if len(series.servers) < everywhere}
    watched = {
        server
        for rule in RULES
        for selected in selectors(rule.expr)
        for server in own.get(selected.metric, own.get(selected.family, ()))
    }

    assert watched >= {series for servers in own.values() for series in servers} - {"control"}


@pytest.mark.parametrize(
    "expr",
    [
        pytest.param("rate(midstream_orders_halted_total)", id="no range"),
        pytest.param("sum by (exchange (midstream_orders_open)", id="a parenthesis"),
        pytest.param("midstream_orders_open > ", id="half"),
        pytest.param("histogram_quantile(midstream_orders_ack_seconds_bucket)", id="arguments"),
    ],
)
def test_what_is_no_promql_is_refused(expr: str) -> None:
    with pytest.raises(ValueError):
        selectors(expr)


def test_selectors_and_groups_are_found_wherever_they_stand() -> None:
    expr = (
        'sum by (a) (rate(x{b="1"}[5m])) > 2 unless on (c) -max_over_time(y{d!~"e|f"}[1h:5m]) * on (g) group_left (h) z'
    )

    assert [selected.metric for selected in selectors(expr)] == ["x", "y", "z"]
    assert selectors(expr)[1].matchers == (("d", "NotRe", "e|f"),)
    assert grouped_labels(expr) == {"a", "c", "g", "h"}


def test_no_file_of_rules_is_too_long_to_read() -> None:
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 250 for path in RULE_FILES)

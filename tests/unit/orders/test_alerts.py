"""The alerts of the operating page fire on the first event, and on nothing else: asked of promtool where it is installed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.orders.metrics import OrdersMetrics
from tests.support.missing_tools import tool
from tests.support.pages import ROOT

PAGE = (ROOT / "docs" / "operating_orders.md").read_text(encoding="utf-8")
RULES = PAGE.split("```yaml\n")[1].split("```")[0]
ALERTS = re.findall(r"- alert: (\w+)", RULES)
STEP_S = 15
# Series by alert, as promtool writes them: at rest for a minute, then one event or a lasting state.
ONCE, STATE = "0x4 1x40", "0x4 1x40"
SERIES: dict[str, dict[str, str]] = {
    "OrdersUnknownTooLong": {'midstream_orders_unknown_age_seconds{exchange="binance"}': "0x4 100x40"},
    "OrderCameBack": {'midstream_orders_returned_total{exchange="binance"}': ONCE},
    "OrderHalted": {'midstream_orders_halted_total{exchange="binance"}': ONCE},
    "JournalUnavailable": {"midstream_orders_journal_trouble": STATE},
    "KillSwitchEngaged": {"midstream_orders_kill_switch": STATE},
    "DeadManNotRefreshed": {
        'midstream_orders_dead_man_refreshes_total{exchange="binance",result="failed"}': "0x4 3x40"
    },
    "ExchangeBlocked": {
        'midstream_orders_blocked{exchange="binance"}': STATE,
        "midstream_orders_kill_switch": "0x44",
    },
    "ReconciliationFails": {'midstream_orders_reconciliations_total{exchange="binance",result="failed"}': "0x4 4x40"},
    "PositionsDiffer": {'midstream_orders_reconciliation_differences_total{exchange="binance",kind="position"}': ONCE},
    "StrangersOrders": {'midstream_orders_external_total{exchange="binance"}': ONCE},
    "BreakerOpen": {'midstream_exchange_breaker_state{target="binance",group="orders",state="open"}': STATE},
    "ExchangeThrottles": {'midstream_exchange_throttles_total{target="binance:spot",group="orders"}': ONCE},
    "LimitNearlyUsed": {'midstream_exchange_limiter_fill{limit="binance:spot:weight-1m"}': "0x4 0.95x40"},
    "ClockSkew": {'midstream_exchange_clock_offset_seconds{target="binance"}': "0x4 -2x40"},
    "ClockRefused": {'midstream_exchange_attempts_total{target="binance",outcome="clock"}': "0x4 4x40"},
    "KeyRefused": {'midstream_exchange_attempts_total{target="binance",outcome="auth"}': ONCE},
    "SlowAcknowledgements": {
        'midstream_orders_ack_seconds_bucket{exchange="binance",le="2.5"}': "0+0x44",
        'midstream_orders_ack_seconds_bucket{exchange="binance",le="5"}': "0+1x44",
        'midstream_orders_ack_seconds_bucket{exchange="binance",le="+Inf"}': "0+1x44",
    },
}
COUNTED = re.compile(r"increase\((midstream_orders_\w+)(?:\{(\w+)=\"(\w+)\"\})?\[")


def test_every_alert_of_the_page_has_its_series_here() -> None:
    assert list(SERIES) == ALERTS


@pytest.mark.parametrize("name", [found[0] for found in COUNTED.findall(RULES)])
def test_what_an_alert_counts_begins_at_zero(name: str) -> None:
    """A series that is born with its first event has no increase: the alert would stay silent about exactly that one."""
    registry = CollectorRegistry()
    OrdersMetrics(registry).begin("binance")
    (wanted,) = [(label, value) for found, label, value in COUNTED.findall(RULES) if found == name]

    samples = [sample for metric in registry.collect() for sample in metric.samples if sample.name == name]

    label, value = wanted
    watched = [sample for sample in samples if not label or sample.labels[label] == value]
    assert [(sample.labels["exchange"], sample.value) for sample in watched] == [("binance", 0.0)]


@pytest.mark.needs("promtool")
def test_the_rules_are_rules(tmp_path: Path) -> None:
    done = _promtool(tmp_path, "check", "rules", "rules.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("alert", SERIES)
def test_an_alert_fires_when_it_should_and_not_before(alert: str, tmp_path: Path) -> None:
    calm = 0 if alert == "SlowAcknowledgements" else 3 * STEP_S
    # The longest `for` of the page is five minutes.
    test: dict[str, Any] = {
        "interval": f"{STEP_S}s",
        "input_series": [{"series": name, "values": values} for name, values in SERIES[alert].items()],
        "alert_rule_test": [{"eval_time": f"{calm}s", "alertname": alert, "exp_alerts": []}],
    }
    quiet = _test(tmp_path, test)
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr

    # What stays true fires in the end; an increase shows while it is in the window.
    fired = []
    for seconds in (90, 120, 240, 540):
        test["alert_rule_test"] = [{"eval_time": f"{seconds}s", "alertname": alert, "exp_alerts": []}]
        fired.append(_test(tmp_path, test).returncode != 0)
    assert any(fired), f"{alert} never fires"


@pytest.mark.needs("promtool")
def test_a_counter_that_is_born_with_its_event_would_be_missed(tmp_path: Path) -> None:
    """Why counters begin at 0."""
    series = {"series": 'midstream_orders_halted_total{exchange="binance"}', "values": "_x4 1x40"}
    silent = [{"eval_time": f"{seconds}s", "alertname": "OrderHalted", "exp_alerts": []} for seconds in (90, 240, 540)]

    done = _test(tmp_path, {"interval": f"{STEP_S}s", "input_series": [series], "alert_rule_test": silent})

    assert done.returncode == 0, done.stdout + done.stderr


def _test(folder: Path, test: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    # JSON is YAML.
    document = {"rule_files": ["rules.yml"], "evaluation_interval": f"{STEP_S}s", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(document), encoding="utf-8")
    return _promtool(folder, "test", "rules", "test.yml")


def _promtool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = tool("promtool")
    assert program is not None
    (folder / "rules.yml").write_text(RULES, encoding="utf-8")
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False)

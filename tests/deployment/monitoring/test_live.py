"""Every rule and every panel, asked of a Prometheus that scrapes servers which really run.

There is no Grafana to draw with on a machine of ours, so what a panel asks is evaluated instead.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import PATIENCE_S
from tests.support.dashboards import Asked, queries
from tests.support.healthy_day import STEP_MINUTES, STEPS, series_of_a_day
from tests.support.missing_tools import tool
from tests.support.monitored import MONITORED, Monitored, monitored
from tests.support.ports import free_port
from tests.support.promtool import rule_test, run_tool
from tests.support.rules import MONITORING, RULE_FILES, Rule, alerts, all_rules, selectors
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("promtool"), pytest.mark.timeout(400)]

FIRST_EVENT = re.compile(r"increase\(.*\) > 0$")
SERIES_MAX = 100
"""Of one query, on servers that trade at two exchanges; a panel with more is unreadable, whatever it is about."""
OF_A_BUSY_MACHINE = {
    "ReplayLate", "RpcSlow", "RestSlow", "ExchangeSlow", "SlowAcknowledgements", "CommitsSlow", "DealsCommittedLate", "FiguresLate",
}  # fmt: skip
"""What fires where a test has less of a machine than it needs; cases of their own play them."""
QUIET_PANELS = {
    "exchanges: Age of the newest streamed message": "nobody asked for a stream",
    "exchanges: Calls that were not let out": "nothing is refused",
    "exchanges: Outcomes": "every attempt succeeds",
    "exchanges: Repetitions": "nothing is repeated",
    "orders: Denied before the wire": "nothing is denied",
    "orders: Differences found by comparing": "books agree",
    "orders: Time to proof": "no outcome was unknown",
    "queue: Bytes subscribers are behind": "nobody subscribed",
    "queue: Data time subscribers are behind": "nobody subscribed",
    "queue: Subscribers behind": "nobody subscribed",
    "replay-fidelity: Connected": "the session is historical",
    "service-overview: Calls by code": "every call is OK",
    "service-overview: Certificate ends in": "no TLS",
    "service-overview: Errors by method": "no call fails",
    "service-overview: Errors by route": "no request fails",
}
"""What has nothing to draw in a quiet and healthy system, and why."""


@dataclass(frozen=True)
class Watched:
    """Servers, and the Prometheus that watches them."""

    servers: Monitored
    url: str
    since: float
    """When they were all there, in seconds of Unix time."""

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what Prometheus's API answers; fails where it does not succeed."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        found: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return found

    def drawn(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that a panel draws of an expression: those since the beginning, as rates of what is over have no value now."""
        found: list[dict[str, Any]] = self.ask(
            "query_range", query=expr, start=f"{self.since:.3f}", end=f"{time.time():.3f}", step="1"
        )["result"]
        return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Every server, scraped each second by the shipped configuration, until rates have something to go by."""
    folder = tmp_path_factory.mktemp("monitoring")
    with monitored(folder / "out") as servers:
        port = free_port()
        config = _configuration(folder / "config", servers, port)
        program = tool("prometheus")
        assert program is not None
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
            try:
                found = Watched(servers, f"http://127.0.0.1:{port}", time.time())
                # Only what happens between two scrapes is a rate.
                wait_until(lambda: _is_scraped(found), timeout_s=PATIENCE_S, what="a scrape of every server")
                servers.create_session()
                servers.trade()
                wait_until(lambda: _has_rates(found), timeout_s=PATIENCE_S, what="two evaluations of every rule")
                yield found
            finally:
                process.terminate()
                process.wait(timeout=PATIENCE_S)


def _configuration(folder: Path, servers: Monitored, port: int) -> Path:
    """Return the shipped configuration, with these ports and less patience."""
    shutil.copytree(MONITORING, folder, ignore=shutil.ignore_patterns("targets", "alertmanagers"))
    (folder / "targets").mkdir()
    groups = [
        {"targets": [f"127.0.0.1:{servers.metrics_ports[name]}"], "labels": {"server": name}} for name in MONITORED
    ]
    (folder / "targets" / "these.yml").write_text(yaml.safe_dump(groups), encoding="utf-8")
    config = folder / "prometheus.yml"
    text = config.read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:9090", f"127.0.0.1:{port}").replace("scrape_timeout: 10s", "scrape_timeout: 1s")
    config.write_text(text.replace("_interval: 15s", "_interval: 1s"), encoding="utf-8")
    for path in (folder / "rules").glob("*.yml"):
        path.write_text(
            path.read_text(encoding="utf-8")
            .replace("interval: 15s", "interval: 1s")
            .replace("interval: 30s", "interval: 1s")
        )
    return config


def _is_scraped(watched: Watched) -> bool:
    try:
        up = watched.query('sum(up{job="midstream"})')
    except OSError:
        return False
    return bool(up) and float(up[0]["value"][1]) == len(MONITORED)


def _has_rates(watched: Watched) -> bool:
    awaited = (
        "exchange:midstream_orders_success:ratio_rate5m",
        "target_group:midstream_exchange_failures:ratio_rate5m",
    )
    rules = watched.query("server:grpc_success:ratio_rate1h")
    priced = watched.query("max(midstream_reporting_price_age_seconds)")
    return len(rules) == len(MONITORED) and bool(priced) and all(watched.query(name) for name in awaited)


def test_every_target_is_up(watched: Watched) -> None:
    targets = watched.ask("targets", state="active")["activeTargets"]

    assert {each["labels"].get("server") for each in targets} == {*MONITORED, None}
    assert [each["lastError"] for each in targets if each["lastError"]] == []


def test_every_rule_is_evaluated_without_an_error(watched: Watched) -> None:
    groups = watched.ask("rules")["groups"]

    assert sum(len(group["rules"]) for group in groups) == len(all_rules())
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def test_nothing_is_wrong_with_healthy_servers(watched: Watched) -> None:
    raised = {each["labels"]["alertname"] for each in watched.ask("alerts")["alerts"]}

    assert raised - OF_A_BUSY_MACHINE == set()


@pytest.mark.parametrize("asked", [pytest.param(each, id=f"{each.title} {each.legend}") for each in queries()])
def test_a_panel_has_something_to_draw_and_not_too_much(asked: Asked, watched: Watched) -> None:
    if asked.title not in QUIET_PANELS:
        # A rate takes two scrapes, which may come a moment later on a busy machine.
        wait_until(lambda: bool(watched.drawn(asked.expr)), timeout_s=PATIENCE_S, what=asked.expr)
    series = watched.drawn(asked.expr)

    assert len(series) <= SERIES_MAX
    named = [each["metric"] for each in series]
    assert len({json.dumps(each, sort_keys=True) for each in named}) == len(named)


@pytest.mark.parametrize(
    "rule", [pytest.param(rule, id=rule.name) for rule in alerts() if FIRST_EVENT.search(rule.expr)]
)
def test_what_an_alert_counts_is_there_before_its_first_event(rule: Rule, watched: Watched) -> None:
    """A counter that is born with its first event has no increase: the alert would miss exactly that one."""
    for selected in selectors(rule.expr):
        if not selected.metric.startswith("midstream_"):
            continue
        matchers = ",".join(f'{label}{_OPERATORS[operator]}"{value}"' for label, operator, value in selected.matchers)
        assert watched.query(f"{selected.metric}{{{matchers}}}"), f"{selected.metric}{{{matchers}}}"


_OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


@pytest.mark.nightly
def test_a_day_like_this_has_no_alert(watched: Watched, tmp_path: Path) -> None:
    """Not even one that waits for its time to be over."""
    read = {selected.metric for rule in all_rules() for selected in selectors(rule.expr)}
    series = [each for server in MONITORED for each in series_of_a_day(server, watched.servers.scrape(server), read)]
    series += [{"series": f'up{{job="{name}"}}', "values": f"1x{STEPS}"} for name in ("prometheus", "alertmanager")]
    busy = "|".join(sorted(OF_A_BUSY_MACHINE))
    silent = [
        {
            "expr": f'count by (alertname) (count_over_time(ALERTS{{alertname!~"{busy}"}}[24h]))',
            "eval_time": "24h",
            "exp_samples": [],
        }
    ]
    day = {"interval": f"{STEP_MINUTES}m", "input_series": series, "promql_expr_test": silent}

    done = rule_test(tmp_path, list(RULE_FILES), [day], interval=f"{STEP_MINUTES}m")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("server", MONITORED)
def test_figures_are_as_prometheus_wants_them(server: str, watched: Watched) -> None:
    done = run_tool("promtool", "check", "metrics", text=watched.servers.scrape(server))

    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_a_figure_that_is_not() -> None:
    done = run_tool("promtool", "check", "metrics", text="# TYPE wrong_total gauge\nwrong_total 1\n")

    assert done.returncode != 0


def test_rules_of_every_file_are_loaded(watched: Watched) -> None:
    assert {Path(group["file"]).stem for group in watched.ask("rules")["groups"]} == {path.stem for path in RULE_FILES}

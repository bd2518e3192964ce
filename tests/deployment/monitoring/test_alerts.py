"""Every alert fires on the first event that there is, ends when it is over, and stays silent on a healthy day."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.monitoring.alert_case import STEP_S, Case
from tests.deployment.monitoring.cases_servers import CALLS, MONITORING, SERVERS
from tests.deployment.monitoring.cases_stream import QUEUE, REPLAY
from tests.deployment.monitoring.cases_trading import EXCHANGES, ORDERS, POWER
from tests.support.promtool import rule_test
from tests.support.rules import RULE_FILES, Rule, alerts

CASES: dict[str, tuple[Case, ...]] = {
    "servers": SERVERS,
    "calls": CALLS,
    "monitoring": MONITORING,
    "replay": REPLAY,
    "queue": QUEUE,
    "exchanges": EXCHANGES,
    "orders": ORDERS,
    "power": POWER,
}
BY_NAME = {rule.name: rule for rule in alerts()}
# A target that is there, so that only the case about it hears that there is none.
TARGET = {"series": 'up{job="midstream",server="control",instance="z:9152"}', "values": "1x600"}


def firing(case: Case) -> str:
    return f'count by (severity, team) (ALERTS{{alertname="{case.alert}",alertstate="firing"}})'


def played(case: Case, rule: Rule) -> dict[str, Any]:
    """Return the case as promtool plays it."""
    series = [{"series": name, "values": values} for name, values in case.series.items()]
    labels = f'{{severity="{rule.labels["severity"]}",team="{rule.labels["team"]}"}}'
    return {
        "name": case.alert,
        "interval": f"{STEP_S}s",
        "input_series": series if case.alert == "NoServersScraped" else [*series, TARGET],
        "promql_expr_test": [
            {"expr": firing(case), "eval_time": "2m", "exp_samples": []},
            {
                "expr": firing(case),
                "eval_time": case.fires,
                "exp_samples": [{"labels": labels, "value": case.count}],
            },
            {"expr": firing(case), "eval_time": case.ends, "exp_samples": []},
        ],
    }


def files_of(area: str) -> list[Path]:
    """Return the rules of an area, and what they are made of."""
    return [path for path in RULE_FILES if path.stem in (area, "recording")]


@pytest.mark.parametrize("area", CASES)
def test_every_alert_of_an_area_has_a_case(area: str) -> None:
    assert {case.alert for case in CASES[area]} == {rule.name for rule in alerts() if rule.file == area}


def test_every_area_is_tried() -> None:
    assert set(CASES) | {"recording"} == {path.stem for path in RULE_FILES}


@pytest.mark.cases(3)
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("area", CASES)
def test_alerts_fire_on_the_first_event_and_end_when_it_is_over(area: str, tmp_path: Path) -> None:
    done = rule_test(tmp_path, files_of(area), [played(case, BY_NAME[case.alert]) for case in CASES[area]])

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.cases(2)
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("area", CASES)
def test_what_an_alert_says_is_a_sentence_with_its_values(area: str, tmp_path: Path) -> None:
    # promtool prints what it got where that is not what it was told to expect.
    tests = [
        {
            **played(case, BY_NAME[case.alert]),
            "promql_expr_test": [],
            "alert_rule_test": [{"eval_time": case.fires, "alertname": case.alert, "exp_alerts": []}],
        }
        for case in CASES[area]
    ]
    printed = rule_test(tmp_path, files_of(area), tests).stderr

    said = re.findall(r'Annotations:\{description="(.*)", runbook_url="(.*)", summary="(.*)"\}', printed)
    assert len(said) == sum(case.count for case in CASES[area]), printed
    for description, runbook, summary in said:
        assert re.fullmatch(r"docs/monitoring\.md#[a-z]+", runbook)
        for text in (description, summary):
            assert not re.search(r"error expanding|[{}]|%!|NaN|no value|<|\+Inf", text), text
            assert "  " not in text
            assert text == text.strip()
        assert description.endswith(".")


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("alert", ["GroupFallsBehind", "PriceSinkBehind"])
def test_who_catches_up_is_let_be_whatever_other_partitions_add_to_the_records(alert: str, tmp_path: Path) -> None:
    case = next(case for case in QUEUE if case.alert == alert)
    seconds, records = case.series
    falling = Case(alert, {seconds: "0x8 900-1x100", records: "0x8 1000+1000x100"}, fires="14m", ends="20m", count=0)
    tried = played(falling, BY_NAME[alert])
    for each in tried["promql_expr_test"]:
        each["exp_samples"] = []

    done = rule_test(tmp_path, files_of("queue"), [tried])

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_a_series_that_is_born_with_its_first_event_would_be_missed(tmp_path: Path) -> None:
    """Why every counter is there, at zero, from the start."""
    (case,) = [case for case in ORDERS if case.alert == "OrderHalted"]
    born = Case(case.alert, dict.fromkeys(case.series, "_x8 1x100"), fires=case.fires, ends=case.ends)

    done = rule_test(tmp_path, files_of("orders"), [played(born, BY_NAME[born.alert])])

    assert done.returncode == 1
    assert "got: nil" in done.stderr


@pytest.mark.cases(2)
@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("planted", "instead"),
    [
        pytest.param("midstream_orders_halted_total[10m]", "midstream_orders_halted_totl[10m]", id="another metric"),
        pytest.param(
            "midstream_orders_halted_total[10m]) > 0", "midstream_orders_halted_total[10m]) > 1", id="threshold"
        ),
        pytest.param("midstream_orders_halted_total[10m]", "midstream_orders_halted_total[10h]", id="it never ends"),
        pytest.param(
            "midstream_orders_kill_switch == 1\n        labels",
            "midstream_orders_kill_switch == 1\n        for: 1h\n        labels",
            id="too late",
        ),
    ],
)
def test_a_fault_in_a_rule_is_found(planted: str, instead: str, tmp_path: Path) -> None:
    path = next(path for path in RULE_FILES if path.stem == "orders")
    text = path.read_text(encoding="utf-8")
    assert planted in text
    faulty = tmp_path / "orders.yml"
    faulty.write_text(text.replace(planted, instead), encoding="utf-8")
    done = rule_test(tmp_path, [faulty, *files_of("recording")], [played(case, BY_NAME[case.alert]) for case in ORDERS])

    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    ("alert", "series"),
    [
        pytest.param(
            "DealsDoNotCome",
            {'midstream_reporting_alerts{server="reporting",kind="silent_feed"}': "1x100"},
            id="reporting without a listener, as serve starts it",
        ),
        pytest.param(
            "QueueBackpressured",
            {
                'midstream_queue_backpressured{instance="a"}': "1x100",
                'midstream_pacing_speed{instance="a"}': "0x100",
                'midstream_replay_mode{instance="a"}': "1x100",
            },
            id="a replay as fast as possible",
        ),
        pytest.param(
            "ExchangeBlocked",
            {'midstream_orders_blocked{exchange="binance"}': "1x100", "midstream_orders_kill_switch": "1x100"},
            id="blocked by the kill switch",
        ),
        pytest.param(
            "LiveFeedDown",
            {'midstream_live_connected{instance="a"}': "0x100", 'midstream_replay_mode{instance="a"}': "1x100"},
            id="no live feed while the session is historical",
        ),
        pytest.param(
            "OrdersFail",
            {
                'midstream_orders_placements_total{exchange="binance",outcome="refused"}': "0+3x100",
                'midstream_orders_placements_total{exchange="binance",outcome="accepted"}': "0+1x100",
            },
            id="orders that were refused for what they ask for",
        ),
    ],
)
def test_what_is_meant_to_be_so_wakes_nobody(alert: str, series: dict[str, str], tmp_path: Path) -> None:
    quiet = [{"expr": f'ALERTS{{alertname="{alert}"}}', "eval_time": "24m", "exp_samples": []}]
    given = [{"series": name, "values": values} for name, values in series.items()]

    done = rule_test(
        tmp_path,
        files_of(BY_NAME[alert].file),
        [{"interval": f"{STEP_S}s", "input_series": given, "promql_expr_test": quiet}],
    )

    assert done.returncode == 0, done.stdout + done.stderr

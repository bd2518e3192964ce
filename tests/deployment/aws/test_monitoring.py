"""Alarms, dashboard and collector ask for what exists; what the desk has to hear of has an alarm."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.metrics_catalogue import catalogue
from services.cli.settings_catalogue import MODELS
from tests.deployment.aws.shapes import DEPLOYED
from tests.deployment.aws.watching import (
    STATISTICS,
    VALUES,
    NoQuery,
    asked_by_alarms,
    asked_by_dashboard,
    asked_by_query,
    body_of,
    crooked,
    unknown,
)
from tests.support.cloudformation import FOLDER, STAGES, Stack, resolve, template

COLLECTOR = FOLDER / "collector" / "config.yaml"


def alarms(stage: str = "prod") -> list[Stack]:
    return [resolve(template(name), Stage=stage) for name in ("monitoring", "platform")]


def board(stage: str = "prod") -> dict[str, Any]:
    return body_of(resolve(template("dashboard"), Stage=stage))


@pytest.mark.parametrize("stage", STAGES)
def test_every_metric_of_an_alarm_exists_with_its_dimensions(stage: str) -> None:
    asked = [each for stack in alarms(stage) for each in asked_by_alarms(stack)]
    assert len(asked) > 20
    assert list(filter(None, map(unknown, asked))) == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_metric_of_the_dashboard_exists_with_its_dimensions(stage: str) -> None:
    asked = list(asked_by_dashboard(board(stage)))
    assert len(asked) > 18
    assert list(filter(None, map(unknown, asked))) == []


@pytest.mark.parametrize("stage", STAGES)
def test_widgets_stand_in_the_grid(stage: str) -> None:
    assert list(crooked(board(stage))) == []


QUERY = "SELECT MAX(midstream_orders_unknown) FROM SCHEMA(\"Midstream\", stage, server, exchange) WHERE stage = 'prod'"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("midstream_orders_unknown", "midstream_orders_unknwon", "there is no midstream_orders_unknwon"),
        # It is there, and it is not sent.
        ("midstream_orders_unknown", "midstream_orders_watchers", "there is no midstream_orders_watchers"),
        (", exchange)", ")", "has ['exchange', 'server', 'stage']"),
        (", exchange)", ", target)", "has ['exchange', 'server', 'stage']"),
        ("'prod'", "'production'", "stage is never production"),
        ('"Midstream"', '"AWS/ECS"', "there is no AWS/ECS"),
    ],
)
def test_a_metric_that_does_not_exist_is_noticed(old: str, new: str, said: str) -> None:
    assert unknown(asked_by_query("here", QUERY)) == ""
    assert said in unknown(asked_by_query("here", QUERY.replace(old, new)))


@pytest.mark.parametrize(
    "text",
    [
        QUERY.replace("SELECT", "SELEKT"),
        QUERY.replace(" WHERE stage = 'prod'", ""),
        QUERY.replace("exchange)", "group)"),
        QUERY + " GROUP BY outcome",
        QUERY.replace("MAX", "P99"),
    ],
)
def test_a_query_that_is_none_is_noticed(text: str) -> None:
    with pytest.raises(NoQuery):
        asked_by_query("here", text)


def misplace(body: dict[str, Any]) -> None:
    body["widgets"][1]["x"] = 20


def stack_up(body: dict[str, Any]) -> None:
    body["widgets"][2]["x"] = body["widgets"][1]["x"]


def misspell(body: dict[str, Any]) -> None:
    body["widgets"][1]["properties"]["metric"] = body["widgets"][1]["properties"].pop("metrics")


def ask_twice(body: dict[str, Any]) -> None:
    body["widgets"][1]["properties"]["metrics"] *= 2


@pytest.mark.parametrize(
    ("plant", "said"),
    [(misplace, "outside"), (stack_up, "on top of"), (misspell, "shows nothing"), (ask_twice, "one query")],
)
def test_a_crooked_dashboard_is_noticed(plant: Callable[[dict[str, Any]], None], said: str) -> None:
    body = copy.deepcopy(board())
    plant(body)
    assert any(said in each for each in crooked(body))


def test_what_the_desk_has_to_hear_of_has_an_alarm() -> None:
    heard = {each.name for stack in alarms() for each in asked_by_alarms(stack)}
    assert heard >= {
        "midstream_serving",
        "midstream_orders_placements_total",
        "midstream_orders_unknown_age_seconds",
        "midstream_exchange_breaker_state",
        "midstream_exchange_limiter_fill",
        "midstream_group_lag_seconds",
        "midstream_replay_gaps_total",
        "RunningTaskCount",
        "HTTPCode_ELB_5XX_Count",
        "DatabaseMemoryUsagePercentage",
        "FreeStorageSpace",
    }


def test_the_share_of_accepted_placements_counts_every_outcome() -> None:
    (stack, _) = alarms()
    metrics = stack.resources["OrdersFail"]["Properties"]["Metrics"]
    counted = {
        next(each["Value"] for each in metric["MetricStat"]["Metric"]["Dimensions"] if each["Name"] == "outcome")
        for metric in metrics
        if "MetricStat" in metric
    }
    assert counted == VALUES["outcome"]
    total = next(each["Expression"] for each in metrics if each["Id"] == "placed")
    assert {word for word in counted if f"FILL({word}, 0)" in total} == counted


def test_counters_are_summed_and_figures_are_not() -> None:
    kinds = {each.name: each.kind for each in catalogue()}
    for stack in alarms():
        for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
            for each in alarm.get("Metrics", []):
                text = each.get("Expression", "")
                if text.startswith("SELECT") and "Midstream" in text:
                    summed = text.startswith("SELECT SUM(")
                    assert summed == (kinds[asked_by_query(name, text).name] == "counter"), name


@pytest.mark.parametrize("stage", STAGES)
def test_every_alarm_tells_somebody_and_returns_one_figure(stage: str) -> None:
    names: list[str] = []
    for stack in alarms(stage):
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values():
            names.append(alarm["AlarmName"])
            assert alarm["AlarmActions"] == alarm["OKActions"] != []
            assert alarm["AlarmDescription"]
            returned = [each for each in alarm.get("Metrics", []) if each["ReturnData"]]
            assert len(returned) == (1 if "Metrics" in alarm else 0)
            assert alarm.get("Statistic", "Sum") in STATISTICS
    assert len(names) == len(set(names))
    assert all(name.startswith(f"midstream-{stage}-") for name in names)


def test_the_collector_scrapes_every_server_and_sends_to_cloudwatch() -> None:
    told = yaml.safe_load(COLLECTOR.read_text(encoding="utf-8"))
    (job,) = told["receivers"]["prometheus"]["config"]["scrape_configs"]
    scraped = {each["labels"]["server"]: each["targets"] for each in job["static_configs"]}
    assert scraped == {
        server: [
            f"{server}.midstream-${{env:MIDSTREAM_STAGE}}.internal:"
            f"{MODELS[server].model_fields['metrics_port'].default}"
        ]
        for server in DEPLOYED
    }
    assert job["scheme"] == "https"
    assert "credentials_file" in job["authorization"]
    # As AWS's page on sending metrics by OTLP has it.
    assert told["extensions"] == {"sigv4auth": {"region": "${env:AWS_REGION}", "service": "monitoring"}}
    exporter = told["exporters"]["otlphttp"]
    assert exporter["metrics_endpoint"] == "https://monitoring.${env:AWS_REGION}.amazonaws.com/v1/metrics"
    assert exporter["auth"] == {"authenticator": "sigv4auth"}
    pipeline = told["service"]["pipelines"]["metrics"]
    assert pipeline["receivers"] == ["prometheus"]
    assert pipeline["exporters"] == ["otlphttp"]
    assert set(pipeline["processors"]) <= told["processors"].keys()
    assert told["service"]["extensions"] == ["sigv4auth"]


def test_the_names_that_the_collector_calls_are_those_that_servers_register() -> None:
    namespace = resolve(
        template("cluster"),
        Stage="prod",
        SubnetIds=[],
        ClientCidr="10.0.0.0/16",
        CertificateArn="arn:aws:acm:eu-central-1:000000000000:certificate/1",
    ).resources["Namespace"]["Properties"]["Name"]
    assert namespace == "midstream-prod.internal"
    assert Path(COLLECTOR).read_text(encoding="utf-8").count(".midstream-${env:MIDSTREAM_STAGE}.internal:") == len(
        DEPLOYED
    )

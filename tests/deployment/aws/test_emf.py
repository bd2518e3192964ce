"""Lines for CloudWatch, put where the log driver puts them and read back; and that alarms find what they look for in them."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import boto3
from moto import mock_aws
from prometheus_client import CollectorRegistry

from services.cli.emf_catalogue import emf_catalogue
from services.orders.metrics import ORDERS_FIGURES, OrdersMetrics
from services.runtime.emf import EmfLines
from services.runtime.metrics import Metrics
from tests.support.cli import ROOT
from tests.support.emf_schema import problems

GROUP, STREAM = "/midstream/dev/orders", "orders/orders/0123"


def lines(at_ms: int) -> list[str]:
    """What an orders server with one exchange writes at its start."""
    registry = CollectorRegistry()
    Metrics(registry)
    OrdersMetrics(registry).begin("binance")
    made = EmfLines(registry, stage="dev", server="orders", wall_ns=lambda: at_ms * 1_000_000)
    return [line.decode().rstrip("\n") for line in made.take()]


@mock_aws
def test_lines_come_back_from_a_log_group_as_they_were_written() -> None:
    client = boto3.client("logs", region_name="eu-central-1")
    client.create_log_group(logGroupName=GROUP)
    client.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)
    # Events of long ago are not taken.
    at_ms = time.time_ns() // 1_000_000
    written = lines(at_ms)

    client.put_log_events(
        logGroupName=GROUP,
        logStreamName=STREAM,
        logEvents=[{"timestamp": at_ms, "message": line} for line in written],
    )
    events = client.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startFromHead=True)["events"]

    assert [event["message"] for event in events] == written
    documents: list[dict[str, Any]] = [json.loads(event["message"]) for event in events]
    assert [problem for document in documents for problem in problems(document)] == []
    known = {metric.name: metric for metric in emf_catalogue()}
    for document in documents:
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                assert metric["Unit"] == known[metric["Name"]].unit
                assert directive["Dimensions"] == [list(known[metric["Name"]].dimensions)]
    # What an alarm on an increase looks for is there, at 0, before it happens.
    halted = [document for document in documents if "midstream_orders_halted_total" in document]
    assert [(one["exchange"], one["midstream_orders_halted_total"]) for one in halted] == [("binance", 0)]
    assert {figure.name for figure in ORDERS_FIGURES} >= {"midstream_orders_halted_total"}


def test_every_figure_of_a_template_is_one_that_is_sent() -> None:
    sent = {metric.name for metric in emf_catalogue()}
    templates = sorted((ROOT / "deploy" / "aws").glob("*.yaml"))
    named = {
        name for path in templates for name in re.findall(r"\bmidstream_[a-z_]+\b", path.read_text(encoding="utf-8"))
    }

    assert named - sent == set()

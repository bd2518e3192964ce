"""What docs/operating_power.md says is so: messages, periods, metrics, alerts, tables, runbooks."""

from __future__ import annotations

import json
import re
import time

import pytest
from prometheus_client import CollectorRegistry

from clients.power.calendar import InvalidDelivery, delivery_hour
from clients.power.deals import Deal, parse_message
from clients.power.store.schema import METADATA
from services.reporting.engine.alerts import AlertKind
from services.reporting.measures import Measures
from services.runtime.metrics import Metrics
from tests.support.cli import ROOT

PAGE = (ROOT / "docs" / "operating_power.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_messages_of_the_page_are_one_deal_in_three_revisions() -> None:
    deals = [parse_message(text, time.time_ns()) for text in blocks("json")]

    assert [(deal.id, deal.key, deal.canceled) for deal in deals if isinstance(deal, Deal)] == [
        ("3624e951", "3624e951", False),
        ("3624e951", "3624e951#2", False),
        ("3624e951", "3624e951#3", True),
    ]
    (cancellation,) = (json.loads(text) for text in blocks("json")[2:])
    del cancellation["deal_cancellation"]["revision"]
    final = parse_message(json.dumps(cancellation), 1)
    assert isinstance(final, Deal)
    assert f"`{final.key}`" in PAGE


def test_the_periods_of_the_page_are_read_as_it_says() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    hours, quarters, refused = ([text.strip("`") for text in cells.split(", ")] for cells, _ in rows)

    assert {delivery_hour("2026-06-01", text).minutes for text in hours} == {60}
    assert {delivery_hour("2026-06-01", text).minutes for text in quarters} == {15}
    reasons = rows[2][1].partition(": ")[2].split(", ")
    for text, reason in zip(refused, reasons, strict=True):
        with pytest.raises(InvalidDelivery, match=reason):
            delivery_hour("2026-06-01", text)


def test_every_runbook_of_the_page_is_where_the_alerts_lead_to() -> None:
    monitoring = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")

    assert set(re.findall(r"\(operating_power\.md#([\w-]+)\)", monitoring)) == set(
        re.findall(r'<a id="([^"]+)">', PAGE)
    )


def test_every_kind_of_alert_has_a_series_from_the_start() -> None:
    registry = CollectorRegistry()

    Measures(Metrics(registry), wall_ns=lambda: 0)

    values = {kind: registry.get_sample_value("midstream_reporting_alerts", {"kind": kind}) for kind in AlertKind}
    assert values == dict.fromkeys(AlertKind, 0.0)


def test_the_queries_of_the_page_name_tables_and_columns_that_exist() -> None:
    for query in blocks("sql"):
        match = re.fullmatch(r"SELECT (.*) FROM (\w+) ORDER BY id DESC LIMIT 20;\n", query)
        assert match is not None
        assert set(match[1].split(", ")) <= set(METADATA.tables[match[2]].c.keys())

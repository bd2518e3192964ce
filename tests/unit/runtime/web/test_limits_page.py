"""The table of docs/limits.md says what the listeners do."""

from __future__ import annotations

import re
from typing import Final

import pytest

from services.orders.rest.gate import BODY_BYTES_MAX as ORDERS_BODY
from services.runtime.descriptors import METRICS_MAX, descriptor_budget
from services.runtime.settings import ProcessSettings
from services.runtime.web import limits as fixed
from services.runtime.web.limits import WebLimits
from services.simulators.feed import CLIENTS_MAX as FEED_CLIENTS
from services.simulators.power_exchange.server import CLIENTS_MAX as EXCHANGE_CLIENTS
from services.simulators.venue.web import BODY_BYTES_MAX as VENUE_BODY
from tests.support.imports import ROOT

PAGE: Final = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
SECTION: Final = PAGE.partition("## What clients may hold\n")[2].partition("\n## ")[0]
ROWS: Final = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in SECTION.splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| limit"))
]


def row(beginning: str) -> list[str]:
    found = [cells for cells in ROWS if cells[0].startswith(beginning)]
    assert len(found) == 1, beginning
    return found[0]


def shown(number: float) -> str:
    return f"{number:,.0f}"


@pytest.mark.parametrize("cells", [cells for cells in ROWS if cells[4] != "none"], ids=lambda cells: cells[4])
def test_each_setting_has_the_default_of_the_table(cells: list[str]) -> None:
    field = ProcessSettings.model_fields[cells[4].strip("`").removeprefix("MIDSTREAM_").lower()]

    assert cells[1] == shown(field.default)


def test_every_limit_that_is_a_setting_has_a_row() -> None:
    named = {cells[4].strip("`").removeprefix("MIDSTREAM_").lower() for cells in ROWS}

    assert named - {"none"} == {name for name in ProcessSettings.model_fields if name.startswith("web_")} - {
        "web_hosts"
    }


def test_the_metrics_have_the_share_of_the_table() -> None:
    limits = WebLimits.standard(METRICS_MAX)

    assert row("connections")[2] == row("of one address (")[2] == shown(limits.connections)
    assert row("requests")[2] == shown(limits.requests)


def test_fixed_limits_are_those_of_the_table() -> None:
    kib = 1024

    assert row("headers:")[1] == f"{fixed.HEADER_BYTES_MAX // kib} KiB, {fixed.HEADERS_MAX}"
    assert row("bodies on")[1] == f"{fixed.BODIES_BYTES_MAX // kib // kib} MiB"
    assert row("a websocket's")[1] == f"{fixed.MESSAGE_BYTES_MAX // kib} KiB"
    assert row("a body;")[1] == f"orders {ORDERS_BODY // kib} KiB, exchanges {VENUE_BODY // kib // kib} MiB"
    assert row("event streams")[3] == f"{EXCHANGE_CLIENTS}, feed {FEED_CLIENTS}"


@pytest.mark.parametrize("files", [1_024, 20_000])
def test_the_shares_are_those_of_the_page(files: int) -> None:
    budget = descriptor_budget(files)
    numbers = re.findall(r"\d+(?:,\d{3})*", SECTION.partition("| limit")[0])

    assert {shown(each) for each in (budget.limit, budget.own, budget.metrics, budget.grpc, budget.web)} <= set(numbers)


def test_a_web_port_with_the_usual_limit_holds_what_the_page_says() -> None:
    limits = WebLimits.standard(descriptor_budget(1_024).web)

    assert f"holds {limits.connections} connections, {limits.streams} of them streams" in SECTION.replace("\n", " ")

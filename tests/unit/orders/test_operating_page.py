"""What the operating page names exists: metrics with their labels, variables, routes, methods, commands, anchors."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google.protobuf import json_format
from starlette.routing import compile_path

from clients.exchanges.binance.endings import ended_by
from clients.exchanges.endings import EndedBy
from clients.exchanges.names import EXCHANGES
from clients.exchanges.registry import settings_class
from clients.secrets import key_source
from protos.health.v1 import health_pb2
from protos.orders.v1 import orders_pb2
from services.cli.metrics_catalogue import catalogue
from services.health.config import HealthSettings
from services.orders.auth import SERVICE
from services.orders.config import OrdersSettings
from services.orders.errors import Reason
from services.orders.rest.gate import ROUTES
from services.orders.rest.models import CancelBody, SettleBody, SwitchBody
from services.runtime.access import METHODS
from services.runtime.access.http import ANYONE, METRICS
from services.runtime.setting_problems import PREFIX, environment_names, names_of
from services.runtime.settings import ServerSettings
from tests.support.cli import ROOT

PAGE = (ROOT / "docs" / "operating_orders.md").read_text()


def known_metrics() -> dict[str, set[str]]:
    """Every series that the product can have, with its labels."""
    return {
        name: {*series.labels, *(["le"] if name.endswith("_bucket") else [])}
        for series in catalogue()
        if "orders" in series.servers
        for name in series.samples
    }


def own_variables() -> set[str]:
    """Every variable of the orders server itself."""
    fields = OrdersSettings.model_fields
    return {variable for name, field in fields.items() for variable in environment_names(name, field)}


def test_every_metric_and_label_of_the_page_exists() -> None:
    known = known_metrics()
    for name, selector in re.findall(r"\b(midstream_(?:orders|exchange)_\w+)(?:\{([^}]*)\})?", PAGE):
        assert name in known, name
        assert set(re.findall(r"(\w+)=", selector)) <= known[name], (name, selector)


def test_every_runbook_of_the_page_is_where_the_alerts_lead_to() -> None:
    monitoring = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")

    assert set(re.findall(r"\(operating_orders\.md#([\w-]+)\)", monitoring)) == set(
        re.findall(r'<a id="([^"]+)">', PAGE)
    )


def test_the_table_of_ends_names_every_cause_and_words_that_the_clients_read() -> None:
    section = PAGE.partition("\n## How an order ends\n")[2].partition("\n## ")[0]
    heading, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    assert [row[0].strip("`") for row in rows] == [cause.name for cause in EndedBy]
    for column, title in enumerate(heading[2:], 2):
        folder = ROOT / "clients" / "exchanges" / title.split()[0].lower()
        source = "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
        for row in rows:
            words = [word for word in re.findall(r"`([^`]+)`", row[column]) if word not in EndedBy.__members__]
            assert [word for word in words if word not in source] == [], row[0]
            numbers = re.findall(r"expiry reason ([\d, ]*\d)", row[column])
            for number in numbers[0].split(", ") if numbers else ():
                assert ended_by("EXPIRED", reason=number) is EndedBy[row[0].strip("`")], number


def test_every_variable_of_the_page_exists_and_none_of_the_server_is_missing() -> None:
    named = set(re.findall(r"MIDSTREAM_[A-Z0-9_]*[A-Z0-9](?!\w)(?!\.\.\.|_\.\.\.)", PAGE))
    of_exchanges = {f"{PREFIX}{field.upper()}" for name in EXCHANGES for field in settings_class(name).model_fields}
    of_keys = {name for name in named if re.fullmatch(r"MIDSTREAM_\w+_(API_KEY_FILE|API_SECRET_FILE|SSM_PATH)", name)}

    assert named - own_variables() - of_exchanges - of_keys == set()
    # Those of every server stand in docs/settings.md.
    assert own_variables() - names_of(ServerSettings) - named == set()


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_key_variables_of_the_page_are_read(name: str, tmp_path: Any) -> None:
    files = {}
    for half in ("API_KEY", "API_SECRET"):
        file = tmp_path / half
        file.write_text("abc")
        file.chmod(0o600)
        files[f"MIDSTREAM_{name.upper()}_{half}_FILE"] = str(file)
    opened: list[str] = []

    assert key_source(name, files) is not None
    key_source(name, {f"MIDSTREAM_{name.upper()}_SSM_PATH": "/a/b"}, parameter_store=opened.append)  # type: ignore[arg-type]
    assert opened == ["/a/b"]


def test_every_curl_asks_a_route_that_exists() -> None:
    lines: list[str] = re.findall(r"curl -s [^`\n]*http://127\.0\.0\.1:8080[^`\n]*", PAGE)
    assert len(lines) == 7
    bodies = {
        "/v1/kill-switch": SwitchBody, "/v1/orders/cancel": CancelBody, "/v1/orders/ORDER_ID/settle": SettleBody,
    }  # fmt: skip
    for line in lines:
        method = (re.findall(r"-X (\w+)", line) or ["GET"])[0]
        path = re.findall(r":8080(/[^\s\"?]*)", line)[0]
        template = next(known for _, known in ROUTES.table if compile_path(known)[0].fullmatch(path))
        assert (method, template) in ROUTES.table, line
        assert ("-H @<(auth)" in line) is (ROUTES.table[method, template] not in (ANYONE, METRICS)), line
        for body in re.findall(r"-d '([^']*)'", line):
            bodies[path].model_validate(json.loads(body))


def test_every_path_in_the_text_is_a_route() -> None:
    for path in re.findall(r"`(/(?:v1|health)[^`]*)`", PAGE):
        assert any(compile_path(known)[0].fullmatch(path) for _, known in ROUTES.table), path


def test_every_grpcurl_calls_a_method_with_fields_that_exist() -> None:
    calls = re.findall(r"grpcurl [^`\n]*-d '([^']*)' 127\.0\.0\.1:(\d+) ([\w.]+)/(\w+)", PAGE)
    assert len(calls) == 4
    for body, port, service, method in calls:
        assert (service, int(port)) == (SERVICE, OrdersSettings.model_fields["port"].default)
        assert f"{service}/{method}" in METHODS
        json_format.Parse(body, getattr(orders_pb2, f"{method}Request")())


def test_the_health_report_that_the_page_asks_for_has_what_it_looks_at() -> None:
    (call,) = re.findall(r"grpcurl -plaintext 127\.0\.0\.1:(\d+) ([\w.]+)/(\w+)`", PAGE)
    service = health_pb2.DESCRIPTOR.services_by_name["HealthService"]

    assert (int(call[0]), call[1]) == (HealthSettings.model_fields["port"].default, service.full_name)
    assert call[2] in service.methods_by_name
    assert "last_error" in health_pb2.ExchangeHealth.DESCRIPTOR.fields_by_name


def test_every_reason_of_the_page_is_a_reason() -> None:
    named = {"price-stale", "price-missing", "journal-unavailable"}

    assert all(f"`{name}`" in PAGE for name in named)
    assert named <= {reason.value for reason in Reason}


def test_the_ports_of_the_page_are_the_defaults() -> None:
    ports = [str(OrdersSettings.model_fields[name].default) for name in ("port", "web_port", "metrics_port")]

    assert f"gRPC {ports[0]}, REST {ports[1]},\nmetrics {ports[2]}" in PAGE

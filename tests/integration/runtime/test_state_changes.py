"""Every call that may change something leaves one line: who, what, how it ended. The table of roles says which these are."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients.database import open_database
from protos.control.v1.control_pb2 import SetSpeedRequest, SetSpeedResponse
from services.orders.journal import prepare_orders_database
from services.orders.rest.gate import ROUTES
from services.runtime.access import METHODS, Role
from services.runtime.access.keys import create_key, pepper_source, prepare_keys
from services.runtime.access.state_changes import begin_change, changes_state
from tests.support.cli import ROOT, until
from tests.support.log_records import said
from tests.support.server_process import ServerProcess, server_process

EVENT = "state-changing call"
CHANGING = sorted(row for row, role in METHODS.items() if role is not Role.READ)
CONTROL, ORDERS = "midstream.control.v1.ControlService/", "midstream.orders.v1.OrderService/"
REPLAY = "midstream.replay.v1.ReplayService/"


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == EVENT]


def call(server: ServerProcess, row: str, key: str = "secret", *, timeout_s: float = 20.0) -> None:
    with contextlib.suppress(grpc.RpcError):
        # An answer or a refusal: both leave a line.
        metadata = (("x-correlation-id", "trace-me-1"), ("authorization", f"Bearer {key}"))
        list(server.channel.unary_stream(f"/{row}")(b"", timeout=timeout_s, metadata=metadata))


@pytest.fixture
def control(tmp_path: Path, redis_url: str) -> Iterator[ServerProcess]:
    with server_process("control", tmp_path, REDIS_URL=redis_url) as server:
        yield server


@pytest.fixture
def replay(tmp_path: Path, redis_url: str) -> Iterator[ServerProcess]:
    with server_process(
        "replay", tmp_path, REDIS_URL=redis_url, HISTORICAL=str(ROOT / "data" / "historical_sample.csv")
    ) as server:
        yield server


@pytest.fixture
def key(tmp_path: Path) -> str:
    """An admin's key in the database of the order server."""

    async def make() -> str:
        url = f"sqlite:///{tmp_path / 'orders.db'}"
        engine = open_database(url, application="test")
        await prepare_orders_database(engine)
        pepper = await prepare_keys(
            engine, pepper_source(url, file=None, text="", directory=tmp_path), now_ns=time.time_ns()
        )
        made = await create_key(engine, pepper, name="alice", roles={Role.ADMIN})
        await engine.dispose()
        return made

    return asyncio.run(make())


@pytest.fixture
def orders(tmp_path: Path, key: str) -> Iterator[ServerProcess]:
    database = f"sqlite:///{tmp_path / 'orders.db'}"
    with server_process("orders", tmp_path, ORDERS_DATABASE_URL=database, ORDERS_WEB_PORT="0") as server:
        yield server


@pytest.mark.parametrize("row", sorted(METHODS))
def test_the_table_of_roles_says_which_calls_these_are(row: str) -> None:
    assert changes_state(row) == (METHODS[row] is not Role.READ)
    ended = begin_change(f"/{row}", "grpc")
    assert (ended is not None) == changes_state(row)


@pytest.mark.parametrize("row", ["grpc.health.v1.Health/Check", "nobody/Knows", ""])
def test_what_has_no_row_leaves_no_line(row: str) -> None:
    assert begin_change(row, "grpc") is None


def test_whoever_was_not_admitted_is_anonymous(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ended = begin_change(f"/{CHANGING[0]}", "grpc")
    assert ended is not None
    ended("UNAUTHENTICATED")

    ((event, values),) = said(caplog.records)
    assert event == EVENT
    assert (values["caller"], values["caller_kind"], values["code"]) == ("anonymous", None, "UNAUTHENTICATED")


@pytest.mark.parametrize(("name", "service"), [("control", CONTROL), ("replay", REPLAY)])
def test_every_changing_method_of_an_open_server_leaves_one_line(
    name: str, service: str, request: pytest.FixtureRequest
) -> None:
    server: ServerProcess = request.getfixturevalue(name)
    wanted = [row for row in CHANGING if row.startswith(service)]
    server.wait_health(1)
    for row in wanted:
        # No engine applies what Control is asked for, so most of its calls end with their deadline.
        call(server, row, timeout_s=2.0)

    until(lambda: len(lines(server)) >= len(wanted), what="lines")
    assert sorted(line["method"] for line in lines(server)) == wanted
    for line in lines(server):
        assert (line["face"], line["caller"], line["caller_kind"]) == ("grpc", "anyone", "open")
        assert line["correlation_id"] == "trace-me-1"
        assert isinstance(line["duration_ms"], float)
        assert line["code"].isupper()
        assert "secret" not in json.dumps(line)


def test_a_change_says_what_was_asked_for_also_where_that_is_refused(control: ServerProcess) -> None:
    control.wait_health(1)
    set_speed = control.channel.unary_unary(
        f"/{CONTROL}SetSpeed", SetSpeedRequest.SerializeToString, SetSpeedResponse.FromString
    )
    with pytest.raises(grpc.RpcError):
        # There is no such session.
        set_speed(SetSpeedRequest(session="night", speed=2.5, request_id="r-1"), timeout=1.0)

    until(lambda: bool(lines(control)), what="line")
    (line,) = lines(control)
    assert {name: line.get(name) for name in ("session", "asked", "value", "request_id", "code")} == {
        "session": "night", "asked": "speed", "value": 2.5, "request_id": "r-1", "code": "NOT_FOUND",
    }  # fmt: skip


def test_every_changing_method_and_route_of_the_order_server_leaves_one_line(orders: ServerProcess, key: str) -> None:
    wanted = [(row, "grpc") for row in CHANGING if row.startswith(ORDERS)]
    for row, _ in wanted:
        call(orders, row, key)
    routes = [(verb, template, row) for (verb, template), row in ROUTES.table.items() if row in CHANGING]
    wanted += [(row, "rest") for _, _, row in routes]
    for verb, template, _ in routes:
        connection = http.client.HTTPConnection("127.0.0.1", orders.announcement["web_port"], timeout=20)
        body = json.dumps({"engaged": True, "reason": "drill"}) if template.endswith("kill-switch") else "{}"
        connection.request(
            verb, template.format(order_id="o-1"), body,
            {"content-type": "application/json", "x-correlation-id": "trace-me-2", "authorization": f"Bearer {key}"},
        )  # fmt: skip
        connection.getresponse().read()
        connection.close()

    until(lambda: len(lines(orders)) >= len(wanted), what="lines")
    found = lines(orders)
    assert sorted((line["method"], line["face"]) for line in found) == sorted(wanted)
    assert {row for row, _ in wanted} | {row for row in CHANGING if row.startswith((CONTROL, REPLAY))} == set(CHANGING)
    for line in found:
        rest = line["face"] == "rest"
        assert line["correlation_id"] == f"trace-me-{2 if rest else 1}"
        assert isinstance(line["code"], int if rest else str)
        assert (line["caller"], line["caller_kind"], line["caller_id"]) == ("alice", "keys", key.split("_")[1])
        assert key.split("_")[2] not in json.dumps(line)
    (thrown,) = [line for line in found if line["method"].endswith("SetKillSwitch") and line["face"] == "rest"]
    assert (thrown["engaged"], thrown["reason"], thrown["code"]) == (True, "drill", 200)

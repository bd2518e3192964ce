"""Who fails pays, and nobody else: a flood of attempts without a usable key, and the kill switch beside it from the same address."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from protos.orders.v1 import orders_pb2 as pb
from tests.support.order_server import OrderServer, dry_run_server

WRONG = "mk_0123456789abcdef_" + "w" * 43


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderServer]:
    with dry_run_server(tmp_path_factory.mktemp("locked")) as orders:
        yield orders


def ask(server: OrderServer, method: str, path: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Return the status, and when to come back."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.rest_url + path, content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, ""
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.headers.get("Retry-After", "")


def test_a_flood_without_keys_locks_nobody_out(server: OrderServer) -> None:
    tried = ["", WRONG, server.key[:-1] + ("A" if server.key[-1] != "A" else "B")] * 100
    with ThreadPoolExecutor(8) as pool:
        flood = pool.map(lambda key: ask(server, "GET", "/v1/orders/active", key), tried)
        switched = [
            ask(server, "PUT", "/v1/kill-switch", server.key, {"engaged": engaged, "reason": "test"})[0]
            for engaged in (True, False) * 10
        ]
        told = list(flood)

    assert switched == [200] * 20
    assert ask(server, "POST", "/v1/orders/cancel", server.key, {"all": True})[0] == 200
    assert server.call("GetKillSwitch", pb.GetKillSwitchRequest()).kill_switch.engaged is False
    assert {status for status, _ in told} == {401, 429}
    assert [status for status, _ in told].count(401) <= 10
    assert all(1 <= int(again) <= 60 for status, again in told if status == 429)


def test_it_is_the_same_over_grpc(server: OrderServer) -> None:
    told = []
    for number in range(30):
        key = () if number % 2 else (("authorization", f"Bearer {WRONG}"),)
        with pytest.raises(grpc.RpcError) as refused:
            server.stub.GetKillSwitch(pb.GetKillSwitchRequest(), metadata=key, timeout=30)
        told.append(refused.value)

    codes = [error.code() for error in told]
    assert codes[-10:] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 10
    assert 1 <= int(dict(told[-1].trailing_metadata())["retry-after"]) <= 60
    answer = server.call("SetKillSwitch", pb.SetKillSwitchRequest(engaged=True, reason="test"))
    assert answer is not None
    assert server.call("GetKillSwitch", pb.GetKillSwitchRequest()).kill_switch.engaged is True

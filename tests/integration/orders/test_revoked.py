"""What a key has opened ends when it is revoked: over gRPC and as server-sent events, with the command that an operator types."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients.database import open_database
from protos.orders.v1 import orders_pb2 as pb
from services.runtime.access import Role
from services.runtime.access.keys import ENDS_WITHIN_S, create_key, pepper_source, prepare_keys
from tests.support.cli import midstream_here
from tests.support.order_server import OrderServer, dry_run_server

LOADED_S = 10.0
"""Beyond the promise: this machine does other things at the same time."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderServer]:
    with dry_run_server(tmp_path_factory.mktemp("revoked")) as orders:
        yield orders


async def made_key(url: str, expires_ns: int | None) -> str:
    engine = open_database(url, application="test")
    try:
        source = pepper_source(url, file=None, text="", directory=Path("var"))
        pepper = await prepare_keys(engine, source, now_ns=time.time_ns())
        return await create_key(engine, pepper, name="watcher", roles={Role.READ}, expires_ns=expires_ns)
    finally:
        await engine.dispose()


def watch(server: OrderServer, key: str, opened: threading.Event) -> grpc.RpcError:
    """Return how a stream ends."""
    stream = server.stub.WatchOrders(
        pb.WatchOrdersRequest(), metadata=(("authorization", f"Bearer {key}"),), timeout=ENDS_WITHIN_S + LOADED_S + 20
    )
    with pytest.raises(grpc.RpcError) as ended:
        _read(stream, opened)
    return ended.value


def _read(stream: Any, opened: threading.Event) -> None:
    stream.initial_metadata()
    opened.set()
    for _ in stream:
        pass


def listen(server: OrderServer, key: str, opened: threading.Event) -> int:
    """Return once the events end; the status that they began with."""
    connection = http.client.HTTPConnection(
        server.rest_url.removeprefix("http://"), timeout=ENDS_WITHIN_S + LOADED_S + 20
    )
    connection.request("GET", "/v1/orders/events", headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    opened.set()
    try:
        while answer.readline():
            pass
    except http.client.IncompleteRead:
        pass
    connection.close()
    return answer.status


@pytest.mark.parametrize("by", ["command", "time"])
def test_streams_of_a_key_end_with_it(by: str, server: OrderServer, monkeypatch: pytest.MonkeyPatch) -> None:
    expires_ns = time.time_ns() + 5_000_000_000 if by == "time" else None
    key = asyncio.run(made_key(server.database, expires_ns))
    monkeypatch.setenv("MIDSTREAM_ORDERS_DATABASE_URL", server.database)
    opened = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        over_grpc, over_http = pool.submit(watch, server, key, opened[0]), pool.submit(listen, server, key, opened[1])
        assert all(event.wait(30) for event in opened)
        if by == "command":
            revoked = midstream_here("keys", "revoke", key.split("_")[1], "--json")
            assert json.loads(revoked.stdout)["ends_within_s"] == ENDS_WITHIN_S
        began_s = time.monotonic()
        error, status = over_grpc.result(), over_http.result()
        took_s = time.monotonic() - began_s

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert status == 200
    assert took_s < ENDS_WITHIN_S + LOADED_S

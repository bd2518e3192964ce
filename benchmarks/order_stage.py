"""An orders server with its exchange, up and trading, for as long as a benchmark needs them."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.context import Context, until
from benchmarks.order_client import DEMO_KEY
from clients.database import open_database
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import create_key, pepper_source, prepare_keys


@dataclass(frozen=True)
class Stage:
    """The orders server and its exchange, up and trading."""

    exchange_url: str
    port: int
    key: str
    pid: int
    """Of the orders server."""


@contextmanager
def order_stage(context: Context) -> Iterator[Stage]:
    """Start both; the guards are out of the way, so that what is measured is the service."""
    directory = context.clean_directory("orders")
    database = f"sqlite:///{directory}/orders.db"
    key = asyncio.run(_made_key(database))
    exchange_ready, ready = directory / "exchange.json", directory / "orders.json"
    exchange_settings = {
        "MIDSTREAM_SIM_BINANCE_PORT": "0",
        "MIDSTREAM_SIM_BINANCE_VOLATILITY": "0",
        "MIDSTREAM_READY_FILE": str(exchange_ready),
        "MIDSTREAM_LOG_LEVEL": "warning",
    }
    with context.child("benchmarks.order_venue", log=directory / "exchange.log", settings=exchange_settings):
        until(exchange_ready.exists, what="the exchange's start")
        url = f"http://127.0.0.1:{_port(exchange_ready)}"
        settings = {
            "MIDSTREAM_TRADING": "simulator",
            "MIDSTREAM_ORDERS_EXCHANGES": "binance",
            "MIDSTREAM_BINANCE_URL": url,
            "MIDSTREAM_BINANCE_API_KEY": f"{DEMO_KEY}-key",
            "MIDSTREAM_BINANCE_API_SECRET": f"{DEMO_KEY}-secret",
            "MIDSTREAM_ORDERS_DATABASE_URL": database,
            "MIDSTREAM_OUT": str(directory / "out"),
            "MIDSTREAM_ORDERS_PORT": "0",
            "MIDSTREAM_ORDERS_METRICS_PORT": "0",
            "MIDSTREAM_ORDERS_WEB_PORT": "0",
            # What is measured is the service and none of its guards.
            "MIDSTREAM_ORDERS_PER_SECOND": "10000",
            "MIDSTREAM_ORDERS_KEY_RATE": "100000",
            "MIDSTREAM_ORDERS_OPEN_MAX": "1000000",
            "MIDSTREAM_READY_FILE": str(ready),
            "MIDSTREAM_LOG_LEVEL": "error",
        }
        with context.child("services.orders", log=directory / "orders.log", settings=settings) as server:
            until(ready.exists, what="the orders server's start")
            stage = Stage(url, _port(ready), key, server.pid)
            until(lambda: not _switch(stage).blocked, what="the first reconciliation", poll_s=0.1)
            yield stage


async def _made_key(url: str) -> str:
    engine = open_database(url, application="bench")
    try:
        await prepare_orders_database(engine)
        source = pepper_source(url, file=None, text="", directory=Path("var"))
        pepper = await prepare_keys(engine, source, now_ns=time.time_ns())
        return await create_key(engine, pepper, name="bench", roles={Role.ADMIN})
    finally:
        await engine.dispose()


def _port(ready: Path) -> int:
    return int(json.loads(ready.read_text())["port"])


def _switch(stage: Stage) -> pb.GetKillSwitchResponse:
    with grpc.insecure_channel(f"127.0.0.1:{stage.port}") as channel:
        answer: pb.GetKillSwitchResponse = OrderServiceStub(channel).GetKillSwitch(
            pb.GetKillSwitchRequest(), metadata=(("authorization", f"Bearer {stage.key}"),), timeout=10
        )
    return answer


def check_books(stage: Stage) -> None:
    """Raise AssertionError when the exchange executed something twice."""
    with urllib.request.urlopen(f"{stage.exchange_url}/sim/fills/by-client-id", timeout=60) as answer:
        rows: dict[str, dict[str, Any]] = json.loads(answer.read())
    twice = [name for name, row in rows.items() if row["orders"] != 1]
    if twice:
        raise AssertionError(f"{len(twice)} orders were placed twice, {twice[0]} is one")

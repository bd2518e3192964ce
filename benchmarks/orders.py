"""G13: orders through the service against the bare exchange client beside it, and what is left of that under ten times the load.

The service journals each order durably before and after it is sent, and answers over gRPC; the exchange client only sends. Both
place at the same simulator, whose limits (and with them those of the client, which reads them there) are out of the way.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks.context import Context, until
from benchmarks.order_client import DEMO_KEY
from benchmarks.results import Goal, Result
from clients.database import open_database
from protos.orders.v1 import orders_pb2 as pb
from protos.orders.v1.orders_pb2_grpc import OrderServiceStub
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import create_key, pepper_source, prepare_keys

CLIENT: Final = "benchmarks.order_client"
SHARE: Final = Goal(0.2, 0.4)
"""Two durable commits and a gRPC call per order are not free; five times slower than no journal would be too dear."""
ORDERS: Final = 3_000
ORDERS_QUICK: Final = 600
AT_ONCE: Final = 32
STORM_S: Final = 42.0
STORM_S_QUICK: Final = 24.0
OVERLOAD: Final = 10
OFFERED_MAX: Final = 5_000.0
"""A second: more does one process not send."""
PROBE_S: Final = 60.0


@dataclass(frozen=True)
class Stage:
    """The orders server and its exchange, up and trading."""

    exchange_url: str
    port: int
    key: str


def orders_storm(context: Context) -> list[Result]:
    """Place in a closed loop on both sides, in turn; then offer ten times what the service did, on a timetable."""
    count = ORDERS_QUICK if context.quick else ORDERS
    seconds = STORM_S_QUICK if context.quick else STORM_S
    closed: list[dict[str, float]] = []
    storms: list[dict[str, Any]] = []
    with _stage(context) as stage:

        def ours() -> float:
            closed.append(context.answer(CLIENT, "closed", str(stage.port), stage.key, str(count), str(AT_ONCE)))
            return closed[-1]["seconds"]

        def theirs() -> float:
            found = context.answer(CLIENT, "direct", stage.exchange_url, str(count), str(AT_ONCE))
            return float(found["seconds"])

        ratios = context.pairs_of(ours, theirs)
        peak = max(count / one["seconds"] for one in closed)
        for _ in context.rounds():
            storms.append(_storm(context, stage, min(OVERLOAD * peak, OFFERED_MAX), seconds))
        _check_books(stage)
    rate = statistics.median(count / one["seconds"] for one in closed)
    placed_note = (
        f"{rate:.0f} orders a second with a durable journal, p99 {max(one['p99_ms'] for one in closed):.0f} ms at "
        f"{AT_ONCE} at once; server, exchange and callers share the machine"
    )
    shares = tuple(storm["goodput_per_s"] / peak for storm in storms)
    return [
        Result("G13", "place + ack, share", "exchange client", tuple(ratios), SHARE, note=placed_note),
        Result("L06", "goodput, overloaded", "peak", shares, Goal(0.9, 1.0), note=_storm_note(storms, peak)),
    ]


def _storm(context: Context, stage: Stage, per_s: float, seconds: float) -> dict[str, Any]:
    log = context.scratch / "probe.log"
    # In a process of its own, so that the storm's own queue is not taken for the server's.
    with context.child(CLIENT, "health", str(stage.port), str(seconds), log=log) as probe:
        found: dict[str, Any] = context.answer(CLIENT, "storm", str(stage.port), stage.key, str(per_s), str(seconds))
        found["health"] = json.loads(_output(probe))
    context.say(f"  {found}")
    return found


def _output(process: subprocess.Popen[bytes]) -> bytes:
    return process.communicate(timeout=PROBE_S)[0]


def _storm_note(storms: list[dict[str, Any]], peak: float) -> str:
    worst = {
        name: max(storm[name] for storm in storms)
        for name in ("accepted_p99_ms", "refused_p50_ms", "refused_p99_ms", "late_p99_ms")
    }
    offered = statistics.median(storm["offered_per_s"] for storm in storms)
    results: Counter[str] = Counter()
    for storm in storms:
        results.update(storm["results"])
    answers = ", ".join(f"{number} {name}" for name, number in results.most_common())
    return (
        f"{offered:,.0f} offered a second at a peak of {peak:.0f}/s ({offered / peak:.1f}x); p99 from when due: accepted "
        f"{worst['accepted_p99_ms']:,.0f} ms, refused {worst['refused_p99_ms']:,.0f} ms (median "
        f"{worst['refused_p50_ms']:,.0f} ms), of which the sender's own lateness {worst['late_p99_ms']:,.0f} ms; "
        f"Health p99 {max(storm['health']['p99_ms'] for storm in storms):,.0f} ms; answers: {answers}"
    )


@contextmanager
def _stage(context: Context) -> Iterator[Stage]:
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
        with context.child("services.orders", log=directory / "orders.log", settings=settings):
            until(ready.exists, what="the orders server's start")
            stage = Stage(url, _port(ready), key)
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


def _check_books(stage: Stage) -> None:
    """Raise AssertionError when the exchange executed something twice."""
    with urllib.request.urlopen(f"{stage.exchange_url}/sim/fills/by-client-id", timeout=60) as answer:
        rows: dict[str, dict[str, Any]] = json.loads(answer.read())
    twice = [name for name, row in rows.items() if row["orders"] != 1]
    if twice:
        raise AssertionError(f"{len(twice)} orders were placed twice, {twice[0]} is one")

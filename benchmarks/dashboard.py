"""The dashboard under a refresh storm: requests per second of processor time, and what they cost the database."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
import urllib.request
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from benchmarks.context import Context, until
from benchmarks.results import Goal, Result
from clients.database import open_database, writing
from clients.power.calendar import local_day
from clients.power.store import prepare_power_database
from clients.power.store.schema import deals

REQUESTS: Final = 40_000
REQUESTS_QUICK: Final = 8_000
CONNECTIONS: Final = 50
TRADERS: Final = 15
READS_PER_S: Final = 10.0
"""What the server's own look at the database may come to; users add nothing."""


def dashboard_storm(context: Context) -> list[Result]:
    """Refresh one trader's page as fast as it goes."""
    count = REQUESTS_QUICK if context.quick else REQUESTS
    directory = context.directory("dashboard")
    url = f"sqlite:///{directory}/power.db"
    asyncio.run(_fill(url))
    ready, port = directory / "ready.json", _free_port()
    settings = {
        "MIDSTREAM_DATABASE_URL": url,
        "MIDSTREAM_REPORTING_PORT": "0",
        "MIDSTREAM_REPORTING_METRICS_PORT": "0",
        "MIDSTREAM_REPORTING_WEB_PORT": str(port),
        "MIDSTREAM_READY_FILE": str(ready),
        "MIDSTREAM_LOG_LEVEL": "warning",
    }
    rates: list[float] = []
    slowest_ms = reads_per_s = 0.0
    with context.child("services.reporting", log=directory / "server.log", settings=settings) as server:
        until(ready.exists, what="the reporting server's start")
        metrics_port = json.loads(ready.read_text())["metrics_port"]
        until(lambda: _answers(port), what="the first page")
        for _ in context.rounds():
            before, reads = _cpu_s(server.pid), _reads(metrics_port)
            found = context.answer(
                "benchmarks.dashboard_client", str(port), str(count), str(CONNECTIONS), "/board?trader=flex_trader_1"
            )
            if found["unchanged"] != count // CONNECTIONS * CONNECTIONS:
                raise AssertionError(f"{count - found['unchanged']} refreshes were not answered with 304")
            rates.append(count / (_cpu_s(server.pid) - before))
            slowest_ms = max(slowest_ms, found["p99_ms"])
            reads_per_s = max(reads_per_s, (_reads(metrics_port) - reads) / found["seconds"])
    if reads_per_s > READS_PER_S:
        raise AssertionError(f"{reads_per_s:.0f} reads of the database per second: users must not cause any")
    note = f"p99 {slowest_ms:.0f} ms at {CONNECTIONS} connections; {reads_per_s:.1f} reads of the database per second"
    return [
        Result("G12", "dashboard refreshes per core", "-", tuple(rates), Goal(2_000, 5_000), unit="/s", note=note),
    ]


async def _fill(url: str) -> None:
    engine = open_database(url, application="bench")
    await prepare_power_database(engine)
    day, now_ns = local_day(time.time_ns()).isoformat(), time.time_ns()
    rows = [
        {
            "id": f"{number:032x}",
            "price_e4": 400_000 + 137 * (number % 997),
            "quantity_e4": 10_000 + number % 50_000,
            "direction": "buy" if number % 3 else "sell",
            "delivery_day": day,
            "delivery_hour": f"{number % 24:02d}-{number % 24 + 1:02d}",
            "trader_id": f"flex_trader_{number % TRADERS}",
            "execution_time_ns": now_ns,
            "received_time_ns": now_ns,
            "flags": "",
            "position": number,
            "raw_kind": "deal_confirmation",
        }
        for number in range(1, 5_001)
    ]
    async with writing(engine) as connection:
        await connection.execute(insert(deals), rows)
    await engine.dispose()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/board", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _reads(metrics_port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return float(
        next(line.split()[1] for line in lines if line.startswith("midstream_reporting_database_reads_total "))
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

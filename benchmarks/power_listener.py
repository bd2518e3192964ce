"""G14: a burst of deals from the exchange into the database: how many a second until all of them are there, once each."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from pathlib import Path
from typing import Final

from benchmarks.context import Context, until
from benchmarks.results import Goal, Result

DEALS: Final = 50_000
DEALS_QUICK: Final = 10_000
PAGE: Final = 1_000
START_S: Final = 60.0
"""The exchange makes up its list before it listens."""
BURST_S: Final = 240.0
MEBIBYTE: Final = 1024 * 1024


def deals_burst(context: Context) -> list[Result]:
    """Let a new listener catch up with a list that is there already, into a new SQLite file each time."""
    count = DEALS_QUICK if context.quick else DEALS
    directory = context.directory("exchange")
    ready = directory / "ready.json"
    # Behind the burst comes nothing for an hour.
    settings = {
        "MIDSTREAM_SIM_POWER_EXCHANGE_PORT": "0",
        "MIDSTREAM_SIM_POWER_EXCHANGE_BURST": str(count),
        "MIDSTREAM_SIM_POWER_EXCHANGE_GAP_MIN_S": "3600",
        "MIDSTREAM_SIM_POWER_EXCHANGE_GAP_MAX_S": "3600",
        "MIDSTREAM_READY_FILE": str(ready),
        "MIDSTREAM_LOG_LEVEL": "warning",
    }
    rates: list[float] = []
    peak_bytes = 0
    with context.child("services.simulators.power_exchange", log=directory / "exchange.log", settings=settings):
        until(ready.exists, what="the exchange's start", timeout_s=START_S)
        port = int(json.loads(ready.read_text())["port"])
        expected = _listed(port, count)
        for _ in context.rounds():
            seconds, peak = _burst(context, port, expected)
            rates.append(count / seconds)
            peak_bytes = max(peak_bytes, peak)
            context.say(f"  {count:,} deals in {seconds:.2f} s: {rates[-1]:,.0f}/s")
    note = f"{count:,} deals over the websocket into SQLite, none lost, none twice; peak RSS {peak_bytes / MEBIBYTE:.0f} MB"
    return [Result("G14", "deals into the database", "-", tuple(rates), Goal(167, 2_000), unit="/s", note=note)]


def _burst(context: Context, port: int, expected: list[str]) -> tuple[float, int]:
    """Return the seconds from the first deal's arrival to the last one's commit, and the listener's peak memory."""
    directory = context.clean_directory("listener")
    database = directory / "power.db"
    settings = {
        "MIDSTREAM_DATABASE_URL": f"sqlite:///{database}",
        "MIDSTREAM_POWER_URL": f"ws://127.0.0.1:{port}",
        "MIDSTREAM_POWER_SPOOL": str(directory / "spool"),
        "MIDSTREAM_POWER_LISTENER_PORT": "0",
        "MIDSTREAM_POWER_LISTENER_METRICS_PORT": "0",
        "MIDSTREAM_READY_FILE": str(directory / "ready.json"),
        "MIDSTREAM_LOG_LEVEL": "warning",
    }
    with context.child("services.power.listener", log=directory / "listener.log", settings=settings) as listener:
        # Its tables are there before it serves.
        until((directory / "ready.json").exists, what="the listener's start")
        reader = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None, timeout=10)
        try:
            until(
                lambda: _count(reader) >= len(expected), what="the last deal's commit", timeout_s=BURST_S, poll_s=0.02
            )
            ended_ns = time.time_ns()
            peak = _peak_bytes(listener.pid)
            began_ns = int(reader.execute("SELECT min(received_time_ns) FROM deals").fetchone()[0])
            found = [str(row[0]) for row in reader.execute("SELECT id FROM deals ORDER BY position")]
        finally:
            reader.close()
    if found != expected:
        lost, more = len(set(expected) - set(found)), len(found) - len(set(found) & set(expected))
        raise AssertionError(f"{lost} deals were lost and {more} are too many, or the order is another one")
    return (ended_ns - began_ns) / 1e9, peak


def _listed(port: int, count: int) -> list[str]:
    """Return the ids on the exchange's list, by pages."""
    ids: list[str] = []
    while len(ids) < count:
        after = ids[-1] if ids else ""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/deals?after={after}&limit={PAGE}", timeout=10) as answer:
            page = [str(json.loads(line)["deal_confirmation"]["id"]) for line in answer]
        if not page:
            break
        ids += page
    if len(ids) != count or len(set(ids)) != count:
        raise AssertionError(f"the exchange lists {len(ids)} deals instead of {count} different ones")
    return ids


def _count(reader: sqlite3.Connection) -> int:
    return int(reader.execute("SELECT count(*) FROM deals").fetchone()[0])


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024

"""What the listener's process leaves behind about itself, seen by who reads it: after kill -9, without exchange, behind a lock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.power.store.standing import Standing
from services.power.listener.standing_store import StandingStore
from services.reporting.engine.listener_standing import AWAY_NS, ListenerStanding, ListenerState
from tests.support.cli import PATIENCE_S
from tests.support.ports import free_port
from tests.support.power_processes import PowerProcess, listener_settings
from tests.support.waiting import wait_until

SILENT_NS = 60 * 10**9
FIELDS = {"updated_ns": "updated_time_ns"}


class Row:
    """The row as the reporting server reads it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> ListenerStanding:
        connection = sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=5)
        connection.row_factory = sqlite3.Row
        try:
            row = connection.execute("SELECT * FROM listener_standing").fetchone()
        except sqlite3.OperationalError:
            return ListenerStanding()
        finally:
            connection.close()
        if row is None:
            return ListenerStanding()
        return ListenerStanding(**{name: row[FIELDS.get(name, name)] for name in ListenerStanding.__dataclass_fields__})

    def wait(self, condition: Callable[[ListenerStanding], object], what: str) -> ListenerStanding:
        wait_until(lambda: bool(condition(self.read())), timeout_s=PATIENCE_S, what=what)
        return self.read()


@pytest.fixture
def row(tmp_path: Path) -> Row:
    return Row(tmp_path / "power.db")


@pytest.fixture
def exchange_port() -> int:
    return free_port()


@pytest.fixture
def listener(tmp_path: Path, exchange_port: int) -> Iterator[PowerProcess]:
    process = PowerProcess(
        "power.listener", tmp_path, **listener_settings(tmp_path, power_url=f"ws://127.0.0.1:{exchange_port}")
    )
    process.wait_ready()
    yield process
    process.kill()


def start_exchange(directory: Path, port: int, **settings: str) -> PowerProcess:
    own = "SIM_POWER_EXCHANGE_"
    pace = {f"{own}PORT": str(port), f"{own}GAP_MIN_S": "0.01", f"{own}GAP_MAX_S": "0.02"}
    process = PowerProcess("simulators.power_exchange", directory, **pace, **settings)
    process.wait_ready()
    return process


def test_an_exchange_that_goes_is_told_and_a_listener_that_is_killed_falls_silent(
    tmp_path: Path, listener: PowerProcess, row: Row, exchange_port: int
) -> None:
    exchange = start_exchange(tmp_path, exchange_port)
    try:
        row.wait(lambda found: found.connected and found.last_deal_ns, "a connection and a deal")
        assert row.read().state(time.time_ns(), SILENT_NS) is ListenerState.RECEIVING
    finally:
        exchange.kill()

    gone = row.wait(lambda found: not found.connected, "the end of the connection")
    assert gone.state(time.time_ns(), SILENT_NS) is ListenerState.DISCONNECTED
    assert gone.trouble.startswith("feed: ")
    listener.kill()
    last = row.read()
    assert last.state(last.updated_ns + AWAY_NS + 1, SILENT_NS) is ListenerState.AWAY


@pytest.mark.long
def test_deals_behind_a_lock_are_told_as_spooled_once_it_is_gone(
    tmp_path: Path, listener: PowerProcess, row: Row, exchange_port: int
) -> None:
    exchange = start_exchange(tmp_path, exchange_port)
    try:
        row.wait(lambda found: found.last_deal_ns, "a deal")
        locker = sqlite3.connect(tmp_path / "power.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        locked = row.read()
        wait_until(
            lambda: listener.metrics()["midstream_deals_spool_records"] > 0, timeout_s=PATIENCE_S, what="a spool"
        )
        wait_until(lambda: time.time_ns() - locked.updated_ns > AWAY_NS, timeout_s=PATIENCE_S, what="ten seconds")
        assert row.read().state(time.time_ns(), SILENT_NS) is ListenerState.AWAY
        locker.execute("ROLLBACK")
        locker.close()

        back = row.wait(lambda found: found.updated_ns > locked.updated_ns + AWAY_NS, "a sign of life")
        assert back.state(time.time_ns(), SILENT_NS) is ListenerState.RECEIVING
        row.wait(lambda found: not found.spooled and not found.trouble, "an empty spool")
    finally:
        exchange.kill()


def test_a_feed_of_nothing_but_unusable_messages_is_red_and_told(
    tmp_path: Path, listener: PowerProcess, row: Row, exchange_port: int
) -> None:
    # Something unusable in front of every message, and every message left out.
    exchange = start_exchange(
        tmp_path,
        exchange_port,
        SIM_POWER_EXCHANGE_FAULTS="garbage_every=1,skip_every=1",
        SIM_POWER_EXCHANGE_REPLAY="off",
    )
    try:
        told = row.wait(lambda found: found.mostly_unusable and found.unusable_today > 5, "unusable messages")
        assert told.unusable_total >= told.unusable_today
        assert "messages cannot be used, the latest because" in told.trouble
        with grpc.insecure_channel(f"127.0.0.1:{listener.wait_ready()['port']}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            # The row and the health are told one after the other.
            wait_until(
                lambda: (
                    stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S).status
                    == health_pb2.HealthCheckResponse.NOT_SERVING
                ),
                timeout_s=PATIENCE_S,
                what="health that is red",
            )
    finally:
        exchange.kill()


@pytest.mark.quick
async def test_a_standing_is_kept_and_read_as_it_was_said(power_engine: AsyncEngine) -> None:
    store = StandingStore(power_engine)
    assert await store.load() is None
    said = Standing(True, 1, 2, 3, 4, 5, 6, True, "trouble")

    await store.save(Standing(), now_ns=1)
    await store.save(said, now_ns=2)

    assert await store.load() == said
    assert await store.count_unusable(0) == (0, 0)

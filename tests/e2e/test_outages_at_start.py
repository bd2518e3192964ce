"""`midstream serve` while something that a server needs at its start is away for a while, and while a server keeps dying."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protos.health.v1.health_pb2 import STATUS_DOWN, GetReportRequest
from services.cli.restarts import FRUITLESS_MAX
from tests.support.cli import ROOT, clean_environment, command, kill, midstream, until
from tests.support.ports import free_port
from tests.support.serving import Serving


def desk_settings(directory: Path) -> dict[str, str]:
    """An orders server that needs its journal and nothing else."""
    return {
        "MIDSTREAM_ORDERS_DATABASE_URL": f"sqlite:///{directory / 'orders.db'}",
        "MIDSTREAM_ORDERS_PORT": str(free_port()),
        "MIDSTREAM_ORDERS_METRICS_PORT": "0",
        "MIDSTREAM_ORDERS_WEB_PORT": str(free_port()),
        "MIDSTREAM_TRADING": "dry-run",
    }


@contextmanager
def kept_up(out: Path, *names: str, **environment: str) -> Iterator[Serving]:
    """`midstream serve` of some servers; it has to end in order."""
    servers = Serving(out, environment=environment, names=names)
    try:
        yield servers
        servers.process.send_signal(signal.SIGTERM)
        assert servers.process.wait(60) == 0
    finally:
        servers.kill()


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the write lock of a journal, as a backup does or a person in a shell."""
    holder = sqlite3.connect(database, isolation_level=None)
    try:
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")
    finally:
        holder.close()


def pid_of(servers: Serving, name: str) -> int:
    try:
        return int(json.loads((servers.out / f".midstream/ready/{name}.json").read_text())["pid"])
    except (OSError, ValueError):
        return 0


def down(servers: Serving) -> dict[str, str]:
    return dict(json.loads(servers.midstream("status", "--json").stdout)["down"])


@pytest.mark.nightly
def test_orders_whose_journal_is_locked_at_a_restart_come_back_and_the_others_never_notice(tmp_path: Path) -> None:
    with kept_up(tmp_path / "out", "control", "orders", **desk_settings(tmp_path)) as servers:
        control, orders = pid_of(servers, "control"), pid_of(servers, "orders")
        with locked(tmp_path / "orders.db"):
            os.kill(orders, signal.SIGKILL)
            until(lambda: "the orders server cannot start now" in servers.log.read_text(), what="trouble with the lock")
            said = down(servers)
            shown = servers.midstream("status").stdout
        until(lambda: pid_of(servers, "orders") not in (0, orders), what="orders to serve again")
        until(lambda: not down(servers), what="the end of the trouble")

        assert pid_of(servers, "control") == control
        log = servers.log.read_text()

    assert said == {"orders": "the orders server cannot start now"}
    assert "down       the orders server cannot start now" in shown
    assert "cannot be opened now: database is locked" in log
    assert "the orders server serves again" in log


@pytest.mark.nightly
def test_a_first_start_waits_for_a_locked_journal_and_refuses_a_wrong_one_at_once(tmp_path: Path) -> None:
    settings = desk_settings(tmp_path)
    journal = tmp_path / "orders.db"
    # A database that somebody else made: to be the journal it has to be written to.
    sqlite3.connect(journal).execute("CREATE TABLE notes (text)").connection.close()
    log = tmp_path / "serve.log"
    with locked(journal):
        process = begun(log, settings | {"MIDSTREAM_OUT": str(tmp_path / "out")})
        try:
            until(
                lambda: "the orders server cannot start yet: trying again for" in log.read_text(), what="a word of it"
            )
        except BaseException:
            kill(process)
            raise
    try:
        until(lambda: "every server is up" in log.read_text(), what="the start")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        kill(process)

    journal.write_bytes(b"what is this?" * 1000)
    refused = midstream("serve", "orders", environment=settings | {"MIDSTREAM_OUT": str(tmp_path / "out")})

    assert refused.code == 2
    assert "file is not a database" in refused.stderr
    assert "trying again" not in refused.stderr


@pytest.mark.long
def test_a_server_that_keeps_dying_is_left_down_and_the_others_and_the_report_say_so(tmp_path: Path) -> None:
    with kept_up(tmp_path / "out", "control", "health") as servers:
        health = pid_of(servers, "health")
        killed: set[int] = set()
        for _ in range(FRUITLESS_MAX + 1):
            until(lambda: pid_of(servers, "control") not in (0, *killed), what="a control server")
            killed.add(pid_of(servers, "control"))
            os.kill(pid_of(servers, "control"), signal.SIGKILL)
        until(lambda: "it stays down, starting it again in" in servers.log.read_text(), what="the end of the patience")

        def told() -> bool:
            checks = servers.health.GetReport(GetReportRequest()).report.checks
            control = next(check for check in checks if check.name == "control")
            return control.status == STATUS_DOWN and f"{FRUITLESS_MAX + 1} times in a row" in control.detail

        until(told, what="the report")
        without = servers.midstream("status")
        until(lambda: "the control server serves again" in servers.log.read_text(), what="another try")

        assert pid_of(servers, "health") == health
        assert down(servers) == {}

    assert without.code == 1
    assert "the control server ended with exit code -9" in without.error_line


def begun(log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            command("serve", "orders"), cwd=ROOT, env=clean_environment(environment), stdout=file, stderr=file
        )

"""Two price servers for one log: one writes, the other stands by; and health says who is gone."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.health.v1.health_pb2 import STATUS_DOWN, STATUS_OK, WatchReportRequest
from tests.reference.history import expected_outputs
from tests.support.cli import ROOT, clean_environment, kill, log_bytes, until
from tests.support.history_files import Quirks, history_text
from tests.support.ports import free_port
from tests.support.serving import CALL_S, Serving, serving


@contextlib.contextmanager
def price_server(servers: Serving, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A price server for the same logs, started by hand."""
    environment = servers.environment | {"MIDSTREAM_REDIS_URL": servers.redis_url, "MIDSTREAM_PRICE_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.price"],
        cwd=ROOT,
        env=clean_environment(environment),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=CALL_S) == 0
    finally:
        kill(process)


def is_serving(port: int) -> bool:
    """Ask the server's own grpc.health.v1."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service="midstream.price.v1.PriceService")
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.long
def test_second_price_server_takes_over_when_the_first_is_killed_and_the_log_stays_exact(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(history_text(random.Random(21), Quirks(rows=12_000, negative=0.05, step_us=1000)))
    expected = expected_outputs([path])
    out = tmp_path / "out"
    settings = {"HISTORICAL": str(path), "SPEED": "0.2", "HEALTH_WATCH": "replay,control,price"}
    with serving(out, ("replay", "control", "health"), **settings) as servers:
        watched, spare = servers.ports["price"], free_port()
        with price_server(servers, watched) as first:
            until(lambda: log_bytes(out) > 10_000, what="output of the first")
            until(lambda: servers.statuses()["price"] == STATUS_OK, what="a healthy price server")
            changes = servers.health.WatchReport(WatchReportRequest(), timeout=CALL_S)
            next(changes)
            with price_server(servers, spare):
                until(lambda: listens(spare), what="the second server's start")
                assert not is_serving(spare)
                assert is_serving(watched)

                os.kill(first.pid, signal.SIGKILL)
                written = log_bytes(out)
                until(lambda: log_bytes(out) > written + 10_000, what="output of the second")

                until(lambda: is_serving(spare), what="the second server serving")
                seen = next(change for change in changes if down(change.report, "price"))
                changes.cancel()
                assert seen.report.status == STATUS_DOWN
                assert servers.statuses()["redis"] == STATUS_OK
                with servers.control() as control:
                    control.set_speed(0)
                last = servers.wait_state("COMPLETED")["last_sequence"]
                servers.wait_committed(last)

    assert (out / "mid_prices.log").read_bytes() == expected.mid_log
    assert (out / "errors.log").read_bytes() == expected.error_log


def listens(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=0.5)
        except grpc.FutureTimeoutError:
            return False
    return True


def down(report: Any, name: str) -> bool:
    return any(check.name == name and check.status == STATUS_DOWN and check.last_error for check in report.checks)

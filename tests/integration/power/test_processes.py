"""Listener and simulators as processes: ready files, health, metrics, refusals, one command for the outside world."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.power.calendar import tradable_hours
from services.power.listener.config import DealListenerSettings
from services.runtime.settings import load
from tests.support.cli import PATIENCE_S, ROOT, clean_environment
from tests.support.ports import free_port, taken_port
from tests.support.power_processes import PowerProcess, listener_settings
from tests.support.waiting import wait_until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@contextmanager
def running(module: str, directory: Path, **settings: str) -> Iterator[PowerProcess]:
    process = PowerProcess(module, directory, **settings)
    try:
        process.wait_ready()
        yield process
        assert process.stop() == 0, process.log.read_text()
    finally:
        process.kill()


def fast_exchange(port: int) -> dict[str, str]:
    own = "SIM_POWER_EXCHANGE_"
    return {f"{own}PORT": str(port), f"{own}GAP_MIN_S": "0.01", f"{own}GAP_MAX_S": "0.02", f"{own}BURST": "50"}


def health_of(port: int) -> Callable[[], int]:
    def ask() -> int:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
        return int(answer.status)

    return ask


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read()


def refused(module: str, directory: Path, **settings: str) -> str:
    process = PowerProcess(module, directory, **settings)
    assert process.process.wait(timeout=PATIENCE_S) == 2, process.log.read_text()
    (line,) = [line for line in process.log.read_text().splitlines() if not line.startswith("{")]
    return line


def test_deals_flow_and_health_follows_the_exchange_and_a_second_listener_is_refused(tmp_path: Path) -> None:
    port = free_port()
    settings = listener_settings(tmp_path, power_url=f"ws://127.0.0.1:{port}")
    with running("power.listener", tmp_path, **settings) as listener:
        health = health_of(listener.wait_ready()["port"])
        assert health() == NOT_SERVING
        with running("simulators.power_exchange", tmp_path, **fast_exchange(port)):
            wait_until(lambda: health() == SERVING, timeout_s=PATIENCE_S, what="SERVING")
            wait_until(lambda: listener.metrics()["midstream_deals_total"] > 60, timeout_s=PATIENCE_S, what="deals")
            figures = listener.metrics()
            assert "in use by another listener" in refused("power.listener", tmp_path / "second", **settings)
        wait_until(lambda: health() == NOT_SERVING, timeout_s=PATIENCE_S, what="NOT_SERVING")

    assert figures["midstream_deals_connected"] == 1
    assert figures["midstream_deals_per_minute"] > 0
    assert figures["midstream_deals_unusable_total"] == 0
    with closing(sqlite3.connect(tmp_path / "power.db")) as connection:
        assert connection.execute("SELECT count(*) FROM deals").fetchone()[0] >= figures["midstream_deals_total"]
        assert connection.execute("SELECT count(*) FROM feed_gaps").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"database_url": "mysql://x/y"}, "MIDSTREAM_DATABASE_URL"),
        ({"database_url": "postgresql://u:secret@h:x/y"}, "MIDSTREAM_DATABASE_URL"),
        ({"power_url": "http://127.0.0.1:5050"}, "MIDSTREAM_POWER_URL"),
        ({"power_url": "ws://u:secret@127.0.0.1:99999"}, "MIDSTREAM_POWER_URL"),
        ({"power_replay": "perhaps"}, "MIDSTREAM_POWER_REPLAY"),
        ({"power_stale_after_s": 0}, "MIDSTREAM_POWER_STALE_AFTER_S"),
    ],
)
def test_an_unusable_setting_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], change: dict[str, object], named: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        load(DealListenerSettings, **change)

    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert named in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("module", "setting"),
    [
        ("simulators.power_exchange", "SIM_POWER_EXCHANGE_PORT"),
        ("simulators.market_data", "SIM_MARKET_DATA_PORT"),
    ],
)
def test_a_port_in_use_is_refused_in_one_line(tmp_path: Path, module: str, setting: str) -> None:
    with taken_port() as port:
        line = refused(module, tmp_path, **{setting: str(port)})

    assert f"MIDSTREAM_{setting}" in line


def test_the_market_data_provider_answers_over_http(tmp_path: Path) -> None:
    with running("simulators.market_data", tmp_path, SIM_MARKET_DATA_PORT="0", SIM_MARKET_DATA_PER_MINUTE="4") as sim:
        base = f"http://127.0.0.1:{sim.wait_ready()['port']}"
        hour = tradable_hours(time.time_ns())[0]
        query = f"delivery_day={hour.day_text}&delivery_hour={hour.label}"
        answers = [get(f"{base}{path}/reference-price?{query}") for path in ("", "/v1")]
        malformed = get(f"{base}/reference-price?delivery_day=today&delivery_hour=08-09")
        missing = get(f"{base}/reference-price?delivery_day=2023-05-12")
        exhausted = get(f"{base}/reference-price?{query}")
        elsewhere = get(f"{base}/prices")

    assert [status for status, _ in answers] == [200, 200]
    body = json.loads(answers[0][1])
    assert answers[0][1] == answers[1][1]
    assert set(body) == {"delivery_day", "delivery_hour", "last_update", "unit", "value"}
    assert body["unit"] == "euro/mwh"
    assert malformed[0] == 400
    assert "error_message" in json.loads(malformed[1])
    assert json.loads(missing[1]) == {"error_message": "missing parameter: delivery_hour"}
    assert exhausted[0] == 429
    assert elsewhere[0] == 404


def test_one_command_starts_the_outside_world_and_ends_it(tmp_path: Path) -> None:
    # Everything of the checkout but make: building is proved elsewhere, and would touch what others use.
    for name in ("services", "clients", "fastpath", ".venv"):
        if not (ROOT / name).exists():
            pytest.skip(f"{name} is not there: run `make build-ext` first")
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "build.sh").write_bytes((ROOT / "build.sh").read_bytes())
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "make").write_text('#!/bin/sh\necho "make $*"\n')
    (tools / "make").chmod(0o755)
    exchange, market = free_port(), free_port()
    environment = clean_environment(
        {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "MIDSTREAM_HOST": "127.0.0.1",
            "MIDSTREAM_SIM_POWER_EXCHANGE_PORT": str(exchange),
            "MIDSTREAM_SIM_MARKET_DATA_PORT": str(market),
        }
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(["sh", str(tmp_path / "build.sh")], env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: answers(exchange) and answers(market), timeout_s=PATIENCE_S, what="both simulators")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 143
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=PATIENCE_S)

    said = log.read_text()
    assert "make --no-print-directory build-ext" in said
    assert f"ws://127.0.0.1:{exchange}" in said
    assert f"http://127.0.0.1:{market}/reference-price" in said
    assert not answers(exchange)
    assert not answers(market)


def answers(port: int) -> bool:
    try:
        return get(f"http://127.0.0.1:{port}/")[0] == 200
    except OSError:
        return False

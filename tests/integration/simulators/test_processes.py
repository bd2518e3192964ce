"""The simulators as processes: starting, stopping, and connections that break for real."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import deque
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.cli import ROOT, clean_environment, until
from tests.support.simulator_process import SimulatorProcess, simulator_process

ANSWER_S = 5.0


@pytest.mark.parametrize("name", ["binance", "bitmex", "bybit"])
def test_newcomer_is_told_what_to_do(name: str, request: pytest.FixtureRequest) -> None:
    simulator: SimulatorProcess = request.getfixturevalue(name)

    with urllib.request.urlopen(simulator.url + "/") as answer:
        text = answer.read().decode()

    assert f"midstream-demo-{name}-key" in text
    assert f"curl '{simulator.url}/" in text


def get(simulator: SimulatorProcess, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("drop", ConnectionError),
        ("lose", ConnectionError),
        ("truncate", http.client.IncompleteRead),
        ("stall", TimeoutError),
        ("swallow", TimeoutError),
    ],
)
def test_connections_break_on_the_wire_as_planned(
    binance: SimulatorProcess, fault: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ANSWER_S", 0.5)
    binance.admin("PUT", "/sim/faults", f"{fault}@GET /api/v3/exchangeInfo,count=1")

    with pytest.raises((error, http.client.RemoteDisconnected)):
        get(binance, "/api/v3/exchangeInfo")

    assert get(binance, "/api/v3/exchangeInfo")[0] == 200
    assert "error" not in binance.log.read_text()


def test_garbage_is_not_json_and_the_next_answer_is(binance: SimulatorProcess) -> None:
    binance.admin("PUT", "/sim/faults", "garbage@GET /api/v3/time,count=1")

    with pytest.raises(ValueError, match=r"."):
        json.loads(get(binance, "/api/v3/time")[1])

    assert "serverTime" in json.loads(get(binance, "/api/v3/time")[1])


def test_clock_is_shown_ahead_in_body_and_in_one_date_header(binance: SimulatorProcess) -> None:
    binance.admin("PUT", "/sim/clock", {"skew_seconds": 3600})
    connection = http.client.HTTPConnection("127.0.0.1", binance.port, timeout=ANSWER_S)

    connection.request("GET", "/api/v3/time")
    answer = connection.getresponse()

    assert len(answer.headers.get_all("date") or []) == 1
    assert json.loads(answer.read())["serverTime"] / 1e9 > 0
    connection.close()


def test_websocket_carries_quotes_breaks_without_a_word_and_refuses_by_status(binance: SimulatorProcess) -> None:
    with connect(f"{binance.ws_url}/ws/btcusdt@bookTicker") as socket:
        assert set(json.loads(socket.recv(ANSWER_S))) == {"u", "s", "b", "B", "a", "A"}
        binance.admin("POST", "/sim/streams/close", {})
        with pytest.raises(ConnectionClosed) as ended:
            deque(socket, maxlen=0)
    assert ended.value.rcvd is None

    with connect(f"{binance.ws_url}/ws") as socket:
        binance.admin("POST", "/sim/streams/close", {"code": 1001})
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv(ANSWER_S)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1001

    binance.admin("PUT", "/sim/faults", "error=503@WS *,count=1")
    with pytest.raises(InvalidStatus, match="503"):
        connect(f"{binance.ws_url}/ws")
    with pytest.raises(InvalidStatus, match="404"):
        connect(f"{binance.ws_url}/nowhere")


def test_realtime_answers_text_pings(bitmex: SimulatorProcess) -> None:
    with connect(f"{bitmex.ws_url}/realtime?subscribe=quote:XBTUSD") as socket:
        assert json.loads(socket.recv(ANSWER_S))["info"].startswith("Welcome")
        socket.send("ping")
        while socket.recv(ANSWER_S) != "pong":
            pass


def test_faults_may_be_given_at_the_start_and_sigterm_ends_with_0(tmp_path: Path) -> None:
    with simulator_process("bitmex", tmp_path, FAULTS="error=overloaded@GET /api/v1/instrument,count=1") as simulator:
        assert get(simulator, "/api/v1/instrument")[0] == 503
        assert get(simulator, "/api/v1/instrument")[0] == 200
        assert simulator.admin("GET", "/sim/faults")["faults"][0]["happened"] == 1
        assert simulator.stop() == 0
        assert "error" not in simulator.log.read_text()


def test_port_in_use_is_refused_naming_the_setting(binance: SimulatorProcess) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.simulators.binance"],
        cwd=ROOT,
        env=clean_environment({"MIDSTREAM_SIM_BINANCE_PORT": str(binance.port)}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert "MIDSTREAM_SIM_BINANCE_PORT" in ended.stderr


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["binance", "bitmex"])
def test_refused_connections_are_refused_by_the_system_and_open_streams_go_on(name: str, tmp_path: Path) -> None:
    path = {"binance": "/ws/btcusdt@bookTicker", "bitmex": "/realtime?subscribe=quote:XBTUSD"}[name]
    with simulator_process(name, tmp_path, STEP="0.05") as simulator:
        idle = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=ANSWER_S)
        idle.request("GET", "/sim")
        before = json.loads(idle.getresponse().read())["requests"]
        with connect(simulator.ws_url + path) as socket:
            simulator.admin("PUT", "/sim/faults", "refuse,for=1.5")

            with pytest.raises(ConnectionRefusedError):
                get(simulator, "/api/v3/time")
            with pytest.raises(ConnectionRefusedError):
                connect(simulator.ws_url + path)
            assert idle.sock is not None
            assert idle.sock.recv(1) == b"", "an idle connection ends, so that no client sends on it"
            for _ in range(10):
                assert json.loads(socket.recv(ANSWER_S))

            until(lambda: is_up(simulator), what="the end of the refusal")
            assert simulator.admin("GET", "/sim")["requests"] == before
        idle.close()
        assert simulator.stop() == 0
        assert "rror" not in simulator.log.read_text()


def test_refusal_may_be_planned_for_the_start(tmp_path: Path) -> None:
    with simulator_process("binance", tmp_path, FAULTS="refuse,for=0.5") as simulator:
        until(lambda: is_up(simulator), what="the end of the refusal")
        assert simulator.stop() == 0


def test_process_that_refuses_stops_when_it_is_told_to(tmp_path: Path) -> None:
    with simulator_process("binance", tmp_path) as simulator:
        simulator.admin("PUT", "/sim/faults", "refuse,for=60")
        assert not is_up(simulator)
        assert simulator.stop() == 0


def is_up(simulator: SimulatorProcess) -> bool:
    try:
        return get(simulator, "/sim")[0] == 200
    except (ConnectionRefusedError, ConnectionResetError):
        # One that had reached the listener as it closed is reset.
        return False


@pytest.mark.long
def test_stalled_request_does_not_keep_the_process_from_stopping(tmp_path: Path) -> None:
    with simulator_process("binance", tmp_path, FAULTS="swallow@GET /api/v3/ping") as simulator:
        connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=ANSWER_S)
        connection.request("GET", "/api/v3/ping")
        os.kill(simulator.process.pid, signal.SIGTERM)
        assert simulator.process.wait(timeout=15) == 0
        connection.close()

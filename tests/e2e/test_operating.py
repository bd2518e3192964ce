"""`midstream serve` as an operator sees it: grpcurl, the command line, and what they say when something is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.health.v1.health_pb2 import STATUS_DOWN, STATUS_OK, GetReportRequest
from services.cli.servers import DEFAULT_PORTS
from tests.support.cli import ROOT, clean_environment, kill, midstream, until
from tests.support.grpcurl import grpcurl, readme_calls, run_call
from tests.support.ports import free_port
from tests.support.redis_server import RedisForTests
from tests.support.serving import Serving, serving

SET_MODE = "midstream.control.v1.ControlService/SetMode"
OTHER = "historical-only"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Everything that `midstream serve` starts, on the sample data, in real time; and a session without live feed."""
    directory = tmp_path_factory.mktemp("operating")
    with serving(directory / "out", SPEED="0.05") as running:
        environment = running.environment | {
            "MIDSTREAM_SESSION": OTHER,
            "MIDSTREAM_REDIS_URL": running.redis_url,
            "MIDSTREAM_HISTORICAL": str(ROOT / "data/historical_sample.csv"),
            "MIDSTREAM_OUT": str(directory / "other"),
            "MIDSTREAM_REPLAY_PORT": "0",
        }
        with server_process("services.replay", environment):
            until(lambda: session_reported(running, OTHER), what="the other session")
            running.wait_committed(100)
            yield running


@contextlib.contextmanager
def server_process(module: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """One server, started by hand; it has to end with exit code 0 on SIGTERM."""
    process = subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, env=clean_environment(environment))
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        kill(process)


def session_reported(running: Serving, session: str) -> bool:
    return midstream_json(running, "status", "--session", session).get("state") == "RUNNING"


def midstream_json(running: Serving, *arguments: str) -> dict[str, object]:
    done = running.midstream(*arguments, "--json")
    return dict(json.loads(done.stdout)) if done.code == 0 else {}


@pytest.mark.needs("grpcurl")
def test_every_grpcurl_line_of_the_readme_works(servers: Serving) -> None:
    ports = {str(port): servers.ports[name] for name, port in DEFAULT_PORTS.items() if name in servers.ports}
    # Those of the orders have a test of their own, with a key.
    calls = [call for call in readme_calls() if "OrderService" not in call]
    assert len(calls) >= 8

    answers = {call: run_call(call, {int(port): own for port, own in ports.items()}) for call in calls}

    for call, answer in answers.items():
        assert answer.code == 0, f"{call}\n{answer.stderr}"
    listed, described, live, sessions, mid, computed, report, historical = (
        answer.stdout for answer in answers.values()
    )
    assert "midstream.control.v1.ControlService" in listed.splitlines()
    assert "grpc.health.v1.Health" in listed.splitlines()
    assert "rpc SetMode" in described
    assert json.loads(live)["previous_mode"] == "MODE_HISTORICAL"
    assert json.loads(live)["mode"] == "MODE_LIVE"
    assert {session["name"] for session in json.loads(sessions)["sessions"]} == {"default", OTHER}
    assert json.loads(mid)["mid_price"]["mid_price"] > 0
    assert json.loads(computed)["mid_price"] == [100.5, 8]
    assert {check["name"] for check in json.loads(report)["report"]["checks"]} >= {
        "replay",
        "control",
        "price",
        "redis",
    }
    assert json.loads(historical)["mode"] == "MODE_HISTORICAL"
    assert int(json.loads(historical)["revision"]) == int(json.loads(live)["revision"]) + 1


@pytest.mark.parametrize(
    ("request_", "code", "parts"),
    [
        ('{"mode":"MODE_UNSPECIFIED"}', "InvalidArgument", ["mode", "MODE_HISTORICAL", "MODE_LIVE"]),
        ('{"mode":7}', "InvalidArgument", ["mode", "7"]),
        ('{"mode":"MODE_LIVE","session":"nobody"}', "NotFound", ["nobody"]),
        ('{"mode":"MODE_LIVE","session":"no body"}', "InvalidArgument", ["session"]),
        (f'{{"mode":"MODE_LIVE","session":"{OTHER}"}}', "FailedPrecondition", [OTHER, "MIDSTREAM_LIVE_URL"]),
    ],
    ids=["unspecified", "unknown mode", "unknown session", "bad session", "no live feed"],
)
@pytest.mark.needs("grpcurl")
def test_grpcurl_shows_readable_errors(servers: Serving, request_: str, code: str, parts: list[str]) -> None:
    answer = grpcurl("-plaintext", "-d", request_, f"localhost:{servers.ports['control']}", SET_MODE)

    assert answer.code != 0
    assert f"Code: {code}" in answer.stderr
    for part in parts:
        assert part in answer.stderr


def test_the_same_mode_again_returns_the_same_revision(servers: Serving) -> None:
    first, second = (midstream_json(servers, "mode", "historical") for _ in range(2))

    assert first["mode"] == second["mode"] == second["previous_mode"] == "historical"
    assert first["revision"] == second["revision"]


def test_pause_resume_and_speed_are_told_by_status(servers: Serving) -> None:
    assert servers.midstream("pause").stdout.startswith("paused, revision ")
    paused = midstream_json(servers, "status")
    assert (paused["state"], paused["paused"]) == ("PAUSED", True)
    published = servers.state()["last_sequence"]

    faster = servers.midstream("speed", "0.1")
    assert faster.stdout.startswith("speed 0.1x, revision ")
    assert servers.state()["last_sequence"] == published

    assert midstream_json(servers, "resume")["paused"] is False
    state = midstream_json(servers, "status")
    assert (state["paused"], state["speed"], state["mode"]) == (False, 0.1, "historical")
    assert state["redis_url"] == servers.redis_url
    until(lambda: servers.state()["last_sequence"] > published, what="the next record")
    shown = servers.midstream("status").stdout
    assert "speed      0.1x" in shown
    assert servers.redis_url in shown


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (("speed", "0"), 2, ["max"]),
        (("mode", "backwards"), 2, ["historical", "live"]),
        (("status", "--session", "nobody"), 2, ["nobody"]),
        (("mode", "live", "--session", OTHER), 2, ["MIDSTREAM_LIVE_URL"]),
    ],
    ids=["speed", "mode", "session", "no live feed"],
)
def test_wrong_words_are_refused_with_what_would_be_right(
    servers: Serving, arguments: tuple[str, ...], code: int, parts: list[str]
) -> None:
    done = servers.midstream(*arguments, "--json")

    assert done.code == json.loads(done.stdout)["error"]["exit_code"] == code
    for part in parts:
        assert part in done.error_line


def test_second_serve_on_the_same_ports_and_directory_is_refused_in_one_line(servers: Serving) -> None:
    same_ports = servers.environment | {
        "MIDSTREAM_OUT": str(servers.out.parent / "second"),
        "MIDSTREAM_LOG_LEVEL": "error",
    }

    directory = midstream("serve", environment=servers.environment)
    port = midstream("serve", "control", environment=same_ports)

    assert (directory.code, port.code) == (2, 2), (directory, port)
    assert str(servers.out) in directory.error_line
    assert str(servers.ports["control"]) in port.stderr


def test_health_sees_a_killed_server_go_and_come_back(servers: Serving) -> None:
    names = ("replay", "control", "price", "redis", "feed", "queue")
    until(lambda: [servers.statuses()[name] for name in names] == [STATUS_OK] * 6, what="everything healthy")
    before = servers.state()["pid"]

    os.kill(servers.server_pid("replay"), signal.SIGKILL)

    until(lambda: servers.statuses()["replay"] == STATUS_DOWN, what="the report of the death")
    until(lambda: servers.statuses()["replay"] == STATUS_OK, what="the report of the return")
    until(lambda: servers.state()["pid"] != before, what="another engine")
    report = servers.health.GetReport(GetReportRequest()).report
    replay = next(check for check in report.checks if check.name == "replay")
    assert replay.last_error
    assert replay.age_ms < 5000


def test_command_without_a_server_says_what_to_start() -> None:
    done = midstream("status", environment={"MIDSTREAM_CONTROL_PORT": str(free_port())})

    assert (done.code, done.stdout) == (1, "")
    assert "midstream serve" in done.error_line


@pytest.mark.needs("grpcurl")
def test_reflection_can_be_turned_off(shared_redis: RedisForTests, tmp_path: Path) -> None:
    port, ready = free_port(), tmp_path / "ready.json"
    environment = {
        "MIDSTREAM_REDIS_URL": shared_redis.url,
        "MIDSTREAM_CONTROL_PORT": str(port),
        "MIDSTREAM_CONTROL_METRICS_PORT": "0",
        "MIDSTREAM_REFLECTION": "off",
        "MIDSTREAM_READY_FILE": str(ready),
    }
    with server_process("services.control", environment):
        until(ready.exists, what="the server's start")

        listed = grpcurl("-plaintext", f"localhost:{port}", "list")
        described = grpcurl(
            "-plaintext", "-import-path", str(ROOT), "-proto", "protos/control/v1/control.proto",
            f"localhost:{port}", "midstream.control.v1.ControlService/GetState",
        )  # fmt: skip

    assert listed.code != 0
    assert "reflection" in listed.stderr
    assert described.code == 0, described.stderr


@pytest.mark.long
def test_servers_say_nothing_on_stdout_and_stop_with_exit_code_0(tmp_path: Path) -> None:
    environment = {"MIDSTREAM_OUT": str(tmp_path), "MIDSTREAM_CONTROL_PORT": "0", "MIDSTREAM_CONTROL_METRICS_PORT": "0"}
    log = tmp_path / "stderr"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "serve", "control"],
            cwd=ROOT,
            env=clean_environment(environment),
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        try:
            until(lambda: b"is up" in log.read_bytes(), what="the server's start")
            os.kill(process.pid, signal.SIGINT)
            stdout, _ = process.communicate(timeout=30)
        finally:
            kill(process)

    assert (process.returncode, stdout) == (0, b"")

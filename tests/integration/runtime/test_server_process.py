"""A whole server in its own process: ports, ready file, signals, exit codes, grpcurl."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.reflection import V1
from tests.support.calls import NAME
from tests.support.grpcurl import go_tool
from tests.support.waiting import wait_until


class RunningServer:
    """One plain server and where it listens."""

    def __init__(self, process: subprocess.Popen[str], ready_file: Path) -> None:
        self.process = process
        self.ready_file = ready_file

    def wait_ready(self) -> dict[str, Any]:
        wait_until(lambda: self.ready_file.exists() or self.process.poll() is not None, what="the ready file")
        ready: dict[str, Any] = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return ready

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


Start = Callable[..., RunningServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[RunningServer] = []

    def start_one(**environment: str) -> RunningServer:
        ready_file = tmp_path / f"ready-{len(servers)}"
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.plain_server"],
            env={
                **os.environ,
                "MIDSTREAM_REDIS_URL": "redis://127.0.0.1:1/0",
                "MIDSTREAM_PORT": "0",
                "MIDSTREAM_METRICS_PORT": "0",
                "MIDSTREAM_READY_FILE": str(ready_file),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        servers.append(RunningServer(process, ready_file))
        return servers[-1]

    yield start_one
    for server in servers:
        server.process.kill()
        server.process.communicate()


@pytest.mark.quick
def test_server_serves_health_calls_and_metrics_and_ends_with_0(start: Start) -> None:
    server = start()
    ready = server.wait_ready()

    with grpc.insecure_channel(f"127.0.0.1:{ready['port']}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        statuses = [health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status for name in ("", NAME)]
        answer = channel.unary_unary(f"/{NAME}/Unary")(b"hello", timeout=5)
    with urllib.request.urlopen(f"http://127.0.0.1:{ready['metrics_port']}/metrics", timeout=5) as response:
        metrics = response.read().decode()
    code, out, err = server.end()

    assert (ready["server"], ready["pid"]) == ("control", server.process.pid)
    assert statuses == [health_pb2.HealthCheckResponse.SERVING] * 2
    assert answer == b"hello"
    assert 'grpc_server_handled_total{grpc_code="OK",grpc_method="Unary"' in metrics
    assert "midstream_serving 1.0" in metrics
    assert (code, out) == (0, "stopped\n")
    assert all(json.loads(line)["server"] == "control" for line in err.splitlines())
    assert not server.ready_file.exists()


def test_without_reflection_streams_end_and_watchers_hear_of_it_before_the_server_goes(start: Start) -> None:
    server = start(MIDSTREAM_REFLECTION="off")
    port = server.wait_ready()["port"]

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.RpcError) as unimplemented:
            next(channel.stream_stream(f"/{V1}/ServerReflectionInfo")(iter((b"",)), timeout=20))
        assert unimplemented.value.code() is grpc.StatusCode.UNIMPLEMENTED
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        stream = channel.unary_stream(f"/{NAME}/Stream")(b"forever", timeout=20)
        assert next(stream) == b"first"
        server.process.send_signal(signal.SIGTERM)

        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.process.wait(10) == 0


def test_second_server_on_the_same_port_is_refused_and_the_first_ends_on_interrupt(start: Start) -> None:
    first = start()
    port = first.wait_ready()["port"]

    second = start(MIDSTREAM_PORT=str(port))
    _, err = second.process.communicate(timeout=20)

    assert second.process.returncode == 2
    assert err == (
        f"port {port} on 127.0.0.1 is already in use: stop the other process or set MIDSTREAM_CONTROL_PORT\n"
    )
    assert first.end(signal.SIGINT)[:2] == (0, "stopped\n")


def test_a_variable_that_no_setting_has_is_named_once_or_refused(start: Start) -> None:
    warned = start(MIDSTREAM_REFLECTON="off", MIDSTREAM_STRICT="off")
    warned.wait_ready()
    code, _, err = warned.end()
    refused = start(MIDSTREAM_REFLECTON="off", MIDSTREAM_STRICT="1")
    _, refusal = refused.process.communicate(timeout=20)

    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert [line["level"] for line in lines if "MIDSTREAM_REFLECTON" in line.get("problem", "")] == ["warning"]
    assert refused.process.returncode == 2
    assert refusal == (
        "MIDSTREAM_REFLECTON is no setting; did you mean MIDSTREAM_REFLECTION? `midstream settings` lists them all\n"
    )


def test_exit_code_says_how_it_ended(start: Start) -> None:
    expected = {"refuse": (2, "Redis refused: the reason; the fix\n"), "crash": (1, "broken"), "2": (2, "draining")}
    # Started together: what takes the time is the start.
    servers = {behaviour: start(PLAIN_SERVER=behaviour) for behaviour in expected}

    for behaviour, (code, said) in expected.items():
        _, err = servers[behaviour].process.communicate(timeout=30)
        assert servers[behaviour].process.returncode == code, behaviour
        assert said in err
        assert not servers[behaviour].ready_file.exists()


def _run_grpcurl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([go_tool("grpcurl"), *arguments], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.needs("grpcurl")
def test_grpcurl_lists_and_describes(start: Start) -> None:
    address = f"127.0.0.1:{start().wait_ready()['port']}"

    listed = _run_grpcurl("-plaintext", address, "list")
    described = _run_grpcurl("-plaintext", address, "describe", "grpc.reflection.v1.ServerReflection")
    checked = _run_grpcurl("-plaintext", address, "grpc.health.v1.Health/Check")

    assert listed.stdout.split() == [
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection", NAME,
    ]  # fmt: skip
    assert ".grpc.reflection.v1.ServerReflectionRequest" in described.stdout
    assert "SERVING" in checked.stdout


def test_a_server_that_others_would_reach_is_refused_in_one_line_before_it_listens(start: Start) -> None:
    server = start(MIDSTREAM_HOST="0.0.0.0")
    _, err = server.process.communicate(timeout=20)

    [line] = [line for line in err.splitlines() if not line.startswith("{")]
    assert server.process.returncode == 2
    assert line.startswith("MIDSTREAM_HOST: 0.0.0.0 is reached from other machines, without TLS and without an auth")
    assert line.endswith("or MIDSTREAM_INSECURE=yes for a network in which everybody may do everything")
    assert not server.ready_file.exists()

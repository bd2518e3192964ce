"""What the containers start comes up with the containers' settings, and answers their probes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.cli.servers import environment_prefix
from tests.deployment.kubernetes.manifests import Manifest, environment_of, read_tree, server_of
from tests.support.cli import ROOT, clean_environment
from tests.support.ports import free_port
from tests.support.redis_server import RedisForTests
from tests.support.tls import Authority
from tests.support.waiting import wait_until

CORE = [
    container
    for container in read_tree().containers
    if server_of(container) in ("replay", "control", "price", "health")
]


def answers(port: int, probe: Mapping[str, str]) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service=probe.get("service", ""))
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@contextlib.contextmanager
def started(container: Manifest, tmp_path: Path, redis_url: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Start what a container starts, on loopback and free ports; what only the cluster knows is stood in for."""
    name = server_of(container)
    prefix, port = environment_prefix(name), free_port()
    cert, key = Authority().pair("localhost").write(tmp_path, "server")
    here = {
        "MIDSTREAM_HOST": "127.0.0.1",
        "MIDSTREAM_ADMIN_HOST": "127.0.0.1",
        "MIDSTREAM_TLS_CERT": str(cert),
        "MIDSTREAM_TLS_KEY": str(key),
        "MIDSTREAM_OUT": str(tmp_path / "out"),
        "MIDSTREAM_REDIS_URL": redis_url,
        "MIDSTREAM_KEYS_DATABASE_URL": f"sqlite:///{tmp_path / 'keys.db'}",
        "MIDSTREAM_KEYS_SECRET": "5" * 64,
        f"{prefix}_PORT": "0",
        f"{prefix}_METRICS_PORT": "0",
        f"{prefix}_ADMIN_PORT": str(port),
    }
    if name == "price":
        # The exchanges of the manifests are out of reach of a test.
        here["MIDSTREAM_PRICE_EXCHANGES"] = ""
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *container["args"]],
            cwd=ROOT,
            env=clean_environment(environment_of(read_tree(), container) | here),
            stdout=out,
            stderr=out,
        )
    try:
        yield port, process
    except BaseException:
        print(log.read_text())  # noqa: T201  (beside the failure)
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=60)


@pytest.mark.cases(2)
@pytest.mark.parametrize("container", CORE, ids=server_of)
def test_a_container_starts_answers_its_probes_and_ends_in_order(
    container: Manifest, new_redis: Callable[..., RedisForTests], tmp_path: Path
) -> None:
    with started(container, tmp_path, new_redis().url) as (port, process):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["grpc"]
            wait_until(lambda asked=asked: answers(port, asked), timeout_s=100, what=probe)  # type: ignore[misc]
        assert process.poll() is None

    assert process.returncode == 0

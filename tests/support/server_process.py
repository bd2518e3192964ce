"""One `python -m services.<name>` as a test sees it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.attackers import limited
from tests.support.cli import PATIENCE_S, ROOT, clean_environment, until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class ServerProcess:
    """A server in a process of its own, on ports that the system picks; `name` is that of its module."""

    def __init__(self, name: str, directory: Path, *, open_files: int = 0, port: str = "0", **settings: str) -> None:
        """`open_files` other than 0 is the hard limit that the process starts with, `port` one that clients know from before."""
        self.name = name
        self.killed = False
        self.log = directory / f"{name}.log"
        self._ready = directory / f"{name}.ready.json"
        environment = {f"MIDSTREAM_{key}": value for key, value in settings.items()}
        prefix = f"MIDSTREAM_{name.upper().replace('.', '_')}"
        environment |= {
            "MIDSTREAM_READY_FILE": str(self._ready),
            f"{prefix}_PORT": port,
            f"{prefix}_METRICS_PORT": "0",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                limited(open_files, "-m", f"services.{name}"),
                cwd=ROOT,
                env=clean_environment({"MIDSTREAM_OUT": str(directory / "out"), **environment}),
                stdout=log,
                stderr=log,
            )
        try:
            until(self._is_up, what=f"start of {name}")
        except BaseException:
            self.kill()
            raise
        self.announcement: dict[str, Any] = json.loads(self._ready.read_text())
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.announcement['port']}")

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self._ready.exists()

    def figures(self) -> str:
        """What a scrape gets."""
        address = f"http://127.0.0.1:{self.announcement['metrics_port']}/metrics"
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def health(self, service: str = "") -> int:
        """What grpc.health.v1 says."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S).status)

    def wait_health(self, status: int) -> None:
        """Wait until health says so."""
        until(lambda: self.health() == status, what=f"health {status} of {self.name}")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.channel.close()
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        """kill -9 where it still runs."""
        self.killed = True
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=PATIENCE_S)


@contextlib.contextmanager
def server_process(name: str, directory: Path, **settings: str) -> Iterator[ServerProcess]:
    """Keep a server up for a block; keywords are settings without their prefix. It has to end with exit code 0,
    unless the test kills it.
    """
    server = ServerProcess(name, directory, open_files=0, **settings)
    try:
        yield server
    except BaseException:
        print(server.log.read_text())  # noqa: T201  (beside the failure)
        server.channel.close()
        server.kill()
        raise
    if server.killed:
        server.channel.close()
        return
    assert server.stop() == 0, server.log.read_text()

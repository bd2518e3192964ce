"""Every server's command in compose.yaml, run with its environment against a Valkey and a Postgres as that file wants them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis

from protos.health.v1 import health_pb2, health_pb2_grpc
from services.cli.servers import SERVERS, environment_prefix
from services.runtime.preflight import check_redis
from services.runtime.redis_binary import find_engine
from tests.support import compose
from tests.support.cli import clean_environment
from tests.support.imports import ROOT
from tests.support.ports import free_port
from tests.support.postgres import PostgresForTests
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.needs("postgres"), pytest.mark.timeout(600)]
START_S = 300.0
SERVICES = compose.services()
OURS = {name: each for name, each in SERVICES.items() if each["image"] == "midstream:local" and name != "pod"}
ORDERS = (("binance", "BTC/USDT", "0.001"), ("bybit", "BTC/USDT:USDT", "0.01"), ("bitmex", "BTC/USD:BTC", "100"))
"""One at the market on each simulated exchange."""
IMAGE = dict(
    word.split("=", 1)
    for block in re.findall(r"^ENV (.*?[^\\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    for word in block.replace("\\\n", " ").split()
    if word.startswith("MIDSTREAM_")
)
"""What the image says to every server of it."""


class Pod:
    """The network that they share, on ports that are free here, and their folders."""

    def __init__(self, folder: Path, postgres: PostgresForTests) -> None:
        self.folder = folder
        postgres.new_database("midstream")
        self._ports = {6379: free_port(), 5432: postgres.port}
        self._moved: dict[str, str] = {}
        for name, server in SERVERS.items():
            prefix = environment_prefix(name)
            for kind, port in (("", server.port), ("_WEB", server.web)):
                if port:
                    self._ports[port] = free_port()
                    self._moved[f"{prefix}{kind}_PORT"] = str(self._ports[port])
            if server.scheme == "grpc":
                self._moved[f"{prefix}_METRICS_PORT"] = str(free_port())
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def here(self, text: str) -> str:
        """Return a text with the ports of this test in place of the file's."""
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: str(self._ports[int(found[0])]), text)

    @property
    def redis_port(self) -> int:
        return self._ports[6379]

    def web(self, name: str) -> str:
        """Return the address of a server's web face."""
        return f"http://127.0.0.1:{self._ports[SERVERS[name].web]}"

    def environment(self, name: str) -> dict[str, str]:
        """Return what the server sees: of the image, of the file; everything listens on loopback here."""
        own = {key: self.here(value) for key, value in SERVICES[name]["environment"].items()}
        places = {
            key: value.replace("/var/lib/midstream", str(self.folder / name)) for key, value in {**IMAGE, **own}.items()
        }
        return clean_environment({**places, **self._moved, "MIDSTREAM_HOST": "127.0.0.1", "PYTHONPATH": str(ROOT)})

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a process in a folder of its own."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def midstream(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours in a server's container, as `docker compose exec` does."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "services.cli", *arguments],
            env=self.environment(name),
            cwd=self.folder / name,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def start_valkey(self) -> None:
        """Run the command of the file, with our Valkey under that name."""
        service: dict[str, Any] = SERVICES["valkey"]
        programs = self.folder / "programs"
        programs.mkdir()
        (programs / "valkey-server").symlink_to(find_engine().path)
        (text,) = service["command"]
        text = text.replace("port 6379", f"port {self.redis_port}").replace(
            "dir /data", f"dir {self.folder / 'valkey'}"
        )
        path = f"{programs}:{os.environ['PATH']}"
        self.start("valkey", [*service["entrypoint"], text], {"PATH": path, **service["environment"]})

    def healthy(self, name: str) -> bool:
        """Ask as compose does."""
        process = self.processes[name]
        assert process.poll() is None, f"{name} has ended:\n{self.log(name)}"
        _, program, *arguments = OURS[name]["healthcheck"]["test"]
        assert program == "midstream"
        return self.midstream(name, *arguments).returncode == 0

    def end(self) -> dict[str, int]:
        """Stop everything as compose does, and return the exit codes."""
        for process in self.processes.values():
            process.terminate()
        codes = {}
        for name, process in self.processes.items():
            try:
                codes[name] = process.wait(compose.seconds(SERVICES[name]["stop_grace_period"]))
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        return codes


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Valkey and Postgres, up."""
    with contextlib.ExitStack() as stack:
        postgres = PostgresForTests()
        stack.callback(postgres.stop)
        pod = Pod(tmp_path, postgres)
        stack.callback(pod.end)
        pod.start_valkey()
        yield pod


def test_the_whole_set_comes_up_healthy_works_and_stops(pod: Pod) -> None:
    password = compose.SECRETS["VALKEY_PASSWORD"]
    client = redis.Redis(port=pod.redis_port, password=password)
    wait_until(lambda: _answers(client), timeout_s=30, what="Valkey")

    check_redis(client, live=True)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=pod.redis_port).ping()

    for name, service in OURS.items():
        pod.start(name, [sys.executable, "-P", "-m", "services.cli", *service["command"]], pod.environment(name))
    for name in OURS:
        wait_until(lambda name=name: pod.healthy(name), timeout_s=START_S, what=f"the health check of {name}")

    # They have found each other: prices went through the queue into a file, the journal is in Postgres, all are watched.
    log = pod.folder / "price/mid_prices.log"
    wait_until(lambda: log.exists() and log.stat().st_size > 0, timeout_s=START_S, what="mid prices")
    with urllib.request.urlopen(f"{pod.web('orders')}/health", timeout=30) as answer:
        assert answer.status == 200
    made = pod.midstream("orders", "keys", "create", "--name", "me", "--role", "trade")
    assert made.returncode == 0, made.stderr
    for exchange, symbol, quantity in ORDERS:
        bought = _bought(pod, made.stdout.strip(), exchange, symbol, quantity)
        assert (bought["exchange"], bought["state"], bought["filled_quantity"]) == (exchange, "FILLED", quantity)
    assert not list(pod.folder.glob("*/*.db"))
    wait_until(lambda: _report(pod) == "STATUS_OK", timeout_s=START_S, what="a report without trouble")

    codes = pod.end()
    assert {name: code for name, code in codes.items() if code} == {}, pod.folder


def _bought(pod: Pod, key: str, exchange: str, symbol: str, quantity: str) -> dict[str, Any]:
    """Place an order at the market over REST, and return what it says."""
    order = {"exchange": exchange, "symbol": symbol, "side": "BUY", "type": "MARKET", "quantity": quantity}
    headers = {"authorization": f"Bearer {key}", "idempotency-key": exchange, "content-type": "application/json"}
    request = urllib.request.Request(f"{pod.web('orders')}/v1/orders", json.dumps(order).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


def _report(pod: Pod) -> str:
    """Return what the health server says about all of them."""
    with grpc.insecure_channel(f"127.0.0.1:{pod.environment('health')['MIDSTREAM_HEALTH_PORT']}") as channel:
        answer = health_pb2_grpc.HealthServiceStub(channel).GetReport(health_pb2.GetReportRequest(), timeout=10)
    return health_pb2.Status.Name(answer.report.status)

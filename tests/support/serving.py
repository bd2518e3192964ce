"""`midstream serve` for tests: real servers on free ports, with a Redis of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar
from unittest import mock

import grpc
import redis

from clients.rpc import ControlClient
from protos.common.v1.market_pb2 import TickBatch
from protos.health.v1.health_pb2 import GetReportRequest
from protos.health.v1.health_pb2_grpc import HealthServiceStub
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from protos.replay.v1.replay_pb2 import StreamTicksRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys
from tests.support.cli import PATIENCE_S, ROOT, Completed, clean_environment, command, midstream_here, until
from tests.support.ports import free_port

SERVERS = ("replay", "control", "price", "health")
CALL_S = 30.0
S = TypeVar("S", bound="Serving")


class Serving:
    """One running `midstream serve`."""

    def __init__(self, out: Path, *, environment: Mapping[str, str], names: Sequence[str] = ()) -> None:
        self.out = out
        self.ports = {name: free_port() for name in (*SERVERS, "sim-feed")}
        self.environment = {
            "MIDSTREAM_OUT": str(out),
            "MIDSTREAM_SPEED": "max",
            "MIDSTREAM_LOG_LEVEL": "warning",
            "MIDSTREAM_SIM_FEED_PORT": str(self.ports["sim-feed"]),
            "MIDSTREAM_HEALTH_INTERVAL": "0.2",
            "MIDSTREAM_PRICE_EXCHANGES": "",
        }
        for name in SERVERS:
            self.environment[f"MIDSTREAM_{name.upper()}_PORT"] = str(self.ports[name])
            self.environment[f"MIDSTREAM_{name.upper()}_METRICS_PORT"] = "0"
        self.environment |= environment
        out.mkdir(parents=True, exist_ok=True)
        self.log = out / "serve.log"
        # The suite's core: everything else has tests and ports of its own.
        names = tuple(names) or (*SERVERS, *(() if environment.get("MIDSTREAM_LIVE_URL") else ("sim-feed",)))
        self._names = names
        self._channels: dict[str, grpc.Channel] = {}
        self._log_file: IO[bytes] = self.log.open("wb")
        self.process = subprocess.Popen(
            command("serve", *names),
            cwd=ROOT,
            env=clean_environment(self.environment),
            stdout=self._log_file,
            stderr=self._log_file,
        )
        try:
            until(self._is_up, what="the servers' start")
            self.keys = SessionKeys(self.environment.get("MIDSTREAM_SESSION", "default"))
            self.redis_url = self.environment.get("MIDSTREAM_REDIS_URL") or self.control_state_url()
        except BaseException:
            self.kill()
            raise

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return b"every server is up" in self.log.read_bytes()

    # What it serves

    def address(self, name: str) -> str:
        """Where the server `name` listens."""
        return f"127.0.0.1:{self.ports[name]}"

    def channel(self, name: str) -> grpc.Channel:
        """A channel to the server `name`; closed with this."""
        if name not in self._channels:
            self._channels[name] = grpc.insecure_channel(self.address(name))
        return self._channels[name]

    @property
    def replay(self) -> ReplayServiceStub:
        return ReplayServiceStub(self.channel("replay"))

    @property
    def price(self) -> PriceServiceStub:
        return PriceServiceStub(self.channel("price"))

    @property
    def health(self) -> HealthServiceStub:
        return HealthServiceStub(self.channel("health"))

    def control(self, session: str = "") -> ControlClient:
        """A client of the control server; close it."""
        return ControlClient(self.address("control"), session=session, timeout_s=CALL_S)

    def control_state_url(self) -> str:
        """The URL of the Redis in use, as `midstream status` tells it."""
        with self.control() as client:
            return client.state().redis_url

    def redis(self) -> redis.Redis:
        """A client of its Redis; close it."""
        return connect(self.redis_url, client_name="test")

    def midstream(self, *arguments: str) -> Completed:
        """Run a `midstream` command against these servers, inside this process."""
        with mock.patch.dict(os.environ, self.environment):
            return midstream_here(*arguments)

    # What it is doing

    def state(self) -> dict[str, Any]:
        """The engine's last report; empty before the first."""
        return self._report(lambda client: client.get(self.keys.state))

    def sink(self, name: str = "price") -> dict[str, Any]:
        """The sink's last announcement; empty before the first."""
        return self._report(lambda client: client.hget(self.keys.sinks, name))

    def _report(self, read: Any) -> dict[str, Any]:
        with contextlib.closing(self.redis()) as client:
            try:
                found = read(client)
            except (redis.RedisError, OSError):
                return {}
        return dict(json.loads(found)) if found else {}

    def wait_state(self, name: str, *, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until the engine is in the state `name`."""

        def reached() -> dict[str, Any]:
            state = self.state()
            return state if state.get("state") == name else {}

        return dict(until(reached, what=f"state {name}", timeout_s=timeout_s))

    def wait_committed(self, sequence: int, *, sink: str = "price", timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until a sink has committed `sequence`."""

        def reached() -> dict[str, Any]:
            announced = self.sink(sink)
            return announced if announced.get("sequence", 0) >= sequence else {}

        return dict(until(reached, what=f"commit of {sequence}", timeout_s=timeout_s))

    def stream(self, *, to: int, **request: Any) -> list[TickBatch]:
        """Read StreamTicks up to the record `to`."""
        stream = self.replay.StreamTicks(StreamTicksRequest(**request), timeout=CALL_S)
        batches: list[TickBatch] = []
        for batch in stream:
            batches.append(batch)
            if batch.last_sequence >= to:
                stream.cancel()
                break
        return batches

    def statuses(self) -> dict[str, int]:
        """Status of every check of the health report, by name."""
        report = self.health.GetReport(GetReportRequest(), timeout=CALL_S).report
        return {check.name: check.status for check in report.checks}

    def server_pid(self, name: str) -> int:
        """Process id of the server `name`, from its ready file."""
        return int(json.loads((self.out / ".midstream" / "ready" / f"{name}.json").read_text())["pid"])

    # Its end

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=PATIENCE_S)
        finally:
            self.kill()
        return int(self.process.returncode)

    def kill(self) -> None:
        """kill -9 the supervisor; the servers go with it."""
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=PATIENCE_S)
        self._log_file.close()


class Machine(Serving):
    """One of several: it may take its time until all of its engines run, and says so instead of that it is up."""

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return b"Ctrl-C stops them" in self.log.read_bytes()


@contextlib.contextmanager
def serving(out: Path, names: Sequence[str] = (), **environment: str) -> Iterator[Serving]:
    """Keep `midstream serve` up for a block. Keywords are settings without their prefix; it has to end with exit code 0."""
    settings = {f"MIDSTREAM_{name}": value for name, value in environment.items()}
    with kept_up(Serving(out, environment=settings, names=names)) as servers:
        yield servers


@contextlib.contextmanager
def kept_up(servers: S) -> Iterator[S]:
    """Keep servers up for a block: they have to end with exit code 0, and show their log when the block fails."""
    try:
        yield servers
    except BaseException:
        print(servers.log.read_text())  # noqa: T201  (shown when the test fails)
        servers.kill()
        raise
    assert servers.stop() == 0, servers.log.read_text()


# Batches


def sequences(batches: Sequence[TickBatch]) -> list[int]:
    """Every sequence that the batches cover, in their order."""
    return [sequence for batch in batches for sequence in range(batch.first_sequence, batch.last_sequence + 1)]


def ticks(batches: Sequence[TickBatch], *, mode: int | None = None) -> list[tuple[int, int, str, float, float]]:
    """(event time, arrival, ticker, bid, ask) of every tick, in order; of one mode where it is given."""
    return [
        (
            batch.event_time_ns[index],
            batch.arrival_time_ns[index],
            batch.tickers[batch.ticker_index[index]],
            batch.bid_price[index],
            batch.ask_price[index],
        )
        for batch in batches
        if mode is None or batch.mode == mode
        for index in range(len(batch.bid_price))
    ]

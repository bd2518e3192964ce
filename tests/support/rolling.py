"""All processes of a session, restarted one after the other: who has the records meanwhile, and how long everybody waits for them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from unittest import mock

import grpc

from clients.rpc.control import ControlClient
from clients.rpc.following import Start
from clients.rpc.replay import ReplayClient
from protos.health.v1.health_pb2 import STATUS_OK, GetReportRequest
from protos.health.v1.health_pb2_grpc import HealthServiceStub
from tests.support.cli import ROOT, Completed, midstream_here, until
from tests.support.one_order import Reader
from tests.support.pages import shell_lines
from tests.support.ports import free_port
from tests.support.redis_cluster import Node, RedisClusterForTests
from tests.support.redis_server import RedisForTests
from tests.support.server_process import SERVING, ServerProcess

PATIENCE_S: Final = 60.0
GOES_ON_RECORDS: Final = 50
"""So many more that whoever was restarted must have had a part in them."""

PAGE: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
READY_LINES: Final = tuple(shell_lines(PAGE.partition("## Rolling restart")[2]))
"""What an operator asks before the next restart."""

Restart = tuple[str, Callable[[], object]]
"""What is restarted, and how."""


class LogWatch:
    """Looks at the logs of a folder all the time, for how long none of their lines is written."""

    def __init__(self, out: Path, partitions: int) -> None:
        """Of several partitions the last one is not looked at: files of tests have next to nothing for it."""
        folders = [out] if partitions == 1 else [out / f"p{partition}" for partition in range(partitions - 1)]
        self._logs = [folder / "mid_prices.log" for folder in folders]
        self._sizes = [-1] * len(folders)
        self._grown_s = [time.monotonic()] * len(folders)
        self.longest_s = 0.0
        """The longest time that one of them stood still."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="log-watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(10)

    @property
    def size(self) -> int:
        """What lies in all of them."""
        return sum(self._sizes)

    def has_grown(self, before: int) -> bool:
        """Whether there is more than before."""
        return self.size > before

    def _look(self) -> None:
        while not self._ending.wait(0.01):
            for place, log in enumerate(self._logs):
                size = log.stat().st_size if log.exists() else 0
                now_s = time.monotonic()
                # A sink that begins anew cuts off what it had not committed, and writes the same again.
                if size > self._sizes[place]:
                    self.longest_s = max(self.longest_s, now_s - self._grown_s[place] if self._sizes[place] > 0 else 0)
                    self._sizes[place], self._grown_s[place] = size, now_s


@dataclass(frozen=True)
class Delays:
    """How long a subscriber and a log went without a record while something was restarted."""

    restarted: str
    subscriber_s: float
    log_s: float

    def __str__(self) -> str:
        return f"{self.restarted:<28} subscriber {self.subscriber_s:6.2f} s   log {self.log_s:6.2f} s"


class Deployment:
    """Replay, price, control and health servers of one session, each a process with an address of its own.

    A session of several partitions has two replay servers, and two price servers that write to one folder.
    """

    def __init__(self, redis_url: str, directory: Path, *, partitions: int, **settings: str) -> None:
        several = ("replay-b", "price-b") if partitions > 1 else ()
        self.names: Final = ("replay", "price", *several, "control", "health")
        self.partitions = partitions
        self.out = directory / "out"
        self._directory = directory
        self._started = 0
        self._ports = {name: str(free_port()) for name in self.names}
        self._settings = {
            "REDIS_URL": redis_url,
            "OUT": str(self.out),
            "PARTITIONS": str(partitions),
            "PRICE_EXCHANGES": "",
            "HEALTH_INTERVAL": "0.2",
            **{f"{name.upper()}_PORT": self._ports[name] for name in ("replay", "price", "control", "health")},
            **settings,
        }
        self._stack = contextlib.ExitStack()
        self.servers: dict[str, ServerProcess] = {}

    def __enter__(self) -> Self:
        try:
            for name in self.names:
                self.start(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for name, server in self.servers.items():
                print(f"--- {name}\n{server.log.read_text()[-3000:]}")  # noqa: T201  (beside the failure)
        self.close()

    def close(self) -> None:
        """Kill what runs."""
        self._stack.close()
        for server in self.servers.values():
            server.channel.close()
            server.kill()

    def address(self, name: str) -> str:
        """Where it listens, whichever process it is."""
        return f"127.0.0.1:{self._ports[name]}"

    def start(self, name: str) -> None:
        """Start a server at its address."""
        self._started += 1
        folder = self._directory / f"{self._started}-{name}"
        folder.mkdir()
        self.servers[name] = ServerProcess(
            name.partition("-")[0], folder, open_files=0, port=self._ports[name], **{**self._settings, "OWNER": name}
        )

    def restart(self, name: str) -> None:
        """SIGTERM, wait for the end, and start it again."""
        server = self.servers[name]
        code = server.stop()
        assert code == 0, f"{name} ended with {code}: {server.log.read_text()}"
        self.start(name)

    def read(self) -> Reader:
        """Follow the session from its oldest record."""
        return self._stack.enter_context(contextlib.closing(Reader(self.address("replay"), Start(oldest=True))))

    def control(self) -> ControlClient:
        """A client that goes with this."""
        return self._stack.enter_context(ControlClient(self.address("control")))

    def wait_ready(self) -> None:
        """Wait until every server says that it can be used, and every partition has its owner."""
        until(lambda: _answered(self._is_ready), what="all servers ready", timeout_s=PATIENCE_S)

    def midstream(self, line: str) -> Completed:
        """Run a line of a page against these servers, inside this process."""
        name, *arguments = shlex.split(line)
        assert name == "midstream"
        with mock.patch.dict(os.environ, {f"MIDSTREAM_{key}": value for key, value in self._settings.items()}):
            return midstream_here(*arguments)

    def _is_ready(self) -> bool:
        if self.partitions == 1:
            return all(self.midstream(line).code == 0 for line in READY_LINES)
        report = HealthServiceStub(self.servers["health"].channel).GetReport(GetReportRequest(), timeout=5).report
        told = {check.name: check.status for check in report.checks}
        return (
            {server.health() for server in self.servers.values()} == {SERVING}
            and {"replay", "control", "price", "redis", "feed"} <= set(told)
            and set(told.values()) == {STATUS_OK}
            and self._is_shared()
        )

    def _is_shared(self) -> bool:
        with ReplayClient(self.address("replay")) as client:
            found = client.partitions()
        sinks = [sink.owner for partition in found for sink in partition.sinks]
        return all(
            sorted(owners) == [first] * (self.partitions // 2) + [second] * (self.partitions - self.partitions // 2)
            for owners, first, second in (
                ([partition.owner for partition in found], "replay", "replay-b"),
                (sinks, "price", "price-b"),
            )
        )

    def roll(self, store: RedisForTests | RedisClusterForTests, reader: Reader, log: LogWatch) -> list[Delays]:
        """Restart everything, one after the other; each has to be back, and records have to flow, before the next."""
        servers: list[Restart] = [(name, functools.partial(self.restart, name)) for name in self.names]
        delays = []
        for what, restart in itertools.chain(_restarts_of(store), servers):
            reader.longest_s = log.longest_s = 0.0
            restart()
            self.wait_ready()
            came, written = len(reader.records), log.size
            reader.wait(came + GOES_ON_RECORDS)
            until(functools.partial(log.has_grown, written), what="more in the logs")
            delays.append(Delays(what, reader.longest_s, log.longest_s))
            print(delays[-1], flush=True)  # noqa: T201  (what the pages say is measured so)
        return delays


def _answered(asked: Callable[[], bool]) -> bool:
    """Whether it holds; not while a server is away, or waits for its Redis."""
    try:
        return asked()
    except grpc.RpcError as exc:
        if exc.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
        return False


def _restarts_of(store: RedisForTests | RedisClusterForTests) -> Iterator[Restart]:
    """Restart a Redis in its place; of a cluster replicas, primaries that were replaced in order, and primaries that were not."""
    if isinstance(store, RedisForTests):
        # Which ends the one that runs, in order.
        yield "Redis", store.restart
        return

    def again(node: Node) -> None:
        store.terminate(node)
        store.restart(node)
        store.wait_until_agreed()

    def replaced(node: Node) -> None:
        store.replace(node)
        again(node)

    first = store.primaries()
    for number, node in enumerate((node for node in store.nodes if node not in first), 1):
        yield f"replica {number}", functools.partial(again, node)
    for number, node in enumerate(first, 1):
        yield f"primary {number}, replaced first", functools.partial(replaced, node)
    for number, node in enumerate(store.primaries(), 1):
        yield f"primary {number}, in its place", functools.partial(again, node)

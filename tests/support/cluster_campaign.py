"""A session of several partitions on a real cluster, and everything that may happen to both, one step after the other from a seed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final, cast

import redis

from fastpath.frame import TickFrame
from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys
from tests.support.campaign_watchers import Contents, Subscriber
from tests.support.chaos import children_of
from tests.support.network_hosts import TwoHosts, why_no_hosts
from tests.support.ports import free_port
from tests.support.redis_cluster import Node, RedisClusterForTests
from tests.support.server_process import ServerProcess
from tests.support.waiting import wait_until

PARTITIONS: Final = 4
"""Of the session `default`: their slots lie on all three primaries."""
GOES_ON_S: Final = 45.0
"""Within so long of a fault, or of its end, every partition has new records."""
NEW_RECORDS: Final = 10
NEAR: Final = 100
"""So many records may be on their way to a subscriber."""
TAIL: Final = 200
"""How many entries of each stream are looked at after each step; all of them at the end."""
NODE_FAULTS: Final = ("kill node", "stop node", "fail over", "move slot", "cut hosts", "isolate host")
PROCESS_FAULTS: Final = ("kill engine", "stop engine", "kill server", "stop server")
SINK_FAULTS: Final = ("kill sink", "stop sink", "kill price server")
PRICE: Final = "price"


class Campaign:
    """Use as a context manager; on failure it prints the seed, the steps and where everything lies."""

    def __init__(self, directory: Path, *, seed: int, wait_for_replica: bool, sinks: bool, **settings: str) -> None:
        """`sinks`: a price server writes the logs of all partitions to `logs`, and is hurt as well."""
        self.seed, self._random, self._directory = seed, Random(seed), directory
        self._process_faults = PROCESS_FAULTS + (SINK_FAULTS if sinks else ())
        self.logs = directory / "logs"
        self.steps: list[str] = []
        self._healed_first = wait_for_replica
        self._exit = contextlib.ExitStack()
        self.hosts: TwoHosts | None = None
        self._servers: dict[str, ServerProcess] = {}
        self._starts = 0
        try:
            if not why_no_hosts():
                self.hosts = self._exit.enter_context(TwoHosts())
            hosts = () if self.hosts is None else (self.hosts.a, self.hosts.b)
            self.cluster = self._exit.enter_context(RedisClusterForTests(directory / "cluster", hosts=hosts))
            self.settings = {
                "REDIS_URL": self.cluster.url,
                # The hosts are namespaces of this machine, but have addresses as others do.
                "INSECURE": "yes",
                "PARTITIONS": str(PARTITIONS),
                "SINKS": "price" if sinks else "",
                "ACKNOWLEDGED": "replica" if wait_for_replica else "memory",
                **settings,
            }
            self._ports = {name: str(free_port()) for name in "ab"}
            self._client = self._exit.enter_context(connect(self.cluster.url, client_name="test", timeout_s=1.0))
            for name in "ab":
                self.start(name)
            if sinks:
                self.logs.mkdir()
                self._start_price()
            self._exit.callback(self._end_servers)
            self.seen = [Contents(partition) for partition in range(PARTITIONS)]
            self.subscribers = [
                Subscriber(f"127.0.0.1:{self._ports['a']}", partition, self.seen[partition])
                for partition in range(PARTITIONS)
            ]
            for subscriber in self.subscribers:
                self._exit.callback(subscriber.close)
            self.goes_on("the start")
            self.caught_up(within=NEAR)
        except BaseException:
            self._end_servers()
            self._exit.close()
            raise

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            print(f"seed {self.seed}, files in {self._directory}, steps:", *self.steps, sep="\n")  # noqa: T201
            for log in sorted([*self._directory.glob("*/replay.log"), *self._directory.glob("*/price.log")]):
                print(f"--- {log}", *log.read_text().splitlines()[-15:], sep="\n")  # noqa: T201
        self._exit.close()

    # Steps

    def run(self, count: int) -> None:
        """Do so many steps; each may be a fault of the cluster, one of the servers, or both at once."""
        for number in range(1, count + 1):
            self.step(number)
            self.check()

    def step(self, number: int) -> None:
        """Do something, see that all goes on, undo it, and see that all goes on again."""
        chosen = [self._random.choice(NODE_FAULTS), self._random.choice(self._process_faults)]
        if (both := self._random.random()) >= 0.25:
            chosen = [chosen[0] if both < 0.65 else chosen[1]]
        target = self._random.randrange(PARTITIONS)
        began_s = time.monotonic()
        self.steps.append(f"{number:4}: {' and '.join(chosen)}, partition {target}")
        print(self.steps[-1], flush=True)  # noqa: T201  (shown when it fails, or with -s)
        undo = [self._do(fault, target) for fault in chosen]
        alone = {"kill node", "stop node", "stop engine", "kill server", "stop server", *SINK_FAULTS}
        if alone.issuperset(chosen) and not (self._healed_first and "node" in chosen[0]):
            self.goes_on(f"{self.steps[-1]}, not mended")
        for mend in undo:
            mend()
        self.cluster.heal()
        self.goes_on(self.steps[-1])
        self.caught_up(within=NEAR)
        self.steps[-1] += f", {time.monotonic() - began_s:.1f} s"

    def _do(self, fault: str, target: int) -> Callable[[], object]:
        """Do one thing; returns what undoes it."""
        key = SessionKeys("default", target).ticks
        if fault in ("kill node", "stop node"):
            return self._lose(key, kill=fault == "kill node")
        if fault == "fail over" and self.cluster.replicas_of(key):
            self.cluster.failover(key)
        elif fault == "move slot":
            self.cluster.migrate_slot(key, self.cluster.other_primary(key))
        elif fault in ("cut hosts", "isolate host"):
            return self._part(isolate=fault == "isolate host")
        elif "engine" in fault or "sink" in fault:
            return self._hurt_engine(target, fault)
        elif fault == "kill price server":
            self._servers[PRICE].kill()
            return self._start_price
        elif "server" in fault:
            name = self._random.choice("ab")
            ended = self._servers[name]
            ended.kill() if fault == "kill server" else ended.stop()
            ended.channel.close()
            return lambda: self.start(name)
        return lambda: None

    def _lose(self, key: str, *, kill: bool) -> Callable[[], object]:
        """Take a primary away, mostly for so long that its replica takes over, or any node for a moment."""
        primary = self.cluster.primary_of(key)
        for_long = self._random.random() < 0.7
        node = primary if for_long else self._random.choice(self.cluster.nodes)
        replaced = for_long and bool(self.cluster.replicas_of(key))
        self.cluster.kill(node) if kill else self.cluster.stop(node)
        if replaced:
            wait_until(lambda: self.cluster.primary_of(key) is not node, timeout_s=GOES_ON_S, what="another primary")
        return lambda: self.cluster.restart(node) if kill else self.cluster.cont(node)

    def _part(self, *, isolate: bool) -> Callable[[], object]:
        """Part the hosts until each has noticed that the other is away."""
        if self.hosts is None:
            return lambda: None
        self.hosts.isolate() if isolate else self.hosts.cut()
        near = [node for node in self.cluster.nodes if node.host == self.hosts.a]
        wait_until(
            lambda: all(b"fail" in node.ask("CLUSTER", "NODES") for node in near),
            timeout_s=20.0,
            what="a parted cluster",
        )
        return self.hosts.mend

    def _hurt_engine(self, target: int, fault: str) -> Callable[[], object]:
        number = signal.SIGKILL if "kill" in fault else signal.SIGSTOP
        names, module = ([PRICE], "price") if "sink" in fault else ("ab", "replay")
        engines = [pid for name in names for pid in _engines_of(self._servers[name].process.pid, module)]
        if not engines:
            return lambda: None
        pid = sorted(engines)[target % len(engines)]
        _send(pid, number)
        return lambda: _send(pid, signal.SIGCONT)

    def partitions_of_the_far_host(self) -> list[int]:
        """Return the partitions whose primary is on host `b`."""
        keys = [SessionKeys("default", partition).ticks for partition in range(PARTITIONS)]
        far = self.hosts.b if self.hosts else None
        return [partition for partition, key in enumerate(keys) if self.cluster.primary_of(key).host == far]

    def fail_over_behind(self, partition: int) -> int:
        """Have a replica that lacks what the subscriber has of a partition take over; returns how many records it lacked.

        Its primary is on host `b`, alone with what it gets: until it notices, it takes records, and readers have them.
        """
        assert self.hosts is not None
        key = SessionKeys("default", partition).ticks
        primary, subscriber = self.cluster.primary_of(key), self.subscribers[partition]
        assert primary.host == self.hosts.b
        [replica] = self.cluster.replicas_of(key)
        self.steps.append(f"fail over behind the subscriber, partition {partition}")
        self.hosts.cut()
        kept = _last_at(replica, key)
        wait_until(
            lambda: subscriber.last[1] >= kept + NEW_RECORDS,
            timeout_s=GOES_ON_S,
            what="the subscriber ahead of the replica",
        )
        assert _last_at(primary, key) > kept
        lacked = subscriber.last[1] - kept
        wait_until(lambda: self.cluster.primary_of(key) is replica, timeout_s=GOES_ON_S, what="the replica as primary")
        self.hosts.mend()
        self.cluster.heal()
        self.goes_on(self.steps[-1])
        self.caught_up(within=NEAR)
        self.check(everything=True)
        return lacked

    # Servers

    def start(self, name: str, **settings: str) -> None:
        """Start a replay server; it keeps its port."""
        self._starts += 1
        folder = self._directory / f"{name}-{self._starts}"
        folder.mkdir()
        given = {**self.settings, "OWNER": name, **settings}
        self._servers[name] = ServerProcess("replay", folder, open_files=0, port=self._ports[name], **given)

    def _start_price(self) -> None:
        self._starts += 1
        folder = self._directory / f"{PRICE}-{self._starts}"
        folder.mkdir()
        given = {**self.settings, "OUT": str(self.logs), "PRICE_EXCHANGES": ""}
        self._servers[PRICE] = ServerProcess("price", folder, open_files=0, port="0", **given)

    def end_sinks_behind(self, ends: Sequence[int]) -> None:
        """Wait until the sink of every partition has committed so many records, and end their server."""

        def committed() -> list[int]:
            keys = [SessionKeys("default", partition).sinks for partition in range(PARTITIONS)]
            stored = [cast("bytes | None", self._client.hget(key, "price")) for key in keys]
            return [int(json.loads(each)["sequence"]) if each else 0 for each in stored]

        wait_until(lambda: committed() == list(ends), timeout_s=GOES_ON_S, what=f"commits of {ends}")
        assert self._servers[PRICE].stop() == 0

    def restart(self, **settings: str) -> None:
        """Start all servers again, those of replay with other settings."""
        has_sinks = PRICE in self._servers
        self._end_servers()
        for name in "ab":
            self.start(name, **settings)
        if has_sinks:
            self._start_price()

    def _end_servers(self) -> None:
        for server in self._servers.values():
            server.channel.close()
            server.kill()

    # What is there

    def goes_on(self, behind: str) -> None:
        """Wait until every partition has records that nobody had before."""
        began = [self.newest(partition) for partition in range(PARTITIONS)]
        highest = [
            max(sequence, self.seen[partition].newest(epoch), last if known == epoch else 0)
            for partition, ((epoch, sequence), (known, last)) in enumerate(
                zip(began, (subscriber.last for subscriber in self.subscribers), strict=True)
            )
        ]

        def new(partition: int) -> bool:
            epoch, sequence = self.newest(partition)
            return sequence >= NEW_RECORDS + (highest[partition] if epoch == began[partition][0] else 0)

        for partition in range(PARTITIONS):
            wait_until(
                lambda partition=partition: new(partition),  # type: ignore[misc]
                timeout_s=GOES_ON_S,
                what=f"going on of partition {partition} from {began[partition]} behind {behind}",
            )

    def newest(self, partition: int) -> tuple[str, int]:
        """Return the epoch and number of the last record of a partition; of none while nobody answers."""
        found = self._frames(partition, count=1)
        return (found[0].epoch, found[0].last_sequence) if found else ("", 0)

    def check(self, *, everything: bool = False) -> None:
        """Hold all that is in the streams, and all that has come, against each other."""
        for partition, (seen, subscriber) in enumerate(zip(self.seen, self.subscribers, strict=True)):
            for frame in self._frames(partition, count=None if everything else TAIL):
                seen.add(frame, "in the stream")
            subscriber.check()

    def caught_up(self, *, within: int = 0) -> None:
        """Wait until every subscriber is at the end of its stream, or so many records before it where more come all the time."""
        for partition, subscriber in enumerate(self.subscribers):

            def near(partition: int = partition, subscriber: Subscriber = subscriber) -> bool:
                assert not subscriber.error, subscriber.error
                (epoch, end), (known, last) = self.newest(partition), subscriber.last
                return known == epoch and last >= end - within

            wait_until(near, timeout_s=GOES_ON_S, what=f"the end of partition {partition} at its subscriber")

    def _frames(self, partition: int, *, count: int | None) -> Sequence[TickFrame]:
        try:
            found = self._client.xrevrange(SessionKeys("default", partition).ticks, count=count)
        except (redis.RedisError, OSError):
            return []
        return [TickFrame(fields[b"b"]) for _, fields in found]


def _engines_of(pid: int, module: str) -> list[int]:
    found = []
    for child in children_of(pid):
        with contextlib.suppress(OSError):
            if f"services.{module}.engine".encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                found.append(child)
    return found


def _send(pid: int, number: signal.Signals) -> None:
    """To a process of ours that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _last_at(node: Node, key: str) -> int:
    """Return the last number of a stream as one node has it, whatever it is."""
    with node.client() as client:
        client.execute_command("READONLY")
        return TickFrame(client.xrevrange(key, count=1)[0][1][b"b"]).last_sequence

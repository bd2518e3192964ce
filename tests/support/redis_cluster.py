"""A real cluster of the bundled engine for tests: three primaries with a replica each, on loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from redis.crc import key_slot

from services.runtime import parent_death
from services.runtime.connection import connect
from services.runtime.redis_binary import find_engine
from tests.support.network_hosts import LOOPBACK, Host, spread
from tests.support.ports import free_port
from tests.support.waiting import wait_until

SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 1_000
"""After so long without a word a node counts as failed; its replica takes over about as long after that."""
SETTLE_S: Final = 30.0
"""Bound on every wait for the cluster to agree."""
_ANSWER_S: Final = 2.0


def slot_of(key: str) -> int:
    """Return the slot of a key."""
    return int(key_slot(key.encode()))


@dataclass(frozen=True)
class Secured:
    """A cluster that speaks TLS only, among its nodes too, and wants a certificate and a password: what clients and nodes need for that."""

    program: str
    """A server that knows TLS: the bundled engine does not."""
    ca: Path
    cert: Path
    key: Path
    """Of all nodes, as they have one address, and of clients."""
    user: tuple[str, ...]
    """Name and rights of a user that nodes know from their start, as ACL SETUSER has them."""
    password: str = "open-sesame"
    """Of the user `default`, as whom the nodes come, and tests."""

    @property
    def options(self) -> tuple[str, ...]:
        """What a node is started with."""
        return (
            *("--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "yes"),
            *("--tls-cert-file", str(self.cert), "--tls-key-file", str(self.key), "--tls-ca-cert-file", str(self.ca)),
            *("--requirepass", self.password, "--masterauth", self.password, "--user", *self.user),
        )

    def url(self, address: str) -> str:
        """URL of a node, for who may do everything."""
        files = f"ssl_ca_certs={self.ca}&ssl_certfile={self.cert}&ssl_keyfile={self.key}"
        return f"rediss://:{self.password}@{address}/0?{files}"


@dataclass(eq=False)
class Node:
    """One server of the cluster. Its port and directory stay the same over restarts; its process does not."""

    port: int
    bus_port: int
    directory: Path
    command: list[str] = field(repr=False)
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    stopped: bool = False
    """Suspended by `RedisClusterForTests.stop`."""
    host: Host = LOOPBACK
    secured: Secured | None = None

    @property
    def address(self) -> str:
        return f"{self.host.address}:{self.port}"

    @property
    def url(self) -> str:
        """URL of this node alone."""
        return f"redis://{self.address}/0" if self.secured is None else self.secured.url(self.address)

    @property
    def alive(self) -> bool:
        """Whether it runs and is not suspended."""
        return self.process is not None and self.process.poll() is None and not self.stopped

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self) -> redis.Redis:
        """Return a client of this node alone; close it."""
        return connect(self.url, client_name="test", timeout_s=_ANSWER_S)

    def ask(self, *command: str | int | bytes) -> Any:
        """Send one command to this node and return the bare answer."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def spawn(self) -> None:
        """Start its process; it dies with this one."""
        command = parent_death.dying_with_parent(self.command) if parent_death.available() else self.command
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, process_group=0
            )
        self.stopped = False

    def end(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.stopped = False


@dataclass(frozen=True)
class _Seen:
    """One line of CLUSTER NODES."""

    id: str
    flags: frozenset[str]
    primary: str
    epoch: int
    slots: tuple[tuple[int, int], ...]
    port: int

    @classmethod
    def parse(cls, line: str) -> _Seen:
        node_id, address, flags, primary, _, _, epoch, _, *ranges = line.split()
        slots = []
        for text in ranges:
            if not text.startswith("["):
                first, _, last = text.partition("-")
                slots.append((int(first), int(last or first)))
        port = int(address.partition("@")[0].rpartition(":")[2])
        return cls(node_id, frozenset(flags.split(",")), primary, int(epoch), tuple(slots), port)

    def has(self, slot: int) -> bool:
        return any(first <= slot <= last for first, last in self.slots)


class RedisClusterForTests:
    """Six servers that a test may kill, stop, fail over and move slots between; `heal` makes it whole again.

    Use it from the main thread: the servers die with the thread that started them.
    """

    def __init__(
        self,
        directory: Path,
        *,
        primaries: int = 3,
        append_only: bool = True,
        node_timeout_ms: int = NODE_TIMEOUT_MS,
        extra: Sequence[str] = (),
        hosts: Sequence[Host] = (),
        secured: Secured | None = None,
    ) -> None:
        """Start the servers and form the cluster, spread over `hosts`. `extra` are further arguments of each server."""
        self.secured = secured
        program = str(find_engine().path) if secured is None else secured.program
        ports: set[int] = set()
        while len(ports) < 4 * primaries:
            ports.add(free_port())
        chosen = sorted(ports)
        self.nodes: list[Node] = []
        for index, host in enumerate(spread(hosts, primaries)):
            port, bus_port = chosen[2 * index : 2 * index + 2]
            place = directory / f"node-{port}"
            place.mkdir(parents=True)
            command = [
                *host.enter,
                program,
                *(("--port", str(port)) if secured is None else ("--port", "0", "--tls-port", str(port))),
                *("--bind", host.address, "--dir", str(place), "--save", ""),
                # Who is on another host has no password to show, and the namespaces have no other way in.
                *("--protected-mode", "yes" if host is LOOPBACK else "no"),
                *("--appendonly", "yes" if append_only else "no", "--maxmemory-policy", "noeviction"),
                *("--cluster-enabled", "yes", "--cluster-port", str(bus_port), "--cluster-config-file", "nodes.conf"),
                *("--cluster-node-timeout", str(node_timeout_ms), "--cluster-replica-validity-factor", "0"),
                *("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"),
                *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
                *(() if secured is None else secured.options),
                *extra,
            ]
            self.nodes.append(Node(port, bus_port, place, command, host=host, secured=secured))
        try:
            for node in self.nodes:
                node.spawn()
            self._form(primaries)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RedisClusterForTests:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every server."""
        for node in self.nodes:
            node.end()

    @property
    def url(self) -> str:
        """URL of the whole cluster, all nodes named; of a secured one without user and files."""
        scheme = "redis" if self.secured is None else "rediss"
        return f"{scheme}+cluster://" + ",".join(node.address for node in self.nodes)

    # Who is who

    def primary_of(self, key: str) -> Node:
        """Return the primary that has the key's slot; waits while there is none."""
        slot = slot_of(key)
        found: list[tuple[int, Node]] = []

        def look() -> bool:
            views = [(node, self._own(node)) for node in self.nodes if node.alive]
            # A primary that has missed its own replacement still says that it has the slot, with an older epoch.
            found[:] = [
                (own.epoch, node) for node, own in views if own is not None and "master" in own.flags and own.has(slot)
            ]
            return bool(found)

        wait_until(look, timeout_s=SETTLE_S, what=f"a primary of slot {slot}")
        return max(found, key=lambda item: item[0])[1]

    def replicas_of(self, key: str) -> list[Node]:
        """Return the replicas of the primary of a key that answer."""
        primary_id = self.id_of(self.primary_of(key))
        views = [(node, self._own(node)) for node in self.nodes if node.alive]
        return [node for node, own in views if own is not None and own.primary == primary_id]

    def primaries(self) -> list[Node]:
        """Return the nodes that have slots, as they say it themselves."""
        views = [(node, self._own(node)) for node in self.nodes if node.alive]
        return [node for node, own in views if own is not None and "master" in own.flags and own.slots]

    def id_of(self, node: Node) -> str:
        """Return what the cluster calls a node."""
        return str(node.ask("CLUSTER", "MYID").decode())

    def other_primary(self, key: str) -> Node:
        """Return a primary that has not got the key's slot."""
        holder = self.primary_of(key)
        views = [(node, self._own(node)) for node in self.nodes if node.alive and node is not holder]
        return next(node for node, own in views if own is not None and "master" in own.flags and own.slots)

    # What a test may do to it

    def kill(self, node: Node) -> None:
        """kill -9, and wait until it is gone."""
        node.end()

    def stop(self, node: Node) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        os.kill(node.pid, signal.SIGSTOP)
        node.stopped = True

    def cont(self, node: Node) -> None:
        """SIGCONT."""
        os.kill(node.pid, signal.SIGCONT)
        node.stopped = False

    def terminate(self, node: Node) -> None:
        """SIGTERM, and wait until it is gone: a primary lets its replicas have everything first."""
        assert node.process is not None
        node.process.terminate()
        node.process.wait(SETTLE_S)

    def restart(self, node: Node) -> None:
        """Start a killed node again on its own files; it has answered when this returns."""
        node.spawn()
        wait_until(lambda: self._answers(node), timeout_s=SETTLE_S, what=f"an answer of {node.address}")

    def failover(self, key: str) -> Node:
        """Have a replica of the key's primary take over in order, losing nothing; returns the new primary."""
        return self._take_over(self.replicas_of(key)[0])

    def replace(self, primary: Node) -> Node:
        """As `failover`, of all that a primary has."""
        primary_id = self.id_of(primary)
        return self._take_over(
            next(node for node in self.nodes if (own := self._own(node)) and own.primary == primary_id)
        )

    def _take_over(self, replica: Node) -> Node:
        replica.ask("CLUSTER", "FAILOVER")
        wait_until(lambda: replica in self.primaries(), timeout_s=SETTLE_S, what=f"{replica.address} as primary")
        self.wait_until_agreed()
        return replica

    def migrate_slot(self, key: str, to: Node) -> None:
        """Move the slot of a key, with all that is in it, to another primary while it is in use."""
        with self.migrating_slot(key, to):
            pass

    @contextlib.contextmanager
    def migrating_slot(self, key: str, to: Node) -> Iterator[Callable[[], None]]:
        """Move a slot; the block runs while it is open on both sides: ASK for keys that are over, TRYAGAIN for halves.

        Calling what the block gets moves the keys; else they move at its end.
        """
        slot, source = slot_of(key), self.primary_of(key)
        source_id, target_id = self.id_of(source), self.id_of(to)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)

        def move_keys() -> None:
            while found := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
                source.ask("MIGRATE", to.host.address, to.port, "", 0, 5_000, "KEYS", *found)

        yield move_keys
        # Writers that have not heard of it may make a key anew between the last look and the change of owner.
        while True:
            move_keys()
            to.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
            try:
                source.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
            except redis.ResponseError as exc:
                if "hash slot" not in str(exc):
                    raise
                continue
            break
        for node in self.nodes:
            if node.alive and (own := self._own(node)) is not None and "master" in own.flags:
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        self.wait_until_agreed()

    def heal(self) -> None:
        """Continue what was stopped, start what was killed, and wait until every node agrees and every replica is in step."""
        for node in self.nodes:
            if node.stopped:
                self.cont(node)
            if not node.alive:
                self.restart(node)
        self.wait_until_agreed()

    def wait_until_agreed(self) -> None:
        """Wait until all nodes that answer tell the same, no slot is without a primary, and replicas have their primary."""
        wait_until(self._agreed, timeout_s=SETTLE_S, what=f"agreement of {len(self.nodes)} nodes")

    def flush(self) -> None:
        """Delete everything."""
        for node in self.nodes:
            own = self._own(node)
            if own is not None and "master" in own.flags:
                node.ask("FLUSHALL")

    # Inside

    def _form(self, primaries: int) -> None:
        for node in self.nodes:
            wait_until(lambda node=node: self._answers(node), what=f"an answer of {node.address}")  # type: ignore[misc]
        first = self.nodes[0]
        for index, node in enumerate(self.nodes):
            # Nodes that begin with one epoch spend seconds on getting different ones.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            if node is not first:
                first.ask("CLUSTER", "MEET", node.host.address, node.port, node.bus_port)
        edges = [SLOTS * index // primaries for index in range(primaries + 1)]
        for index in range(primaries):
            self.nodes[index].ask("CLUSTER", "ADDSLOTSRANGE", edges[index], edges[index + 1] - 1)
        for index in range(primaries):
            primary_id, replica = self.id_of(self.nodes[index]), self.nodes[primaries + index]
            wait_until(
                lambda primary_id=primary_id, replica=replica: self._replicates(replica, primary_id),  # type: ignore[misc]
                timeout_s=SETTLE_S,
                what=f"{replica.address} to know its primary",
            )
        self.wait_until_agreed()

    def _replicates(self, replica: Node, primary_id: str) -> bool:
        try:
            replica.ask("CLUSTER", "REPLICATE", primary_id)
        except redis.ResponseError:
            return False
        return True

    def _agreed(self) -> bool:
        alive = [node for node in self.nodes if node.alive]
        tables = set()
        for node in alive:
            seen = self._view(node)
            if seen is None or any("handshake" in other.flags for other in seen):
                return False
            owned = sorted((first, last, other.id) for other in seen for first, last in other.slots)
            followers = frozenset((other.id, other.primary) for other in seen)
            if sum(last - first + 1 for first, last, _ in owned) != SLOTS or len(seen) != len(self.nodes):
                return False
            tables.add((tuple(owned), followers))
            replication = bytes(node.ask("INFO", "replication"))
            if b"role:slave" in replication and b"master_link_status:up" not in replication:
                return False
            if b"cluster_state:ok" not in node.ask("CLUSTER", "INFO"):
                return False
        return len(tables) == 1

    @staticmethod
    def _answers(node: Node) -> bool:
        assert node.process is not None
        assert node.process.poll() is None, f"{node.address} ended at once: {(node.directory / 'log').read_text()}"
        try:
            return bool(node.ask("PING"))
        except (redis.RedisError, OSError):
            return False

    def _view(self, node: Node) -> list[_Seen] | None:
        try:
            return [_Seen.parse(line) for line in node.ask("CLUSTER", "NODES").decode().splitlines()]
        except (redis.RedisError, OSError):
            return None

    def _own(self, node: Node) -> _Seen | None:
        return next((seen for seen in self._view(node) or () if "myself" in seen.flags), None)

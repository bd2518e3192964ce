"""Price servers that share a sink, as processes: they come, go, die and hang, and all logs together are those of one partition."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from services.runtime.session.holders import Holder, parse_holder
from services.runtime.session.partitions import Partitioning
from tests.integration.price.harness import partition_queues, wait_for
from tests.integration.price.test_server import Server, mids_of, start_server
from tests.support.cli import midstream_here
from tests.support.imports import ROOT
from tests.support.partitioned import batches_of, made_rows, split
from tests.support.price_batches import Batch, Logs, expected_logs
from tests.support.stored_mids import stored_mids

__all__ = ["start_server"]  # a fixture

N = 4
PAGE = (ROOT / "docs" / "partition_logs.md").read_text(encoding="utf-8")
PATIENCE_S = 60.0
"""A host that hangs is missed after four seconds, its leases run out after ten, and the machine may be busy."""
STEPS = int(os.environ.get("MIDSTREAM_TEST_STEPS", "60"))
CSV_HEADER = b"timestamp,arrival,ticker,sequence,mid\n"


class Fleet:
    """Price servers over one Redis, each with a directory of its own, and the producers of all partitions."""

    def __init__(self, start: Callable[..., Server], redis_url: str, session: str, folder: Path) -> None:
        seed = Random().randrange(2**32)
        print(f"seed {seed}")  # noqa: T201 - so that a failure can be repeated
        rows = made_rows(6_000, seed=seed)
        self.one = batches_of(rows, tied=False)
        self._parts = [
            batches_of(part, tied=True, epoch=f"e{number}", rows_per_batch=10)
            for number, part in enumerate(split(rows, Partitioning(N)))
        ]
        self._left = [list(part) for part in self._parts]
        self._queues = partition_queues(redis_url, session, N)
        self._client = self._queues[0].client
        self._start, self._folder = start, folder
        self.servers: dict[str, Server] = {}

    def start(self, name: str) -> None:
        self.servers[name] = self._start(
            MIDSTREAM_OWNER=name, MIDSTREAM_OUT=str(self._folder / name), MIDSTREAM_MIDS_CSV="on"
        )
        self.servers[name].ready()

    def holders(self) -> list[Holder]:
        """Who lives and works through a partition, of all of them."""
        connected = {client["name"] for client in self._client.client_list()}
        found = (parse_holder(self._client.get(queue.keys.sink_lease("price"))) for queue in self._queues)
        return [holder for holder in found if holder is not None and holder.client_name in connected]

    def wait_owners(self, *expected: str) -> None:
        wait_for(
            lambda: sorted(holder.owner for holder in self.holders()) == sorted(expected),
            what=f"partitions at {expected}",
            patience_s=PATIENCE_S,
        )

    def wait_shared(self, servers: int) -> None:
        """Wait until so many have partitions, all of them together."""

        def is_shared() -> bool:
            names = [holder.owner for holder in self.holders()]
            return len(names) == N and len(set(names)) == servers

        wait_for(is_shared, what=f"{servers} servers with partitions", patience_s=PATIENCE_S)

    def wait_all(self) -> None:
        """Wait until somebody works through every partition."""
        wait_for(lambda: len(self.holders()) == N, what="a sink for every partition", patience_s=PATIENCE_S)

    def publish(self, share: float) -> list[Batch]:
        """Publish a share of what is left of every partition, where something is; return the last batch of each."""
        last = []
        for partition, queue in enumerate(self._queues):
            left = self._left[partition]
            count = max(1, int(len(left) * share))
            batches, self._left[partition] = left[:count], left[count:]
            queue.publish(batches)
            last.append((batches or self._parts[partition])[-1])
        return last

    def wait_committed(self, last: list[Batch]) -> None:
        for queue, batch in zip(self._queues, last, strict=True):
            wait_for(
                lambda queue=queue, batch=batch: queue.announcement().get("sequence", 0) >= batch.last_sequence,
                what="commits",
                patience_s=PATIENCE_S,
            )

    def assert_exact(self) -> None:
        """All logs together are those of one partition, and each mid was published once, in order."""
        merged = self._folder / "merged"
        [command] = re.findall(r"^midstream (merge-logs /mnt/a /mnt/b /mnt/c --out merged)$", PAGE, re.MULTILINE)
        places = {"merged": merged} | {f"/mnt/{name}": self._folder / name for name in self.servers}
        unused = {f"/mnt/{name}" for name in ("a", "b", "c")} - places.keys()
        merging = midstream_here(*(places.get(word, word) for word in command.split() if word not in unused))
        assert merging.code == 0, merging.stderr
        found = Logs(*((merged / name).read_bytes() for name in ("mid_prices.log", "errors.log", "mid_prices.csv")))
        expected = expected_logs(self.one)
        assert found.mids == expected.mids
        assert found.errors == expected.errors
        assert found.csv == CSV_HEADER + expected.csv
        for queue, batches in zip(self._queues, self._parts, strict=True):
            assert stored_mids(queue.client, queue.keys) == mids_of(batches)
            assert queue.pending() == 0

    def close(self) -> None:
        for queue in self._queues:
            queue.close()


@pytest.fixture
def fleet(start_server: Callable[..., Server], redis_url: str, session: str, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(start_server, redis_url, session, tmp_path / "machines")
    yield made
    made.close()


@pytest.mark.long
def test_servers_come_go_and_die_while_records_pass(fleet: Fleet) -> None:
    fleet.start("a")
    fleet.publish(0.15)
    fleet.wait_owners("a", "a", "a", "a")
    fleet.start("b")
    fleet.publish(0.15)
    fleet.wait_owners("a", "a", "b", "b")
    fleet.publish(0.2)
    fleet.start("c")
    fleet.wait_shared(3)
    fleet.publish(0.2)
    fleet.servers["b"].process.kill()
    fleet.publish(0.2)
    fleet.wait_owners("a", "a", "c", "c")
    fleet.publish(0.3)
    assert fleet.servers["a"].stop() == 0
    fleet.publish(0.3)
    fleet.wait_owners("c", "c", "c", "c")
    # It was here before, and goes on in logs of their own.
    fleet.start("b")
    fleet.wait_owners("b", "b", "c", "c")
    fleet.wait_committed(fleet.publish(1.0))
    assert [fleet.servers[name].stop() for name in ("b", "c")] == [0, 0]

    fleet.assert_exact()


@pytest.mark.nightly
def test_a_machine_that_hangs_is_replaced_and_writes_nothing_when_it_wakes(fleet: Fleet) -> None:
    fleet.start("a")
    fleet.start("b")
    fleet.wait_owners("a", "a", "b", "b")
    fleet.wait_committed(fleet.publish(0.3))
    hanging = [holder.pid for holder in fleet.holders() if holder.owner == "b"]
    for pid in (fleet.servers["b"].process.pid, *hanging):
        os.kill(pid, signal.SIGSTOP)
    fleet.publish(0.3)
    fleet.wait_owners("a", "a", "a", "a")
    fleet.wait_committed(fleet.publish(0.5))
    for pid in (*hanging, fleet.servers["b"].process.pid):
        os.kill(pid, signal.SIGCONT)
    fleet.publish(0.5)
    fleet.wait_owners("a", "a", "b", "b")
    assert not {holder.pid for holder in fleet.holders()} & set(hanging)
    fleet.wait_committed(fleet.publish(1.0))
    assert [fleet.servers[name].stop() for name in ("a", "b")] == [0, 0]

    fleet.assert_exact()


class Faults:
    """What happens to three servers, in an order that the seed decides."""

    def __init__(self, fleet: Fleet, random: Random) -> None:
        self._fleet, self._random = fleet, random
        self._stopped: dict[str, list[int]] = {}
        """Processes that hang, by the server that they belong to."""
        self.steps: list[str] = []

    def step(self) -> None:
        """Have one thing happen, and records pass meanwhile."""
        name = self._random.choice("abc")
        running = name in self._fleet.servers and self._fleet.servers[name].process.poll() is None
        if not running:
            what, act = "starts", lambda: self._fleet.start(name)
        elif name in self._stopped:
            what, act = "wakes", lambda: self._wake(name)
        else:
            server = self._fleet.servers[name]
            what, act = self._random.choice(
                [
                    ("ends", lambda: self._end(server)),
                    ("is killed", server.process.kill),
                    ("hangs", lambda: self._hang(name, server.process.pid, *self._engines(name))),
                    ("has an engine that hangs", lambda: self._hang(name, *self._engines(name)[:1])),
                    ("has an engine that is killed", lambda: self._kill(self._engines(name)[:1])),
                ]
            )
        self.steps.append(f"{name} {what}")
        self._fleet.publish(0.01)
        act()
        self._fleet.publish(0.02)
        if self._random.random() < 0.3 and self._is_somebody_well():
            self._fleet.wait_all()

    def finish(self) -> None:
        """Have every server run that is there, and at least one be."""
        for name in list(self._stopped):
            self._wake(name)
        if not self._is_somebody_well():
            self._fleet.start("a")

    def _is_somebody_well(self) -> bool:
        servers = self._fleet.servers.items()
        return any(server.process.poll() is None and name not in self._stopped for name, server in servers)

    def _engines(self, name: str) -> list[int]:
        return [holder.pid for holder in self._fleet.holders() if holder.owner == name]

    def _hang(self, name: str, *pids: int) -> None:
        for pid in pids:
            self._signal(pid, signal.SIGSTOP)
            self._stopped.setdefault(name, []).append(pid)

    def _wake(self, name: str) -> None:
        for pid in self._stopped.pop(name):
            self._signal(pid, signal.SIGCONT)

    def _kill(self, pids: list[int]) -> None:
        for pid in pids:
            self._signal(pid, signal.SIGKILL)

    @staticmethod
    def _end(server: Server) -> None:
        server.stop()

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        # An engine that hung may have been ended by its server.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
def test_logs_are_exact_whatever_happens_to_three_servers(fleet: Fleet) -> None:
    seed = int(os.environ.get("MIDSTREAM_TEST_SEED", "0")) or Random().randrange(1, 2**32)
    faults = Faults(fleet, Random(seed))
    try:
        for _ in range(STEPS):
            faults.step()
        faults.finish()
        fleet.wait_committed(fleet.publish(1.0))
        running = [server for server in fleet.servers.values() if server.process.poll() is None]
        assert [server.stop() for server in running] == [0] * len(running)
        fleet.assert_exact()
    except BaseException:
        print(f"seed {seed}, steps:", *faults.steps, sep="\n")  # noqa: T201
        raise

"""Sinks of partitions that move between machines: logs in several directories that are one log, and never two that write."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from services.price.merged_logs import merge_logs
from services.runtime.session.partitions import Partitioning
from tests.integration.price.harness import Engine, Queue, partition_queues, wait_for
from tests.integration.price.test_server import mids_of
from tests.support.partitioned import batches_of, made_rows, split
from tests.support.price_batches import Batch, Logs, expected_logs
from tests.support.stored_mids import stored_mids

N = 2
MOVES = 0
"""The partition whose sink moves; the other one's stays."""
CSV_HEADER = b"timestamp,arrival,ticker,sequence,mid\n"


class Machines:
    """Engines of one sink on several machines, each with a directory of its own, and what the partitions hold."""

    def __init__(self, start: Callable[..., Engine], queues: list[Queue], folder: Path, rows: int) -> None:
        seed = Random().randrange(2**32)
        print(f"seed {seed}")  # noqa: T201 - so that a failure can be repeated
        self._start, self.queues, self.folder = start, queues, folder
        made = made_rows(rows, seed=seed)
        self.one = batches_of(made, tied=False)
        self.parts = [
            batches_of(part, tied=True, epoch=f"e{number}", rows_per_batch=20)
            for number, part in enumerate(split(made, Partitioning(N)))
        ]
        self._left = list(self.parts[MOVES])
        queues[1 - MOVES].publish(self.parts[1 - MOVES])

    def start(self, name: str, partition: int = MOVES, *, fault: str = "", sink: str = "price") -> Engine:
        return self._start(
            fault=fault,
            partition=partition,
            partitions=N,
            owner=name,
            sink=sink,
            out=str(self.folder / name / f"p{partition}"),
            mids=sink == "price",
            commit_records=100,
            commit_interval_ms=1,
            read_count=1,
        )

    def publish(self, count: int) -> Batch:
        """Publish so many more batches of the partition that moves; return the last one."""
        batches, self._left = self._left[:count], self._left[count:]
        self.queues[MOVES].publish(batches)
        return batches[-1]

    def publish_and_wait(self, count: int) -> None:
        self.queues[MOVES].wait_committed(self.publish(count).last_sequence)

    def publish_rest(self) -> None:
        self.publish_and_wait(len(self._left))

    def finish(self) -> None:
        """Have the other partition's sink do its work, and see that all logs together are those of one partition."""
        engine = self.start("a", 1 - MOVES)
        self.queues[1 - MOVES].wait_committed(self.parts[1 - MOVES][-1].last_sequence)
        assert engine.stop() == 0
        merged = self.folder / "merged"
        merge_logs([path for path in (self.folder / "a", self.folder / "b") if path.exists()], merged)
        found = Logs(*((merged / name).read_bytes() for name in ("mid_prices.log", "errors.log", "mid_prices.csv")))
        expected = expected_logs(self.one)
        assert found.mids == expected.mids
        assert found.errors == expected.errors
        assert found.csv == CSV_HEADER + expected.csv
        for queue, batches in zip(self.queues, self.parts, strict=True):
            assert stored_mids(queue.client, queue.keys) == mids_of(batches)

    def directories(self) -> list[str]:
        found = (path.parent.parent.relative_to(self.folder) for path in self.folder.glob("*/p*/.midstream/position"))
        return sorted(map(str, found))


@pytest.fixture
def queues(redis_url: str, session: str) -> Iterator[list[Queue]]:
    """The producers of both partitions."""
    queues = partition_queues(redis_url, session, N)
    yield queues
    for queue in queues:
        queue.close()


@pytest.fixture
def machines(start_engine: Callable[..., Engine], queues: list[Queue], tmp_path: Path) -> Machines:
    return Machines(start_engine, queues, tmp_path, rows=2_000)


def test_a_sink_that_wakes_when_another_has_its_partition_writes_nothing_and_ends(machines: Machines) -> None:
    queue = machines.queues[MOVES]
    stopped = machines.start("a")
    machines.publish_and_wait(10)
    stopped.signal(signal.SIGSTOP)
    # What ten seconds do to its lease.
    assert queue.client.delete(queue.keys.sink_lease("price")) == 1
    heir = machines.start("b")
    machines.publish_and_wait(10)
    said = queue.announcement()
    stopped.signal(signal.SIGCONT)

    assert "was taken over by another engine of sink `price`" in stopped.wait_report("stopped")["message"]
    assert stopped.wait_exit() == 0
    assert queue.announcement()["sequence"] == said["sequence"]
    machines.publish_rest()
    assert heir.stop() == 0
    assert not queue.client.exists(queue.keys.sink_lease("price"))
    assert machines.directories() == ["a/p0", "b/p0"]
    machines.finish()


@pytest.mark.long
def test_a_living_sink_keeps_its_partition_and_one_that_stands_by_gets_it(machines: Machines) -> None:
    first = machines.start("a")
    machines.publish_and_wait(5)
    second = machines.start("b")

    assert "is worked through for sink `price` by process" in second.wait_report("standby")["reason"]
    machines.publish_and_wait(5)
    assert first.stop() == 0
    second.wait_report("consuming")
    machines.publish_rest()
    assert second.stop() == 0
    machines.finish()


@pytest.mark.long
def test_every_move_begins_where_the_sink_had_announced_to_be(machines: Machines) -> None:
    queue = machines.queues[MOVES]
    first = machines.start("a")
    machines.publish_and_wait(5)
    assert first.stop() == 0
    machines.publish(5)
    # Durable in its logs, and not announced.
    assert machines.start("a", fault="sink_before_ack:1").wait_exit() == 137
    second = machines.start("b")
    machines.publish_and_wait(10)
    assert second.stop() == 0
    third = machines.start("a")
    machines.publish_and_wait(10)
    third.kill()
    # Nobody had it meanwhile.
    fourth = machines.start("a")
    machines.publish_and_wait(5)
    assert fourth.stop() == 0
    fifth = machines.start("b")
    machines.publish_rest()
    assert fifth.stop() == 0
    assert machines.directories() == ["a/p0", "a/p0.1", "b/p0", "b/p0.1"]

    # What it tells of itself is what one that never moved does.
    whole = machines.start("whole", sink="whole")
    last = machines.parts[MOVES][-1].last_sequence
    queue.wait_committed(last)
    told = queue.announcement()
    machines.finish()
    alone = _wait(queue, last)
    assert whole.stop() == 0
    for figure in ("digest", "counts", "proofs", "cursor", "live_sequence", "first_arrival_time_ns", "kernel_state"):
        assert told[figure] == alone[figure], figure


def _wait(queue: Queue, sequence: int) -> dict[str, object]:
    found: dict[str, object] = wait_for(
        lambda: (said := queue.announcement("whole")).get("sequence", 0) >= sequence and said, what="the whole sink"
    )
    return found


@pytest.mark.long
def test_machines_that_share_a_directory_leave_that_of_a_sink_that_hangs_alone(machines: Machines) -> None:
    queue = machines.queues[MOVES]
    stopped = machines.start("a")
    machines.publish_and_wait(10)
    stopped.signal(signal.SIGSTOP)
    queue.client.delete(queue.keys.sink_lease("price"))
    heir = machines.start("a")
    machines.publish_and_wait(10)
    stopped.signal(signal.SIGCONT)
    assert stopped.wait_exit() == 0
    machines.publish_and_wait(5)
    assert heir.stop() == 0
    # The lock is free again, and the newest segment ends where the sink is.
    last = machines.start("a")
    machines.publish_rest()
    assert last.stop() == 0

    assert machines.directories() == ["a/p0", "a/p0.1"]
    (machines.folder / "b").mkdir()
    (machines.folder / "a" / "p0.1").rename(machines.folder / "b" / "anything")
    machines.finish()

"""Sinks of partitions: each writes its own pair, and merged they are the pair of one partition, whatever happened to the sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from services.price.merged_logs import merge_logs
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.runtime.session.partitions import Partitioning
from tests.integration.price.harness import Engine, Queue, partition_queues
from tests.support.imports import ROOT
from tests.support.partitioned import Rows, batches_of, made_rows, split
from tests.support.price_batches import Batch, Logs, expected_logs

N = 4
CSV_HEADER = b"timestamp,arrival,ticker,sequence,mid\n"
SMALL_COMMITS = {"commit_records": 100, "commit_interval_ms": 1, "read_count": 1}
StartEngine = Callable[..., Engine]


@pytest.fixture
def queues(redis_url: str, session: str) -> Iterator[list[Queue]]:
    """The producers of a session of several partitions."""
    queues = partition_queues(redis_url, session, N)
    yield queues
    for queue in queues:
        queue.close()


@pytest.fixture
def start_partition(start_engine: StartEngine, out: Path) -> StartEngine:
    def start(partition: int, *, fault: str = "") -> Engine:
        return start_engine(
            fault=fault, partition=partition, partitions=N, out=str(out / f"p{partition}"), mids=True, **SMALL_COMMITS
        )

    return start


def sample_rows() -> Rows:
    source = HistoricalSource([str(ROOT / "data" / "historical_sample.csv")], HistoricalOptions())
    block, ended = Block(Tickers()), False
    rows: list[Any] = []
    source.open()
    while not ended:
        ended = source.poll(block, 4096).ended
        rows += block.to_rows()
        block.clear()
    source.stop()
    return rows


def assert_merged(out: Path, one: Sequence[Batch]) -> None:
    merge_logs([out], out / "merged")
    merged = Logs(
        *((out / "merged" / name).read_bytes() for name in ("mid_prices.log", "errors.log", "mid_prices.csv"))
    )
    expected = expected_logs(one)
    assert merged.mids == expected.mids
    assert merged.errors == expected.errors
    assert merged.csv == CSV_HEADER + expected.csv


@pytest.mark.parametrize("data", ["sample", "made"])
def test_merged_logs_are_those_of_one_partition_though_sinks_are_killed(
    data: str, queues: list[Queue], start_partition: StartEngine, out: Path
) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - so that a failure can be repeated
    rows = sample_rows() if data == "sample" else made_rows(3_000, seed=seed)
    parts = [
        batches_of(part, tied=True, epoch=f"e{k}", rows_per_batch=20)
        for k, part in enumerate(split(rows, Partitioning(N)))
    ]
    for queue, batches in zip(queues, parts, strict=True):
        queue.publish(batches)
    # One dies behind its logs and before its index, one between its logs and its position.
    killed = [start_partition(1, fault="sink_between_writes:3"), start_partition(2, fault="sink_before_position:3")]
    if data == "made":
        assert [engine.wait_exit() for engine in killed] == [137, 137]
    else:
        for engine in killed:
            engine.kill()
    engines = [start_partition(partition) for partition in range(N)]
    for queue, batches in zip(queues, parts, strict=True):
        if batches:
            queue.wait_committed(batches[-1].last_sequence)
    for engine in engines:
        engine.wait_report("consuming")
        assert engine.stop() == 0

    assert_merged(out, batches_of(rows, tied=False))


def test_a_sink_of_one_partition_takes_nothing_of_a_session_of_several(
    queues: list[Queue], start_engine: StartEngine, out: Path
) -> None:
    batches = batches_of(made_rows(100, seed=1), tied=True)
    queues[0].publish(batches)

    report = start_engine().wait_report("stopped")

    assert "has 4 partitions, and this sink is one of 1" in report["message"]
    assert (out / "mid_prices.log").read_bytes() == b""
    assert queues[0].announcement() == {}, "what stands there is another sink's to write"


def test_a_directory_keeps_to_its_partition(queues: list[Queue], start_engine: StartEngine, out: Path) -> None:
    queues[1].publish(batches_of(made_rows(100, seed=1), tied=True))
    first = start_engine(partition=1, partitions=N)
    queues[1].wait_committed(100)
    assert first.stop() == 0

    refused = start_engine(partition=2, partitions=N).wait_report("refused")

    assert f"`{out}` holds the logs of partition 1 of 4, not of partition 2 of 4" in refused["message"]

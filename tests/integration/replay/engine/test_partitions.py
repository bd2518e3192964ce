"""Engines of several partitions in processes of their own: merged by arrival and tie order, their streams are that of one."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from fastpath.columns import AFTER_EVERYTHING
from fastpath.frame import TickFrame
from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import RANK_SHIFT, Partition, Partitioning
from tests.integration.replay.engine.harness import HISTORICAL, EngineChild
from tests.support.history_files import TICKERS, Quirks, write_files
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]


class Record(NamedTuple):
    """A record as whoever merges sees it, spelled out (NaN equals itself then)."""

    arrival_time_ns: int
    tie_order: int
    said: str
    ticker: str | None
    """None of what cannot be used."""


def records(client: Any, keys: SessionKeys) -> list[Record]:
    """Return what a partition published, in the order of its numbers, which have no hole."""
    found: list[tuple[int, Record]] = []
    expected = 1
    for _, fields in client.xrange(keys.ticks):
        frame = TickFrame(fields[b"b"])
        assert frame.first_sequence == expected
        expected = frame.last_sequence + 1
        ties = frame.tie_order or [0] * frame.tick_count
        for tick, tie_order in zip(frame.ticks(), ties, strict=True):
            found.append((tick[0], Record(tick[3], tie_order, repr(tick[1:]), tick[1])))
        for each in frame.rejections:
            said = repr((each.arrival_time_ns, each.source, each.line, each.reason, each.raw))
            found.append((each.sequence, Record(each.arrival_time_ns, each.tie_order, said, None)))
    return [record for _, record in sorted(found, key=lambda each: each[0])]


class Run:
    """A session of some partitions, whose engines a test runs by hand."""

    def __init__(self, url: str, name: str, start: Start, partitioning: Partitioning, **config: Any) -> None:
        self._start = start
        self._url = url
        self._name = name
        self._config = config
        self.partitioning = partitioning
        self.client: Any = connect(url, client_name="test")
        self.keys = [SessionKeys(name, number) for number in range(partitioning.count)]

    def start(self, number: int, **config: Any) -> EngineChild:
        return self._start(
            self._url,
            self._name,
            partition=number,
            partitions=self.partitioning.count,
            partition_of=dict(self.partitioning.assigned),
            **self._config | config,
        )

    def complete(self) -> list[EngineChild]:
        engines = [self.start(number) for number in range(self.partitioning.count)]
        for engine in engines:
            engine.wait_state("COMPLETED")
            assert engine.stop() == 0
        return engines

    def merged(self) -> list[str]:
        """Return the records of all partitions in the one order; checks that each is in it, and where what belongs."""
        streams = [records(self.client, keys) for keys in self.keys]
        for number, stream in enumerate(streams):
            assert [record[:2] for record in stream] == sorted(record[:2] for record in stream)
            partition = Partition(number, self.partitioning)
            if not partition.is_all:
                for record in stream:
                    rank = record.tie_order >> RANK_SHIFT
                    belongs = (
                        partition.has_source(rank) if record.ticker is None else partition.has_ticker(record.ticker)
                    )
                    assert belongs, record
        return [record.said for record in heapq.merge(*streams, key=lambda record: record[:2])]

    def watermarks(self) -> list[list[str]]:
        return [self.client.get(keys.watermark).decode().split() for keys in self.keys]


@pytest.mark.parametrize("count", [2, 4])
def test_partitions_of_the_sample_are_together_the_stream_of_one(
    redis_url: str, session_name: str, start_engine: Start, count: int
) -> None:
    whole = Run(redis_url, session_name, start_engine, Partitioning())
    parts = Run(redis_url, f"{session_name}.{count}", start_engine, Partitioning(count))

    whole.complete()
    engines = parts.complete()

    assert len(parts.merged()) == 20_007
    assert parts.merged() == whole.merged()
    assert whole.client.get(whole.keys[0].watermark) is None
    for keys, (epoch, sequence, arrival_time_ns) in zip(parts.keys, parts.watermarks(), strict=True):
        newest = TickFrame(parts.client.xrevrange(keys.ticks, count=1)[0][1][b"b"])
        assert (epoch, int(sequence)) == (newest.epoch, newest.last_sequence)
        assert int(arrival_time_ns) == AFTER_EVERYTHING
    assert [engine.last_state()["partition"] for engine in engines] == list(range(count))
    assert parts.client.exists(parts.keys[0].state) == 0


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("count", "assigned"),
    [(2, {}), (4, {}), (4, dict.fromkeys(TICKERS, 0)), (3, dict.fromkeys(TICKERS, 2))],
    ids=["2", "4", "all in the first", "all in the last"],
)
def test_ties_rejections_and_empty_partitions_keep_the_order_of_one(
    redis_url: str, session_name: str, start_engine: Start, tmp_path: Path, count: int, assigned: dict[str, int]
) -> None:
    quirks = [Quirks(rows=400, tie=0.95, bad=0.1), Quirks(rows=400, tie=0.5, hour_long=0.01), Quirks(rows=40, bad=0.5)]
    files = write_files(tmp_path, Random(11), 3, quirks=quirks)
    whole = Run(redis_url, session_name, start_engine, Partitioning(), historical=files)
    parts = Run(redis_url, f"{session_name}.parts", start_engine, Partitioning(count, assigned), historical=files)

    whole.complete()
    engines = parts.complete()

    assert parts.merged() == whole.merged()
    lines: Sequence[Sequence[dict[str, int]]] = [engine.last_state()["lines"] for engine in engines]
    for of_file in zip(*lines, strict=True):
        assert len({counts["lines_read"] for counts in of_file}) == 1
    if assigned:
        # What has no ticker is not where these are: whoever has none of both has nothing, and says so.
        empty = [number for number, keys in enumerate(parts.keys) if not records(parts.client, keys)]
        assert empty == ([3] if count == 4 else [])


def test_an_engine_that_is_killed_goes_on_and_the_order_is_that_of_one(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    seed = Random().randrange(1 << 30)
    print("seed", seed)  # noqa: T201
    random = Random(seed)
    whole = Run(redis_url, session_name, start_engine, Partitioning())
    parts = Run(redis_url, f"{session_name}.parts", start_engine, Partitioning(2))
    whole.complete()

    steady = parts.start(0, speed=40.0)
    for _ in range(2):
        engine = parts.start(1, speed=20.0)
        keys = parts.keys[1]
        before = len(parts.client.xrange(keys.ticks))
        goal = before + random.randrange(1, 60)
        wait_until(lambda keys=keys, goal=goal: parts.client.xlen(keys.ticks) >= goal)  # type: ignore[misc]
        engine.kill()
    last = parts.start(1)
    for engine in (steady, last):
        engine.wait_state("COMPLETED")

    assert parts.merged() == whole.merged()
    assert [int(arrival) for *_, arrival in parts.watermarks()] == [AFTER_EVERYTHING] * 2
    assert HISTORICAL.exists()


@pytest.mark.long
def test_an_engine_reads_no_file_that_has_nothing_for_it(
    redis_url: str, session_name: str, start_engine: Start, tmp_path: Path
) -> None:
    # The first one is much more than what an engine reads to start.
    sizes = [(40_000, 1_000), (2_000, 1), (2_000, 1), (2_000, 1)]
    files = [write_file(tmp_path / f"{rank}.csv", TICKERS[rank], *size) for rank, size in enumerate(sizes)]
    partitioning = Partitioning(4, {ticker: 3 - rank for rank, ticker in enumerate(TICKERS)})
    config = {"historical": files, "cache_dir": str(tmp_path / "cache")}
    whole = Run(redis_url, session_name, start_engine, Partitioning(), **config)
    parts = Run(redis_url, f"{session_name}.parts", start_engine, partitioning, **config)
    whole.complete()

    read: list[int] = []
    lines: list[Any] = []
    for number in range(4):
        engine = parts.start(number)
        engine.wait_state("COMPLETED")
        read.append(read_bytes_of(engine.process.pid))
        lines.append(engine.last_state()["lines"])
        assert engine.stop() == 0

    assert parts.merged() == whole.merged()
    large = Path(files[0]).stat().st_size
    # The first one scans it, and has what cannot be used of it; the last one has its ticker.
    assert large > 40_000_000
    assert [count > large for count in read] == [True, False, False, True]
    assert {(counts[0]["lines_read"], counts[0]["blank"]) for counts in lines} == {(40_001, 0)}
    assert [counts[0]["ticks"] for counts in lines] == [0, 0, 0, 40_000]
    assert [counts[0].get("elsewhere", 0) for counts in lines] == [40_000, 40_000, 40_000, 0]


def write_file(path: Path, ticker: str, rows: int, index_bytes: int) -> str:
    """Write rows of one ticker, a millisecond each, with an index as wide as that."""
    lines = ["index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"]
    for row in range(rows):
        second, millisecond = divmod(row, 1_000)
        lines.append(f"{row:0{index_bytes}},2025-01-01 00:00:{second:02}.{millisecond:03},{ticker},1,2,1,1,{row % 30}")
    path.write_text("\n".join([*lines, ""]), encoding="ascii")
    return str(path)


def read_bytes_of(pid: int) -> int:
    """Return how many bytes a process has read, from wherever they came."""
    counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines())
    return int(counters["rchar"])

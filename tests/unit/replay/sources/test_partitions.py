"""Recorded files read by several partitions: together they are what one reads, record by record, and every line is accounted for."""

from __future__ import annotations

import gzip
import heapq
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fastpath.columns import AFTER_EVERYTHING, Block, Tickers
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.partitions import RANK_SHIFT, Partition, Partitioning
from tests.support.history_files import Quirks, write_files
from tests.support.replayed import comparable_rows
from tests.unit.fastpath.frame_support import seed_of_this_run

if TYPE_CHECKING:
    from fastpath.columns import RejectedRow, TickRow

SOUND = {"min_latency_ms": -30.0}


class Read:
    """What one partition reads, and what it knew of it before."""

    def __init__(self, paths: Sequence[str], options: HistoricalOptions, **how: Any) -> None:
        source = HistoricalSource(paths, options, **how)
        source.open()
        block = Block(Tickers())
        self.lowest: list[tuple[int, int]] = []
        ended = False
        while not ended:
            ended = source.poll(block, 64).ended
            self.lowest.append((len(block), source.lowest_ns))
        self.rows: list[TickRow | RejectedRow] = block.to_rows()
        self.counts: tuple[LineCounts, ...] = source.line_counts
        self.skipped = source.skipped
        self.complaints = source.complaints
        source.stop()


def place(row: TickRow | RejectedRow) -> tuple[int, int]:
    """Return what whoever merges partitions knows of a row: its arrival time and its tie order."""
    (arrival_time_ns, rank, number), *_ = row
    return arrival_time_ns, rank << RANK_SHIFT | number


def read_all(paths: Sequence[str], partitioning: Partitioning, **options: object) -> list[Read]:
    return [
        Read(paths, HistoricalOptions(partition=Partition(number, partitioning), **options))  # type: ignore[arg-type]
        for number in range(partitioning.count)
    ]


def check(whole: Read, parts: list[Read], partitioning: Partitioning) -> None:
    """Hold what partitions read against what one reads."""
    merged = list(heapq.merge(*(part.rows for part in parts), key=place))
    assert comparable_rows(merged) == comparable_rows(whole.rows)
    for number, part in enumerate(parts):
        partition = Partition(number, partitioning)
        for row in part.rows:
            assert partition.has_source(row[0][1]) if len(row) == 3 else partition.has_ticker(row[2])
        for known, lowest_ns in part.lowest:
            assert all(row[0][0] >= lowest_ns for row in part.rows[known:])
        assert part.lowest[-1][1] <= AFTER_EVERYTHING
    assert sum(part.skipped for part in parts) == whole.skipped
    for of_file in zip(whole.counts, *(part.counts for part in parts), strict=True):
        one, *several = of_file
        assert one.unaccounted == one.elsewhere == 0
        assert [counts.unaccounted for counts in several] == [0] * len(several)
        assert {(counts.lines_read, counts.blank, counts.reported) for counts in several} == {
            (one.lines_read, one.blank, one.reported)
        }
        for name in ("ticks", "rejected", "skipped"):
            assert sum(getattr(counts, name) for counts in several) == getattr(one, name)
        # Each record is elsewhere in all partitions but its own.
        records = one.ticks + one.rejected + one.skipped
        assert sum(counts.elsewhere for counts in several) == (len(several) - 1) * records


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_partitions_together_read_what_one_reads(tmp_path: Path, count: int, seed: int) -> None:
    chooser = random.Random(seed * 10 + count)
    paths = write_files(tmp_path, chooser, chooser.randrange(1, 5))
    options = chooser.choice(
        [
            {},
            {"negative_latency": "clamp"},
            {"negative_latency": "shift"},
            {"latency": ("lognormal:p50=5ms,p99=40ms,seed=7",)},
            {"tickers": ("BTC-USDT-SWAP@BINANCE", "ETH-USDT-SWAP@GATE-IO")},
            {"start_time_ns": 1_735_689_600_200_000_000, "end_time_ns": 1_735_689_600_500_000_000},
        ]
    )
    partitioning = Partitioning(count, chooser.choice([{}, {"BTC-USDT-SWAP@BINANCE": count - 1}]))

    check(Read(paths, HistoricalOptions(**options)), read_all(paths, partitioning, **options), partitioning)


@pytest.mark.long
def test_partitions_together_read_what_one_reads_of_many_files(tmp_path: Path) -> None:
    chooser = random.Random(seed_of_this_run())
    for number in range(60):
        directory = tmp_path / str(number)
        directory.mkdir()
        paths = write_files(directory, chooser, chooser.randrange(1, 9), rows=chooser.choice([30, 3_000]))
        partitioning = Partitioning(chooser.choice([2, 4, 7]), {})
        check(Read(paths, HistoricalOptions()), read_all(paths, partitioning), partitioning)


@pytest.mark.parametrize("unsorted", [False, True], ids=["spilled", "sorted on disk"])
def test_rows_on_disk_are_those_of_the_partition(tmp_path: Path, unsorted: bool) -> None:
    quirks = [Quirks(rows=400, hour_long=0.3, sort_by="nothing" if unsorted else "event")]
    paths = write_files(tmp_path, random.Random(5), 2, quirks=quirks)
    partitioning = Partitioning(2)
    policy = "sort" if unsorted else "refuse"

    whole = Read(paths, HistoricalOptions(unsorted=policy), in_flight_rows_max=50)  # type: ignore[arg-type]
    parts = [
        Read(
            paths,
            HistoricalOptions(unsorted=policy, partition=Partition(number, partitioning)),  # type: ignore[arg-type]
            in_flight_rows_max=50,
        )
        for number in range(2)
    ]

    check(whole, parts, partitioning)


def test_a_ticker_that_is_in_another_partition_is_not_missed(tmp_path: Path) -> None:
    paths = write_files(tmp_path, random.Random(3), 1, quirks=[Quirks(rows=200)])
    partitioning = Partitioning(2, {"BTC-USDT-SWAP@BINANCE": 0, "NONE": 1})

    reads = read_all(paths, partitioning, tickers=("BTC-USDT-SWAP@BINANCE", "NONE"))

    assert [read.complaints.unmatched_tickers for read in reads] == [(), ("NONE",)]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_long_runs_of_others_are_read_in_longer_pieces(tmp_path: Path, compressed: bool) -> None:
    chooser = random.Random(11)
    header = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
    odd = ("", "x", '"A', "1,2", "y" * 70_000, header)
    paths = []
    for rank, (ticker, other) in enumerate((("A", "B"), ("B", "A"))):
        lines, number = [header], 0
        for run in (400, 40, 8_500, 1):
            # Both have one ticker for long, so that each partition passes over the most of one file.
            for _ in range(run):
                number += 1
                stamp = f"2025-10-02 23:{number // 60_000:02}:{number % 60_000 / 1000:06.3f}"
                # Wide, so that few lines are many bytes.
                lines.append(f"{number:080},{stamp},{ticker},1,2,1,1,{number % 7}.{rank}" + "\r" * (number % 97 == 0))
            lines.append(chooser.choice(odd))
            lines.append(f"{number},{stamp},{other},1,2,1,1,1")
        paths.append(tmp_path / f"{rank}.csv")
        text = "\n".join([*lines, *odd]).encode()
        paths[-1].write_bytes(gzip.compress(text, mtime=0) if compressed else text)
    named = [str(path) for path in paths]

    # Each has the rejections of the file that has its ticker, and passes over the other one.
    partitioning = Partitioning(2, {"A": 0, "B": 1})
    parts = read_all(named, partitioning)

    check(Read(named, HistoricalOptions()), parts, partitioning)
    assert min(len(part.rows) for part in parts) > 8_000

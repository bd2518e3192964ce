"""The order of recorded rows, against the slow reference."""

from __future__ import annotations

import os
import random
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from fastpath.columns import Block, Tickers
from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput
from services.replay.sources import historical as historical_module
from tests.reference.history import HistoryOptions, expected_outputs
from tests.support.history_files import START_NS, TICKERS, Quirks, history_text, write_files
from tests.support.replayed import comparable_records, replay

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
PRINTED_EXAMPLE = f"""{HEADER}
1,2025-01-01 00:00:00,BTC,1,201,200,1,120
2,2025-01-01 00:00:00.200,BTC,1,201,200,1,1
3,2025-01-01 00:00:00.700,BTC,1,201,200,1,10
"""


def expect(paths: list[str], **options: Any) -> Any:
    return expected_outputs(paths, HistoryOptions(**options))


@pytest.mark.quick
@pytest.mark.parametrize(
    ("fraction_unit_us", "order"), [(True, [2, 3, 1]), (False, [1, 2, 3])], ids=["microseconds", "decimal fraction"]
)
def test_printed_example_comes_in_the_order_of_its_reading(
    tmp_path: Path, fraction_unit_us: bool, order: list[int]
) -> None:
    path = tmp_path / "example.csv"
    path.write_text(PRINTED_EXAMPLE)

    replayed = replay([str(path)], HistoricalOptions(fraction_unit_us=fraction_unit_us))

    assert [key[2] - 1 for key, *_ in replayed.rows] == order  # type: ignore[index]


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(40))
def test_random_files_come_as_in_the_reference(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 5))
    policy: Literal["keep", "clamp", "shift"] = random_.choice(["keep", "clamp", "shift"])
    chosen: dict[str, Any] = {"negative_latency": policy, "tickers": random_.choice([(), TICKERS[:2]])}
    if random_.random() < 0.3:
        chosen["start_time_ns"] = START_NS + random_.randrange(10**9)
    if random_.random() < 0.3:
        chosen["end_time_ns"] = START_NS + 10**9 + random_.randrange(10**9)
    expected = expect(paths, **chosen)

    replayed = replay(
        paths,
        HistoricalOptions(unsorted="sort", **chosen),
        limit=random_.choice([1, 7, 100, 4096]),
        in_flight_rows_max=random_.choice([1_000_000, 50]),
    )

    assert replayed.rows == comparable_records(expected.sequence)
    assert replayed.skipped == expected.counts.skipped


@pytest.mark.parametrize("read_bytes", [4096, 70_000])
def test_size_of_the_buffer_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_bytes: int) -> None:
    random_ = random.Random(7)
    quirks = Quirks(rows=400, bad=0.1, negative=0.05)
    content = history_text(random_, quirks) + b"x" * 200_000 + b"\n" + b"y" * 65_537 + b"\n" + b"z" * 65_536
    path = tmp_path / "long-lines.csv"
    path.write_bytes(content)
    expected = expect([str(path)])
    monkeypatch.setattr("services.replay.sources.file_source.read_bytes", lambda _count: read_bytes)

    replayed = replay([str(path)])

    assert replayed.rows == comparable_records(expected.sequence)


@pytest.mark.parametrize("amount", ["1", "1" * 300], ids=["short lines", "long lines"])
@pytest.mark.parametrize("file_count", [1, 8])
def test_every_byte_is_read_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_count: int, amount: str
) -> None:
    # Rows come faster in the second half, so that the files' parts do not end together.
    line = "1,2025-01-01 00:{minute:02d}:00.{number:03d},A,{amount},2,1,1,0\n".format
    text = HEADER + "\n"
    text += "".join(line(minute=m, number=n, amount=amount) for m in range(8) for n in range(m * 90))
    paths = []
    for number in range(file_count):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        paths.append(str(path))
    counts: list[int] = []
    preadv = os.preadv

    def counted(descriptor: int, views: Any, position: int) -> int:
        counts.append(preadv(descriptor, views, position))
        return counts[-1]

    monkeypatch.setattr(os, "preadv", counted)

    # No scan: that would be another reading.
    replayed = replay(paths, HistoricalOptions(min_latency_ms=0.0))

    assert len(replayed.rows) == 2520 * file_count
    headers = 64 * 1024 * file_count
    assert sum(counts) <= 1.05 * len(text) * file_count + headers


def test_poll_for_few_rows_reads_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "1,2025-01-01 00:00:{second:02d}.{number:03d},A,1,2,1,1,0\n".format
    text = HEADER + "\n" + "".join(line(second=s, number=n) for s in range(20) for n in range(200))
    paths = []
    for number in range(8):
        path = tmp_path / f"{number}.csv"
        path.write_text(text)
        paths.append(str(path))
    monkeypatch.setattr("services.replay.sources.file_source.read_bytes", lambda _count: 4096)
    source, block = HistoricalSource(paths, HistoricalOptions(min_latency_ms=0.0)), Block(Tickers())
    source.open()
    wanted, read = 1_100, [0]
    ended = False

    while not ended:
        ended = source.poll(block, wanted).ended
        read.append(len(block) + source.in_flight)

    source.stop()
    rows_of_a_read = 2 * 4096 // len(line(second=0, number=0))
    assert read[-1] == len(block) == 4000 * 8
    assert max(after - before for before, after in pairwise(read)) <= wanted + rows_of_a_read


def test_memory_for_reading_does_not_grow_with_the_files(tmp_path: Path) -> None:
    paths = []
    for number in range(150):
        path = tmp_path / f"{number}.csv"
        path.write_text(PRINTED_EXAMPLE)
        paths.append(str(path))
    source = HistoricalSource(paths, HistoricalOptions(min_latency_ms=0.0))
    source.open()

    tracemalloc.start()
    source.poll(Block(Tickers()), 4096)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    source.stop()
    assert peak < 2 * 1024 * 1024


def test_rows_of_one_file_split_over_several_come_at_the_same_times(tmp_path: Path) -> None:
    random_ = random.Random(11)
    header, *rows = history_text(random_, Quirks(rows=500, bad=0, blank=0, tie=0.0)).decode().splitlines()
    whole = tmp_path / "whole.csv"
    whole.write_text("\n".join([header, *rows]) + "\n")
    parts = []
    for number in range(3):
        part = tmp_path / f"part-{number}.csv"
        part.write_text("\n".join([header, *rows[number::3]]) + "\n")
        parts.append(str(part))

    one, three = replay([str(whole)]), replay(parts)

    assert [(row[0][0], *row[1:]) for row in one.rows] == [(row[0][0], *row[1:]) for row in three.rows]  # type: ignore[index]


def test_equal_arrivals_come_by_rank_and_then_by_row(tmp_path: Path) -> None:
    row = "1,2025-01-01 00:00:00,{ticker},1,2,1,1,5\n"
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(HEADER + "\n" + row.format(ticker=name) * 5000)

    replayed = replay([str(tmp_path / "b.csv"), str(tmp_path / "a.csv")])

    assert [(row[0][1], row[0][2], row[2]) for row in replayed.rows] == [  # type: ignore[index]
        (rank, line, name) for rank, name in enumerate("ba") for line in range(2, 5002)
    ]


def test_row_with_a_latency_of_an_hour_holds_nobody_back_and_grows_no_memory(tmp_path: Path) -> None:
    lines = [HEADER, "0,2025-01-01 00:00:00,LATE,1,2,1,1,3600000"]
    lines += [f"{i},2025-01-01 00:{i // 1000:02d}:{i % 1000 / 20:06.3f},SOON,1,2,1,1,20" for i in range(40_000)]
    path = tmp_path / "hour.csv"
    path.write_text("\n".join(lines) + "\n")

    replayed = replay([str(path)])

    assert replayed.rows[-1][2] == "LATE"
    assert len(replayed.rows) == 40_001
    assert replayed.in_flight_max < 20_000


def test_poll_that_finds_only_filtered_rows_returns_after_a_bounded_number(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    rows = historical_module.POLL_ROWS_READ_MAX * 3
    path.write_text(HEADER + "\n" + "1,2025-01-01 00:00:00,OTHER,1,2,1,1,5\n" * rows)
    source = HistoricalSource([str(path)], HistoricalOptions(tickers=("WANTED",)))
    source.open()
    block = Block(Tickers())

    first = source.poll(block, 4096)

    assert (first.rows, first.ended) == (0, False)
    assert source.skipped < rows
    while not source.poll(block, 4096).ended:
        pass
    assert source.skipped == rows
    source.stop()


def test_interrupted_source_hands_out_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "example.csv"
    path.write_text(PRINTED_EXAMPLE)
    source = HistoricalSource([str(path)], HistoricalOptions())
    source.open()
    source.interrupt()

    polled = source.poll(Block(Tickers()), 10)

    assert (polled.rows, polled.ended) == (0, False)
    source.stop()


def test_polling_after_the_end_and_after_stop_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(HEADER + "\n")
    source = HistoricalSource([str(path)], HistoricalOptions())
    source.start(lambda: None)
    source.start(lambda: None)
    block = Block(Tickers())

    assert source.poll(block, 10).ended
    assert source.poll(block, 10).ended
    source.stop()
    source.stop()
    assert source.poll(block, 10).ended
    assert source.cursor_sources()


@pytest.mark.parametrize("policy", ["keep", "clamp", "shift"])
def test_tardis_file_with_negative_latencies_follows_the_policy(
    tmp_path: Path, policy: Literal["keep", "clamp", "shift"]
) -> None:
    path = tmp_path / "tardis.csv"
    path.write_text(
        "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
        "x,A,1588291201099000,1588291201098000,1,2,1,1\n"
        "x,B,1588291201098500,1588291201098500,1,2,1,1\n"
        "x,C,1588291201000000,1588291201098500,1,2,1,1\n"
    )
    expected = expect([str(path)], negative_latency=policy)

    replayed = replay([str(path)], HistoricalOptions(negative_latency=policy))

    assert replayed.rows == comparable_records(expected.sequence)


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"negative_latency": "drop"}, "keep, clamp or shift"),
        ({"unsorted": "maybe"}, "refuse or sort"),
        ({"min_latency_ms": float("nan")}, "milliseconds"),
        ({"start_time_ns": 5, "end_time_ns": 5}, "start is not before the end"),
    ],
    ids=["policy", "unsorted", "latency", "range"],
)
def test_unusable_option_is_refused_with_the_fix(options: dict[str, Any], fragment: str) -> None:
    with pytest.raises(UnusableInput, match=fragment):
        HistoricalOptions(**options)

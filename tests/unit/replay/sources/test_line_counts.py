"""Lines that were read, counted apart from what became of them."""

from __future__ import annotations

import gzip
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.decode import Decoder, count_line_ends
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.replay.sources import text_file as text_file_module
from services.runtime.session.line_counts import LineCounts
from services.verify.reading import Lines, ReadOptions, records
from tests.support.history_files import TICKERS, Quirks, history_text, write_files

GOOD = "1,2025-01-01 00:00:00,A,1,101,100,1,1\n"
HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


def counted(paths: list[str], *, append: str = "", limit: int = 4096, **options: Any) -> tuple[LineCounts, ...]:
    source = HistoricalSource(paths, HistoricalOptions(unsorted="sort", **options))
    source.open()
    if append:
        with Path(paths[0]).open("a") as file:
            file.write(append)
    block = Block(Tickers())
    assert source.line_counts == ()
    while not source.poll(block, limit).ended:
        pass
    source.stop()
    return source.line_counts


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_a_slow_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    random_ = random.Random(seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 4))
    tickers = random_.choice([(), TICKERS[:1]])
    size = random_.choice([4096, 70_000, 1 << 20])
    monkeypatch.setattr("services.replay.sources.file_source.read_bytes", lambda _count: size)

    found = counted(paths, tickers=tickers, limit=random_.choice([1, 100, 4096]))

    for rank, (path, counts) in enumerate(zip(paths, found, strict=True)):
        lines = Lines()
        list(records(path, rank, ReadOptions(tickers=frozenset(tickers)), lines))
        assert {name: value for name, value in asdict(counts).items() if name in asdict(lines)} == asdict(lines)
        assert (counts.first_line, counts.unaccounted, counts.reported) == (1, 0, 0)


@pytest.mark.parametrize("cut", [1, 20, 400])
def test_damaged_file_has_a_rejection_that_is_no_line(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(history_text(random.Random(cut), Quirks(rows=300)))[:-cut])

    [counts] = counted([str(path)])

    assert (counts.unaccounted, counts.reported) == (0, 1)


def test_file_that_grew_or_was_being_written_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "growing.csv"
    path.write_text(HEADER + GOOD + GOOD[:20])

    [counts] = counted([str(path)], append=GOOD[20:])

    assert (counts.lines_read, counts.ticks, counts.rejected, counts.reported) == (2, 1, 1, 1)
    assert counts.unaccounted == 0
    assert "it grew by 18 bytes while it was read" in counts.note


def test_last_line_without_an_end_is_a_line_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_text(HEADER + GOOD + GOOD.rstrip())

    [counts] = counted([str(path)])

    assert (counts.lines_read, counts.ticks, counts.unaccounted) == (3, 2, 0)
    assert "no line end" in counts.note


class LossyDecoder:
    """A kernel that loses the first row that it decodes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._has_lost = False
        self._real = Decoder(*arguments, **options)

    def feed(self, chunk: memoryview, into: Block, *, row_limit: int, final: bool = False) -> int:
        used = self._real.feed(chunk, into, row_limit=row_limit, final=final)
        if len(into) and not self._has_lost:
            self._has_lost = True
            into.drop(1)
        return used

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_row_that_a_kernel_loses_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "two.csv"
    path.write_text(HEADER + GOOD + GOOD)
    monkeypatch.setattr(text_file_module, "Decoder", LossyDecoder)

    [counts] = counted([str(path)])

    assert (counts.lines_read, counts.ticks, counts.unaccounted) == (3, 1, 1)


def test_line_ends_are_counted_whatever_the_length() -> None:
    random_ = random.Random(4)
    for size in (0, 1, 239, 240, 241, 481, 10_000):
        content = bytes(random_.choice(b"\n\nab") for _ in range(size))
        assert count_line_ends(content) == content.count(b"\n")
    assert count_line_ends(b"\n" * 1000) == 1000

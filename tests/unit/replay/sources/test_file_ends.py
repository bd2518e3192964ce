"""The end of a file that may not be its end: a last line without a line end, and a file that grows."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fastpath.columns import Block, Tickers
from services.replay.sources import HistoricalOptions, HistoricalSource
from services.replay.sources.inspect import inspect

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
ROWS = "".join(f"{i},2025-01-01 00:00:0{i},A,1,101,100,1,150.25\n" for i in range(3))


def play(path: Path, *, append: str = "") -> tuple[list[object], tuple[str, ...]]:
    source = HistoricalSource([str(path)], HistoricalOptions())
    source.open()
    with path.open("a") as out:
        out.write(append)
    block = Block(Tickers())
    while not source.poll(block, 4096).ended:
        pass
    source.stop()
    return list(block.to_rows()), source.complaints.remarks


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_last_line_without_its_end_is_taken_with_a_remark(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "cut.csv"
    content = (HEADER + ROWS)[:-3].encode()
    path.write_bytes(gzip.compress(content) if packed else content)

    rows, remarks = play(path)

    assert len(rows) == 3
    assert remarks == (f"{path}: its last line has no line end, so it may have been cut off; it was taken as it is",)
    assert "no line end" in inspect([str(path)]).files[0].remark


def test_a_whole_file_gets_no_remark(tmp_path: Path) -> None:
    path = tmp_path / "whole.csv"
    path.write_text(HEADER + ROWS)

    assert play(path)[1] == ()
    assert inspect([str(path)]).files[0].remark == ""


@pytest.mark.parametrize("cut", [0, 3])
def test_a_file_that_grows_is_read_as_it_was_and_told(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "growing.csv"
    text = HEADER + ROWS
    path.write_text(text[: len(text) - cut])
    rest = text[len(text) - cut :] + "3,2025-01-01 00:00:03,A,1,101,100,1,5\n"

    rows, remarks = play(path, append=rest)

    (remark,) = remarks
    assert f"it grew by {len(rest)} bytes while it was read" in remark
    # A line that was only half there is no row: 150 is not the latency that 150.25 was to become.
    good = [row for row in rows if isinstance(row, tuple) and len(row) == 7]
    assert len(good) == 3 - bool(cut)
    assert len(rows) == 3

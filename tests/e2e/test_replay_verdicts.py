"""What a replay says of files and filters that give nothing, and what a refusal leaves behind: nothing."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from tests.reference.history import expected_outputs
from tests.support.cli import Completed, midstream, midstream_here, replay
from tests.support.made_ticks import write_made_ticks

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
GOOD = "0,2025-01-01 00:00:00,A,1,101,100,1,1\n1,2025-01-01 00:00:01,A,1,101,100,1,1\n"


def write(path: Path, rows: str) -> Path:
    path.write_text(HEADER + rows)
    return path


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ("0,01/02/2025 00:00:00,A,1,101,100,1,1\n" * 2, "YYYY-MM-DD"),
        ("0,1735689600.123456,A,1,101,100,1,1\n", "whole number of s, ms, us or ns"),
        ('0,2025-01-01 00:00:00,A,1,"101,5",100,1,1\n', "decimal point"),
        ("0,2025-01-01 00:00:00,A,1,101,5,100,5,1,1\n", "fields are separated by commas"),
    ],
    ids=["another date format", "float epoch", "quoted decimal comma", "decimal comma"],
)
def test_a_file_without_a_usable_row_is_told_with_reason_and_fix_and_exits_with_1(
    tmp_path: Path, rows: str, part: str
) -> None:
    good, bad = write(tmp_path / "good.csv", GOOD), write(tmp_path / "bad.csv", rows)

    outputs = replay([good, bad], tmp_path / "out", code=1)

    assert outputs.report["mids"] == 2
    (warning,) = outputs.report["warnings"]
    assert f"{bad}: no row can be used; line 2: " in warning
    assert part in warning
    assert outputs.completed.error_line.endswith(warning)


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--ticker", "a"), ("no row has `a`", "did you mean `A`", "--overwrite")),
        (("--ticker", "XYZ"), ("no row has `XYZ`. The files have A", "all 2 rows")),
        (
            ("--start", "2031-01-01 00:00:00"),
            ("from 2025-01-01 00:00:00.001 to 2025-01-01 00:00:01.001", "--start 2031"),
        ),
        (("--end", "2001-01-01 00:00:00"), ("from 2025-01-01 00:00:00.001", "--end 2001")),
    ],
    ids=["case", "typo", "start", "end"],
)
def test_filters_that_leave_nothing_are_told_with_what_there_is(
    tmp_path: Path, options: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    path = write(tmp_path / "good.csv", GOOD)

    outputs = replay([path], tmp_path / "out", *options, code=1)

    assert (outputs.report["rows_in"], outputs.report["skipped"]) == (0, 2)
    said = " ".join(outputs.report["warnings"])
    for part in parts:
        assert part in said
        assert part in outputs.completed.stderr


def test_one_ticker_of_two_that_no_row_has_is_a_warning_only(tmp_path: Path) -> None:
    path = write(tmp_path / "good.csv", GOOD)

    outputs = replay([path], tmp_path / "out", "--ticker", "A", "--ticker", "B")

    assert outputs.report["mids"] == 2
    assert outputs.report["warnings"] == ["--ticker: no row has `B`. The files have A"]


@pytest.mark.cases(3)
@pytest.mark.parametrize(
    ("rows", "mistake", "correction"),
    [
        ("".join(reversed(GOOD.splitlines(keepends=True))), (), ("--unsorted", "sort")),
        (GOOD, ("--start", "soon"), ("--start", "2025-01-01 00:00:00")),
        (GOOD, ("--end", "soon"), ("--end", "2025-02-01 00:00:00")),
        (GOOD, ("--end", "2025-01-01 00:00:00", "--start", "2025-01-01 00:00:00"), ()),
        (GOOD, ("--ticker", ""), ("--ticker", "A")),
        (GOOD, ("--latency-threshold-ms", "soon"), ("--latency-threshold-ms", "5")),
        (GOOD, ("--min-latency-ms", "inf"), ("--min-latency-ms", "-1")),
        (GOOD, ("--redis-url", "redis://127.0.0.1:1/0"), ()),
        (GOOD, ("--redis-url", "nonsense"), ()),
    ],
    ids=["unsorted", "start", "end", "window", "ticker", "threshold", "bound", "no redis", "no url"],
)
def test_a_refused_run_leaves_nothing_and_the_corrected_one_works(
    tmp_path: Path, rows: str, mistake: tuple[str, ...], correction: tuple[str, ...]
) -> None:
    path, out = write(tmp_path / "file.csv", rows), tmp_path / "deep" / "out"

    refused = midstream("replay", path, "--out", out, *mistake)

    assert refused.code == 2, refused
    assert refused.error_line
    assert not out.parent.exists()
    assert replay([path], out, *correction).report["mids"] == 2


def damaged(content: bytes, random_: random.Random) -> bytes:
    """The content with one thing wrong behind the header of the archive."""
    packed = bytearray(gzip.compress(content, mtime=0))
    at = random_.randrange(60, len(packed))
    match random_.randrange(3):
        case 0:
            packed[at] ^= 1 << random_.randrange(8)
        case 1:
            packed[at : at + 20] = bytes(len(packed[at : at + 20]))
        case _:
            del packed[at:]
    return bytes(packed)


@pytest.mark.cases(3)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", [(), ("--unsorted", "sort")], ids=["refuse", "sort"])
def test_a_damaged_archive_is_told_as_damaged_and_plays_what_comes_before(
    tmp_path: Path, seed: int, order: tuple[str, ...]
) -> None:
    content = write_made_ticks(tmp_path / "made.csv", 400).read_bytes()
    path = tmp_path / "made.csv.gz"
    path.write_bytes(damaged(content, random.Random(seed)))
    expected = expected_outputs([path])
    assert expected.damaged

    outputs = replay([path], tmp_path / "out", *order, code=1)

    assert outputs.mid_log == expected.mid_log
    assert outputs.error_log == expected.error_log
    (warning,) = outputs.report["warnings"]
    assert f"{path}:" in warning
    assert "compressed data" in warning
    assert "get the file again" in warning.lower()
    assert "--unsorted" not in outputs.completed.stderr


def test_inspect_tells_a_damaged_archive_as_damaged(tmp_path: Path) -> None:
    content = write_made_ticks(tmp_path / "made.csv", 400).read_bytes()
    path = tmp_path / "made.csv.gz"
    flipped = bytearray(gzip.compress(content, mtime=0))
    flipped[len(flipped) // 2] ^= 4
    path.write_bytes(flipped)
    expected = expected_outputs([path])

    done: Completed = midstream_here("inspect", path, "--json")

    assert done.code == 1
    (file,) = json.loads(done.stdout)["files"]
    assert "compressed data is corrupt" in file["damage"]
    assert (file["figures"]["rows"], file["needs_sorting"]) == (expected.counts.rows_in, False)


def test_a_last_line_without_its_end_is_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.csv", GOOD[:-1])

    outputs = replay([path], tmp_path / "out")

    assert outputs.report["mids"] == 2
    (warning,) = outputs.report["warnings"]
    assert "no line end" in warning
    assert outputs.completed.error_line.endswith(warning)

"""Damaged archives: told as damaged whatever they decompress to, and nothing is played from where the damage shows."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from services.replay.sources import HistoricalOptions, UnusableInput
from services.replay.sources.inspect import inspect
from services.replay.sources.options import UnsortedPolicy
from tests.reference.history import expected_outputs
from tests.support.history_files import Quirks, history_text, tardis_text
from tests.support.replayed import comparable_records, replay


def harmed(content: bytes, random_: random.Random) -> bytes:
    """The content in one or two members, with bits flipped, bytes zeroed or the end cut off."""
    cut = random_.choice([len(content), random_.randrange(len(content))])
    members = [content[:cut], content[cut:]] if cut < len(content) else [content]
    packed = bytearray(b"".join(gzip.compress(member, random_.choice([1, 6, 9]), mtime=0) for member in members))
    at = random_.randrange(len(packed))
    match random_.randrange(4):
        case 0:
            packed[at] ^= 1 << random_.randrange(8)
        case 1:
            packed[at] = random_.randrange(256)
        case 2:
            length = min(random_.randrange(1, 60), len(packed) - at)
            packed[at : at + length] = bytes(length)
        case _:
            del packed[at + 1 :]
    return bytes(packed)


@pytest.mark.parametrize("unsorted", ["refuse", "sort"])
@pytest.mark.parametrize("layout", ["assignment", "tardis"])
@pytest.mark.parametrize("seed", range(60))
def test_a_harmed_archive_plays_what_the_reference_believes(
    tmp_path: Path, seed: int, layout: str, unsorted: UnsortedPolicy
) -> None:
    random_ = random.Random(f"{seed} {layout}")
    text = (
        tardis_text(random_, 120)
        if layout == "tardis"
        else history_text(random_, Quirks(rows=120, bad=random_.choice([0, 0, 0.05])))
    )
    path = tmp_path / "harmed.csv.gz"
    path.write_bytes(harmed(text, random_))
    options = HistoricalOptions(unsorted=unsorted)

    try:
        replayed = replay([str(path)], options)
    except UnusableInput as refusal:
        # Without a header there is nothing to play.
        message = str(refusal)
        assert "get the file again" in message or path.read_bytes()[:2] != b"\x1f\x8b", message
        assert "--unsorted" not in message
        return
    expected = expected_outputs([path])

    assert replayed.rows == comparable_records(expected.sequence)
    assert list(replayed.damaged) == expected.damaged
    # What a check sum does not cover can be wrong without harm.
    assert expected.damaged or len(replayed.rows) == len(text.strip().split(b"\n")) - 1 - text.count(b"\n\n")


@pytest.mark.parametrize("options", [{}, {"min_latency_ms": -100.0}, {"negative_latency": "clamp"}], ids=str)
def test_the_check_sum_is_looked_at_before_the_first_row_leaves(tmp_path: Path, options: dict[str, object]) -> None:
    text = history_text(random.Random(1), Quirks(rows=3000, bad=0))
    packed = bytearray(gzip.compress(text))
    packed[len(packed) // 2] ^= 0x10
    path = tmp_path / "flipped.csv.gz"
    path.write_bytes(packed)

    replayed = replay([str(path)], HistoricalOptions(**options), cache_dir=tmp_path / "cache")  # type: ignore[arg-type]

    assert replayed.damaged == (str(path),)
    assert sum(str(row[1]).startswith("compressed data is corrupt") for row in replayed.rows) == 1
    # The same again, from what was remembered.
    again = replay([str(path)], HistoricalOptions(**options), cache_dir=tmp_path / "cache")  # type: ignore[arg-type]
    assert again.rows == replayed.rows


def test_an_order_that_breaks_in_a_cut_archive_is_damage_and_no_reason_to_sort(tmp_path: Path) -> None:
    lines = [f"{i},2025-01-01 00:00:{59 - i if i > 40 else i:02d},A,1,{i + 0.5},{i},1,5" for i in range(60)]
    text = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n" + "\n".join(lines)
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(text.encode())[:-9])

    replayed = replay([str(path)])

    assert replayed.damaged == (str(path),)
    assert len(replayed.rows) == 42
    assert "nothing from here on can be believed" in str(replayed.rows[-1][1])
    # Whoever asked for sorting gets everything that could be read.
    assert len(replay([str(path)], HistoricalOptions(unsorted="sort")).rows) >= 59


@pytest.mark.parametrize("place", [12, 20, 30])
def test_damage_in_the_header_is_told_as_damage(tmp_path: Path, place: int) -> None:
    text = history_text(random.Random(2), Quirks(rows=50))
    packed = bytearray(gzip.compress(text, mtime=0))
    packed[place : place + 4] = b"\x55\xaa\x55\xaa"
    path = tmp_path / "header.csv.gz"
    path.write_bytes(packed)

    with pytest.raises(UnusableInput, match=r"compressed data is corrupt.*get the file again"):
        replay([str(path)])


def test_a_header_that_decompresses_to_something_else_is_told_as_damage(tmp_path: Path) -> None:
    # Stored, so that only the check sum knows.
    packed = bytearray(gzip.compress(history_text(random.Random(2), Quirks(rows=50)), 0, mtime=0))
    at = packed.index(b"ticker")
    packed[at] ^= 1
    path = tmp_path / "header.csv.gz"
    path.write_bytes(packed)

    with pytest.raises(UnusableInput, match=r"compressed data is corrupt, and its header.*get the file again"):
        replay([str(path)])


def test_inspect_believes_what_a_replay_believes(tmp_path: Path) -> None:
    text = history_text(random.Random(3), Quirks(rows=2000, bad=0))
    packed = bytearray(gzip.compress(text))
    packed[len(packed) // 3] ^= 0x08
    path = tmp_path / "flipped.csv.gz"
    path.write_bytes(packed)

    report = inspect([str(path)], temp_dir=tmp_path / "scratch")

    assert report.files[0].damage.startswith("compressed data is corrupt")
    assert report.total.rows == expected_outputs([path]).counts.rows_in
    assert not report.files[0].needs_sorting

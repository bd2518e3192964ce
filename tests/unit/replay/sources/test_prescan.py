"""The search for the lowest latency, before the first row leaves."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput, prescan
from services.replay.sources.row_reader import BUFFER_BYTES, Skim
from services.replay.sources.text_file import TextFile
from tests.support.replayed import replay

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
TARDIS = (
    "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
    "x,A,1588291201099000,1588291201098000,1,2,1,1\n"
)


def rows(*latencies_ms: object, price: str = "1") -> str:
    return HEADER + "".join(
        f"1,2025-01-01 00:00:00.{number:03d},BTC,1,2,{price},1,{latency}\n"
        for number, latency in enumerate(latencies_ms)
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose rows were decoded for a scan."""
    names: list[str] = []
    decode_all = prescan._decode_all

    def noted(opened: Any, *args: Any, **kwargs: Any) -> Any:
        names.append(Path(opened.name).name)
        return decode_all(opened, *args, **kwargs)

    monkeypatch.setattr(prescan, "_decode_all", noted)
    return names


def plan_of(path: Path, cache_dir: Path | None = None, **options: Any) -> prescan.LatencyPlan:
    source = HistoricalSource([str(path)], HistoricalOptions(**options), cache_dir=cache_dir)
    source.open()
    source.stop()
    return source._files[0].plan


@pytest.mark.quick
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0, -3_500_000)),
        ({"negative_latency": "clamp"}, (0, 0)),
        ({"negative_latency": "shift"}, (3_500_000, 0)),
        ({"min_latency_ms": -10.0}, (0, -10_000_000)),
        ({"min_latency_ms": -10.0, "negative_latency": "shift"}, (10_000_000, 0)),
        ({"min_latency_ms": 10.0}, (0, 0)),
    ],
    ids=["keep", "clamp", "shift", "declared", "declared shift", "declared above zero"],
)
def test_policy_decides_shift_and_bound(tmp_path: Path, options: dict[str, Any], expected: tuple[int, int]) -> None:
    path = tmp_path / "negative.csv"
    path.write_text(rows(5, -3.5, 2))

    found = plan_of(path, **options)

    assert (found.shift_ns, found.latency_bound_ns) == expected


@pytest.mark.parametrize(
    ("text", "options", "scanned"),
    [
        (rows(5, 2), {}, False),
        (rows(5, -2), {}, True),
        (rows(5, 2, price="-1"), {}, True),
        (rows(5, -2), {"min_latency_ms": -2.0}, False),
        (rows(5, -2), {"negative_latency": "clamp"}, False),
        (rows(5, 2), {"negative_latency": "shift"}, False),
        (TARDIS, {}, False),
        (TARDIS, {"negative_latency": "clamp"}, False),
        (TARDIS, {"negative_latency": "shift"}, True),
        (TARDIS, {"negative_latency": "shift", "min_latency_ms": -5.0}, False),
    ],
    ids=[
        "no minus sign",
        "negative latency",
        "negative price",
        "declared",
        "clamp",
        "shift without a minus sign",
        "tardis",
        "tardis clamp",
        "tardis shift",
        "tardis shift declared",
    ],
)
def test_rows_are_scanned_only_when_nothing_else_tells(
    tmp_path: Path, decoded: list[str], text: str, options: dict[str, Any], scanned: bool
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text)

    plan_of(path, **options)

    assert bool(decoded) is scanned


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_scan_is_remembered_until_the_file_changes(tmp_path: Path, decoded: list[str], compressed: bool) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"

    def write(text: str) -> None:
        path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())

    write(rows(5, -2))
    first = plan_of(path, cache)
    again = plan_of(path, cache)
    assert len(decoded) == 1
    assert again == first

    write(rows(5, -7, 1))

    assert plan_of(path, cache).latency_bound_ns == -7_000_000
    assert len(decoded) == 2


def test_a_minus_sign_is_seen_wherever_two_reads_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.replay.sources.text_file.SCAN_BYTES", 64)
    path = tmp_path / "file.csv"

    for blank_lines in range(64):
        path.write_text(HEADER + "\n" * blank_lines + rows(5, 3, -2).removeprefix(HEADER))

        assert plan_of(path).latency_bound_ns == -2_000_000


def test_a_row_behind_many_reads_may_be_the_first_to_arrive(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(rows(*range(900), price="1" + "0" * 300))
    with path.open("a") as file:
        file.write("1,2025-01-01 00:00:01,BTC,1,2,1,1,-3600000\n")
    assert path.stat().st_size > 2 * BUFFER_BYTES

    replayed = replay([str(path)])

    keys = [row[0] for row in replayed.rows]
    assert len(keys) == 901
    assert keys == sorted(keys)  # type: ignore[type-var]
    assert keys[0][2] == 902  # type: ignore[index]


def padded(latency: str) -> str:
    # The change lies behind the part of the file that goes into its digest.
    return rows(*[5] * 3) + "\n" * 70_000 + rows(latency).removeprefix(HEADER).replace("00:00:00", "00:00:01")


def change(path: Path, text: str) -> None:
    """Write over a file, and have a clock that goes in steps show it."""
    before_ns = path.stat().st_ctime_ns
    with path.open("r+") as file:
        file.write(text)
    while path.stat().st_ctime_ns == before_ns:
        os.utime(path)


def test_scan_is_not_believed_of_a_file_that_looks_as_old_as_it_was(tmp_path: Path, decoded: list[str]) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"
    path.write_text(padded("+2"))
    before = path.stat()
    assert plan_of(path, cache).latency_bound_ns == 0

    change(path, padded("-2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert plan_of(path, cache).latency_bound_ns == -2_000_000
    assert decoded == ["file.csv"]


def test_scan_of_a_file_that_changed_meanwhile_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"
    path.write_text(padded("+2"))
    skim = TextFile.skim

    def skim_slowly(self: TextFile, *, negatives: bool, tickers: bool = False) -> Skim:
        found = skim(self, negatives=negatives)
        change(path, padded("-2"))
        return found

    monkeypatch.setattr(TextFile, "skim", skim_slowly)
    assert plan_of(path, cache).latency_bound_ns == 0
    monkeypatch.undo()

    assert not cache.exists()
    assert plan_of(path, cache).latency_bound_ns == -2_000_000


def test_what_a_row_proves_wrong_is_not_believed_again(tmp_path: Path) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"
    path.write_text(rows(5, 2, -8))
    plan_of(path, cache)
    (stored,) = cache.iterdir()
    content = json.loads(stored.read_text())
    content["scanned"]["latency_ns_min"] = 0
    stored.write_text(json.dumps(content))

    with pytest.raises(UnusableInput, match="line 4"):
        replay([str(path)], cache_dir=cache)

    assert len(replay([str(path)], cache_dir=cache).rows) == 3


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": 1}', '{"key": [], "scanned": {}}', "\0"])
def test_damaged_cache_only_costs_a_scan(tmp_path: Path, decoded: list[str], content: str) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"
    path.write_text(rows(5, -2))
    plan_of(path, cache)
    (stored,) = cache.iterdir()
    stored.write_text(content)

    assert plan_of(path, cache).latency_bound_ns == -2_000_000
    assert len(decoded) == 2


def test_cache_with_other_types_only_costs_a_scan(tmp_path: Path, decoded: list[str]) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"
    path.write_text(rows(5, -2))
    plan_of(path, cache)
    (stored,) = cache.iterdir()
    content = json.loads(stored.read_text())
    content["scanned"]["latency_ns_min"] = "0"
    stored.write_text(json.dumps(content))

    assert plan_of(path, cache).latency_bound_ns == -2_000_000


def test_cache_directory_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    path, cache = tmp_path / "file.csv", tmp_path / "cache"
    path.write_text(rows(5, -2))
    cache.write_text("a file stands in the way")

    assert plan_of(path, cache).latency_bound_ns == -2_000_000


def test_row_below_the_declared_bound_stops_the_run_naming_it(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(rows(5, 2, -8))

    with pytest.raises(UnusableInput) as refusal:
        replay([str(path)], HistoricalOptions(min_latency_ms=-5.0))

    assert f"{path}: line 4" in str(refusal.value)
    assert "--min-latency-ms" in str(refusal.value)


def test_notes_say_what_was_found_and_done(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(rows(5, -3.5, -1))
    source = HistoricalSource([str(path)], HistoricalOptions(negative_latency="shift"))
    source.open()

    (note,) = source.notes

    assert (note.path, note.layout, note.policy) == (str(path), "assignment", "shift")
    assert (note.latency_ns_min, note.shift_ns, note.negative_rows) == (-3_500_000, 3_500_000, 2)
    source.stop()
    assert source.notes == (note,)

"""Files sorted by neither time, and rows that do not fit into memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fastpath.columns import Block, Tickers
from services.replay.sources import HistoricalOptions, HistoricalSource, SourceFailed, UnusableInput
from services.replay.sources.spill import SpillFile
from tests.reference.history import HistoryOptions, expected_outputs
from tests.support.history_files import START_NS, Quirks, history_text
from tests.support.replayed import comparable_records, comparable_rows, replay


def write(tmp_path: Path, seed: int, quirks: Quirks, name: str = "file.csv") -> str:
    path = tmp_path / name
    path.write_bytes(history_text(random.Random(seed), quirks))
    return str(path)


def poll_to_the_end(source: HistoricalSource, block: Block) -> None:
    while not source.poll(block, 4096).ended:
        pass


SHUFFLED = Quirks(rows=700, sort_by="nothing", tie=0.3, bad=0.05, negative=0.05)


@pytest.mark.quick
def test_unsorted_file_stops_after_a_valid_prefix_naming_row_and_fix(tmp_path: Path) -> None:
    sorted_part = history_text(random.Random(1), Quirks(rows=30_000, bad=0, hour_long=0, crlf=False)).decode()
    path = tmp_path / "late.csv"
    path.write_text(sorted_part + "1,2024-12-31 00:00:00,A,1,2,1,1,5\n")
    expected = expected_outputs([path])
    assert [line for _, line in expected.unsorted] == [len(sorted_part.splitlines()) + 1]
    source = HistoricalSource([str(path)], HistoricalOptions())
    source.open()
    block = Block(Tickers())

    with pytest.raises(UnusableInput) as refusal:
        poll_to_the_end(source, block)
    source.stop()

    assert f"{path}: line {expected.unsorted[0][1]}" in str(refusal.value)
    assert "--unsorted sort" in str(refusal.value)
    emitted = comparable_rows(block.to_rows())
    assert emitted
    # The row that came too late would have been the first of all.
    assert emitted == comparable_records(expected.sequence[1:])[: len(emitted)]


@pytest.mark.quick
@pytest.mark.parametrize("run_rows", [50, 1_000_000], ids=["many runs", "one run"])
@pytest.mark.parametrize("policy", ["keep", "clamp", "shift"])
def test_sorted_on_disk_an_unsorted_file_comes_as_in_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, run_rows: int
) -> None:
    monkeypatch.setattr("services.replay.sources.external_sort.READ_ROWS", 37)
    monkeypatch.setattr("services.replay.sources.external_sort.RUN_ROWS", run_rows)
    paths = [
        write(tmp_path, 1, SHUFFLED, "a.csv"),
        write(tmp_path, 2, Quirks(rows=500), "b.csv"),
        write(tmp_path, 3, SHUFFLED, "c.csv"),
    ]
    start_ns = START_NS + 100_000_000
    expected = expected_outputs(paths, HistoryOptions(negative_latency=policy, start_time_ns=start_ns))
    assert [path for path, _ in expected.unsorted] == [paths[0], paths[2]]

    options = HistoricalOptions(unsorted="sort", negative_latency=policy, start_time_ns=start_ns)  # type: ignore[arg-type]
    replayed = replay(paths, options, temp_dir=tmp_path / "tmp")

    assert replayed.rows == comparable_records(expected.sequence)
    assert replayed.skipped == expected.counts.skipped
    assert list((tmp_path / "tmp").iterdir()) == []


def test_damaged_file_that_needs_sorting_is_reported(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(history_text(random.Random(1), SHUFFLED))[:-2000])
    expected = expected_outputs([path])

    replayed = replay([str(path)], HistoricalOptions(unsorted="sort"))

    assert replayed.rows == comparable_records(expected.sequence)
    assert replayed.damaged == (str(path),)


def test_only_files_that_need_it_are_sorted_on_disk(tmp_path: Path) -> None:
    paths = [write(tmp_path, 1, SHUFFLED, "a.csv"), write(tmp_path, 2, Quirks(rows=100), "b.csv")]
    source = HistoricalSource(paths, HistoricalOptions(unsorted="sort"))
    source.open()

    assert [note.sorted_on_disk for note in source.notes] == [True, False]
    source.stop()


@pytest.mark.quick
def test_wild_negative_latency_spills_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 100)
    random_ = random.Random(4)
    text = history_text(random_, Quirks(rows=3000, bad=0.02, hour_long=0.002))
    path = tmp_path / "wild.csv"
    path.write_bytes(text + b"9,2025-01-01 00:10:00,WILD,1,2,1,1,-600000\n")
    expected = expected_outputs([path])

    kept = replay([str(path)], temp_dir=tmp_path / "tmp")
    spilled = replay([str(path)], in_flight_rows_max=200, temp_dir=tmp_path / "tmp")

    assert kept.spilled_rows == 0
    assert spilled.spilled_rows > 2000
    assert kept.rows == spilled.rows == comparable_records(expected.sequence)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_spilling_stays_below_the_limit_in_memory(tmp_path: Path) -> None:
    rows = [f"{i},2025-01-01 00:00:{i // 1000:02d}.{i % 1000:03d},A,1,2,1,1,5" for i in range(50_000)]
    path = tmp_path / "wild.csv"
    header = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
    path.write_text("\n".join([header, *rows, "1,2025-01-01 00:01:00,WILD,1,2,1,1,-3600000"]) + "\n")
    replayed = replay([str(path)], in_flight_rows_max=15_000, temp_dir=tmp_path)

    assert len(replayed.rows) == 50_001
    assert replayed.spilled_rows >= 30_000
    assert replayed.in_flight_max <= 30_000


def test_full_disk_is_reported_with_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.replay.sources.spill.os.pwrite", full)
    spill = SpillFile(tmp_path)

    with pytest.raises(SourceFailed, match=f"{tmp_path}: No space left on device; make room"):
        spill.append(b"rows")
    spill.close()


def test_interrupting_while_a_file_is_sorted_ends_the_poll(tmp_path: Path) -> None:
    source = HistoricalSource([write(tmp_path, 1, SHUFFLED)], HistoricalOptions(unsorted="sort"))
    source.open()
    source.interrupt()

    assert source.poll(Block(Tickers()), 10).rows == 0
    source.stop()

"""A replay that is cut anywhere and resumed brings exactly the remaining rows."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from fastpath.columns import Block, Tickers
from fastpath.frame import decode_cursor
from fastpath.records import Cursor, SourceCursor
from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput
from services.replay.sources.marks import MARKS_MAX, Marks
from tests.reference.history import HistoryOptions, expected_outputs
from tests.support.history_files import TICKERS, Quirks, history_text, write_files
from tests.support.replayed import comparable_records, replay, resume_at

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that a few hundred rows take many feeds, marks and cursors.
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 8)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MIN", 3)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MAX", 5)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_MIN", 1)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_PER_SOURCE", 1)
    monkeypatch.setattr("services.replay.sources.historical.RUN_BLOCK_BYTES", 1000)
    monkeypatch.setattr("services.replay.sources.file_source.MARK_ROWS", 2)


@pytest.mark.cases(4)
@pytest.mark.quick
@pytest.mark.parametrize("seed", range(12))
def test_resuming_after_any_row_brings_the_rest(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(1000 + seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 4), rows=90)
    options = HistoricalOptions(
        unsorted="sort",
        negative_latency=random_.choice(["keep", "clamp", "shift"]),
        tickers=random_.choice([(), TICKERS[:3]]),
    )
    in_flight_rows_max = random_.choice([1_000_000, 20])
    whole = replay(paths, options, limit=7, in_flight_rows_max=in_flight_rows_max)
    expected = expected_outputs(
        paths, HistoryOptions(negative_latency=options.negative_latency, tickers=options.tickers)
    )
    assert whole.rows == comparable_records(expected.sequence)

    for poll in range(len(whole.cursors)):
        following = whole.cursors[poll + 1][0] if poll + 1 < len(whole.cursors) else len(whole.rows)
        for rows_of_poll in range(following - whole.cursors[poll][0] + 1):
            emitted, cursor = resume_at(whole, poll, rows_of_poll=rows_of_poll)
            rest = replay(paths, options, limit=5, resume=cursor, in_flight_rows_max=in_flight_rows_max)

            assert rest.rows == whole.rows[emitted:]
            assert rest.skipped == whole.skipped


def test_resuming_several_times_brings_the_rest(tmp_path: Path) -> None:
    random_ = random.Random(5)
    paths = write_files(tmp_path, random_, 3, quirks=[Quirks(rows=200, bad=0.1, hour_long=0.01, negative=0.02)])
    whole = replay(paths)
    emitted: list[object] = []
    cursor: Cursor | None = None

    while True:
        run = replay(paths, limit=9, resume=cursor)
        if not run.cursors:
            break
        poll = min(2, len(run.cursors) - 1)
        count, cursor = resume_at(run, poll, rows_of_poll=1)
        emitted += run.rows[:count]

    assert emitted == whole.rows


def test_cursor_moves_on_with_the_replay(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(history_text(random.Random(2), Quirks(rows=2000, negative=0, hour_long=0)))
    replayed = replay([str(path)], limit=50)

    lines = [decode_cursor(cursor).sources[0].line for _, cursor, _ in replayed.cursors]

    assert lines == sorted(lines)
    # It stays behind by what is in flight and one feed, not by a share of the file.
    for (_, _, last_key), line in zip(replayed.cursors, lines, strict=True):
        assert last_key[2] - line < 200


def test_damaged_end_that_was_reported_is_not_reported_again(tmp_path: Path) -> None:
    cut, other = tmp_path / "cut.csv.gz", tmp_path / "other.csv"
    cut.write_bytes(gzip.compress(history_text(random.Random(3), Quirks(rows=300)))[:-3000])
    # It goes on long after the damage was met.
    other.write_bytes(history_text(random.Random(4), Quirks(rows=300, step_us=6_000)))
    paths = [str(cut), str(other)]
    whole = replay(paths, limit=11)
    assert whole.damaged == (str(cut),)

    for poll in range(len(whole.cursors)):
        emitted, cursor = resume_at(whole, poll, rows_of_poll=1)
        rest = replay(paths, limit=11, resume=cursor)

        assert rest.rows == whole.rows[emitted:]
        assert rest.damaged == whole.damaged


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_resuming_at_the_end_adds_nothing(tmp_path: Path, damaged: bool) -> None:
    path = tmp_path / "file.csv.gz"
    # With equal latencies the rejection that reports the damage is the very last record.
    rows = [f"{i},2025-01-01 00:00:00.{i:03d},A,1,{random.Random(i).random()},1,1,5" for i in range(300)]
    content = gzip.compress("\n".join([HEADER, *rows]).encode())
    path.write_bytes(content[:-300] if damaged else content)
    source = HistoricalSource([str(path)], HistoricalOptions())
    source.open()
    block = Block(Tickers())
    while not source.poll(block, 11).ended:
        pass
    cursor = Cursor(block.key(len(block) - 1), decode_cursor(source.cursor_sources()).sources)
    source.stop()

    assert replay([str(path)], resume=cursor).rows == []


def test_cursor_of_other_files_is_refused(tmp_path: Path) -> None:
    paths = write_files(tmp_path, random.Random(1), 2)
    place = SourceCursor(0, 0, 0, 0, 0, 0)

    with pytest.raises(UnusableInput, match="has 3 files and 2 were named"):
        HistoricalSource(paths, HistoricalOptions(), resume=Cursor(None, (place, place, place))).open()


def test_empty_cursor_starts_at_the_beginning(tmp_path: Path) -> None:
    paths = write_files(tmp_path, random.Random(1), 2)

    assert replay(paths, resume=decode_cursor(b"")).rows == replay(paths).rows


def test_cursor_before_the_first_poll_is_the_beginning(tmp_path: Path) -> None:
    paths = write_files(tmp_path, random.Random(1), 2)
    source = HistoricalSource(paths, HistoricalOptions())
    source.open()
    cursor = decode_cursor(source.cursor_sources())
    source.poll(Block(Tickers()), 5)
    assert decode_cursor(source.cursor_sources()) == cursor
    source.stop()

    assert replay(paths, resume=cursor).rows == replay(paths).rows


def test_marks_stay_bounded_while_one_row_waits() -> None:
    marks = Marks(SourceCursor(0, 2, 0, 0, 0, 0))

    for line in range(3, 20_003):
        marks.add(SourceCursor(line, line, 0, 0, 0, 0))

    assert len(marks) <= MARKS_MAX
    assert marks.before(2).line == 2
    found = marks.before(15_000).line
    assert 15_000 - 64 < found <= 15_000
    assert marks.last().line == 20_002

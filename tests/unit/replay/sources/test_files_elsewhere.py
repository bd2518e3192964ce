"""Files of which a partition has nothing are not read by it, and all else is as if they had been."""

from __future__ import annotations

import fcntl
import gzip
import json
import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from fastpath.records import Cursor
from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput, prescan
from services.replay.sources.historical import READ_ROWS
from services.replay.sources.inputs import open_input
from services.replay.sources.readers import PlainReader
from services.replay.sources.row_reader import Skim
from services.replay.sources.scan_cache import one_at_a_time
from services.replay.sources.text_file import LinesFile
from services.runtime.session.partitions import Partition, Partitioning
from tests.support.history_files import TICKERS, Quirks, history_text
from tests.support.replayed import replay, resume_at
from tests.unit.fastpath.frame_support import seed_of_this_run
from tests.unit.replay.sources.test_partitions import Read, check

CLEAN = Quirks(rows=200, bad=0, blank=0, quoted=0, odd_quote=0)
HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


def one_ticker(chooser: random.Random, ticker: str, quirks: Quirks = CLEAN) -> bytes:
    """Make a file of which every row has the same ticker."""
    content = history_text(chooser, quirks)
    for name in TICKERS:
        content = content.replace(name.encode(), ticker.encode())
    return content


def tardis(chooser: random.Random, rows: int = 150) -> bytes:
    lines = [b"exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"]
    arrival_us = 1_735_689_600_000_000
    for _ in range(rows):
        arrival_us += chooser.randrange(20_000)
        lines.append(b"huobi,BTC-USD,%d,%d,5,2,1,7" % (arrival_us - chooser.randrange(60_000), arrival_us))
    return b"\n".join([*lines, b""])


def write(directory: Path, *contents: bytes) -> list[str]:
    paths = [directory / f"{number}.csv" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return [str(path) for path in paths]


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many bytes were read of each file, apart from its head, by the names of the files."""
    counted: Counter[str] = Counter()
    readinto = PlainReader.readinto

    def count(self: PlainReader, view: memoryview) -> int:
        size = readinto(self, view)
        counted[Path(self._name).name] += size
        return size

    monkeypatch.setattr(PlainReader, "readinto", count)
    return counted


def read_after_opening(read_bytes: Counter[str], paths: Sequence[str], options: HistoricalOptions, **how: Any) -> int:
    """Read all files, with what is read from when they are open in `read_bytes`; return how many rows that brought."""
    source = HistoricalSource(paths, options, **how)
    source.open()
    read_bytes.clear()
    block = Block(Tickers())
    while not source.poll(block, READ_ROWS).ended:
        pass
    source.stop()
    return len(block)


def options_of(number: int, partitioning: Partitioning, **options: object) -> HistoricalOptions:
    return HistoricalOptions(partition=Partition(number, partitioning), **options)  # type: ignore[arg-type]


def scan(paths: Sequence[str], options: HistoricalOptions, cache: Path) -> None:
    source = HistoricalSource(paths, options, cache_dir=cache)
    source.open()
    source.stop()


@pytest.mark.parametrize("seed", range(8))
def test_partitions_together_are_what_one_reads_whatever_their_files_have(tmp_path: Path, seed: int) -> None:
    chooser = random.Random(seed)
    kinds = {
        "one": lambda: one_ticker(chooser, chooser.choice(TICKERS)),
        "mixed": lambda: history_text(chooser, CLEAN),
        "malformed": lambda: one_ticker(chooser, chooser.choice(TICKERS), Quirks(rows=100, bad=0.3)),
        "unusable": lambda: (
            one_ticker(chooser, chooser.choice(TICKERS)) + b"1,2025-01-01 00:00:00,U,1,inf,1,1,5\n,\x00,U\n" * 9
        ),
        "negative": lambda: one_ticker(chooser, "N", Quirks(rows=90, bad=0, blank=0, quoted=0, negative=0.2)),
        "cut off": lambda: one_ticker(chooser, "C")[:-5],
        "carriage returns": lambda: one_ticker(chooser, "R", Quirks(rows=90, bad=0, blank=0, quoted=0, crlf=True)),
        "empty": lambda: HEADER.encode(),
        "zipped": lambda: gzip.compress(one_ticker(chooser, "Z")),
        "damaged": lambda: gzip.compress(one_ticker(chooser, "D"))[:-9],
        "tardis": lambda: tardis(chooser),
    }
    paths = write(tmp_path, *(kinds[chooser.choice(list(kinds))]() for _ in range(chooser.randrange(3, 9))))
    options = chooser.choice(
        [
            {},
            {"negative_latency": "shift"},
            {"latency": ("lognormal:p50=5ms,p99=40ms,seed=7",)},
            {"tickers": TICKERS[:2]},
            {"start_time_ns": 1_735_689_600_200_000_000},
        ]
    )
    partitioning = Partitioning(chooser.choice([2, 3, 7]), chooser.choice([{}, {TICKERS[0]: 1}]))

    parts = [Read(paths, options_of(number, partitioning, **options)) for number in range(partitioning.count)]

    check(Read(paths, HistoricalOptions(**options)), parts, partitioning)  # type: ignore[arg-type]


def test_a_file_that_is_sorted_first_is_sorted_by_those_who_have_something_of_it(
    tmp_path: Path, read_bytes: Counter[str]
) -> None:
    unsorted = Quirks(rows=300, bad=0, blank=0, quoted=0, sort_by="nothing")
    paths = write(tmp_path, *(one_ticker(random.Random(rank), "ABC"[rank], unsorted) for rank in range(3)))
    partitioning = Partitioning(3, {"A": 1, "B": 2, "C": 0})
    cache = tmp_path / "cache"

    count = read_after_opening(read_bytes, paths, options_of(2, partitioning, unsorted="sort"), cache_dir=cache)

    # Of the first it has neither the ticker nor what cannot be used.
    assert count == 300
    assert [read_bytes[Path(path).name] > 0 for path in paths] == [False, True, True]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("assigned", [True, False], ids=["assigned", "by hash"])
def test_who_has_nothing_of_a_file_reads_none_of_it(
    tmp_path: Path, read_bytes: Counter[str], compressed: bool, assigned: bool
) -> None:
    tickers = ("A", "B", "C", "D")
    contents = [one_ticker(random.Random(rank), ticker) for rank, ticker in enumerate(tickers)]
    paths = write(tmp_path, *(gzip.compress(content) if compressed else content for content in contents))
    partitioning = Partitioning(4, {ticker: 3 - rank for rank, ticker in enumerate(tickers)} if assigned else {})
    cache = tmp_path / "cache"
    scan(paths, options_of(0, partitioning), cache)

    for number in range(4):
        read_after_opening(read_bytes, paths, options_of(number, partitioning), cache_dir=cache)
        for rank, ticker in enumerate(tickers):
            has_something = partitioning.of_ticker(ticker) == number or rank % 4 == number
            assert (read_bytes[f"{rank}.csv"] > 0) is has_something, (number, rank)


ODD = {
    "none": b"",
    "unusable": b"1,2025-01-01 00:00:00,A,1,inf,1,1,5\n",
    "unusable, of another": b"1,2025-01-01 00:00:00,X,1,inf,1,1,5\n",
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_who_found_nothing_unusable_in_a_file_does_not_look_for_it_again(
    tmp_path: Path, read_bytes: Counter[str], odd: str, compressed: bool
) -> None:
    content = one_ticker(random.Random(1), "A") + ODD[odd]
    paths = write(tmp_path, gzip.compress(content) if compressed else content)
    partitioning, cache = Partitioning(3, {"A": 1, "X": 1}), tmp_path / "cache"
    whole = Read(paths, HistoricalOptions())

    for again in (False, True):
        read = read_after_opening(read_bytes, paths, options_of(0, partitioning), cache_dir=cache)
        assert read == (odd != "none")
        assert (read_bytes["0.csv"] == 0) is (again and odd == "none")
        parts = [Read(paths, options_of(number, partitioning), cache_dir=cache) for number in range(3)]
        check(whole, parts, partitioning)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"end_time_ns": 1_735_689_600_100_000_000}, {}),
        ({"latency": ("lognormal:p50=5ms,p99=40ms,seed=7",)}, {}),
        ({}, {"latency": ("lognormal:p50=5ms,p99=40ms,seed=7",)}),
        ({"growing": True}, {}),
    ],
    ids=["a window", "with a model", "without a model", "growing"],
)
def test_what_is_usable_otherwise_is_looked_at_again(
    tmp_path: Path, read_bytes: Counter[str], first: dict[str, Any], then: dict[str, Any]
) -> None:
    paths = write(tmp_path, one_ticker(random.Random(1), "A"))
    partitioning, cache = Partitioning(3, {"A": 1}), tmp_path / "cache"
    scan(paths, options_of(0, partitioning), cache)

    for options in (first, then):
        how = {name: value for name, value in options.items() if name == "growing"}
        chosen = options_of(0, partitioning, **{name: value for name, value in options.items() if name not in how})
        read_after_opening(read_bytes, paths, chosen, cache_dir=cache, **how)
        assert read_bytes["0.csv"] > 0


def test_of_one_file_of_two_tickers_everybody_with_one_of_them_reads(tmp_path: Path, read_bytes: Counter[str]) -> None:
    lines = one_ticker(random.Random(1), "A").splitlines(keepends=True)
    paths = write(tmp_path, HEADER.encode(), b"".join([*lines, lines[-1].replace(b",A,", b",B,")]))
    partitioning = Partitioning(3, {"A": 0, "B": 2})

    reads = []
    for number in range(3):
        count = read_after_opening(read_bytes, paths, options_of(number, partitioning))
        reads.append((read_bytes["1.csv"] > 0, count))

    # The middle one has what cannot be used of the second file.
    assert reads == [(True, 200), (True, 0), (True, 1)]


@pytest.mark.parametrize("number", range(3))
def test_a_resume_anywhere_brings_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 8)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MAX", 5)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_MIN", 1)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_PER_SOURCE", 1)
    chooser = random.Random(7)
    quirks = Quirks(rows=60, bad=0, blank=0, quoted=0)
    paths = write(
        tmp_path, *(one_ticker(chooser, "ABCD"[rank], quirks) for rank in range(4)), history_text(chooser, quirks)
    )
    partitioning = Partitioning(3, {"A": 1, "B": 2, "C": 0, "D": 1})
    options = options_of(number, partitioning)
    cache = tmp_path / "cache"
    whole = replay(paths, options, limit=7, cache_dir=cache)
    assert len(whole.rows) > 60

    for poll in range(0, len(whole.cursors), 3):
        emitted, cursor = resume_at(whole, poll, rows_of_poll=2)
        for kept in (cache, None):
            assert replay(paths, options, resume=cursor, cache_dir=kept).rows == whole.rows[emitted:]


def test_what_was_read_before_counts_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path, one_ticker(random.Random(1), "A"), one_ticker(random.Random(2), "B"))
    partitioning = Partitioning(3, {"A": 1, "B": 2})
    options = options_of(2, partitioning)
    monkeypatch.setattr("services.replay.sources.text_file.TextFile.ticker_skim", lambda _: None)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_MIN", 1)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_PER_SOURCE", 1)
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 8)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MAX", 5)
    whole = replay(paths, options, limit=7)
    _, cursor = resume_at(whole, len(whole.cursors) // 2, rows_of_poll=1)
    assert cursor.sources[0].line > 2

    def counts() -> tuple[object, ...]:
        source = HistoricalSource(paths, options, resume=cursor)
        source.open()
        block = Block(Tickers())
        while not source.poll(block, READ_ROWS).ended:
            pass
        source.stop()
        return source.line_counts, len(block), source.skipped

    as_before = counts()
    monkeypatch.undo()

    assert counts() == as_before


def test_a_file_that_is_another_one_by_the_time_it_is_read_is_read(tmp_path: Path) -> None:
    paths = write(tmp_path, one_ticker(random.Random(1), "A"), one_ticker(random.Random(2), "B"))
    partitioning = Partitioning(3, {"A": 1, "B": 0, "X": 2})
    source = HistoricalSource(paths, options_of(2, partitioning), cache_dir=tmp_path / "cache")
    source.open()
    # Of the same size, and in the same place.
    Path(paths[0]).write_bytes(Path(paths[0]).read_bytes().replace(b",A,", b",X,"))
    block = Block(Tickers())

    while not source.poll(block, 4096).ended:
        pass

    source.stop()
    assert {row[2] for row in block.to_rows()} == {"X"}  # type: ignore[misc]


def test_files_that_may_grow_are_read(tmp_path: Path, read_bytes: Counter[str]) -> None:
    paths = write(tmp_path, one_ticker(random.Random(1), "A"))
    options = options_of(2, Partitioning(3, {"A": 1}))

    for growing in (False, True):
        read_after_opening(read_bytes, paths, options, growing=growing, cache_dir=tmp_path / "cache")
        assert (read_bytes["0.csv"] > 0) is growing


@pytest.fixture
def skims(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The files whose bytes were looked through, and whether for their tickers."""
    noted: list[tuple[str, bool]] = []
    skim = LinesFile.skim

    def note(self: LinesFile, *, negatives: bool, tickers: bool = False) -> Skim:
        noted.append((Path(self.raw.name).name, tickers))
        return skim(self, negatives=negatives, tickers=tickers)

    monkeypatch.setattr(LinesFile, "skim", note)
    return noted


def test_one_partition_asks_for_no_tickers(tmp_path: Path, skims: list[tuple[str, bool]]) -> None:
    paths = write(tmp_path, one_ticker(random.Random(1), "A"), gzip.compress(one_ticker(random.Random(1), "B")))

    scan(paths, HistoricalOptions(), tmp_path / "cache")

    assert sorted(skims) == [("0.csv", False), ("1.csv", False)]
    assert [json.loads(kept.read_text())["scanned"]["tickers"] for kept in (tmp_path / "cache").iterdir()] == [
        None,
        None,
    ]


@pytest.mark.parametrize(("count", "expected"), [(1, []), (2, []), (3, [("0.csv", True)])])
def test_a_file_of_which_nothing_else_is_asked_is_looked_through_for_three_partitions(
    tmp_path: Path, skims: list[tuple[str, bool]], count: int, expected: list[tuple[str, bool]]
) -> None:
    paths = write(tmp_path, tardis(random.Random(1)))

    scan(paths, options_of(0, Partitioning(count)), tmp_path / "cache")

    assert skims == expected


def test_who_goes_on_in_the_middle_looks_at_what_is_kept_alone(
    tmp_path: Path, skims: list[tuple[str, bool]], read_bytes: Counter[str]
) -> None:
    paths = write(tmp_path, tardis(random.Random(1)), tardis(random.Random(2)))
    options = options_of(2, Partitioning(3, {"BTC-USD@huobi": 0}))
    opened = open_input(paths[0])
    resume = Cursor(last_key=(1_735_689_600_900_000_000, 0, 9), sources=(opened.content.beginning,) * 2)
    opened.close()

    for is_kept in (False, True):
        assert read_after_opening(read_bytes, paths, options, resume=resume, cache_dir=tmp_path / "cache") == 0
        assert (skims, read_bytes["0.csv"] > 0) == ([], not is_kept)
        scan(paths, options, tmp_path / "cache")
        skims.clear()


def test_engines_that_start_together_look_once_through_each_file(tmp_path: Path, skims: list[tuple[str, bool]]) -> None:
    paths = write(tmp_path, *(one_ticker(random.Random(rank), f"T{rank}") for rank in range(8)))
    begin = threading.Barrier(4)

    def engine(number: int) -> None:
        begin.wait()
        scan(paths, options_of(number, Partitioning(4)), tmp_path / "cache")

    engines = [threading.Thread(target=engine, args=(number,)) for number in range(4)]
    for each in engines:
        each.start()
    for each in engines:
        each.join(20)

    assert sorted(skims) == [(f"{rank}.csv", True) for rank in range(8)]
    assert {kept.suffix for kept in (tmp_path / "cache").iterdir()} == {".json"}


def test_each_engine_begins_with_other_files(
    tmp_path: Path, skims: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prescan, "THREADS", 1)
    paths = write(tmp_path, *(one_ticker(random.Random(rank), f"T{rank}") for rank in range(5)))

    scan(paths, options_of(1, Partitioning(2)), tmp_path / "cache")

    assert [name for name, _ in skims] == ["2.csv", "3.csv", "4.csv", "0.csv", "1.csv"]


@pytest.mark.parametrize(
    "stored", [{"names": "A", "rows": 1}, {"names": ["A"], "rows": "1"}, {"names": [1], "rows": 1}, {}, 7]
)
def test_kept_tickers_of_other_types_only_cost_a_look(
    tmp_path: Path, skims: list[tuple[str, bool]], stored: object
) -> None:
    paths, cache = write(tmp_path, one_ticker(random.Random(1), "A")), tmp_path / "cache"
    options = options_of(0, Partitioning(2))
    scan(paths, options, cache)
    (kept,) = cache.iterdir()
    content = json.loads(kept.read_text())
    assert content["scanned"]["tickers"] == {"names": ["A"], "rows": 200, "are_usable": False}
    content["scanned"]["tickers"] = stored
    kept.write_text(json.dumps(content))

    scan(paths, options, cache)
    scan(paths, options, cache)

    assert len(skims) == 2


def test_nobody_waits_for_ever_for_who_looks_through_a_file(tmp_path: Path) -> None:
    paths, cache = write(tmp_path, one_ticker(random.Random(1), "A")), tmp_path / "cache"
    opened = open_input(paths[0])
    now_s, slept_s = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds
        slept_s.append(seconds)

    def clock_s() -> float:
        return now_s

    with one_at_a_time(opened, cache, sleep=sleep, monotonic_s=clock_s):
        assert slept_s == []
        (lock,) = cache.iterdir()
        with one_at_a_time(opened, cache, sleep=sleep, monotonic_s=clock_s):
            assert 5.0 <= sum(slept_s) < 6.0

    # One that died has left a file, which nobody holds.
    slept_s.clear()
    lock.touch()
    with one_at_a_time(opened, cache, sleep=sleep, monotonic_s=clock_s), lock.open("rb") as held:
        assert slept_s == []
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not lock.exists()
    opened.close()


def test_a_place_where_no_lock_can_be_had_changes_nothing(tmp_path: Path) -> None:
    paths, cache = write(tmp_path, one_ticker(random.Random(1), "A")), tmp_path / "cache"
    cache.write_text("a file stands in the way")
    partitioning = Partitioning(2, {"A": 0})

    reads = [replay(paths, options_of(number, partitioning), cache_dir=cache) for number in range(2)]

    assert [len(read.rows) for read in reads] == [200, 0]


def test_a_file_that_is_not_sorted_fails_where_its_rows_and_its_rejections_are(tmp_path: Path) -> None:
    unsorted = Quirks(rows=3_000, bad=0, blank=0, quoted=0, sort_by="nothing")
    paths = write(tmp_path, one_ticker(random.Random(1), "A", unsorted), one_ticker(random.Random(2), "B"))
    partitioning = Partitioning(4, {"A": 2, "B": 3})

    outcomes = []
    for number in range(4):
        try:
            outcomes.append(len(replay(paths, options_of(number, partitioning)).rows))
        except UnusableInput as failure:
            outcomes.append(Path(str(failure).partition(":")[0]).name)

    # The second has what cannot be used of the other file.
    assert outcomes == ["0.csv", 0, "0.csv", 200]


@pytest.mark.long
def test_partitions_together_are_what_one_reads_of_many_files(tmp_path: Path) -> None:
    chooser = random.Random(seed_of_this_run())
    for number in range(40):
        directory = tmp_path / str(number)
        directory.mkdir()
        tickers = [chooser.choice((*TICKERS, "X", "Y")) for _ in range(chooser.randrange(1, 12))]
        quirks = [chooser.choice([CLEAN, Quirks(rows=80, bad=chooser.choice([0, 0.02]), quoted=0)]) for _ in tickers]
        contents = [one_ticker(chooser, ticker, each) for ticker, each in zip(tickers, quirks, strict=True)]
        paths = write(directory, *contents)
        partitioning = Partitioning(chooser.choice([2, 4, 7]))
        parts = [Read(paths, options_of(part, partitioning)) for part in range(partitioning.count)]
        check(Read(paths, HistoricalOptions()), parts, partitioning)

"""The whole path, from files to logs, against the slow reference: byte for byte, whatever happens on the way."""

from __future__ import annotations

import csv
import gzip
import itertools
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reference.history import ExpectedTick, HistoryOptions, expected_outputs, format_timestamp
from tests.support.cli import Outputs, assert_exact, interrupt_replay, read_outputs, replay
from tests.support.history_files import START_NS, TICKERS, Quirks, history_text, tardis_text, write_files

PLAIN = Quirks(rows=400, bad=0.05, negative=0.1, hour_long=0.02, quoted=0.1)
EVERY_QUIRK = (
    PLAIN,
    replace(PLAIN, crlf=True, bom=True, last_newline=False, tie=0.95),
    replace(PLAIN, sort_by="arrival", extra_column=True),
    replace(PLAIN, rows=0),
    replace(PLAIN, bad=0.5, odd_quote=0.5),
)


def quirky_files(directory: Path, seed: int, *, unsorted: bool = False) -> list[str]:
    """Write one file of every kind, in random order, gzipped at random."""
    print(f"seed {seed}")  # noqa: T201  (shown when the test fails)
    random_ = random.Random(seed)
    contents = [history_text(random_, quirks) for quirks in EVERY_QUIRK]
    contents.append(tardis_text(random_, 200, negative=True))
    if unsorted:
        contents.append(history_text(random_, replace(PLAIN, sort_by="nothing")))
    random_.shuffle(contents)
    paths = []
    for number, content in enumerate(contents):
        path = directory / f"history-{number}.csv"
        path.write_bytes(gzip.compress(content) if random_.random() < 0.4 else content)
        paths.append(str(path))
    return paths


@pytest.mark.quick
def test_files_with_every_quirk_give_the_logs_of_the_reference(tmp_path: Path) -> None:
    paths = quirky_files(tmp_path, 1)
    expected = expected_outputs(paths)
    assert min(expected.counts.mids, expected.counts.latency_filtered, expected.counts.rejected) > 100

    outputs = replay(paths, tmp_path / "out")

    assert_exact(outputs, expected)
    assert outputs.report["first_arrival"] == format_timestamp(expected.first_arrival_time_ns)
    assert outputs.report["last_arrival"] == format_timestamp(expected.last_arrival_time_ns)


def test_paced_replay_of_unsorted_files_with_other_times_and_limits_is_exact(tmp_path: Path) -> None:
    paths = quirky_files(tmp_path, 2, unsorted=True)
    options = ("--speed", "100000", "--unsorted", "sort", "--negative-latency", "clamp", "--log-timestamp", "arrival")

    outputs = replay(paths, tmp_path / "out", *options, "--latency-threshold-ms", "0.5", "--mids-csv")

    expected = expected_outputs(paths, HistoryOptions(threshold_ns=500_000, log_arrival=True, negative_latency="clamp"))
    assert expected.unsorted
    assert_exact(outputs, expected)
    assert_mids_csv(outputs, expected.sequence)


def test_filters_and_shifted_latencies_are_exact(tmp_path: Path) -> None:
    paths = quirky_files(tmp_path, 3)
    begin_ns, end_ns = START_NS + 137_000_000, START_NS + 900_000_000
    filters = [option for ticker in TICKERS[:2] for option in ("--ticker", ticker)]
    span = ("--start", "2025-01-01 00:00:00.137", "--end", "2025-01-01T00:00:00.9Z")

    outputs = replay(paths, tmp_path / "out", *filters, *span, "--negative-latency", "shift")

    expected = expected_outputs(
        paths,
        HistoryOptions(negative_latency="shift", tickers=TICKERS[:2], start_time_ns=begin_ns, end_time_ns=end_ns),
    )
    assert expected.counts.skipped > 100
    assert expected.counts.mids > 10
    assert_exact(outputs, expected)


def test_interrupted_and_resumed_run_is_exact(tmp_path: Path) -> None:
    assert_interruptions_leave_no_trace(tmp_path, seed=4, signals=(signal.SIGINT, signal.SIGTERM))


def test_rows_split_into_files_give_the_same_logs(tmp_path: Path) -> None:
    """Cut where ties and all, the order stays: rank, then row."""
    random_ = random.Random(5)
    quirks = Quirks(rows=1000, bad=0, blank=0, negative=0.1, hour_long=0.01, tie=0.8)
    header, *rows = history_text(random_, quirks).decode().splitlines()
    whole = tmp_path / "whole.csv"
    whole.write_text("\n".join([header, *rows]) + "\n")
    cuts = [0, *sorted(random_.sample(range(1, len(rows)), 3)), len(rows)]
    parts = []
    for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
        part = tmp_path / f"part-{number}.csv.gz"
        part.write_bytes(gzip.compress("\n".join([header, *rows[begin:end]]).encode()))
        parts.append(part)
    expected = expected_outputs([whole])

    outputs = replay(parts, tmp_path / "out")

    assert_exact(outputs, expected)


EXAMPLE = (
    "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"
    "1,2025-01-01 00:00:00,BTC,1,101,100,1,120\n"
    "2,2025-01-01 00:00:00.200,BTC,1,201,200,1,1\n"
    "3,2025-01-01 00:00:00.700,BTC,1,301,300,1,10\n"
)
MIDS = {1: 100.5, 2: 200.5, 3: 300.5}


@pytest.mark.parametrize(
    ("options", "fraction_unit_us", "times", "order"),
    [
        pytest.param((), False, ("00:00:00.000", "00:00:00.200", "00:00:00.700"), [1, 2, 3], id="plain"),
        pytest.param(
            ("--fraction-unit", "us"),
            True,
            ("00:00:00.000", "00:00:00.000200", "00:00:00.000700"),
            [2, 3, 1],
            id="microseconds",
        ),
    ],
)
def test_printed_example_comes_in_the_order_of_its_reading(
    tmp_path: Path, options: tuple[str, ...], fraction_unit_us: bool, times: tuple[str, str, str], order: list[int]
) -> None:
    path = tmp_path / "example.csv"
    path.write_text(EXAMPLE)

    outputs = replay([path], tmp_path / "out", *options, "--latency-threshold-ms", "120")

    assert outputs.mid_log.decode().splitlines() == [f"2025-01-01 {times[row - 1]}, {MIDS[row]}" for row in order]
    expected = expected_outputs([path], HistoryOptions(fraction_unit_us=fraction_unit_us, threshold_ns=120_000_000))
    assert_exact(outputs, expected)


@pytest.mark.cases(4)
@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 115))
def test_random_files_and_options_are_exact(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201  (shown when the test fails)
    random_ = random.Random(seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 6), rows=2000)
    policy, threshold_us = random_.choice(["keep", "clamp", "shift"]), random_.choice([500, 17_500, 20_000])
    log = random_.choice(["event", "arrival"])
    options = ["--negative-latency", policy, "--latency-threshold-ms", str(threshold_us / 1000), "--log-timestamp", log]
    options += ["--speed", random_.choice(["max", "1000000", "50000"]), "--unsorted", "sort"]
    chosen = HistoryOptions(threshold_ns=threshold_us * 1000, log_arrival=log == "arrival", negative_latency=policy)
    expected = expected_outputs(paths, chosen)
    if random_.random() < 0.3:
        filtered = expected_outputs(paths, replace(chosen, start_time_ns=START_NS + 10**9, tickers=TICKERS[:1]))
        # Filters that leave nothing are a mistake of the caller, with an exit code of its own.
        if filtered.mid_log or filtered.error_log:
            options += ["--start", "2025-01-01 00:00:01", "--ticker", TICKERS[0]]
            expected = filtered

    outputs = replay(paths, tmp_path / "out", *options)

    assert_exact(outputs, expected)


@pytest.mark.cases(2)
@pytest.mark.long
@pytest.mark.parametrize("seed", range(200, 212))
def test_random_interruptions_leave_no_trace(tmp_path: Path, seed: int) -> None:
    signals = random.Random(seed).choices([signal.SIGINT, signal.SIGTERM, signal.SIGKILL], k=3)

    assert_interruptions_leave_no_trace(tmp_path, seed=seed, signals=tuple(signals))


def assert_interruptions_leave_no_trace(directory: Path, *, seed: int, signals: tuple[signal.Signals, ...]) -> None:
    """Interrupt a paced replay at random moments, continue at full speed, and compare."""
    paths = quirky_files(directory, seed)
    random_ = random.Random(seed)
    expected = expected_outputs(paths)
    out = directory / "out"
    rows_before = 0
    share = len(expected.mid_log + expected.error_log) / (len(signals) + 1)
    for number, signal_ in enumerate(signals):
        # The hour-long latencies keep such a run from ending by itself.
        after_bytes = int(share * (number + random_.random() * 0.8))
        completed = interrupt_replay(paths, out, "--resume", "--speed", "1", number=signal_, after_bytes=after_bytes)
        if signal_ == signal.SIGKILL:
            assert completed.code == -signal_
            continue
        if not completed.stdout:
            # The signal came before anything was replayed; a shell shows both codes alike.
            assert completed.code in (128 + signal_, -signal_), completed
            continue
        assert completed.code == 128 + signal_, completed.stderr
        assert "--resume" in completed.stderr
        stopped = read_outputs(out, completed)
        assert expected.mid_log.startswith(stopped.mid_log)
        assert expected.error_log.startswith(stopped.error_log)
        assert rows_before <= stopped.report["rows_in"] < expected.counts.rows_in
        assert not stopped.report["complete"]
        rows_before = stopped.report["rows_in"]

    outputs = replay(paths, out, "--resume")

    assert_exact(outputs, expected)
    assert outputs.report["complete"]


def assert_mids_csv(outputs: Outputs, sequence: list[object]) -> None:
    """Every line of the log stands in mid_prices.csv too, with what the log leaves out."""
    with (outputs.path / "mid_prices.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    logged = [line.rpartition(", ")[2] for line in outputs.mid_log.decode().splitlines()]
    assert [row["mid"] for row in rows] == logged
    for row in rows:
        tick = sequence[int(row["sequence"]) - 1]
        assert isinstance(tick, ExpectedTick)
        assert row["ticker"] == tick.ticker
        assert row["timestamp"] == format_timestamp(tick.event_time_ns)
        assert row["arrival"] == format_timestamp(tick.key[0])

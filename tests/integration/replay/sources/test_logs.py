"""Files to both logs, through every kernel: byte for byte what the slow reference says."""

from __future__ import annotations

import random
import resource
from pathlib import Path
from typing import Any

import pytest

from services.replay.sources import HistoricalOptions
from tests.reference.history import Expected, HistoryOptions, expected_outputs
from tests.support.history_files import START_NS, TICKERS, Quirks, history_text, write_files
from tests.support.replayed import Logs, write_logs
from tests.support.tick_files import late_latencies, live_file, over_sources, quote_files

ROOT = Path(__file__).parents[4]


def assert_exact(logs: Logs, expected: Expected) -> None:
    counts = expected.counts
    assert logs.mid_log == expected.mid_log
    assert logs.error_log == expected.error_log
    assert logs.digest == expected.digest
    assert logs.skipped == counts.skipped
    assert logs.counts == (
        counts.mids,
        counts.latency_filtered,
        counts.missing_side,
        counts.rejected,
        counts.crossed,
        counts.locked,
        0,
    )
    assert counts.rows_in == counts.mids + counts.latency_filtered + counts.missing_side + counts.rejected


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(10))
def test_random_files_give_the_logs_of_the_reference(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(2000 + seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 5), rows=500)
    log_arrival = random_.random() < 0.5
    threshold_ns = random_.choice([20_000_000, 0, 17_500_000])
    chosen: dict[str, Any] = {"negative_latency": random_.choice(["keep", "clamp", "shift"])}
    if random_.random() < 0.3:
        chosen |= {"tickers": TICKERS[:2], "start_time_ns": START_NS + 10**8}
    expected = expected_outputs(paths, HistoryOptions(threshold_ns=threshold_ns, log_arrival=log_arrival, **chosen))

    logs = write_logs(
        paths,
        HistoricalOptions(unsorted="sort", **chosen),
        threshold_ns=threshold_ns,
        log_arrival=log_arrival,
        limit=random_.choice([10, 5000]),
    )

    assert_exact(logs, expected)


@pytest.mark.quick
def test_sample_data_gives_the_logs_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    paths = ["data/historical_sample.csv"]

    logs = write_logs(paths)

    assert_exact(logs, expected_outputs(paths))
    counts = logs.counts
    assert 0.4 < counts.latency_filtered / (counts.latency_filtered + counts.mids) < 0.6
    assert min(counts.missing_side, counts.rejected, counts.crossed, counts.locked) >= 5


@over_sources()
def test_quote_files_of_tardis_read_cleanly(source: str, tmp_path: Path) -> None:
    paths = [str(path) for path in quote_files(source, tmp_path)]
    expected = expected_outputs(paths)
    assert expected.counts.rejected == 0
    assert expected.counts.rows_in > 0

    assert_exact(write_logs(paths), expected)


@over_sources()
def test_a_live_file_with_latencies_of_its_peers_log_reads_cleanly(source: str, tmp_path: Path) -> None:
    late = late_latencies(source)
    header, *rows = live_file(source, tmp_path).read_text().splitlines()
    # Every second latency above the threshold, as in the recording that these logs are what is left of.
    latencies = [
        late[i // 2 % len(late)] if i % 2 else repr(float(late[i // 2 % len(late)]) / 20) for i in range(30_000)
    ]
    path = tmp_path / "recorded.csv"
    path.write_text("\n".join([f"{header},latency", *map(",".join, zip(rows, latencies, strict=True))]) + "\n")
    expected = expected_outputs([path])
    assert (expected.counts.rows_in, expected.counts.rejected) == (30_000, 0)

    assert_exact(write_logs([str(path)]), expected)


def test_a_thousand_files_are_merged_in_little_memory(tmp_path: Path) -> None:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    random_ = random.Random(9)
    paths = []
    for number in range(1000):
        path = tmp_path / f"{number:04d}.csv"
        path.write_bytes(history_text(random_, Quirks(rows=12, hour_long=0.01, step_us=100_000)))
        paths.append(str(path))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        logs = write_logs(paths)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    used_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib

    assert_exact(logs, expected_outputs(paths))
    assert used_kib < 150_000


@pytest.mark.long
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    import subprocess
    import sys

    def peak_kib(rows: int) -> int:
        path = tmp_path / f"{rows}.csv"
        line = "{i},2025-01-01 {h:02d}:{m:02d}:{s:02d}.{us:06d},BTC-USDT-SWAP@BINANCE,1.5,100.25,100.24,2.5,{latency}\n"
        with path.open("w") as out:
            out.write("index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n")
            for i in range(rows):
                second, us = divmod(i * 3_000, 1_000_000)
                latency = 3_600_000 if i == 10 else i % 97
                out.write(
                    line.format(i=i, h=second // 3600, m=second // 60 % 60, s=second % 60, us=us, latency=latency)
                )
        program = (
            "import resource, sys\n"
            "from fastpath.columns import Block, Tickers\n"
            "from services.replay.sources import HistoricalOptions, HistoricalSource\n"
            "source = HistoricalSource(sys.argv[1:], HistoricalOptions())\n"
            "source.open()\n"
            "block = Block(Tickers())\n"
            "while not source.poll(block, 16_384).ended:\n"
            "    source.cursor_sources()\n"
            "    block.clear()\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, check=True)
        return int(done.stdout)

    assert peak_kib(3_000_000) <= 1.1 * peak_kib(300_000)

"""Findings of `inspect`, against the slow reference."""

from __future__ import annotations

import gzip
import json
import math
import random
from collections import Counter
from pathlib import Path

import pytest

from services.replay.sources import UnusableInput
from services.replay.sources.inspect import inspect
from tests.reference.history import ExpectedTick, expected_outputs
from tests.support.history_files import Quirks, history_text, tardis_text, write_files

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


def missing(price: float, amount: float) -> bool:
    return math.isnan(price) or (price == 0 and amount == 0)


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_the_reference(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(3000 + seed)
    sort_by = random_.choice(["event", "arrival", "nothing"])
    quirks = Quirks(rows=400, negative=0.05, hour_long=0.01, odd_quote=0.3, sort_by=sort_by)
    paths = write_files(tmp_path, random_, 3, quirks=[quirks])
    expected = expected_outputs(paths)
    ticks = [record for record in expected.sequence if isinstance(record, ExpectedTick)]
    latencies = sorted(tick.key[0] - tick.event_time_ns for tick in ticks)

    report = inspect(paths)

    total = report.total
    assert (total.rows, total.ticks) == (len(expected.sequence), len(ticks))
    assert total.rejected == expected.counts.rejected == sum(kind.count for kind in total.rejections)
    assert total.over_threshold == expected.counts.latency_filtered
    assert total.negative_latency == sum(latency < 0 for latency in latencies)
    bid_missing = [missing(tick.bid_price, tick.bid_amount) for tick in ticks]
    ask_missing = [missing(tick.ask_price, tick.ask_amount) for tick in ticks]
    sides = Counter(zip(bid_missing, ask_missing, strict=True))
    assert (total.bid_missing, total.ask_missing, total.both_missing) == (
        sides[True, False],
        sides[False, True],
        sides[True, True],
    )
    assert total.latency_ms is not None
    assert (total.latency_ms.min, total.latency_ms.max) == (latencies[0] / 1e6, latencies[-1] / 1e6)
    for share, found in ((0.01, total.latency_ms.p1), (0.5, total.latency_ms.p50), (0.99, total.latency_ms.p99)):
        exact = latencies[int(share * len(latencies))] / 1e6
        assert found == pytest.approx(exact, rel=0.001, abs=1e-6)
    assert total.arrival_time is not None
    assert (total.arrival_time.first_ns, total.arrival_time.last_ns) == (ticks[0].key[0], ticks[-1].key[0])
    arrivals = Counter(tick.key[0] for tick in ticks)
    assert report.arrival_ties == sum(count - 1 for count in arrivals.values())
    assert report.largest_arrival_tie == max(arrivals.values())
    assert {item.ticker: item.ticks for item in total.tickers} == Counter(tick.ticker for tick in ticks)
    unsorted = dict(expected.unsorted)
    for file in report.files:
        assert file.needs_sorting is (file.path in unsorted)
        assert (file.order_broken.line if file.order_broken else None) == unsorted.get(file.path)
        assert file.sorted_by == "neither" or not file.needs_sorting
    json.dumps(report.to_dict(), allow_nan=False)


def test_sortedness_names_the_first_line_that_breaks_it(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    rows = [(1.0, 5), (2.0, 5), (1.5, 900), (3.0, 5), (2.5, 0)]
    path.write_text(HEADER + "".join(f"1,2025-01-01 00:00:0{time},A,1,2,1,1,{latency}\n" for time, latency in rows))

    (report,) = inspect([str(path)]).files

    assert report.sorted_by == "neither"
    assert report.order_broken is not None
    assert (report.order_broken.line, report.order_broken.before, report.order_broken.now) == (
        6,
        "2025-01-01 00:00:03.005",
        "2025-01-01 00:00:02.500",
    )


def test_rejections_are_grouped_with_their_first_lines(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    bad = "".join(f"1,2025-01-01 00:00:00,A,1,bad{number},1,1,5\n" for number in range(9))
    path.write_text(HEADER + bad + "short\n")

    (first, second) = inspect([str(path)]).total.rejections

    assert (first.reason, first.count, first.first_lines) == ("`ask_price` is not a number", 9, (2, 3, 4, 5, 6))
    assert (second.reason, second.count, second.first_lines) == ("line has 1 fields, the header 8", 1, (11,))


def test_tardis_file_is_named_and_sorted_by_arrival(tmp_path: Path) -> None:
    path = tmp_path / "tardis.csv"
    path.write_bytes(tardis_text(random.Random(1), 200))

    (report,) = inspect([str(path)]).files

    assert (report.layout, report.sorted_by, report.needs_sorting) == ("tardis", "arrival", False)


def test_damaged_gzip_is_reported_and_what_is_there_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(history_text(random.Random(1), Quirks(rows=300)))[:-3000])

    (report,) = inspect([str(path)]).files

    assert report.compressed
    assert report.damage == "compressed data ends early: 1 partial line lost"
    assert report.figures.rows == expected_outputs([path]).counts.rows_in


def test_empty_files_have_no_figures_and_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(HEADER)

    report = inspect([str(path)])

    assert (report.total.rows, report.total.event_time, report.total.latency_ms) == (0, None, None)
    assert report.files[0].sorted_by == "both"


def test_unusable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput):
        inspect([str(tmp_path / "missing.csv")])


def test_progress_counts_every_row_twice(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(history_text(random.Random(1), Quirks(rows=300)))
    told: list[int] = []

    report = inspect([str(path)], on_progress=told.append)

    assert sum(told) == 2 * report.total.rows

"""What two latency models change, against counting pair by pair and nanosecond by nanosecond."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastpath.columns import Block, Tickers
from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput
from services.replay.sources.latency_models import split_entries
from services.replay.sources.what_if import OTHERS, PAIRED_TICKERS, WhatIf, what_if
from tests.reference import whatif as reference
from tests.reference.whatif import Tick
from tests.support.history_files import write_files
from tests.support.replayed import replay
from tests.support.tick_files import REAL, SHARED

HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
MODELS = (
    "file",
    "constant:40ns",
    "offset:-30ns",
    "offset:1us",
    "scale:3,offset=5ns",
    "lognormal:p50=20ns,p99=150ns,seed=3",
    "b.csv=constant:200ns; a.csv=scale:0",
)
THRESHOLD_NS = 90
BEGIN_NS = 1_735_689_600_000_000_000
CHOSEN = (
    HistoricalOptions(),
    HistoricalOptions(tickers=("A", "C", "none has it")),
    HistoricalOptions(start_time_ns=BEGIN_NS + 200, end_time_ns=BEGIN_NS + 500),
)
"""What is compared: everything, some tickers, what arrives within a time."""
CASES = [(models, CHOSEN[number % 3]) for number, models in enumerate(list(itertools.permutations(MODELS, 2))[::2])]
CAPTURE = REAL / "hftbacktest" / "usdm_btcusdt_20240808.gz"
"""Quotes of a recorder whose clock was 1.27 s slow: all latencies are negative."""


def write_ticks(path: Path, random_: random.Random, count: int) -> str:
    lines, event_ns = [HEADER], 0
    for _ in range(count):
        event_ns += random_.choice([0, 0, 3, 11, 40])
        latency_ns = random_.choice([0, 20, 25, 60, 95, 200, -15])
        bid = random_.choice(["10", "10.5", "11", "", "nan"])
        lines.append(
            f"1,2025-01-01 00:00:00.{event_ns:09d},{random_.choice('ABCD')},1,12,{bid},1,{latency_ns / 1e6:.6f}"
        )
        if random_.random() < 0.05:
            lines.append("garbage")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def arrivals(paths: list[str], model: str) -> dict[tuple[int, int], tuple[int, int, str, float | None]]:
    """Return what a replay makes of the rows, by source and row: arrival, event, ticker, mid."""
    source = HistoricalSource(paths, HistoricalOptions(latency=split_entries(model)))
    block, found = Block(Tickers()), {}
    source.open()
    ended = False
    while not ended:
        ended = source.poll(block, 1000).ended
        for row in block.to_rows():
            if len(row) == 3:
                continue
            (arrival_ns, rank, line), event_ns, ticker, bid, _, ask, _ = row
            found[rank, line] = (arrival_ns, event_ns, ticker, 0.5 * (bid + ask) if bid == bid else None)
        block.clear()
    source.stop()
    return found


def replayed_ticks(paths: list[str], models: tuple[str, str], chosen: HistoricalOptions = CHOSEN[0]) -> list[Tick]:
    """Return the ticks of two replays of everything, and of them those that were to be compared, by their arrivals in the files."""
    first, second, recorded = (arrivals(paths, model) for model in (*models, "file"))
    assert first.keys() == second.keys() == recorded.keys()
    return [
        Tick(first[place][1], (first[place][0], second[place][0]), first[place][2], first[place][3])
        for place in sorted(first)
        if chosen.start_ns <= recorded[place][0] < chosen.end_ns
        and (not chosen.tickers or first[place][2] in chosen.tickers)
    ]


@pytest.mark.quick
@pytest.mark.parametrize(("models", "chosen"), CASES, ids=[" to ".join(models) for models, _ in CASES])
def test_everything_is_as_counted_one_by_one(
    tmp_path: Path, models: tuple[str, str], chosen: HistoricalOptions
) -> None:
    random_ = random.Random(" ".join(models))
    paths = [write_ticks(tmp_path / name, random_, 60) for name in ("a.csv", "b.csv")]
    ticks = replayed_ticks(paths, models, chosen)

    found = what_if(paths, models, chosen=chosen, latency_threshold_ms=THRESHOLD_NS / 1e6)

    report = found.report
    pairs = reference.inversions(ticks)
    assert report.ticks == len(ticks)
    assert report.ticks + report.rejected + report.skipped == len(replay(paths).rows)
    assert (report.skipped > 0) == (chosen != CHOSEN[0])
    assert [found.comparison.order(model) for model in (0, 1)] == [reference.order(ticks, model) for model in (0, 1)]
    assert {(pair.first, pair.second): pair.inversions for pair in report.ticker_pairs} == pairs
    assert report.inversions == pairs.total()
    late = [{number for number, tick in enumerate(ticks) if tick.is_late(model, THRESHOLD_NS)} for model in (0, 1)]
    assert (report.late, report.late_in_both) == ((len(late[0]), len(late[1])), len(late[0] & late[1]))
    assert {change.ticker for change in report.tickers} == {tick.ticker for tick in ticks}
    for change, number in zip(report.tickers, found.tickers, strict=True):
        for model in (0, 1):
            given = reference.mids(ticks, change.ticker, model, THRESHOLD_NS)
            times = range(ticks[0].event_ns - 50, ticks[-1].event_ns + 500, 7)
            known = [[tick for tick in given if tick.arrivals_ns[model] <= time_ns][-1:] for time_ns in times]
            assert found.comparison.latest(number, model, times) == [
                (views[0].event_ns, views[0].mid) if views else None for views in known
            ]
        expected = [reference.ages(ticks, change.ticker, model, THRESHOLD_NS) for model in (0, 1)]
        assert change.mids == tuple(len(reference.mids(ticks, change.ticker, model, THRESHOLD_NS)) for model in (0, 1))
        if not expected[0]:
            assert change.staleness_ms is None
            continue
        for model, ages in enumerate(expected):
            every = [(rank, len(ages)) for rank in range(len(ages))]
            assert found.comparison.ages(number, model, every) == (len(ages), tuple(ages), ages[-1])
            assert change.staleness_ms is not None
            stale = change.staleness_ms[model]
            assert stale.p50 == ages[len(ages) // 2] / 1e6
            assert stale.p99 == ages[len(ages) * 99 // 100] / 1e6
            assert stale.max == ages[-1] / 1e6


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(8))
def test_orders_are_those_of_replays(tmp_path: Path, seed: int) -> None:
    paths = write_files(tmp_path, random.Random(seed), 3)
    models = ("lognormal:p50=4ms,p99=90ms", "*0.csv=scale:2; *1.csv=constant:1ms")

    found = what_if(paths, models)

    for model, text in enumerate(models):
        rows = [row for row in replay(paths, HistoricalOptions(latency=split_entries(text))).rows if len(row) > 2]
        arrivals_ns = found.comparison.arrivals_ns(model)
        assert [arrivals_ns[number] for number in found.comparison.order(model)] == [row[0][0] for row in rows]  # type: ignore[index]
    assert found.report.ticks + found.report.rejected == len(replay(paths).rows)


@pytest.mark.quick
def test_nothing_changes_between_equal_models(tmp_path: Path) -> None:
    path = write_ticks(tmp_path / "a.csv", random.Random(1), 200)

    report = what_if([path], ("file", "scale:1,offset=0ns")).report

    # Scaling by one follows the file, so that rows overtake as they did.
    assert (report.inversions, report.moved) == (0, 0)
    assert report.latency_ms is not None
    assert report.latency_ms[0] == report.latency_ms[1]


@pytest.mark.quick
def test_tickers_beyond_the_busiest_are_taken_together(tmp_path: Path) -> None:
    count = PAIRED_TICKERS + 5
    lines = [f"1,2025-01-01 00:00:00.{n:09d},T{n % count:02d},1,12,10,1,{n % 7 * 1e-5:.6f}" for n in range(600)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")

    report = what_if([str(path)], ("file", "constant:0ns")).report

    ticks = replayed_ticks([str(path)], ("file", "constant:0ns"))
    expected = reference.inversions(ticks)
    named = {f"T{n:02d}" for n in range(PAIRED_TICKERS)}
    both = sum(pairs for (one, other), pairs in expected.items() if not {one, other} & named)
    assert {(pair.first, pair.second): pair.inversions for pair in report.ticker_pairs}[OTHERS, OTHERS] == both
    assert report.inversions == expected.total()
    assert len(report.tickers) == count


def quotes_of_the_capture() -> Iterator[str]:
    """Quotes as Tardis would have them: the exchange's time, and when the recorder saw them."""
    yield "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
    with gzip.open(CAPTURE, "rt") as lines:
        for line in lines:
            received, _, text = line.partition(" ")
            quote = json.loads(text).get("data", {})
            if quote.get("e") == "bookTicker":
                yield f"binance,{quote['s']},{quote['T']},{received},{quote['A']},{quote['a']},{quote['b']},{quote['B']}"


def count_below(tick_ages: list[tuple[int, int]], age: int) -> int:
    """Count the nanoseconds at which a mid was younger than `age`, of stretches that begin and end with an age."""
    return sum(min(max(age, begin), end) - begin for begin, end in tick_ages)


def stretches(ticks: list[Tick], ticker: str, model: int, threshold_ns: int) -> list[tuple[int, int]]:
    begin, end = reference.window(ticks, ticker, threshold_ns)
    given = reference.mids(ticks, ticker, model, threshold_ns)
    ends = [*(tick.arrivals_ns[model] for tick in given[1:]), end]
    found = [
        (max(tick.arrivals_ns[model], begin) - tick.event_ns, min(until, end) - tick.event_ns)
        for tick, until in zip(given, ends, strict=True)
    ]
    return [(low, high) for low, high in found if low < high]


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no captures under {SHARED}: set MIDSTREAM_SHARED to where they are")
def test_captured_quotes_are_as_counted_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("\n".join(itertools.islice(quotes_of_the_capture(), 2_501)) + "\n")
    models = ("offset:1300ms", "lognormal:p50=8ms,p99=60ms,seed=1")
    ticks = replayed_ticks([str(path)], models)

    found = what_if([str(path)], models, latency_threshold_ms=45.0)

    assert_as_counted(found, ticks, 45_000_000)
    # One channel under a model that draws, and one that is sorted by arrival: nothing changes places.
    assert found.report.inversions == 0


@pytest.mark.skipif(not CAPTURE.exists(), reason=f"no captures under {SHARED}: set MIDSTREAM_SHARED to where they are")
@pytest.mark.parametrize("is_part", [False, True], ids=["all", "two tickers for a time"])
def test_captured_quotes_of_two_feeds_are_as_counted_one_by_one(tmp_path: Path, is_part: bool) -> None:
    header, *lines = itertools.islice(quotes_of_the_capture(), 2_501)
    paths = []
    # A tenth is of a third ticker.
    others = [line.replace("BTCUSDT", "OTHER" if number % 5 else "THIRD") for number, line in enumerate(lines[1::2])]
    for name, part in (("a.csv", lines[::2]), ("b.csv", others)):
        paths.append(str(tmp_path / name))
        Path(paths[-1]).write_text("\n".join([header, *part]) + "\n")
    models = ("offset:1300ms", "a.csv=offset:1305ms; b.csv=lognormal:p50=8ms,p99=60ms,seed=1")
    start_ns, end_ns = (int(lines[place].split(",")[3]) for place in (400, 2200))
    both = ("BTCUSDT@binance", "OTHER@binance")
    midst = HistoricalOptions(tickers=both, start_time_ns=start_ns, end_time_ns=end_ns)
    chosen = midst if is_part else CHOSEN[0]
    ticks = replayed_ticks(paths, models, chosen)

    found = what_if(paths, models, chosen=chosen, latency_threshold_ms=45.0)

    assert_as_counted(found, ticks, 45_000_000)
    assert found.report.skipped == 2_500 - len(ticks)
    assert found.report.inversions > 1000
    assert min(found.report.late) > 10


def assert_as_counted(found: WhatIf, ticks: list[Tick], threshold_ns: int) -> None:
    """Compare with counting; nanoseconds by stretches, as there are too many of them."""
    report = found.report
    pairs = reference.inversions(ticks)
    assert report.ticks == len(ticks) > 1_500
    assert {(pair.first, pair.second): pair.inversions for pair in report.ticker_pairs} == pairs
    for model in (0, 1):
        assert report.late[model] == sum(tick.is_late(model, threshold_ns) for tick in ticks)
        for change in report.tickers:
            parts = stretches(ticks, change.ticker, model, threshold_ns)
            total = sum(high - low for low, high in parts)
            assert change.staleness_ms is not None
            assert change.staleness_s == total / 1e9
            for age_ms, rank in (
                (change.staleness_ms[model].p50, total // 2),
                (change.staleness_ms[model].p99, total * 99 // 100),
            ):
                age_ns = round(age_ms * 1e6)
                assert count_below(parts, age_ns) <= rank < count_below(parts, age_ns + 1)
            assert change.staleness_ms[model].max == (max(high for _, high in parts) - 1) / 1e6


@pytest.mark.quick
def test_every_byte_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_ticks(tmp_path / "a.csv", random.Random(1), 20_000)
    counts: list[int] = []
    preadv = os.preadv

    def counted(descriptor: int, views: Any, position: int) -> int:
        counts.append(preadv(descriptor, views, position))
        return counts[-1]

    monkeypatch.setattr(os, "preadv", counted)

    what_if([path], ("offset:5ms", "lognormal:p50=5ms,p99=9ms"))

    # Besides the header, and the lines that a piece ends in the midst of.
    size = Path(path).stat().st_size
    assert size <= sum(counts) < 1.2 * size + 64 * 1024


@pytest.mark.quick
def test_file_that_is_sorted_by_neither_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        f"{HEADER}\n1,2025-01-01 00:00:01,A,1,2,1,1,5\n1,2025-01-01 00:00:00,A,1,2,1,1,5\n", encoding="utf-8"
    )

    with pytest.raises(UnusableInput, match=r"a\.csv: line 3 is sorted neither.*sort the file by its timestamps first"):
        what_if([str(path)], ("file", "constant:5ms"))


@pytest.mark.quick
def test_more_ticks_than_memory_is_meant_for_are_refused(tmp_path: Path) -> None:
    path = write_ticks(tmp_path / "a.csv", random.Random(1), 200)

    with pytest.raises(UnusableInput, match="more than 100 ticks"):
        what_if([path], ("file", "constant:5ms"), ticks_max=100)


@pytest.mark.quick
def test_files_without_rows_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "\n")

    report = what_if([str(path)], ("file", "constant:5ms")).report

    assert (report.ticks, report.inversions, report.pairs, report.latency_ms, report.tickers) == (0, 0, 0, None, ())


@pytest.mark.quick
def test_ticks_that_leave_time_are_counted_and_compared_under_neither_model(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n1,2025-01-01 00:00:00,A,1,2,1,1,5\n1,2261-12-31 23:59:59,A,1,2,1,1,5\n")

    report = what_if([str(path)], ("file", "offset:5s")).report

    assert (report.ticks, report.unusable, report.rejected) == (1, 1, 0)


@pytest.mark.quick
def test_damaged_file_is_compared_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    whole = Path(write_ticks(tmp_path / "a.csv", random.Random(1), 5000)).read_bytes()
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(whole)[:-2000])

    report = what_if([str(path)], ("file", "offset:5s")).report

    assert len(report.damage) == 1
    assert "a.csv.gz: compressed data ends early" in report.damage[0]
    assert report.ticks > 0

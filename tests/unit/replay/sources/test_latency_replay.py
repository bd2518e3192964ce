"""Replays under latency models, against the slow reference: order, policies, resuming, and what is at the ends of a range."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from services.replay.sources import HistoricalOptions, HistoricalSource, UnusableInput
from tests.reference.history import expected_outputs
from tests.support.history_files import START_NS, TICKERS, Quirks, history_text, write_files
from tests.support.latencies import chosen_options
from tests.support.replayed import comparable_records, replay, resume_at, write_logs

MS = 10**6
HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency"
HEAVY = "lognormal:p50=4ms,p99=90ms,seed=3"
MODELS = (
    "file",
    "constant:7ms",
    "offset:-9ms",
    "scale:2.5,offset=1ms",
    "scale:0",
    HEAVY,
    "lognormal:median=1us,sigma=3",
)


@pytest.mark.quick
@pytest.mark.parametrize("seed", range(40))
def test_random_files_under_models_come_as_in_the_reference(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 5))
    chosen: dict[str, Any] = {
        "negative_latency": random_.choice(["keep", "clamp", "shift"]),
        "tickers": random_.choice([(), TICKERS[:2]]),
    }
    if random_.random() < 0.3:
        chosen["start_time_ns"] = START_NS + random_.randrange(10**9)
    if random_.random() < 0.3:
        chosen["end_time_ns"] = START_NS + 10**9 + random_.randrange(10**9)
    options, reference = chosen_options(paths, random_.choices(MODELS, k=len(paths)), **chosen)
    expected = expected_outputs(paths, reference)

    limit, in_flight_rows_max = random_.choice([1, 7, 100, 4096]), random_.choice([1_000_000, 50])
    replayed = replay(paths, options, limit=limit, in_flight_rows_max=in_flight_rows_max)

    assert replayed.rows == comparable_records(expected.sequence)
    assert replayed.skipped == expected.counts.skipped


@pytest.mark.cases(3)
@pytest.mark.quick
@pytest.mark.parametrize("seed", range(12))
def test_resuming_after_any_row_brings_the_same_arrivals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # So that a few hundred rows take many feeds, marks and cursors.
    monkeypatch.setattr("services.replay.sources.historical.READ_ROWS", 8)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MIN", 3)
    monkeypatch.setattr("services.replay.sources.historical.FEED_ROWS_MAX", 5)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_MIN", 1)
    monkeypatch.setattr("services.replay.sources.historical.CURSOR_ROWS_PER_SOURCE", 1)
    monkeypatch.setattr("services.replay.sources.historical.RUN_BLOCK_BYTES", 1000)
    monkeypatch.setattr("services.replay.sources.file_source.MARK_ROWS", 2)
    random_ = random.Random(2000 + seed)
    paths = write_files(tmp_path, random_, random_.randrange(1, 4), rows=70)
    policy = random_.choice(["keep", "clamp", "shift"])
    options, reference = chosen_options(paths, random_.choices(MODELS[1:], k=len(paths)), negative_latency=policy)
    in_flight_rows_max = random_.choice([1_000_000, 20])
    whole = replay(paths, options, limit=7, in_flight_rows_max=in_flight_rows_max)
    assert whole.rows == comparable_records(expected_outputs(paths, reference).sequence)

    for poll in range(len(whole.cursors)):
        following = whole.cursors[poll + 1][0] if poll + 1 < len(whole.cursors) else len(whole.rows)
        for rows_of_poll in range(following - whole.cursors[poll][0] + 1):
            emitted, cursor = resume_at(whole, poll, rows_of_poll=rows_of_poll)
            rest = replay(paths, options, limit=5, resume=cursor, in_flight_rows_max=in_flight_rows_max)

            assert rest.rows == whole.rows[emitted:]
            assert rest.skipped == whole.skipped


def test_logs_under_a_model_are_those_of_the_reference(tmp_path: Path) -> None:
    paths = write_files(tmp_path, random.Random(8), 2, quirks=[Quirks(rows=400, negative=0.1)])
    options, reference = chosen_options(paths, [HEAVY, "scale:0.5"])

    logs, expected = write_logs(paths, options), expected_outputs(paths, reference)

    assert (logs.mid_log, logs.error_log, logs.digest) == (expected.mid_log, expected.error_log, expected.digest)
    assert logs.counts.latency_filtered == expected.counts.latency_filtered > 0


def test_tickers_that_are_left_out_still_hold_their_channel(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(history_text(random.Random(3), Quirks(rows=400)))
    everything = replay([str(path)], HistoricalOptions(latency=(HEAVY,)))

    some = replay([str(path)], HistoricalOptions(latency=(HEAVY,), tickers=TICKERS[:1]))

    # A row that is rejected has no ticker.
    wanted = [row for row in everything.rows if len(row) == 2 or row[2] == TICKERS[0]]
    assert some.rows == wanted


def write_rows(path: Path, *event_and_latency_ms: tuple[int, float]) -> str:
    lines = [f"1,2025-01-01 00:00:00.{event:03d},A,1,2,1,1,{latency}" for event, latency in event_and_latency_ms]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return str(path)


def arrivals_ms(replayed: Any) -> list[float]:
    return [(row[0][0] - START_NS) / MS for row in replayed.rows]


@pytest.mark.quick
def test_rows_that_are_delayed_past_the_end_are_left_out_and_the_replay_ends(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", (0, 1), (10, 1), (20, 1))
    end = START_NS + 25 * MS

    def at_end(**options: Any) -> tuple[list[float], int]:
        replayed = replay([path], HistoricalOptions(end_time_ns=end, **options))
        return arrivals_ms(replayed), replayed.skipped

    assert at_end() == ([1, 11, 21], 0)
    # At the end itself nothing counts any more.
    assert at_end(latency=("constant:5ms",)) == ([5, 15], 1)
    assert at_end(latency=("constant:4999999ns",)) == ([4.999999, 14.999999, 24.999999], 0)
    assert at_end(latency=("offset:1s",)) == ([], 3)
    assert at_end(latency=("offset:-100s",), start_time_ns=START_NS) == ([], 3)


@pytest.mark.quick
def test_no_row_comes_when_all_of_one_source_are_delayed_past_everything(tmp_path: Path) -> None:
    early, late = write_rows(tmp_path / "a.csv", (0, 1), (1, 1)), write_rows(tmp_path / "b.csv", (0, 1), (1, 1))
    options = HistoricalOptions(latency=("b.csv=offset:3600s",))

    replayed = replay([late, early], options)

    assert [(key[1], key[2]) for key, *_ in replayed.rows] == [(1, 2), (1, 3), (0, 2), (0, 3)]  # type: ignore[index]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("policy", "expected"),
    # Shifted by the lowest that the model can give, 30 ms before the event.
    [("keep", [-20, -9, -10]), ("clamp", [0, 1, 20]), ("shift", [10, 21, 20])],
)
def test_policy_for_negative_latencies_goes_by_the_model(tmp_path: Path, policy: Any, expected: list[float]) -> None:
    path = write_rows(tmp_path / "a.csv", (0, 10), (1, 20), (20, 0))

    replayed = replay([path], HistoricalOptions(latency=("offset:-30ms",), negative_latency=policy))

    assert sorted(arrivals_ms(replayed)) == sorted(expected)


@pytest.mark.quick
def test_arrivals_outside_of_time_are_rejections_in_their_place(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", (0, 1), (1, 800_000_000_000), (2, 1))

    replayed = replay([path], HistoricalOptions(latency=("scale:10",)))

    assert [row[1] for row in replayed.rows if len(row) == 2] == ["the arrival time is outside the years 1678 to 2261"]
    assert arrivals_ms(replayed) == [10, 10, 12]


@pytest.mark.quick
def test_file_that_is_sorted_by_neither_time_takes_no_model(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", (20, 1), (10, 1))

    with pytest.raises(UnusableInput, match=r"a\.csv: line 3 is sorted neither.*sort the file by its timestamps first"):
        replay([path], HistoricalOptions(unsorted="sort", latency=("constant:5ms",)))
    with pytest.raises(UnusableInput, match="line 3: event time"):
        replay([path], HistoricalOptions(latency=("constant:5ms",)))
    assert len(replay([path], HistoricalOptions(unsorted="sort", latency=("file",))).rows) == 2


@pytest.mark.quick
def test_drawn_latencies_need_no_scan_of_the_file(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv", (0, -5), (10, 1))

    def bound_of(text: str) -> tuple[int, int | None]:
        source = HistoricalSource([path], HistoricalOptions(latency=(text,)))
        source.open()
        source.stop()
        plan = source._files[0].plan
        return plan.latency_bound_ns, plan.scanned.latency_ns_min

    assert bound_of("constant:3ms") == (3 * MS, None)
    assert bound_of("lognormal:median=3ms,sigma=0") == (3 * MS, None)
    assert bound_of("scale:2,offset=1ms") == (-9 * MS, -5 * MS)


@pytest.mark.quick
def test_lower_bound_that_was_declared_is_about_the_file_and_broken_bounds_are_told_under_the_model(
    tmp_path: Path,
) -> None:
    path = write_rows(tmp_path / "a.csv", (0, 10), (10, -4), (20, 1))
    options = {"min_latency_ms": -5.0, "latency": ("scale:2",)}

    assert arrivals_ms(replay([path], HistoricalOptions(**options))) == [2, 20, 22]  # type: ignore[arg-type]
    with pytest.raises(UnusableInput, match=r"line 3: latency -8.0 ms under the latency model is below .* of -6.0 ms"):
        replay([path], HistoricalOptions(min_latency_ms=-3.0, latency=("scale:2",)))

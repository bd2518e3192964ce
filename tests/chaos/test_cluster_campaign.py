"""A cluster of six nodes on two hosts under a session of four partitions: whatever happens, no number has two contents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from services.price.merged_logs import merge_logs
from services.runtime.session.partitions import Partitioning
from tests.reference.history import expected_outputs
from tests.support.chaos import can_see_processes
from tests.support.cluster_campaign import NEW_RECORDS, PARTITIONS, Campaign
from tests.support.network_hosts import why_no_hosts
from tests.support.ports import free_port
from tests.support.server_process import server_process
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(not can_see_processes(), reason="engines are found through /proc")

SEED = int(os.environ.get("MIDSTREAM_TEST_SEED", "0")) or Random().randrange(1, 2**32)
"""Of every campaign here; a failure prints it, and setting it repeats the steps."""
TICKERS = [f"T{number}" for number in range(13)]
STEP_MS = 5
END_S = 60.0
SHORT = 200
"""Rows of history before live data."""
A_FEW, MANY = 4, 200
LONG = [pytest.mark.long, pytest.mark.timeout(240)]
NIGHTLY = [pytest.mark.nightly, pytest.mark.timeout(7_200)]


def ticker_of(row: int) -> str:
    """Every ticker in turn, so that every partition always has something to say."""
    return TICKERS[row * 7 % 13]


def stamp_of(row: int) -> str:
    second, millisecond = divmod(row * STEP_MS, 1000)
    return f"2026-01-01 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{millisecond:03}000"


def write_history(path: Path, rows: int) -> Path:
    """Write ticks of all tickers, STEP_MS apart."""
    with path.open("w", encoding="ascii") as out:
        out.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
        for row in range(rows):
            out.write(f"{row},{stamp_of(row)},{ticker_of(row)},{100 + row}.25,1.0,{100 + row}.75,1.0,5\n")
    return path


def write_feed(path: Path, rows: int) -> Path:
    """Write rows that come STEP_MS apart; whoever connects gets them from the first one on."""
    with path.open("w", encoding="ascii") as out:
        out.write("index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount\n")
        for row in range(rows):
            out.write(f"{row},{stamp_of(row)},{ticker_of(row)},1,{row + 2},{row + 1},1\n")
    return path


def history_of(partition: int, rows: int) -> list[tuple[str, float]]:
    """The partition's ticks as the file has them, numbered from one."""
    spread = Partitioning(PARTITIONS)
    return [(ticker_of(row), 100 + row + 0.25) for row in range(rows) if spread.of_ticker(ticker_of(row)) == partition]


@pytest.mark.parametrize(
    ("steps", "level"),
    [
        pytest.param(A_FEW, "replica", marks=LONG),
        pytest.param(MANY, "memory", marks=NIGHTLY),
        pytest.param(MANY, "replica", marks=NIGHTLY),
    ],
)
def test_history_is_the_files_whatever_happens_to_cluster_and_servers(steps: int, level: str, tmp_path: Path) -> None:
    # Twenty seconds of data per step, of which the end is replayed at full speed.
    rows = steps * 20_000 // STEP_MS
    file = write_history(tmp_path / "ticks.csv", rows)
    with Campaign(
        tmp_path, seed=SEED, wait_for_replica=level == "replica", sinks=True, HISTORICAL=str(file), SPEED="1"
    ) as campaign:
        campaign.run(steps)
        campaign.restart(SPEED="max")
        ends = [len(history_of(partition, rows)) for partition in range(PARTITIONS)]
        for partition, end in enumerate(ends):
            wait_until(
                lambda partition=partition, end=end: campaign.newest(partition)[1] == end,  # type: ignore[misc]
                timeout_s=END_S,
                what=f"the end of partition {partition}",
            )
        campaign.caught_up()
        campaign.check(everything=True)

        for partition, seen in enumerate(campaign.seen):
            [epoch] = {each for each, _ in seen.known}
            assert sorted(seen.known) == [(epoch, number) for number in range(1, ends[partition] + 1)]
            assert_begins_with_history(campaign, partition, rows)
            assert not campaign.subscribers[partition].missed
        campaign.end_sinks_behind(ends)
        merged, expected = tmp_path / "merged", expected_outputs([str(file)])
        merge_logs([campaign.logs], merged)
        assert (merged / "mid_prices.log").read_bytes() == expected.mid_log
        assert (merged / "errors.log").read_bytes() == expected.error_log


@pytest.fixture
def two_hosts() -> None:
    if why := why_no_hosts():
        pytest.skip(why)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of a session that has a second of history and goes over to a feed where it ends."""
    (tmp_path / "feed").mkdir()
    file, feed = write_history(tmp_path / "ticks.csv", SHORT), write_feed(tmp_path / "feed.csv", 60_000)
    port = str(free_port())
    with server_process("simulators.feed", tmp_path / "feed", SIM_FEED_PORT=port, SIM_FEED_FILE=str(feed)):
        yield {
            "HISTORICAL": str(file),
            "SPEED": "max",
            "HAND_OVER": "at-end",
            "LIVE_URL": f"ws://127.0.0.1:{port}",
        }


@pytest.mark.parametrize(
    ("steps", "level"),
    [
        pytest.param(A_FEW, "memory", marks=LONG),
        pytest.param(MANY, "memory", marks=NIGHTLY),
        pytest.param(MANY, "replica", marks=NIGHTLY),
    ],
)
def test_live_records_have_one_number_each_whatever_happens_to_cluster_and_servers(
    steps: int, level: str, tmp_path: Path, live: dict[str, str]
) -> None:
    waits = level == "replica"
    with Campaign(tmp_path, seed=SEED, wait_for_replica=waits, sinks=False, **live) as campaign:
        campaign.run(steps)
        campaign.check(everything=True)

        for partition, subscriber in enumerate(campaign.subscribers):
            assert_begins_with_history(campaign, partition, SHORT)
            assert subscriber.last[1] > 0
            new = len(campaign.seen[partition].known) - len(history_of(partition, SHORT))
            assert new >= steps * NEW_RECORDS


@pytest.mark.parametrize("mode", [pytest.param("live", marks=LONG), pytest.param("history", marks=NIGHTLY)])
@pytest.mark.usefixtures("two_hosts")
def test_subscriber_has_what_the_next_primary_of_the_cluster_has_not(
    mode: str, tmp_path: Path, live: dict[str, str]
) -> None:
    rows = 60_000
    paced = {"HISTORICAL": str(write_history(tmp_path / "paced.csv", rows)), "SPEED": "1"}
    settings = paced if mode == "history" else live
    with Campaign(tmp_path, seed=SEED, wait_for_replica=False, sinks=False, **settings) as campaign:
        [partition] = campaign.partitions_of_the_far_host()
        before = campaign.subscribers[partition].last[0]
        lacked = campaign.fail_over_behind(partition)

        assert lacked >= NEW_RECORDS
        assert_begins_with_history(campaign, partition, SHORT)
        if mode == "history":
            assert campaign.subscribers[partition].last[0] == before


def assert_begins_with_history(campaign: Campaign, partition: int, rows: int) -> None:
    """The first epoch begins with the ticks of the file, from number 1 on."""
    epoch, known = campaign.subscribers[partition].first_epoch, campaign.seen[partition].known
    for number, (ticker, bid) in enumerate(history_of(partition, rows), 1):
        tick = known[epoch, number]
        assert tick.startswith(f"('{ticker}', "), (partition, number, tick)
        assert f", {bid}, " in tick, (partition, number, tick)

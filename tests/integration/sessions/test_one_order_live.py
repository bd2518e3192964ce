"""The partitions of a live session, merged: all of it, and no longer wait for a silent engine than readers were told."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.rpc.following import Start
from services.runtime.session.partitions import Partitioning
from services.runtime.session.woven_stream import MERGE_WAIT_S
from tests.integration.sessions.test_one_order import Desk, partitions
from tests.support.cli import until
from tests.support.driven_feed import driven_feed
from tests.support.one_order import Reader
from tests.support.redis_server import RedisForTests

pytestmark = pytest.mark.long


@pytest.fixture
def desk(own_redis: RedisForTests, tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(own_redis.url, tmp_path, [])) as made:
        yield made


def test_live_data_is_whole_and_waits_no_longer_than_it_may_for_an_engine_that_is_stopped(
    desk: Desk, tmp_path: Path
) -> None:
    spread, rows = Partitioning(2), 600
    script = tmp_path / "script.csv"
    with script.open("w", encoding="ascii") as file:
        file.write("index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount\n")
        for row in range(rows):
            file.write(f"{row},2026-01-01 00:00:00.{row:03}000,T{row % 9},1.0,{row}.75,{row}.25,2.0\n")
    with driven_feed(script, tmp_path / "recorded.csv", resend=0) as feed:
        server = desk.start("a", PARTITIONS="2", HISTORICAL="", LIVE_URL=feed.url, START_MODE="live")
        reader = desk.read(server, Start(oldest=True))
        until(lambda: feed.clients == 2, what="the engines at the feed", timeout_s=60)
        feed.send(200)
        reader.wait_until(lambda: len(bids(reader)) >= 200, what="200 ticks")

        [stopped] = [each for each in partitions(server) if each.partition == 0]
        others = sum(spread.of_ticker(f"T{row % 9}") == 1 for row in range(200, 400))
        assert 0 < others < 200
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            begun_s = time.monotonic()
            feed.send(200)
            reader.wait_until(lambda: len(bids(reader)) >= 200 + others, what="those of the other partition")
            waited_s = time.monotonic() - begun_s
            assert len(bids(reader)) == 200 + others
        finally:
            with contextlib.suppress(ProcessLookupError):  # others took it for dead: what failed above says why
                os.kill(stopped.pid, signal.SIGCONT)
        print(f"waited {waited_s:.2f} s for an engine that was stopped")  # noqa: T201
        # Not at all where that engine had been waited for before, and has said nothing since. What a machine that has much to do may add;
        # an engine is taken for dead after ten.
        assert waited_s < MERGE_WAIT_S + 3
        feed.send(rows - 400)
        reader.wait_until(lambda: len(bids(reader)) >= rows, what="all ticks")

    assert not reader.missed
    numbers = [number for number, _ in reader.records]
    assert numbers == list(range(1, len(numbers) + 1))
    for name in range(9):
        mine = [bid for ticker, bid in bids(reader) if ticker == f"T{name}"]
        assert mine == [row + 0.25 for row in range(name, rows, 9)]


def bids(reader: Reader) -> list[tuple[str, float]]:
    """Ticker and bid of every tick that has come."""
    ticks = [value for value in reader.values if value[0].isdigit()]
    return [(value.split(" ")[1], float(value.partition("(")[2].split(",")[0])) for value in ticks]

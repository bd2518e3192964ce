"""The way into the database: batches, outages, lost answers, full disks. Time is virtual."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from clients.power.deals import Gap, Unusable
from clients.power.deals.model import Item
from services.power.listener.committer import BATCH, COMMIT_TIMEOUT_S, Committer
from services.power.listener.feed_queue import FeedQueue
from services.power.listener.spool import Spool, SpoolFull
from services.power.listener.stats import ListenerStats
from services.runtime.stalls import STALLED_S
from tests.support.power_sink import MemorySink, made_deal
from tests.support.virtual_time import VirtualLoop, run_virtual


async def at_once(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Block: virtual time does not know about threads."""
    return function(*args, **kwargs)


class Bench:
    """A committer with everything around it."""

    def __init__(
        self, loop: VirtualLoop, directory: Path, *, items_max: int = 10_000, bytes_max: int = 1 << 30, run: str = "run"
    ) -> None:
        self.sink = MemorySink()
        self.spool = Spool(directory / "spool", bytes_max=bytes_max)
        self.stats = ListenerStats()
        self.queue = FeedQueue(run, items_max=items_max)
        self.committer = Committer(
            self.queue,
            self.sink,
            self.spool,
            self.stats,
            sleep=asyncio.sleep,
            monotonic_ns=loop.monotonic_ns,
            wall_ns=loop.wall_ns,
            random=random.Random(7),
            offload=at_once,
        )
        self.task = asyncio.create_task(self.committer.run())

    async def put(self, *items: Item) -> None:
        for item in items:
            await self.queue.put(item)

    async def finish(self) -> None:
        self.queue.close()
        await self.task
        self.spool.close()


def bench_run(directory: Path, main: Any, **options: Any) -> None:
    def with_bench(loop: VirtualLoop) -> Coroutine[Any, Any, None]:
        async def run() -> None:
            await main(Bench(loop, directory, **options))

        return run()

    run_virtual(with_bench)


def ids(first: int, last: int) -> list[str]:
    return [made_deal(number).id for number in range(first, last + 1)]


def deals(first: int, last: int) -> list[Item]:
    return [made_deal(number) for number in range(first, last + 1)]


@pytest.mark.quick
def test_what_comes_together_is_committed_together(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.put(*deals(1, BATCH + 10))
        await bench.finish()

        assert bench.sink.ids == ids(1, BATCH + 10)
        assert bench.sink.batches == [BATCH, 10]
        assert bench.stats.deals == BATCH + 10

    bench_run(tmp_path, main)


@pytest.mark.quick
def test_an_outage_of_a_minute_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.put(*deals(1, 10))
        await asyncio.sleep(1)
        bench.sink.down = True
        for number in range(11, 71):
            await bench.put(made_deal(number))
            await asyncio.sleep(1)
        assert bench.sink.ids == ids(1, 10)
        assert bench.stats.spool_records == 60
        assert bench.stats.database_trouble
        assert bench.sink.last is not None
        assert bench.sink.last.last_deal_id == made_deal(10).id

        bench.sink.down = False
        await asyncio.sleep(6)
        await bench.put(made_deal(71))
        await asyncio.sleep(1)

        assert bench.sink.ids == ids(1, 71)
        assert (bench.stats.spool_records, bench.stats.database_trouble, bench.stats.outages) == (0, "", 1)
        await bench.finish()

    bench_run(tmp_path, main)


def test_a_database_that_is_away_is_not_asked_more_than_twice_a_second(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        bench.sink.down = True
        for number in range(600):
            await bench.put(made_deal(number))
            await asyncio.sleep(0.1)

        assert bench.sink.calls <= 60
        await bench.finish()

    bench_run(tmp_path, main)


def test_what_arrives_while_the_spool_drains_goes_behind_it(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        bench.sink.down = True
        await bench.put(*deals(1, 9_000))
        await asyncio.sleep(1)
        await bench.put(*deals(9_001, 12_000))
        bench.sink.down = False
        await asyncio.sleep(10)
        await bench.put(*deals(12_001, 12_100))
        await bench.finish()

        assert bench.sink.ids == ids(1, 12_100)
        assert bench.spool.records == 0

    bench_run(tmp_path, main)


@pytest.mark.parametrize("lost", [1, 3])
def test_a_commit_whose_answer_is_lost_is_not_written_twice(tmp_path: Path, lost: int) -> None:
    async def main(bench: Bench) -> None:
        bench.sink.lose_answers = lost
        await bench.put(made_deal(1), Unusable(1, "no JSON", "x"), Gap(None, 2, "away"), made_deal(2))
        await asyncio.sleep(30)
        await bench.finish()

        assert bench.sink.ids == ids(1, 2)
        assert len(bench.sink.unusable) == 1
        assert len(bench.sink.gaps) == 1
        assert bench.stats.repeated == 4

    bench_run(tmp_path, main)


def test_a_database_that_hangs_counts_as_away(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        bench.sink.hanging = True
        await bench.put(made_deal(1))
        await asyncio.sleep(COMMIT_TIMEOUT_S + 1)
        assert bench.stats.database_trouble == "TimeoutError"
        assert bench.stats.spool_records == 1

        bench.sink.hanging = False
        await asyncio.sleep(COMMIT_TIMEOUT_S + 10)

        assert bench.sink.ids == ids(1, 1)
        await bench.finish()

    bench_run(tmp_path, main)


def test_with_database_and_disk_both_unusable_reading_stops_and_nothing_is_lost(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        bench.sink.down = True
        feeding = asyncio.create_task(bench.put(*deals(1, 500)))
        await asyncio.sleep(60)
        assert not feeding.done()
        assert bench.stats.spool_trouble
        assert len(bench.queue) == 50

        bench.sink.down = False
        await asyncio.wait_for(feeding, 60)
        await asyncio.sleep(10)
        await bench.finish()

        assert bench.sink.ids == ids(1, 500)
        assert bench.stats.spool_trouble == ""

    bench_run(tmp_path, main, items_max=50, bytes_max=30_000)


def test_a_disk_that_fails_before_anything_is_spooled_waits_for_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Spool, entries: object) -> None:
        raise SpoolFull("no space left")

    monkeypatch.setattr(Spool, "append", refuse)

    async def main(bench: Bench) -> None:
        bench.sink.down = True
        await bench.put(*deals(1, 5))
        await asyncio.sleep(10)
        bench.sink.down = False
        await asyncio.sleep(10)
        await bench.finish()

        assert bench.sink.ids == ids(1, 5)

    bench_run(tmp_path, main)


def test_an_error_that_is_no_outage_ends_the_listener(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        def fail() -> None:
            raise ValueError("a bug")

        bench.sink.on_commit = fail
        await bench.put(made_deal(1))

        with pytest.raises(ValueError, match="a bug"):
            await bench.task
        bench.spool.close()

    bench_run(tmp_path, main)


def test_what_an_earlier_process_spooled_goes_first(tmp_path: Path) -> None:
    async def before(bench: Bench) -> None:
        bench.sink.down = True
        await bench.put(*deals(1, 20))
        await asyncio.sleep(1)
        await bench.finish()

    async def after(bench: Bench) -> None:
        assert bench.spool.records == 20
        await bench.put(*deals(21, 30))
        await asyncio.sleep(1)
        await bench.finish()

        assert bench.sink.ids == ids(1, 30)

    bench_run(tmp_path, before)
    bench_run(tmp_path, after, run="later")


def test_deals_per_minute_are_those_of_the_last_minute() -> None:
    stats, second = ListenerStats(), 10**9
    for moment in range(0, 90, 10):
        stats.note_deals(5, moment * second)

    assert stats.deals_per_minute(80 * second) == 30
    assert stats.deals_per_minute(200 * second) == 0
    assert stats.deals == 45


def test_a_database_that_stands_still_is_told_before_the_commit_is_given_up(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        answers, commit = asyncio.Event(), bench.sink.commit

        async def stand_still(entries: Any) -> Any:
            await answers.wait()
            return await commit(entries)

        bench.sink.commit = stand_still  # type: ignore[method-assign]
        await bench.put(*deals(1, 3))
        await asyncio.sleep(STALLED_S + 1)
        assert bench.committer.stalls.trouble().startswith("the database has not answered for 4 s")
        assert not bench.stats.database_trouble

        answers.set()
        await bench.finish()
        assert bench.committer.stalls.trouble() == ""

    bench_run(tmp_path, main)

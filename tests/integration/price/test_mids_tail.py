"""The mids stream and those who follow it, with a real Redis between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest

from fastpath.frame import TickFrame
from fastpath.midprice import PriceKernel
from fastpath.mids import MidFrame
from services.price import mids_tail
from services.price.engine.mids import MidsPublisher
from services.price.mids_tail import FellBehind, MidsEntry, MidsTail, Position
from services.runtime.connection import connect_async
from services.runtime.session.latest_mid import LatestMid
from tests.integration.price.harness import PATIENCE_S, Queue
from tests.support.price_batches import THRESHOLD_NS, Batch, make_batches


class Mids:
    """Publishes what the kernel makes of batches."""

    def __init__(self, queue: Queue, *, retain_bytes: int = 1 << 26) -> None:
        self._queue = queue
        self._kernel = PriceKernel(latency_threshold_ns=THRESHOLD_NS)
        self.publisher = MidsPublisher(keys=queue.keys, retain_bytes=retain_bytes)
        self.publisher.attach(queue.client)

    def publish(self, batches: list[Batch], *, after_sequence: int = 0) -> None:
        for batch in batches:
            frame = TickFrame(batch.payload)
            self._kernel.process(frame, after_sequence=after_sequence)
            first = max(batch.first_sequence, after_sequence + 1)
            self.publisher.collect(frame.epoch, first, batch.last_sequence, self._kernel.take_mid_batch())
        self.publisher.publish(self._queue.client)

    def stored(self) -> list[tuple[bytes, bytes]]:
        return [(entry_id, fields[b"b"]) for entry_id, fields in self._queue.client.xrange(self._queue.keys.mids)]


@pytest.fixture
async def tail(redis_url: str, queue: Queue) -> AsyncIterator[MidsTail]:
    client = connect_async(redis_url, client_name="test-tail")
    tail = MidsTail(client, queue.keys, random=Random(1), on_trouble=lambda reason: None)
    yield tail
    await tail.stop()
    await client.aclose()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (what is awaited lies in Redis)
            await asyncio.sleep(0.002)


async def take(stream: AsyncIterator[MidsEntry], count: int) -> list[MidsEntry]:
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(stream) for _ in range(count)]


def test_mids_published_again_are_not_doubled(queue: Queue) -> None:
    batches = make_batches(600)
    Mids(queue).publish(batches[:4])

    # Another process that continues from an older commit, and whose producer cuts the batches in another way.
    Mids(queue).publish(batches[1:])
    sequences = [mid[0] for _, payload in Mids(queue).stored() for mid in MidFrame(payload).mids()]
    assert sequences == sorted(set(sequences))
    again = Mids(queue)
    again.publish(make_batches(900, rows_per_batch=250), after_sequence=300)

    entries = again.stored()
    assert [int(entry_id.split(b"-")[1]) for entry_id, _ in entries][-2:] == [601, 751]
    latest = queue.client.hgetall(queue.keys.latest)
    newest = max(LatestMid.decode(ticker.decode(), packed).sequence for ticker, packed in latest.items())
    assert newest == MidFrame(entries[-1][1]).mids()[-1][0]


def test_retention_keeps_the_newest_bytes(queue: Queue) -> None:
    mids = Mids(queue, retain_bytes=200_000)
    batches = make_batches(20_000, rows_per_batch=1_000)
    for batch in batches:
        mids.publish([batch])

    kept = sum(len(payload) for _, payload in mids.stored())
    assert 100_000 < kept < 400_000
    assert MidFrame(mids.stored()[-1][1]).last_sequence == 20_000


def test_new_epoch_replaces_the_mids_of_the_old_one(queue: Queue) -> None:
    mids = Mids(queue)
    mids.publish(make_batches(500))
    mids.publish(make_batches(200, epoch="epoch-2", seed=8))

    assert {MidFrame(payload).epoch for _, payload in mids.stored()} == {"epoch-2"}
    assert [entry_id for entry_id, _ in mids.stored()] == [b"0-1", b"0-101"]


async def test_latest_is_known_from_the_hash_before_anything_new_comes(queue: Queue, tail: MidsTail) -> None:
    mids = Mids(queue)
    mids.publish(make_batches(500))
    sequence, ticker, event, arrival, mid = MidFrame(mids.stored()[-1][1]).mids()[-1]

    await tail.start()
    await until(lambda: tail.ready)

    assert tail.latest(ticker) == (sequence, event, arrival, mid, 1)
    assert tail.latest("GHOST") is None


async def test_many_followers_cost_one_read(queue: Queue, tail: MidsTail) -> None:
    await tail.start()
    await until(lambda: tail.ready)
    followers = [tail.follow(tail.end) for _ in range(20)]
    waiting = [asyncio.create_task(take(follower, 5)) for follower in followers]
    await asyncio.sleep(0)
    queue.client.config_resetstat()

    Mids(queue).publish(make_batches(500))
    results = await asyncio.gather(*waiting)

    calls = queue.client.info("commandstats")
    assert all(result == results[0] for result in results)
    assert calls["cmdstat_xread"]["calls"] <= 4
    # One by the publisher when it attaches; the followers read nothing themselves.
    assert calls.get("cmdstat_xrange", {"calls": 0})["calls"] <= 1


async def test_follower_behind_the_ring_reads_from_the_stream(
    queue: Queue, tail: MidsTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mids_tail, "RING_BYTES_MAX", 4_000)
    mids = Mids(queue)
    await tail.start()
    await until(lambda: tail.ready)
    slow = tail.follow(tail.end)
    batches = make_batches(5_000)
    for batch in batches:
        mids.publish([batch])
    await until(lambda: tail.end.sequence == 5_000)

    entries = await take(slow, len(batches))

    assert [entry.payload for entry in entries] == [payload for _, payload in mids.stored()]


async def test_follower_behind_what_is_retained_is_told_its_last_sequence(
    queue: Queue, tail: MidsTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mids_tail, "RING_BYTES_MAX", 4_000)
    mids = Mids(queue, retain_bytes=1)
    await tail.start()
    await until(lambda: tail.ready)
    slow = tail.follow(tail.end)
    batches = make_batches(20_000, rows_per_batch=1_000)
    mids.publish(batches[:1])
    await take(slow, 1)
    for batch in batches[1:]:
        mids.publish([batch])
    await until(lambda: tail.end.sequence == 20_000)

    with pytest.raises(FellBehind) as caught:
        await take(slow, len(batches))

    assert caught.value.last_sequence >= 1_000
    assert caught.value.oldest_sequence > caught.value.last_sequence + 1


@pytest.mark.parametrize("quiet", [True, False], ids=["deleted and quiet", "replaced at once"])
async def test_follower_goes_on_with_a_new_epoch_from_its_beginning(queue: Queue, tail: MidsTail, quiet: bool) -> None:
    mids = Mids(queue)
    await tail.start()
    await until(lambda: tail.ready)
    follower = tail.follow(tail.end)
    mids.publish(make_batches(500))
    assert len(await take(follower, 5)) == 5
    if quiet:
        queue.client.delete(queue.keys.mids, queue.keys.latest)
        await until(lambda: tail._last_id == b"0-0")

    mids.publish(make_batches(700, epoch="epoch-2", seed=8))
    entries = await take(follower, 7)

    assert {entry.epoch for entry in entries} == {"epoch-2"}
    assert [entry.first_sequence for entry in entries] == [1, 101, 201, 301, 401, 501, 601]
    assert tail.end == Position("epoch-2", 700)


async def test_redis_that_lost_its_last_mids_is_followed_without_repeats(queue: Queue, tail: MidsTail) -> None:
    mids = Mids(queue)
    await tail.start()
    await until(lambda: tail.ready)
    follower = tail.follow(tail.end)
    batches = make_batches(700)
    mids.publish(batches[:5])
    entries = await take(follower, 5)
    queue.client.xdel(queue.keys.mids, "0-401")

    mids.publish(batches[5:])
    entries += await take(follower, 2)

    assert [entry.first_sequence for entry in entries] == [1, 101, 201, 301, 401, 501, 601]

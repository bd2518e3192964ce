"""The mids stream and those who follow it, with a real Redis between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fastpath.frame import TickFrame
from fastpath.midprice import PriceKernel
from fastpath.mids import MidFrame
from services.price.engine.claim import Unclaimed
from services.price.engine.mids import MidsPublisher
from services.price.latest_mids import FollowedMids
from services.price.mid_batches import cut_mids, mids_head
from services.runtime.connection import connect_async
from services.runtime.errors import Unavailable
from services.runtime.metrics import Metrics
from services.runtime.session import ring
from services.runtime.session.batch_format import Batch as Entry
from services.runtime.session.latest_mid import LatestMid
from services.runtime.session.stream_entries import FellBehind
from services.runtime.session.stream_tail import StreamTail
from services.runtime.unreadable import Unreadable
from tests.integration.price.harness import PATIENCE_S, Queue
from tests.support.price_batches import THRESHOLD_NS, Batch, make_batches


class Mids:
    """Publishes what the kernel makes of batches."""

    def __init__(self, queue: Queue, *, retain_bytes: int = 1 << 26) -> None:
        self._queue = queue
        self._kernel = PriceKernel(latency_threshold_ns=THRESHOLD_NS)
        self.publisher = MidsPublisher(keys=queue.keys, retain_bytes=retain_bytes, hold=Unclaimed())
        self.publisher.attach(queue.client)

    def publish(self, batches: list[Batch], *, after_sequence: int = 0) -> None:
        for batch in batches:
            frame = TickFrame(batch.payload)
            self._kernel.process(frame, after_sequence=after_sequence)
            first = max(batch.first_sequence, after_sequence + 1)
            self.publisher.collect(frame.epoch, first, batch.last_sequence, self._kernel.take_mid_batch())
        self.publisher.publish(self._queue.client)

    def stored(self) -> list[tuple[bytes, bytes]]:
        return [
            (entry_id, fields.get(b"b", b"")) for entry_id, fields in self._queue.client.xrange(self._queue.keys.mids)
        ]


@pytest.fixture
async def mids(redis_url: str, queue: Queue) -> AsyncIterator[FollowedMids]:
    client = connect_async(redis_url, client_name="test-tail")
    followed = FollowedMids.of(client, queue.keys, on_trouble=lambda reason: None)
    yield followed
    await followed.tail.stop()
    await client.aclose()


@contextlib.asynccontextmanager
async def follower(redis_url: str, queue: Queue, troubles: list[str], metrics: Metrics) -> AsyncIterator[FollowedMids]:
    client = connect_async(redis_url, client_name="test-tail")
    followed = FollowedMids.of(client, queue.keys, on_trouble=troubles.append, unreadable=Unreadable(metrics))
    yield followed
    await followed.tail.stop()
    await client.aclose()


async def started(mids: FollowedMids) -> StreamTail:
    """The tail, once it has read the stream for the first time."""
    mids.tail.start()
    await until(lambda: mids.latest.ready)
    return mids.tail


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (what is awaited lies in Redis)
            await asyncio.sleep(0.002)


async def take(stream: AsyncIterator[Entry], count: int) -> list[Entry]:
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
    published = Mids(queue, retain_bytes=200_000)
    batches = make_batches(20_000, rows_per_batch=1_000)
    for batch in batches:
        published.publish([batch])

    kept = sum(len(payload) for _, payload in published.stored())
    assert 100_000 < kept < 400_000
    assert MidFrame(published.stored()[-1][1]).last_sequence == 20_000


def test_new_epoch_replaces_the_mids_of_the_old_one(queue: Queue) -> None:
    published = Mids(queue)
    published.publish(make_batches(500))
    published.publish(make_batches(200, epoch="epoch-2", seed=8))

    assert {MidFrame(payload).epoch for _, payload in published.stored()} == {"epoch-2"}
    assert [entry_id for entry_id, _ in published.stored()] == [b"0-1", b"0-101"]


async def test_latest_is_known_from_the_hash_before_anything_new_comes(queue: Queue, mids: FollowedMids) -> None:
    published = Mids(queue)
    published.publish(make_batches(500))
    sequence, ticker, event, arrival, mid = MidFrame(published.stored()[-1][1]).mids()[-1]

    await started(mids)

    assert mids.latest.get(ticker) == (sequence, event, arrival, mid, 1)
    assert mids.latest.get("GHOST") is None


async def test_many_followers_cost_one_read(queue: Queue, mids: FollowedMids) -> None:
    batches = make_batches(600)
    published = Mids(queue)
    published.publish(batches[:1])
    tail = await started(mids)
    followers = [tail.follow(None, "") for _ in range(20)]
    await asyncio.gather(*(take(follower, 1) for follower in followers))
    waiting = [asyncio.create_task(take(follower, 5)) for follower in followers]
    await asyncio.sleep(0)
    queue.client.config_resetstat()

    published.publish(batches[1:])
    results = await asyncio.gather(*waiting)

    calls = queue.client.info("commandstats")
    assert all(result == results[0] for result in results)
    # Redis 7.0 counts the read that waits already before the figures were reset.
    assert calls.get("cmdstat_xread", {"calls": 0})["calls"] <= 4
    # The followers read nothing themselves.
    assert calls.get("cmdstat_xrange", {"calls": 0})["calls"] == 0


async def test_follower_behind_the_ring_reads_from_the_stream(
    queue: Queue, mids: FollowedMids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BYTES_MAX", 4_000)
    published = Mids(queue)
    tail = await started(mids)
    slow = tail.follow(None, "")
    batches = make_batches(5_000)
    for batch in batches:
        published.publish([batch])
    await until(lambda: tail.last_sequence == 5_000)

    entries = await take(slow, len(batches))

    assert [entry.payload for entry in entries] == [payload for _, payload in published.stored()]


async def test_follower_behind_what_is_retained_is_told_its_last_sequence(
    queue: Queue, mids: FollowedMids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BYTES_MAX", 4_000)
    published = Mids(queue, retain_bytes=1)
    tail = await started(mids)
    slow = tail.follow(None, "")
    batches = make_batches(20_000, rows_per_batch=1_000)
    published.publish(batches[:1])
    await take(slow, 1)
    for batch in batches[1:]:
        published.publish([batch])
    await until(lambda: tail.last_sequence == 20_000)

    with pytest.raises(FellBehind) as caught:
        await take(slow, len(batches))

    assert caught.value.last_sequence >= 1_000
    assert caught.value.oldest_sequence > caught.value.last_sequence + 1


@pytest.mark.parametrize("quiet", [True, False], ids=["deleted and quiet", "replaced at once"])
async def test_follower_goes_on_with_a_new_epoch_from_its_beginning(
    queue: Queue, mids: FollowedMids, quiet: bool
) -> None:
    published = Mids(queue)
    tail = await started(mids)
    follower = tail.follow(None, "")
    published.publish(make_batches(500))
    assert len(await take(follower, 5)) == 5
    if quiet:
        queue.client.delete(queue.keys.mids, queue.keys.latest)
        await until(lambda: tail.last_sequence == 0)

    published.publish(make_batches(700, epoch="epoch-2", seed=8))
    entries = await take(follower, 7)

    assert {entry.epoch for entry in entries} == {"epoch-2"}
    assert [entry.first_sequence for entry in entries] == [1, 101, 201, 301, 401, 501, 601]
    await until(lambda: tail.last_sequence == 700)


async def test_redis_that_lost_its_last_mids_is_followed_without_repeats(queue: Queue, mids: FollowedMids) -> None:
    published = Mids(queue)
    tail = await started(mids)
    follower = tail.follow(None, "")
    batches = make_batches(700)
    published.publish(batches[:5])
    entries = await take(follower, 5)
    queue.client.xdel(queue.keys.mids, "0-401")

    published.publish(batches[5:])
    entries += await take(follower, 2)

    assert [entry.first_sequence for entry in entries] == [1, 101, 201, 301, 401, 501, 601]


async def test_a_hole_without_mids_is_none_and_a_trimmed_one_is(queue: Queue, mids: FollowedMids) -> None:
    published = Mids(queue)
    batches = make_batches(500)
    published.publish([batches[0], batches[3]])
    tail = await started(mids)

    assert [entry.first_sequence for entry in await take(tail.follow(0, "epoch-1"), 2)] == [1, 301]
    await tail.check_retained(0, "epoch-1")
    queue.client.xtrim(queue.keys.mids, minid="0-301", approximate=False)
    with pytest.raises(FellBehind):
        await tail.check_retained(100, "epoch-1")
    await tail.check_retained(400, "epoch-1")


async def test_numbers_that_begin_without_mids_are_followed_from_the_first_that_has_one(
    queue: Queue, mids: FollowedMids
) -> None:
    tail = await started(mids)
    Mids(queue).publish(make_batches(300)[1:])

    (entry,) = await take(tail.follow(0, "epoch-0"), 1)

    assert (entry.epoch, entry.first_sequence) == ("epoch-1", 101)


async def test_position_inside_of_a_batch_gets_the_rest_of_it(queue: Queue, mids: FollowedMids) -> None:
    published = Mids(queue)
    published.publish(make_batches(300))
    tail = await started(mids)

    entries = await take(tail.follow(150, "epoch-1"), 2)

    wanted = [mid for _, payload in published.stored() for mid in MidFrame(payload).mids() if mid[0] > 150]
    assert [mid for entry in entries for mid in MidFrame(entry.payload).mids()] == wanted


async def test_latest_mids_of_a_newer_release_are_told_and_not_guessed(
    redis_url: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    Mids(queue).publish(make_batches(100))
    ticker, packed = queue.client.hgetall(queue.keys.latest).popitem()
    queue.client.hset(queue.keys.latest, ticker, packed[:-1] + b"\x02")
    troubles: list[str] = []
    client = connect_async(redis_url, client_name="test-tail")
    followed = FollowedMids.of(client, queue.keys, on_trouble=troubles.append)

    followed.tail.start()
    await until(lambda: troubles)

    assert "version 2" in troubles[0]
    assert not followed.latest.ready
    await followed.tail.stop()
    await client.aclose()


BAD_ENTRIES: dict[str, dict[bytes, bytes]] = {
    "another field": {b"other": b"1"},
    "empty": {b"b": b""},
    "text": {b"b": b"what is this?"},
    "random bytes": {b"b": Random(20261130).randbytes(300)},
}
"""Beside these, a truncated one is made of a good one."""


@pytest.mark.parametrize("bad", [*BAD_ENTRIES, "truncated"])
async def test_an_unreadable_entry_is_skipped_and_no_price_stands_still(
    bad: str, redis_url: str, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    published, batches = Mids(queue), make_batches(900)
    published.publish(batches[:3])
    troubles: list[str] = []
    metrics = Metrics(CollectorRegistry())
    async with follower(redis_url, queue, troubles, metrics) as mids:
        await started(mids)
        stream = mids.tail.follow(0, "epoch-1")
        await take(stream, 1)
        whole = published.stored()[-1][1]
        entry = BAD_ENTRIES.get(bad, {b"b": whole[: len(whole) // 2]})
        queue.client.xadd(queue.keys.mids, entry, id=b"0-%d" % (batches[3].first_sequence - 1))

        published.publish(batches[3:])

        _, ticker, *newest = MidFrame(published.stored()[-1][1]).mids()[-1]
        await until(lambda: (found := mids.latest.get(ticker)) is not None and found[1:4] == tuple(newest))
        # Those who read go on, too; from memory and from the stream.
        for one in (stream, mids.tail.follow(0, "epoch-1")):
            async with asyncio.timeout(PATIENCE_S):
                async for read in one:
                    if read.last_sequence >= MidFrame(published.stored()[-1][1]).last_sequence:
                        break

    assert set(troubles) <= {""}
    assert metrics.registry.get_sample_value("midstream_unreadable_entries_total") >= 1  # type: ignore[operator]
    said = [record for record in caplog.records if "unreadable entry skipped" in record.message]
    assert len(said) == 1


@pytest.mark.parametrize("bad", ["truncated", "text", "random bytes", "of the old length", "empty"])
async def test_a_latest_mid_that_cannot_be_read_is_told_for_its_ticker_alone(
    bad: str, redis_url: str, queue: Queue
) -> None:
    published, batches = Mids(queue), make_batches(900)
    published.publish(batches[:3])
    stored = queue.client.hgetall(queue.keys.latest)
    packed = next(iter(stored.values()))
    random = Random(20261130)
    # An old value has no version, so what it says has to tell it from anything else of its length.
    damaged = {
        "truncated": packed[:9], "text": b"63000.5", "random bytes": random.randbytes(len(packed)),
        "of the old length": random.randbytes(len(packed) - 1), "empty": b"",
    }[bad]  # fmt: skip
    if bad == "random bytes":
        damaged = damaged[:-1] + b"\x01"
    # Of a ticker that the newest batch does not bring anyway.
    queue.client.hset(queue.keys.latest, "QUIET", damaged)
    troubles: list[str] = []
    async with follower(redis_url, queue, troubles, Metrics(CollectorRegistry())) as mids:
        await started(mids)

        for other in stored:
            assert mids.latest.get(other.decode()) is not None
        with pytest.raises(Unavailable, match=r"the latest mid of `QUIET` cannot be read.*takes its place"):
            mids.latest.get("QUIET")
        published.publish(batches[3:])
        await until(lambda: mids.tail.last_sequence > batches[3].first_sequence)

    assert set(troubles) <= {""}


def test_a_batch_that_begins_before_its_entry_is_cut_to_what_is_new(queue: Queue) -> None:
    published = Mids(queue)
    published.publish(make_batches(100))
    ((_, payload),) = published.stored()

    entry = mids_head(61, payload)

    assert (entry.first_sequence, entry.last_sequence) == (61, 100)
    assert [mid[0] for mid in MidFrame(entry.payload).mids()] == [
        mid[0] for mid in MidFrame(payload).mids() if mid[0] >= 61
    ]
    assert cut_mids(payload, 100) is None

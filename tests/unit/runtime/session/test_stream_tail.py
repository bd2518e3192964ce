"""The tail of a stream under everything that can happen to a stream, against a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import pytest
import redis

from fastpath.frame import MARKER_GAP, TickFrame
from fastpath.records import Marker
from services.replay.tick_batches import TICKS
from services.runtime.connection import connect_async
from services.runtime.session import ring, stream_entries, stream_tail
from services.runtime.session.batch_format import Batch
from services.runtime.session.keys import SessionKeys
from services.runtime.session.stream_entries import FellBehind
from services.runtime.session.stream_tail import Listener, StreamTail, UnreadableEntry
from tests.support.price_batches import Batch as MadeBatch
from tests.support.price_batches import make_batches, marker_batch
from tests.support.redis_server import RedisForTests

PATIENCE_S = 20.0


class Stream:
    """The producer's side of one stream."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self.client = client
        self.key = key

    def append(self, batches: Sequence[MadeBatch]) -> None:
        for batch in batches:
            self.client.xadd(self.key, {"b": batch.payload}, id=f"0-{batch.first_sequence}")

    def delete(self) -> None:
        self.client.delete(self.key)

    def renumber(self, batches: Sequence[MadeBatch]) -> None:
        """Delete the stream and fill it again, without anybody seeing the moment between."""
        with self.client.pipeline(transaction=True) as both:
            both.delete(self.key)
            for batch in batches:
                both.xadd(self.key, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
            both.execute()

    def trim(self, first_kept: int) -> None:
        self.client.xtrim(self.key, minid=f"0-{first_kept}", approximate=False)


@pytest.fixture
def stream(redis_client: redis.Redis, session_name: str) -> Stream:
    return Stream(redis_client, SessionKeys(session_name).ticks)


class Beginnings(Listener):
    """Tells when a tail has begun again."""

    def __init__(self) -> None:
        self.again = asyncio.Event()

    async def begin(self, epoch: str) -> None:
        self.again.set()


@contextlib.asynccontextmanager
async def tailing(url: str, key: str, listener: Listener | None = None) -> AsyncIterator[StreamTail]:
    """A started tail of one stream."""
    client = connect_async(url, client_name="test-tail")
    tail = StreamTail(client, key, batches=TICKS, listener=listener)
    tail.start()
    try:
        yield tail
    finally:
        await tail.stop()
        await client.aclose()


@pytest.fixture
async def tail(redis_url: str, stream: Stream) -> AsyncIterator[StreamTail]:
    async with tailing(redis_url, stream.key) as started:
        yield started


async def take(follower: AsyncGenerator[Batch, None], *, to: int) -> list[Batch]:
    """Read until a batch ends with `to`."""
    taken: list[Batch] = []
    async with asyncio.timeout(PATIENCE_S):
        async for batch in follower:
            taken.append(batch)
            if batch.last_sequence == to:
                return taken
    raise AssertionError("the tail ended")


def numbers(batches: Sequence[Batch]) -> list[int]:
    """The numbers of all records, as a client reads them out of the payloads."""
    found: list[int] = []
    for batch in batches:
        frame = TickFrame(batch.payload)
        lost = [marker.next_sequence - 1 for marker in frame.markers]
        assert (frame.first_sequence, max([frame.last_sequence, *lost])) == (batch.first_sequence, batch.last_sequence)
        records = [tick[0] for tick in frame.ticks()]
        records += [record.sequence for record in frame.rejections] + [marker.sequence for marker in frame.markers]
        found += sorted(records)
    return found


def ranges_of(client: redis.Redis) -> int:
    """How often Redis has been asked for entries from a position on."""
    return int(client.info("commandstats").get("cmdstat_xrange", {}).get("calls", 0))


def gap(*, next_sequence: int) -> Marker:
    return Marker(kind=MARKER_GAP, previous_mode=2, mode=2, reason="lost with the queue", next_sequence=next_sequence)


async def test_follower_of_an_empty_stream_gets_everything_from_its_first_record(
    tail: StreamTail, stream: Stream
) -> None:
    follower = tail.follow(None, "")
    first = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)

    stream.append(make_batches(300))

    assert numbers([await first, *await take(follower, to=300)]) == list(range(1, 301))


@pytest.mark.quick
@pytest.mark.parametrize("after", [0, 99, 100, 101, 250, 299])
async def test_any_position_continues_with_the_very_next_record(tail: StreamTail, stream: Stream, after: int) -> None:
    stream.append(make_batches(300))

    batches = await take(tail.follow(after, "epoch-1"), to=300)

    assert numbers(batches) == list(range(after + 1, 301))


async def test_follower_that_keeps_up_is_served_without_asking_redis(
    tail: StreamTail, stream: Stream, redis_client: redis.Redis
) -> None:
    stream.append(make_batches(100))
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=100)
    later = make_batches(500, first_sequence=101)
    stream.append(later[:1])
    await take(follower, to=200)
    before = ranges_of(redis_client)

    stream.append(later[1:])
    batches = await take(follower, to=600)

    assert numbers(batches) == list(range(201, 601))
    assert ranges_of(redis_client) == before


async def test_late_follower_gets_what_the_ring_has_dropped_from_the_stream(
    tail: StreamTail, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 3)
    stream.append(make_batches(5_000))
    await take(tail.follow(4_900, "epoch-1"), to=5_000)

    batches = await take(tail.follow(0, "epoch-1"), to=5_000)

    assert numbers(batches) == list(range(1, 5_001))
    assert len(tail.ring) <= 3


async def test_followers_that_catch_up_side_by_side_are_read_for_once(
    tail: StreamTail, stream: Stream, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 3)
    stream.append(make_batches(20_000))
    await take(tail.follow(19_900, "epoch-1"), to=20_000)
    before = ranges_of(redis_client)

    taken = await asyncio.gather(*(take(tail.follow(0, "epoch-1"), to=20_000) for _ in range(4)))

    assert [numbers(batches) for batches in taken] == [list(range(1, 20_001))] * 4
    # Each read brings up to STEP_COUNT_MAX of the 200 batches, and what it brings is brought once.
    assert ranges_of(redis_client) - before == 4


async def test_a_slow_follower_holds_no_more_than_one_step(
    tail: StreamTail, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.append(make_batches(100))
    await take(tail.follow(0, "epoch-1"), to=100)
    made = make_batches(4_000, first_sequence=101)
    monkeypatch.setattr(stream_entries, "STEP_BYTES", 3 * len(made[0].payload) + 100)
    stream.append(made)
    await take(tail.follow(100, "epoch-1"), to=4_100)

    step = tail.ring.following(100, "epoch-1")

    assert step is not None
    assert 1 <= len(step) <= 3


async def test_new_epoch_is_followed_from_its_first_record(tail: StreamTail, stream: Stream) -> None:
    stream.append(make_batches(300))
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=300)

    stream.renumber(make_batches(200, epoch="epoch-2"))
    batches = await take(follower, to=200)

    assert {batch.epoch for batch in batches} == {"epoch-2"}
    assert numbers(batches) == list(range(1, 201))


async def test_new_epoch_that_has_grown_past_the_old_position_is_followed_from_its_first_record_too(
    tail: StreamTail, stream: Stream
) -> None:
    stream.append(make_batches(300))
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=300)

    stream.renumber(make_batches(900, epoch="epoch-2"))
    batches = await take(follower, to=900)

    assert numbers(batches) == list(range(1, 901))


async def test_follower_that_missed_the_beginning_of_a_new_epoch_is_told_so(tail: StreamTail, stream: Stream) -> None:
    stream.append(make_batches(300))
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=300)

    stream.renumber([batch for batch in make_batches(900, epoch="epoch-2") if batch.first_sequence > 500])

    with pytest.raises(FellBehind) as caught:
        await take(follower, to=900)
    assert (caught.value.last_sequence, caught.value.oldest_sequence) == (300, 501)


@pytest.mark.parametrize("rows_per_batch", [100, 70], ids=["same batches", "batches cut elsewhere"])
@pytest.mark.parametrize("republished_from", [1, 201], ids=["from the beginning", "from the slowest sink"])
async def test_same_epoch_republished_lower_gives_nothing_twice(
    tail: StreamTail, stream: Stream, rows_per_batch: int, republished_from: int
) -> None:
    stream.append(make_batches(300))
    follower = tail.follow(0, "epoch-1")
    before = await take(follower, to=300)

    again = make_batches(701 - republished_from, rows_per_batch=rows_per_batch, first_sequence=republished_from)
    half = len(again) // 4
    stream.renumber(again[:half])
    after = asyncio.ensure_future(take(follower, to=700))
    stream.append(again[half:])

    assert numbers(before + await after) == list(range(1, 701))


async def test_what_was_read_of_a_stream_that_is_numbered_again_is_not_given_to_others(
    redis_url: str, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 1)
    stream.append(make_batches(300))
    beginnings = Beginnings()
    async with tailing(redis_url, stream.key, beginnings) as tail:
        await take(tail.follow(0, "epoch-1"), to=300)
        beginnings.again.clear()

        again = make_batches(200, seed=2)
        stream.renumber(again)
        async with asyncio.timeout(PATIENCE_S):
            await beginnings.again.wait()

        taken = await take(tail.follow(0, "epoch-1"), to=200)
    assert [batch.payload for batch in taken] == [batch.payload for batch in again]


async def test_redis_that_comes_back_with_an_older_top_does_not_show(tail: StreamTail, stream: Stream) -> None:
    made = make_batches(600)
    stream.append(made[:5])
    follower = tail.follow(0, "epoch-1")
    before = await take(follower, to=500)

    stream.renumber(made[:3])
    rest = asyncio.ensure_future(take(follower, to=600))
    stream.append(make_batches(300, rows_per_batch=290, first_sequence=301))

    assert numbers(before + await rest) == list(range(1, 601))


async def test_follower_with_the_lost_records_goes_on_behind_the_gap(tail: StreamTail, stream: Stream) -> None:
    made = make_batches(500)
    stream.append(made)
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=500)

    stream.renumber([*made[:3], marker_batch(gap(next_sequence=501), sequence=301)])
    stream.append(make_batches(100, first_sequence=501))

    assert numbers(await take(follower, to=600)) == list(range(501, 601))


@pytest.mark.parametrize("after", [200, 300], ids=["before the gap", "at the gap"])
async def test_hole_that_a_gap_marker_explains_is_passed(tail: StreamTail, stream: Stream, after: int) -> None:
    stream.append(make_batches(300))
    stream.append([marker_batch(gap(next_sequence=501), sequence=301)])
    stream.append(make_batches(100, first_sequence=501))

    batches = await take(tail.follow(after, "epoch-1"), to=600)

    assert numbers(batches) == [*range(after + 1, 302), *range(501, 601)]


async def test_gap_marker_that_comes_before_what_follows_it_is_given_once(tail: StreamTail, stream: Stream) -> None:
    stream.append([*make_batches(300), marker_batch(gap(next_sequence=501), sequence=301)])
    follower = tail.follow(0, "epoch-1")
    before = await take(follower, to=500)

    stream.append(make_batches(100, first_sequence=501))

    assert numbers(before + await take(follower, to=600)) == [*range(1, 302), *range(501, 601)]


@pytest.mark.parametrize("last", [301, 400, 499], ids=["the first", "some", "all but one"])
async def test_follower_with_some_of_the_lost_records_gets_the_gap_marker_under_its_next_number(
    tail: StreamTail, stream: Stream, last: int
) -> None:
    stream.append(make_batches(300))
    stream.append([marker_batch(gap(next_sequence=501), sequence=301)])
    stream.append(make_batches(100, first_sequence=501))

    batches = await take(tail.follow(last, "epoch-1"), to=600)

    assert numbers(batches) == [last + 1, *range(501, 601)]
    assert TickFrame(batches[0].payload).markers[0].next_sequence == 501


async def test_gap_marker_in_front_of_records_is_cut_like_any_record(tail: StreamTail, stream: Stream) -> None:
    stream.append(make_batches(300))
    stream.append(make_batches(100, first_sequence=301, markers=(gap(next_sequence=501),)))

    assert numbers(await take(tail.follow(400, "epoch-1"), to=600)) == [401, *range(501, 601)]
    assert numbers(await take(tail.follow(500, "epoch-1"), to=600)) == list(range(501, 601))
    assert numbers(await take(tail.follow(550, "epoch-1"), to=600)) == list(range(551, 601))


async def test_hole_without_a_marker_ends_the_follower_naming_both_ends(tail: StreamTail, stream: Stream) -> None:
    stream.append(make_batches(300))
    stream.append(make_batches(100, first_sequence=401))

    with pytest.raises(FellBehind) as caught:
        await take(tail.follow(0, "epoch-1"), to=500)
    assert (caught.value.last_sequence, caught.value.oldest_sequence) == (300, 401)


async def test_follower_whose_next_record_was_trimmed_while_it_did_not_read_is_told_so(
    tail: StreamTail, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 2)
    made = make_batches(1_000)
    monkeypatch.setattr(stream_entries, "STEP_BYTES", len(made[0].payload))
    stream.append(made)
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=100)

    stream.trim(601)

    with pytest.raises(FellBehind) as caught:
        await take(follower, to=1_000)
    assert caught.value.oldest_sequence == 601
    assert caught.value.last_sequence < 601


async def test_beginning_at_the_oldest_record_never_falls_behind_a_trim(tail: StreamTail, stream: Stream) -> None:
    stream.append(make_batches(1_000))
    stream.trim(601)

    batches = await take(tail.follow(None, ""), to=1_000)

    assert numbers(batches) == list(range(601, 1_001))


async def test_tail_goes_on_when_an_unreadable_entry_is_removed(
    tail: StreamTail, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_tail, "RECONNECT", stream_tail.BackoffPolicy(base_s=0.001, cap_s=0.001))
    stream.append(make_batches(100))
    follower = tail.follow(0, "epoch-1")
    await take(follower, to=100)

    stream.client.xadd(stream.key, {"other": b""}, id="0-101")
    with pytest.raises(
        UnreadableEntry, match=r"entry 0-101 of .* cannot be read \(it has no field `b`\).*begin behind it"
    ):
        await take(follower, to=200)
    stream.renumber(make_batches(200))

    assert numbers(await take(tail.follow(100, "epoch-1"), to=200)) == list(range(101, 201))
    stream.append(make_batches(100, first_sequence=201))
    assert numbers(await take(tail.follow(200, "epoch-1"), to=300)) == list(range(201, 301))


async def test_the_latest_of_each_ticker_has_what_came_while_the_tail_did_not_read(
    redis_url: str, stream: Stream
) -> None:
    async with tailing(redis_url, stream.key) as tail:
        stream.append(make_batches(300))
        await take(tail.follow(0, "epoch-1"), to=300)
        assert (await tail.latest.since(0, "")).last_sequence == 300
        await tail.stop()
        made = make_batches(299, first_sequence=301, seed=2) + make_batches(1, first_sequence=600)
        stream.append(made)

        tail.start()
        await take(tail.follow(300, "epoch-1"), to=600)
        news = await tail.latest.since(300, "epoch-1")

    expected = {tick[1]: tick[0] for batch in made for tick in TickFrame(batch.payload).ticks()}
    found = {tick[1]: tick[0] for batch in news.batches for tick in TickFrame(batch.payload).ticks()}
    assert (news.last_sequence, found) == (600, expected)


async def test_cancelled_follower_leaves_the_others_alone(tail: StreamTail, stream: Stream) -> None:
    stream.append(make_batches(100))
    staying, leaving = tail.follow(0, "epoch-1"), tail.follow(0, "epoch-1")
    await take(staying, to=100)
    task = asyncio.ensure_future(take(leaving, to=200))
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stream.append(make_batches(100, first_sequence=101))

    assert numbers(await take(staying, to=200)) == list(range(101, 201))


async def test_follower_that_keeps_up_survives_a_killed_redis(new_redis: Callable[..., RedisForTests]) -> None:
    server = new_redis(append_only=True, extra=("--appendfsync", "always"))
    async with tailing(server.url, "ticks") as tail:
        with contextlib.closing(server.client()) as client:
            Stream(client, "ticks").append(make_batches(300))
        follower = tail.follow(0, "epoch-1")
        before = await take(follower, to=300)
        rest = asyncio.ensure_future(take(follower, to=500))
        await asyncio.sleep(0)

        server.kill()
        server.restart()
        with contextlib.closing(server.client()) as client:
            Stream(client, "ticks").append(make_batches(200, first_sequence=301))

        assert numbers(before + await rest) == list(range(1, 501))

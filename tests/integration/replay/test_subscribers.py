"""StreamTicks for those who read too slowly: what each policy gives them, to the record; and where a stream may begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from threading import Thread
from typing import Any

import grpc
import pytest

from fastpath.frame import MARKER_SEAM, MODE_LIVE, TickFrame
from fastpath.records import Marker
from protos.common.v1 import market_pb2
from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.replay.queue import QueueLimits
from services.runtime.connection import connect_async
from services.runtime.metrics import Metrics
from services.runtime.session import hold, ring, stream_entries
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import READER_GROUP_PREFIX
from services.runtime.subscriptions import LAST_SEQUENCE_TRAILER
from tests.integration.replay.queue.harness import Producer, make_batch, producing
from tests.support.replay_queue import Queue, numbers
from tests.support.waiting import wait_until

CALL_S = 30.0
CONFLATE = market_pb2.SUBSCRIBER_POLICY_CONFLATE
SKIP = market_pb2.SUBSCRIBER_POLICY_SKIP
DISCONNECT = market_pb2.SUBSCRIBER_POLICY_DISCONNECT
BLOCK = market_pb2.SUBSCRIBER_POLICY_BLOCK
BIG_NAMES = 30_000
"""Bytes of a ticker, so that the latest of each is more than a socket holds."""
AHEAD_NS = 150_000_000
"""About 130 ticks."""
PRIVATE = SessionDefinition(files=("a.csv",), private=True).encode()
WINDOW_TICKS = 200_000
"""About 10 MB: more than the buffers between a server and a client that does not read hold."""


async def read(call: Any, *, to: int) -> list[TickBatch]:
    """Read on in a stream up to the record `to`."""
    batches: list[TickBatch] = []
    while not batches or batches[-1].last_sequence < to:
        batches.append(await anext(aiter(call)))
    return batches


def frames(batches: list[TickBatch]) -> list[TickFrame]:
    return [TickFrame(batch.SerializeToString()) for batch in batches]


def last_per_ticker(queue: Queue, *, up_to: int = 1 << 62) -> dict[str, tuple[Any, ...]]:
    """The last tick of each ticker, by brute force over all that the queue ever held."""
    latest: dict[str, tuple[Any, ...]] = {}
    for payload in queue.payloads:
        latest |= {tick[1]: tick for tick in TickFrame(payload).ticks() if tick[0] <= up_to}
    return latest


def same(left: dict[str, tuple[Any, ...]], right: dict[str, tuple[Any, ...]]) -> bool:
    """Compare; a NaN equals itself."""
    return repr(sorted(left.items())) == repr(sorted(right.items()))


@pytest.fixture
async def other(replay_address: str) -> AsyncIterator[ReplayServiceStub]:
    """Another client."""
    async with grpc.aio.insecure_channel(replay_address) as channel:
        yield ReplayServiceStub(channel)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep little in memory, so that what a slow reader misses is soon out of the server's hands."""
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 4)
    monkeypatch.setattr(stream_entries, "STEP_COUNT_MAX", 2)
    monkeypatch.setattr(stream_entries, "STEP_BYTES", 100_000)


async def stopped(
    replay: ReplayServiceStub, other: ReplayServiceStub, queue: Queue, metrics: Metrics, **request: Any
) -> tuple[Any, list[TickBatch]]:
    """A subscriber that takes one batch and then reads no more, while the queue goes on and trims what is old.

    Another one, over a connection of its own, reads all of it meanwhile.
    """
    queue.append(1_000)
    call = replay.StreamTicks(pb.StreamTicksRequest(**request), timeout=CALL_S)
    got = [await anext(aiter(call))]
    keeping_up = other.StreamTicks(pb.StreamTicksRequest(), timeout=CALL_S)
    reading = asyncio.create_task(read(keeping_up, to=WINDOW_TICKS))
    for first in range(1_001, WINDOW_TICKS, 20_000):
        queue.append(20_000, first_sequence=first, rows_per_batch=2_000)
    assert numbers(frames(await reading)) == list(range(1, queue.last_sequence + 1))
    keeping_up.cancel()
    await until(lambda: lag(metrics) > 0, "the server to have read on")
    queue.trim(queue.last_sequence - 5_000)
    return call, got


def lag(metrics: Metrics) -> float:
    """Records that the last of the subscribers is behind."""
    return metrics.registry.get_sample_value("midstream_subscriber_lag_records", {"quantile": "1"}) or 0.0


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait outside of the event loop."""
    await asyncio.to_thread(wait_until, true, timeout_s=CALL_S, what=what)


@pytest.mark.usefixtures("small_steps")
async def test_what_a_stopped_reader_skips_and_what_it_gets_add_up_to_everything(
    replay: ReplayServiceStub, other: ReplayServiceStub, queue: Queue, metrics: Metrics
) -> None:
    call, got = await stopped(replay, other, queue, metrics, policy=SKIP)

    got += await read(call, to=queue.last_sequence)
    call.cancel()

    skipped = [batch.skipped for batch in got if batch.HasField("skipped")]
    assert len(skipped) >= 1
    missing = [number for each in skipped for number in range(each.first_sequence, each.last_sequence + 1)]
    assert [each.records for each in skipped] == [each.last_sequence - each.first_sequence + 1 for each in skipped]
    assert sorted(numbers(frames(got)) + missing) == list(range(1, queue.last_sequence + 1))
    assert metrics.registry.get_sample_value("midstream_subscribers_skipped_records_total") == len(missing)
    arrivals = {tick[0]: tick[3] for payload in queue.payloads for tick in TickFrame(payload).ticks()}
    for before, batch in pairwise(got):
        if batch.HasField("skipped"):
            assert batch.skipped.from_arrival_time_ns == before.arrival_time_ns[-1]
            assert batch.skipped.to_arrival_time_ns == batch.arrival_time_ns[0]
            assert batch.skipped.from_arrival_time_ns in arrivals.values()


@pytest.mark.usefixtures("small_steps")
async def test_a_stopped_reader_that_conflates_ends_with_the_last_of_each_ticker(
    replay: ReplayServiceStub, queue: Queue, metrics: Metrics
) -> None:
    queue.add(make_batch("epoch-1", 1, padding=BIG_NAMES))
    call = replay.StreamTicks(pb.StreamTicksRequest(policy=CONFLATE), timeout=CALL_S)
    got = [await anext(aiter(call))]
    while lag(metrics) < 1_000:
        queue.add(make_batch("epoch-1", queue.last_sequence + 1, padding=BIG_NAMES))
        queue.trim(max(1, queue.last_sequence - 100))
        await asyncio.sleep(0)
        assert queue.last_sequence < 50_000, "what is sent is never read, and yet there is room for it"
    stopped_at = queue.last_sequence

    got += await read(call, to=queue.last_sequence)
    call.cancel()

    seen = {tick[1]: tick for frame in frames(got) for tick in frame.ticks()}
    assert same(seen, last_per_ticker(queue))
    sent = [tick[0] for frame in frames(got) for tick in frame.ticks()]
    assert sent == sorted(set(sent))
    assert len(sent) < stopped_at / 2
    assert all(after.first_sequence == before.last_sequence + 1 for before, after in pairwise(got))


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("policy", [DISCONNECT, market_pb2.SUBSCRIBER_POLICY_UNSPECIFIED])
async def test_a_stopped_reader_that_wants_to_be_disconnected_gets_the_trailer(
    replay: ReplayServiceStub, other: ReplayServiceStub, queue: Queue, metrics: Metrics, policy: Any
) -> None:
    call, got = await stopped(replay, other, queue, metrics, policy=policy)

    async def read_on() -> None:
        async for batch in call:
            got.append(batch)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_on()

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    told = int(str(dict(caught.value.trailing_metadata() or ())[LAST_SEQUENCE_TRAILER]))
    assert metrics.registry.get_sample_value("midstream_subscribers_disconnected_total") == 1
    assert numbers(frames(got)) == list(range(1, told + 1))
    assert told < queue.last_sequence


@contextmanager
def publishing(producer: Producer, batches: int) -> Iterator[None]:
    """Publish from a thread of its own, until all are in."""
    thread = Thread(target=producer.publish_all, args=(batches,))
    thread.start()
    try:
        yield
    finally:
        producer.stopping.set()
        producer.wake.set()
        thread.join(CALL_S)
        assert not thread.is_alive()


def readers(queue: Queue) -> list[str]:
    """Groups that hold the session for a subscriber."""
    names = [group["name"].decode() for group in queue.client.xinfo_groups(queue.keys.ticks)]
    return [name for name in names if name.startswith(READER_GROUP_PREFIX)]


async def test_a_private_session_waits_for_its_reader_and_goes_on_when_that_leaves(
    replay: ReplayServiceStub, queue: Queue, redis_url: str
) -> None:
    queue.client.set(queue.keys.definition, PRIVATE)
    limits = QueueLimits(high_records=100, retain_bytes=0)
    with producing(redis_url, queue.keys.session, limits=limits, padding=30_000) as producer:
        producer.publish_all(1)
        call = replay.StreamTicks(pb.StreamTicksRequest(policy=BLOCK), timeout=CALL_S)
        got = [await anext(aiter(call))]
        with publishing(producer, 600):
            await until(lambda: producer.publisher.waiting, "the session to wait")
            (name,) = readers(queue)
            assert f"`{name}`" in producer.publisher.problem
            await until(lambda: producer.publisher.backlog_records == 100, "the queue to be full")
            waiting_at = producer.next

            got += await read(call, to=waiting_at + 500)
            call.cancel()

            await until(lambda: producer.next == 6_011, "the session to go on alone")
    assert numbers(frames(got)) == list(range(1, got[-1].last_sequence + 1))
    assert waiting_at < 5_000
    await until(lambda: not readers(queue), "the group to go")


async def test_who_leaves_holds_nothing_though_its_call_is_cancelled_again_while_it_ends(
    queue: Queue, redis_url: str
) -> None:
    queue.client.set(queue.keys.definition, PRIVATE)
    queue.append(100)
    client = connect_async(redis_url, client_name="test-hold")
    is_held, may_end = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        async with hold.holding(client, queue.keys):
            is_held.set()
            await may_end.wait()

    ending = asyncio.create_task(call())
    await is_held.wait()
    assert len(readers(queue)) == 1
    may_end.set()
    # Until it ends: at each of the places where it waits.
    while not ending.done():
        ending.cancel()
        await asyncio.sleep(0)

    await until(lambda: not readers(queue), "the group to go")
    await client.aclose()


async def test_a_session_that_is_not_private_waits_for_nobody(replay: ReplayServiceStub, queue: Queue) -> None:
    queue.append(100)

    for definition in (None, SessionDefinition(files=("a.csv",)).encode()):
        if definition is not None:
            queue.client.set(queue.keys.definition, definition)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(replay.StreamTicks(pb.StreamTicksRequest(policy=BLOCK), timeout=CALL_S)))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert f"session `{queue.keys.session}` is not private" in str(caught.value.details())
    queue.client.set(queue.keys.definition, "{}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(replay.StreamTicks(pb.StreamTicksRequest(policy=BLOCK), timeout=CALL_S)))
    assert "cannot be read" in str(caught.value.details())
    assert readers(queue) == []


async def test_a_reader_that_waits_is_said_to_be_there_and_one_whose_server_died_is_removed(
    replay: ReplayServiceStub, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.client.set(queue.keys.definition, PRIVATE)
    queue.append(100)
    dead = f"{READER_GROUP_PREFIX}of-a-server-that-died"
    queue.client.xgroup_create(queue.keys.ticks, dead, id="0-0")
    queue.client.xgroup_createconsumer(queue.keys.ticks, dead, "server")
    queue.client.xgroup_create(queue.keys.ticks, "price", id="0-0")
    queue.client.xgroup_createconsumer(queue.keys.ticks, "price", "sink")
    monkeypatch.setattr(hold, "READER_LEASE_S", -1.0)
    monkeypatch.setattr(hold, "TOUCH_S", 0.0)

    call = replay.StreamTicks(pb.StreamTicksRequest(policy=BLOCK, from_now=True), timeout=CALL_S)
    await call.initial_metadata()
    await until(lambda: len(readers(queue)) == 1 and readers(queue) != [dead], "the one to go and the other to come")
    (name,) = readers(queue)

    def touched() -> bool:
        found = queue.client.xinfo_consumers(queue.keys.ticks, name)
        return bool(found) and touches() > before

    def touches() -> int:
        return int(queue.client.info("commandstats").get("cmdstat_xreadgroup", {"calls": 0})["calls"])

    before = touches()
    await until(touched, "a sign of life")
    await until(lambda: committed(queue, name) == 100, "what it did not want to be passed over")
    call.cancel()
    await until(lambda: not readers(queue), "the group to go")
    assert [group["name"] for group in queue.client.xinfo_groups(queue.keys.ticks)] == [b"price"]


async def test_a_reader_that_waits_for_what_comes_holds_nothing_that_it_does_not_want(
    replay: ReplayServiceStub, queue: Queue
) -> None:
    queue.client.set(queue.keys.definition, PRIVATE)
    queue.append(300)

    for request in ({"after_sequence": 300}, {"from_now": True}, {"latest_per_ticker": True}):
        call = replay.StreamTicks(pb.StreamTicksRequest(policy=BLOCK, **request), timeout=CALL_S)
        await until(lambda: [committed(queue, name) for name in readers(queue)] == [300], f"{request} to hold nothing")
        call.cancel()
        await until(lambda: not readers(queue), "the group to go")


async def test_a_stream_that_begins_anew_is_held_anew(replay: ReplayServiceStub, queue: Queue) -> None:
    queue.client.set(queue.keys.definition, PRIVATE)
    queue.append(300)
    call = replay.StreamTicks(pb.StreamTicksRequest(policy=BLOCK), timeout=CALL_S)
    await read(call, to=300)
    (name,) = readers(queue)

    queue.client.delete(queue.keys.ticks)
    queue.append(500, epoch="epoch-2")
    got = await read(call, to=500)
    await until(lambda: readers(queue) == [name] and committed(queue, name) == 500, "the group to come again")
    call.cancel()

    assert numbers(frames(got)) == list(range(1, 501))


def committed(queue: Queue, name: str) -> int:
    groups = {group["name"].decode(): group for group in queue.client.xinfo_groups(queue.keys.ticks)}
    return int(groups[name]["last-delivered-id"].split(b"-")[1])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"policy": 9}, "policy"),
        ({"conflate_interval_ms": 5}, "conflate_interval_ms"),
        ({"policy": CONFLATE, "conflate_interval_ms": 3_600_001}, "conflate_interval_ms"),
        ({"policy": CONFLATE, "lag_records_max": 5}, "lag_records_max"),
    ],
)
async def test_a_delivery_that_cannot_be_is_refused(
    replay: ReplayServiceStub, queue: Queue, request_: dict[str, Any], field: str
) -> None:
    queue.append(100)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(replay.StreamTicks(pb.StreamTicksRequest(**request_), timeout=CALL_S)))

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"`{field}`" in str(caught.value.details())


async def test_lag_is_told_in_records_bytes_and_data_time(replay: ReplayServiceStub, queue: Queue) -> None:
    queue.append(1_000)
    # The first who comes makes the server read; the lag is measured against what it has read.
    warm = replay.StreamTicks(pb.StreamTicksRequest(), timeout=CALL_S)
    await read(warm, to=1_000)
    call = replay.StreamTicks(pb.StreamTicksRequest(after_sequence=950, with_lag=True), timeout=CALL_S)
    rest = await read(call, to=1_000)
    queue.append(200, first_sequence=1_001)
    rest += await read(call, to=1_200)
    oldest = replay.StreamTicks(pb.StreamTicksRequest(with_lag=True), timeout=CALL_S)
    all_ = await read(oldest, to=1_200)
    for each in (warm, call, oldest):
        each.cancel()

    arrivals = [TickFrame(payload).ticks()[-1][3] for payload in queue.payloads]
    sizes = [len(payload) for payload in queue.payloads]
    assert len(all_) == len(sizes)
    # The ring holds what was there when the tail began (the newest batch) and all that came since.
    for index, batch in enumerate(all_):
        assert batch.lag.records == 1_200 - batch.last_sequence
        assert batch.lag.data_time_ns == arrivals[-1] - arrivals[index]
        if index >= 9:
            assert batch.lag.bytes == sum(sizes[index + 1 :])
        else:
            assert batch.lag.bytes == pytest.approx(sum(sizes[index + 1 :]), rel=0.1)
    assert rest[-1].lag == market_pb2.Lag()


async def test_a_reader_that_may_be_behind_by_so_much_skips_the_rest(replay: ReplayServiceStub, queue: Queue) -> None:
    queue.append(5_000)
    warm = replay.StreamTicks(pb.StreamTicksRequest(after_sequence=5_000), timeout=CALL_S)
    queue.append(100, first_sequence=5_001)
    await read(warm, to=5_100)

    call = replay.StreamTicks(pb.StreamTicksRequest(policy=SKIP, lag_records_max=250), timeout=CALL_S)
    got = await read(call, to=5_100)
    few = replay.StreamTicks(pb.StreamTicksRequest(policy=SKIP, lag_records_max=1, tickers=["none"]), timeout=CALL_S)
    filtered = await read(few, to=5_100)
    for each in (warm, call, few):
        each.cancel()

    # In whole batches of 100: of 250 records, two.
    first = got[0]
    assert (first.skipped.records, first.skipped.first_sequence, first.skipped.last_sequence) == (4_900, 1, 4_900)
    assert numbers(frames(got)) == list(range(4_901, 5_101))
    # The newest batch comes even when it alone is more, and says what is missing even when nothing else is left of it.
    assert filtered[0].skipped.last_sequence == 5_000
    assert len(filtered[0].ticker_index) == 0


async def test_latest_per_ticker_comes_first_and_then_what_follows_without_gap_or_repeat(
    replay: ReplayServiceStub, queue: Queue
) -> None:
    queue.append(3_000)
    queue.trim(2_001)
    retained = {name: tick for name, tick in last_per_ticker(queue).items() if tick[0] > 2_000}
    call = replay.StreamTicks(pb.StreamTicksRequest(latest_per_ticker=True), timeout=CALL_S)
    state = await read(call, to=3_000)
    queue.append(500, first_sequence=3_001)
    rest = await read(call, to=3_500)
    queue.trim(3_401)
    again = replay.StreamTicks(pb.StreamTicksRequest(latest_per_ticker=True), timeout=CALL_S)
    later = await read(again, to=3_500)
    call.cancel()
    again.cancel()

    assert same({tick[1]: tick for frame in frames(state) for tick in frame.ticks()}, retained)
    assert len(state) == 1
    assert numbers(frames(rest)) == list(range(3_001, 3_501))
    # What was trimmed since somebody asked first is known.
    assert same({tick[1]: tick for frame in frames(later) for tick in frame.ticks()}, last_per_ticker(queue))


async def test_conflated_batches_keep_modes_and_markers_and_are_paced(replay: ReplayServiceStub, queue: Queue) -> None:
    queue.append(300)
    seam = Marker(kind=MARKER_SEAM, previous_mode=1, mode=MODE_LIVE, reason="now")
    queue.append(300, first_sequence=301, mode=MODE_LIVE, markers=[seam])
    call = replay.StreamTicks(
        pb.StreamTicksRequest(policy=CONFLATE, conflate_interval_ms=1, after_sequence=100), timeout=CALL_S
    )
    got = await read(call, to=601)
    queue.append(300, first_sequence=602, mode=MODE_LIVE, seed=2)
    got += await read(call, to=901)
    call.cancel()

    whole = frames(got)
    assert [marker.reason for frame in whole for marker in frame.markers] == ["now"]
    assert same({tick[1]: tick for frame in whole for tick in frame.ticks()}, last_per_ticker(queue))
    assert not any(frame.rejections for frame in whole)


@pytest.mark.parametrize("rows_per_batch", [1, 100])
async def test_a_stream_from_an_arrival_time_begins_with_the_first_tick_that_arrived_then(
    replay: ReplayServiceStub, queue: Queue, rows_per_batch: int
) -> None:
    queue.append(400, rows_per_batch=rows_per_batch)
    queue.trim(101)
    ticks = [tick for payload in queue.payloads for tick in TickFrame(payload).ticks()]
    retained = [tick for tick in ticks if tick[0] > 100]

    for at in (0, 1, len(retained) // 2, len(retained) - 1):
        for time_ns in (retained[at][3], retained[at][3] - 1):
            wanted = next(tick[0] for tick in retained if tick[3] >= time_ns)
            request = pb.StreamTicksRequest(from_arrival_time_ns=time_ns)
            if time_ns < retained[0][3]:
                continue
            call = replay.StreamTicks(request, timeout=CALL_S)
            got = frames(await read(call, to=400))
            call.cancel()
            assert numbers(got) == list(range(wanted, 401))

    early = pb.StreamTicksRequest(from_arrival_time_ns=retained[0][3] - 1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(replay.StreamTicks(early, timeout=CALL_S)))
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert "the oldest retained is 101" in str(caught.value.details())
    assert str(retained[0][3]) in str(caught.value.details())


@pytest.mark.parametrize("policy", [DISCONNECT, SKIP, CONFLATE])
async def test_a_time_that_lies_ahead_is_waited_for(replay: ReplayServiceStub, queue: Queue, policy: Any) -> None:
    queue.append(200)
    end_ns = TickFrame(queue.payloads[-1]).ticks()[-1][3]
    request = pb.StreamTicksRequest(from_arrival_time_ns=end_ns + AHEAD_NS, policy=policy)
    call = replay.StreamTicks(request, timeout=CALL_S)
    await call.initial_metadata()
    reading = asyncio.create_task(read(call, to=600))
    for first in range(201, 600, 100):
        queue.append(100, first_sequence=first)
    got = frames(await reading)
    call.cancel()

    arrivals = {tick[0]: tick[3] for payload in queue.payloads for tick in TickFrame(payload).ticks()}
    first_sent = min(numbers(got))
    assert min(tick[3] for frame in got for tick in frame.ticks()) >= end_ns + AHEAD_NS
    if policy != CONFLATE:
        assert numbers(got) == list(range(first_sent, 601))
        assert max(ns for sequence, ns in arrivals.items() if sequence < first_sent) < end_ns + AHEAD_NS


async def test_an_entry_that_cannot_be_read_is_named_to_those_who_conflate_too(
    replay: ReplayServiceStub, queue: Queue
) -> None:
    queue.append(100)
    queue.client.xadd(queue.keys.ticks, {"b": b"something else"}, id="0-101")
    queue.append(100, first_sequence=102)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(replay.StreamTicks(pb.StreamTicksRequest(latest_per_ticker=True), timeout=CALL_S)))

    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "entry 0-101" in str(caught.value.details())


async def test_who_conflates_goes_on_with_a_numbering_that_began_anew(replay: ReplayServiceStub, queue: Queue) -> None:
    queue.append(300)
    call = replay.StreamTicks(pb.StreamTicksRequest(policy=CONFLATE), timeout=CALL_S)
    await read(call, to=300)
    queue.client.delete(queue.keys.ticks)
    queue.payloads.clear()
    queue.append(200, epoch="epoch-2")
    got = await read(call, to=200)
    call.cancel()

    assert {batch.epoch for batch in got} == {"epoch-2"}
    assert same({tick[1]: tick for frame in frames(got) for tick in frame.ticks()}, last_per_ticker(queue))

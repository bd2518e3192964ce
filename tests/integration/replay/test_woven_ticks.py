"""StreamTicks over all partitions of a session, from queues that the test fills itself: the order, where it begins, and each policy."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest
import redis

from fastpath.frame import MARKER_DISCONTINUITY, MODE_LIVE, peek
from fastpath.records import Marker
from fastpath.weave import Weaver
from protos.common.v1 import market_pb2
from protos.common.v1.market_pb2 import PartitionPosition, TickBatch
from protos.replay.v1 import replay_pb2 as pb
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from services.runtime.session import stream_entries, woven_stream
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import READER_GROUP_PREFIX, SessionKeys
from tests.support.waiting import wait_until
from tests.support.woven import AT_LAST, Record, Tick, Woven, Writer, cut, expected, made_history, split

CALL_S = 30.0
COUNT = 3
CONFLATE = market_pb2.SUBSCRIBER_POLICY_CONFLATE
SKIP = market_pb2.SUBSCRIBER_POLICY_SKIP
BLOCK = market_pb2.SUBSCRIBER_POLICY_BLOCK


class PartitionedQueue:
    """What the engines of a session of several partitions leave in Redis."""

    def __init__(self, client: redis.Redis, session: str) -> None:
        self.client = client
        self.session = session
        self.writers = [Writer(f"epoch-{partition}") for partition in range(COUNT)]
        client.set(SessionKeys(session).partitions, json.dumps({"count": COUNT}))

    def keys(self, partition: int) -> SessionKeys:
        return SessionKeys(self.session, partition)

    def append(self, partition: int, records: Sequence[Record], **how: Any) -> None:
        payload = self.writers[partition].batch(records, **how)
        self.client.xadd(self.keys(partition).ticks, {"b": payload}, id=f"0-{peek(payload).first_sequence}")

    def promise(self, arrival_time_ns: int, *partitions: int) -> None:
        for partition in partitions or range(COUNT):
            writer = self.writers[partition]
            self.client.set(self.keys(partition).watermark, f"{writer.epoch} {writer.next - 1} {arrival_time_ns}")

    def fill(self, seed: int, count: int = 300) -> list[tuple[int, Record]]:
        """Append a replay to its end."""
        print(f"seed {seed}")  # noqa: T201  shown when it fails
        rng = random.Random(seed)
        made = made_history(rng, count, COUNT)
        for partition, records in enumerate(split(made, COUNT)):
            for some in cut(rng, records, 20):
                self.append(partition, some)
        self.promise(AT_LAST)
        return made


@pytest.fixture
def queue(redis_client: redis.Redis, session_name: str) -> PartitionedQueue:
    return PartitionedQueue(redis_client, session_name)


def streamed(replay: ReplayServiceStub, **request: Any) -> Any:
    """Call StreamTicks."""
    call: Any = replay.StreamTicks(pb.StreamTicksRequest(**request), timeout=CALL_S)
    return aiter(call)


async def read(call: Any, *, records: int) -> list[TickBatch]:
    """Read so many records."""
    batches: list[TickBatch] = []
    while sum(len(batch.ticker_index) + len(batch.rejections) + len(batch.markers) for batch in batches) < records:
        batches.append(await anext(call))
    return batches


def named(batches: list[TickBatch]) -> list[Any]:
    woven = Woven()
    for batch in batches:
        woven.take(batch.SerializeToString())
    return woven.named


def ticks_in(batches: list[TickBatch]) -> list[tuple[str, int]]:
    return [
        (batch.tickers[index], arrival)
        for batch in batches
        for index, arrival in zip(batch.ticker_index, batch.arrival_time_ns, strict=True)
    ]


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait outside of the event loop."""
    await asyncio.to_thread(wait_until, true, timeout_s=CALL_S, what=what)


@pytest.mark.parametrize("seed", range(4))
async def test_all_partitions_come_in_the_order_of_one_and_go_on_behind_any_batch(
    replay: ReplayServiceStub, queue: PartitionedQueue, seed: int
) -> None:
    made = queue.fill(seed)

    batches = await read(streamed(replay), records=len(made))

    assert named(batches) == expected(record for _, record in made)
    assert (batches[0].first_sequence, batches[-1].last_sequence) == (1, len(made))
    at = batches[random.Random(seed).randrange(len(batches))]
    if at.last_sequence < len(made):
        behind = streamed(replay, after=at.positions)
        rest = await read(behind, records=len(made) - at.last_sequence)
        assert named(rest) == expected(record for _, record in made[at.last_sequence :])
        assert rest[0].epoch == at.epoch


async def test_one_partition_is_its_own_stream(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    queue.append(1, [Tick(10, 1), Tick(20, 2)])

    call = streamed(replay, partition=1)
    batch = await anext(call)

    assert (list(batch.tie_order), batch.epoch, list(batch.positions)) == ([1, 2], "epoch-1", [])


async def test_recorded_data_waits_for_a_silent_partition_and_live_data_does_not(
    replay: ReplayServiceStub, queue: PartitionedQueue
) -> None:
    queue.append(0, [Tick(10, 1), Tick(20, 1)])
    queue.append(1, [Tick(15, 1)])
    queue.promise(12, 2)
    call = streamed(replay, merge_wait_ms=50)
    assert ticks_in(await read(call, records=1)) == [("BTC", 10)]

    queue.promise(AT_LAST, 2)
    assert ticks_in(await read(call, records=1)) == [("BTC", 15)]
    for partition in range(COUNT):
        queue.append(partition, [Tick(100 + partition, 1, f"T{partition}")], mode=MODE_LIVE)
    assert ticks_in(await read(call, records=2)) == [("BTC", 20), ("T0", 100)]
    # Whoever is live and silent is waited for, and no longer than was said.
    assert ticks_in(await read(call, records=2)) == [("T1", 101), ("T2", 102)]


async def test_a_silent_partition_does_not_pile_the_others_up(
    replay: ReplayServiceStub, queue: PartitionedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_entries, "STEP_COUNT_MAX", 2)
    weavers: list[Weaver] = []

    def made(*args: Any, **more: Any) -> Weaver:
        weavers.append(Weaver(*args, **more))
        return weavers[-1]

    monkeypatch.setattr(woven_stream, "Weaver", made)
    for batch in range(200):
        queue.append(0, [Tick(batch * 100 + number, 1) for number in range(100)])
    queue.promise(5, 1, 2)

    call = streamed(replay)
    await read(call, records=5)

    assert 1 <= weavers[0].waiting(0) <= 4
    queue.promise(AT_LAST, 1, 2)
    assert len(ticks_in(await read(call, records=19_995))) == 19_995


async def test_a_seek_comes_once_with_the_states_of_all(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    call = streamed(replay)
    for partition in range(COUNT):
        state = market_pb2.Marker(state=[market_pb2.Quote(ticker=f"T{partition}")]).SerializeToString()
        marker = Marker(MARKER_DISCONTINUITY, revision=4, state=state)
        queue.append(partition, [Tick(50, partition, f"T{partition}"), marker])
    before = await read(call, records=4)
    assert [quote.ticker for quote in before[-1].markers[0].state] == ["T0", "T1", "T2"]

    queue.append(2, [Tick(7, 2, "T2")])
    queue.promise(8)
    assert ticks_in(await read(call, records=1)) == [("T2", 7)]


async def test_where_a_stream_may_begin(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    made = queue.fill(11)
    arrivals = [record.arrival_time_ns for _, record in made if isinstance(record, Tick)]
    middle = arrivals[len(arrivals) // 2]
    first = next(
        place for place, (_, record) in enumerate(made) if isinstance(record, Tick) and record.arrival_time_ns >= middle
    )

    since = streamed(replay, from_arrival_time_ns=middle)
    got = await read(since, records=len(made) - first)
    assert named(got) == expected(record for _, record in made[first:])
    assert got[0].first_sequence == first + 1

    latest = streamed(replay, latest_per_ticker=True)
    last = {record.ticker: record.arrival_time_ns for _, record in made if isinstance(record, Tick)}
    state = await read(latest, records=len(last))
    assert dict(ticks_in(state)) == last
    assert state[-1].last_sequence == len(made)

    end_ns = max(arrivals) + 1_000
    now = asyncio.create_task(read(streamed(replay, from_now=True), records=1))
    while not now.done():
        # Where "now" is, the server finds out at some time.
        end_ns += 1
        queue.append(0, [Tick(end_ns, 1)])
        queue.promise(AT_LAST)
        await asyncio.wait([now], timeout=0.05)
    assert ticks_in(await now)[0][1] > max(arrivals) + 1_000
    assert ticks_in(await read(latest, records=1)) == [("BTC", max(arrivals) + 1_001)]


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"after_sequence": 4}, grpc.StatusCode.FAILED_PRECONDITION, "say `after` with the `positions`"),
        ({"partition": 3}, grpc.StatusCode.INVALID_ARGUMENT, "must be 0 to 2"),
        ({"merge_wait_ms": 100_000}, grpc.StatusCode.INVALID_ARGUMENT, "merge_wait_ms"),
        ({"after": [{"partition": 3}]}, grpc.StatusCode.INVALID_ARGUMENT, "0 to 2 at most once"),
        ({"after": [{"partition": 1}] * 2}, grpc.StatusCode.INVALID_ARGUMENT, "at most once"),
        ({"after": [{"partition": 1}], "from_now": True}, grpc.StatusCode.INVALID_ARGUMENT, "leave one out"),
        ({"after": [{"partition": 1}], "partition": 1}, grpc.StatusCode.INVALID_ARGUMENT, "use `after_sequence`"),
        ({"after": [{"partition": 1, "epoch": "x", "sequence": 1}]}, grpc.StatusCode.OUT_OF_RANGE, "epoch-1"),
        ({"after": [{"partition": 1, "epoch": "epoch-1", "sequence": 9}]}, grpc.StatusCode.OUT_OF_RANGE, "beyond"),
        (
            {"after": [{"partition": 0, "epoch": "epoch-0", "sequence": 1}]},
            grpc.StatusCode.OUT_OF_RANGE,
            "oldest retained is 3",
        ),
        ({"policy": BLOCK}, grpc.StatusCode.FAILED_PRECONDITION, "not private"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_places_that_there_are_not_are_refused_by_name(
    replay: ReplayServiceStub, queue: PartitionedQueue, request_: dict[str, Any], code: grpc.StatusCode, words: str
) -> None:
    queue.append(0, [Tick(1, 1), Tick(2, 1)])
    queue.append(0, [Tick(3, 1)])
    queue.append(1, [Tick(3, 2)])
    queue.client.xtrim(queue.keys(0).ticks, minid="0-3", approximate=False)
    after = [PartitionPosition(**each) for each in request_.pop("after", ())]

    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await anext(streamed(replay, after=after, **request_))

    assert (failure.value.code(), words in str(failure.value.details())) == (code, True), failure.value.details()


async def test_positions_belong_to_sessions_of_several_partitions(
    replay: ReplayServiceStub, queue: PartitionedQueue
) -> None:
    queue.client.delete(queue.keys(0).partitions)

    with pytest.raises(grpc.aio.AioRpcError, match="has one partition"):
        await anext(streamed(replay, after=[PartitionPosition()]))


async def test_tickers_are_chosen_and_positions_stay(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    queue.append(0, [Tick(1, 1, "A"), Tick(3, 1, "B")])
    queue.append(1, [Tick(2, 1, "C"), Tick(4, 1, "C")])
    queue.promise(AT_LAST)

    call = streamed(replay, tickers=["C"], with_lag=True)
    batches = await read(call, records=2)

    assert batches[0].tick_sequence[0] == 2
    assert [(each.partition, each.sequence) for each in batches[-1].positions] == [(0, 2), (1, 2), (2, 0)]
    assert batches[-1].HasField("lag")


async def test_who_conflates_gets_the_latest_of_each_ticker(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    made = queue.fill(5)
    last = {record.ticker: record.arrival_time_ns for _, record in made if isinstance(record, Tick)}
    call = streamed(replay, policy=CONFLATE, conflate_interval_ms=1)

    got: dict[str, int] = {}
    while got != last:
        batch = await anext(call)
        got |= dict(ticks_in([batch]))
        assert not batch.rejections


async def test_who_skips_is_told_what_it_did_not_get(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    for batch in range(30):
        for partition in range(COUNT):
            queue.append(partition, [Tick(batch * 300 + 3 * number + partition, 1) for number in range(100)])
    queue.promise(AT_LAST)
    first = streamed(replay)
    await read(first, records=9_000)

    call = streamed(replay, policy=SKIP, lag_records_max=3_000)
    batches = await read_to(call, 9_000)

    skipped = sum(batch.skipped.records for batch in batches)
    assert skipped > 0
    assert skipped + sum(len(batch.ticker_index) for batch in batches) == 9_000


async def read_to(call: Any, last_sequence: int) -> list[TickBatch]:
    batches: list[TickBatch] = []
    while not batches or batches[-1].last_sequence < last_sequence:
        batches.append(await anext(call))
    return batches


async def test_who_fell_behind_what_a_partition_retains_is_sent_away(
    replay: ReplayServiceStub, queue: PartitionedQueue
) -> None:
    for number in range(4):
        queue.append(0, [Tick(number, 1)])
    after = [PartitionPosition(partition=0, epoch="epoch-0", sequence=1)]
    queue.client.xtrim(queue.keys(0).ticks, minid="0-3", approximate=False)

    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await anext(streamed(replay, after=after))

    assert failure.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_a_private_session_waits_in_every_partition(replay: ReplayServiceStub, queue: PartitionedQueue) -> None:
    queue.client.set(queue.keys(0).definition, SessionDefinition(files=("a.csv",), private=True).encode())
    for partition in range(2):
        queue.append(partition, [Tick(10 + partition, 1), Tick(20 + partition, 1)])
        queue.append(partition, [Tick(30 + partition, 1), Tick(40 + partition, 1)])
    queue.promise(36, 0, 1)
    queue.promise(AT_LAST, 2)
    call = streamed(replay, policy=BLOCK)
    await read(call, records=6)

    def held(partition: int) -> str:
        groups: Any = queue.client.xinfo_groups(queue.keys(partition).ticks)
        mine = [group for group in groups if group["name"].startswith(READER_GROUP_PREFIX.encode())]
        return mine[0]["last-delivered-id"].decode() if mine else ""

    # Whole entries alone are given back: the last record of partition 1 still waits for what partition 0 may send before it.
    await until(lambda: (held(0), held(1)) == ("0-4", "0-2"), "what came out whole to be given back")
    await call.aclose()

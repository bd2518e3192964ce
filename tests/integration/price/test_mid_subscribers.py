"""StreamMidPrices for those who read too slowly, and where it may begin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from protos.common.v1 import market_pb2
from protos.common.v1.market_pb2 import MidBatch
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from services.price.exchanges.answers import ExchangePrices
from services.price.latest_mids import FollowedMids
from services.price.priced_sessions import PricedSession, PricedSessions
from services.price.servicer import PriceServicer
from services.runtime.connection import connect_async
from services.runtime.interceptors import CallInterceptor
from services.runtime.metrics import Metrics
from services.runtime.session import ring, stream_entries
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.keys import READER_GROUP_PREFIX
from tests.integration.price.harness import Queue
from tests.integration.price.test_latest_mids import Mids, started, until
from tests.integration.price.test_server import mids_of
from tests.support.price_batches import Batch, make_batches

CALL_S = 30.0
SKIP, CONFLATE = market_pb2.SUBSCRIBER_POLICY_SKIP, market_pb2.SUBSCRIBER_POLICY_CONFLATE
Mid = tuple[int, str, int, int, float]


class Price:
    """A price server's gRPC side, and the sink that publishes for it."""

    def __init__(self, stub: PriceServiceStub, priced: PricedSession, followed: FollowedMids, queue: Queue) -> None:
        self.stub = stub
        self.priced = priced
        self.followed = followed
        self.queue = queue
        self.made: list[Batch] = []
        self.sink = Mids(queue, retain_bytes=1 << 26)

    async def publish(self, batches: list[Batch]) -> None:
        """Publish the mids of batches, and wait until the server has read them."""
        self.made += batches
        self.sink.publish(batches)
        last = int(self.queue.client.xrevrange(self.queue.keys.mids, count=1)[0][0].split(b"-")[1])
        await until(lambda: self.followed.tail.last_sequence >= last)

    @property
    def all(self) -> list[Mid]:
        return mids_of(self.made)

    @property
    def latest(self) -> dict[str, Mid]:
        """The last of each ticker, by brute force."""
        return {mid[1]: mid for mid in self.all}

    def stream(self, **request: Any) -> Any:
        return self.stub.StreamMidPrices(pb.StreamMidPricesRequest(**request), timeout=CALL_S)


@pytest.fixture
async def price(redis_url: str, queue: Queue) -> AsyncIterator[Price]:
    client = connect_async(redis_url, client_name="test-price")
    followed = FollowedMids.of(client, queue.keys, on_trouble=lambda reason: None)
    metrics = Metrics(CollectorRegistry())
    priced = PricedSession(queue.keys.session, followed)
    servicer = PriceServicer(PricedSessions(priced), metrics=metrics, exchange_prices=ExchangePrices())
    server = grpc.aio.server(interceptors=(CallInterceptor(metrics),))
    servicer.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await started(followed)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Price(PriceServiceStub(channel), priced, followed, queue)
    await server.stop(0)
    await followed.tail.stop()
    await client.aclose()


async def read(call: Any, *, to: int) -> list[MidBatch]:
    """Read on up to the mid of the record `to`."""
    batches: list[MidBatch] = []
    while not batches or batches[-1].last_sequence < to:
        batches.append((await anext(aiter(call))).batch)
    return batches


def mids_in(batches: list[MidBatch]) -> list[Mid]:
    return [
        (batch.sequence[i], batch.tickers[batch.ticker_index[i]], batch.event_time_ns[i], batch.arrival_time_ns[i], mid)
        for batch in batches
        for i, mid in enumerate(batch.mid_price)
    ]


async def test_who_conflates_gets_the_latest_of_each_ticker(price: Price) -> None:
    await price.publish(make_batches(1_000))

    call = price.stream(from_oldest=True, policy=CONFLATE)
    got = await read(call, to=1_000)
    assert {mid[1]: mid for mid in mids_in(got)} == price.latest
    assert len(mids_in(got)) == len(price.latest)

    await price.publish(make_batches(500, first_sequence=1_001, seed=2))
    got += await read(call, to=1_500)
    call.cancel()
    assert {mid[1]: mid for mid in mids_in(got)} == price.latest


@pytest.mark.parametrize("asked_before", [False, True])
async def test_the_latest_come_first_whatever_was_trimmed_and_then_what_follows(
    price: Price, asked_before: bool
) -> None:
    await price.publish(make_batches(1_000))
    if asked_before:
        warm = price.stream(latest_per_ticker=True)
        await read(warm, to=1_000)
        warm.cancel()
    await price.publish(make_batches(1, first_sequence=1_001, seed=2))
    price.queue.client.xtrim(price.queue.keys.mids, minid="0-1001", approximate=False)
    assert price.queue.client.xlen(price.queue.keys.mids) == 1
    before = price.latest

    call = price.stream(latest_per_ticker=True)
    state = await read(call, to=1_001)
    await price.publish(make_batches(300, first_sequence=1_002, seed=3))
    rest = await read(call, to=1_301)
    call.cancel()

    assert {mid[1]: mid for mid in mids_in(state)} == before
    assert mids_in(rest) == [mid for mid in price.all if mid[0] > 1_001]


async def test_who_skips_is_told_the_numbers_that_it_did_not_get(price: Price, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "RING_BATCHES_MAX", 2)
    monkeypatch.setattr(stream_entries, "STEP_COUNT_MAX", 2)
    await price.publish(make_batches(5_000))

    call = price.stream(from_oldest=True, policy=SKIP, lag_records_max=1_000, with_lag=True)
    got = await read(call, to=5_000)
    call.cancel()

    [skipped] = [batch.skipped for batch in got if batch.HasField("skipped")]
    assert (skipped.first_sequence, skipped.last_sequence, skipped.records) == (1, 4_000, 4_000)
    assert mids_in(got) == [mid for mid in price.all if mid[0] > 4_000]
    assert skipped.to_arrival_time_ns == got[0].arrival_time_ns[0]
    assert [batch.lag.records for batch in got] == [5_000 - batch.last_sequence for batch in got]
    assert [batch.lag.data_time_ns for batch in got] == [price.all[-1][3] - batch.arrival_time_ns[-1] for batch in got]


async def test_mids_from_an_arrival_time(price: Price) -> None:
    await price.publish(make_batches(2_000))
    middle = price.all[len(price.all) // 2]
    wanted = [mid for mid in price.all if mid[3] >= middle[3]]
    before_all = price.all[0][3] - 10**9

    for time_ns, expected in ((middle[3], wanted), (before_all, price.all)):
        call = price.stream(from_arrival_time_ns=time_ns)
        assert mids_in(await read(call, to=2_000)) == expected
        call.cancel()

    price.queue.client.xtrim(price.queue.keys.mids, minid="0-501", approximate=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(price.stream(from_arrival_time_ns=before_all)))
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert "the oldest retained is 501" in str(caught.value.details())


async def test_a_private_session_waits_for_who_reads_its_mids(price: Price) -> None:
    queue = price.queue
    block = market_pb2.SUBSCRIBER_POLICY_BLOCK
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(price.stream(policy=block)))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    queue.client.set(queue.keys.definition, SessionDefinition(files=("a.csv",), private=True).encode())
    batches = make_batches(500)
    for batch in batches:
        queue.client.xadd(queue.keys.ticks, {"b": batch.payload}, id=f"0-{batch.first_sequence}")
    await price.publish(batches)

    call = price.stream(policy=block, from_oldest=True)
    await read(call, to=500)

    def committed() -> int:
        """The position of the reader's group, which stands in the stream of ticks."""
        for group in queue.client.xinfo_groups(queue.keys.ticks):
            if group["name"].startswith(READER_GROUP_PREFIX.encode()):
                return int(group["last-delivered-id"].split(b"-")[1])
        return -1

    await until(lambda: committed() == 500)
    # Records without a mid leave nothing in the mids stream; who has every mid has these, too.
    price.priced.committed_sequence = 700
    await until(lambda: committed() == 700)
    call.cancel()
    await until(lambda: committed() == -1)


async def test_resuming_over_a_new_numbering_never_skips_silently(price: Price) -> None:
    await price.publish(make_batches(300))
    resumed = price.stream(after_sequence=300, epoch="epoch-1")
    await resumed.initial_metadata()
    price.made.clear()
    await price.publish(make_batches(600, epoch="epoch-2", seed=5))

    # Who is there gets the new numbering from its beginning; who comes is refused.
    got = await read(resumed, to=600)
    resumed.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(price.stream(after_sequence=300, epoch="epoch-1")))

    assert {batch.epoch for batch in got} == {"epoch-2"}
    assert mids_in(got) == price.all
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert "`epoch-1` is over" in str(caught.value.details())
    conflated = price.stream(after_sequence=300, epoch="epoch-2", policy=CONFLATE)
    assert {mid[1]: mid for mid in mids_in(await read(conflated, to=600))} == {
        mid[1]: mid for mid in price.all if mid[0] > 300
    }
    conflated.cancel()

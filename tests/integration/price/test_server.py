"""The price server over a real channel: health, mids, subscriptions, computations."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fastpath.frame import MODE_HISTORICAL, TickFrame
from fastpath.midprice import PriceKernel
from fastpath.mids import MidFrame
from protos.price.v1 import price_pb2 as pb
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from services.runtime.embedded import EmbeddedRedis
from tests.integration.price.harness import PATIENCE_S, Queue, read_logs, wait_for
from tests.support.price_batches import THRESHOLD_NS, Batch, expected_logs, make_batches

SERVICE = "midstream.price.v1.PriceService"


class Server:
    """One `python -m services.price`."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._ready = directory / f"ready-{len(list(directory.iterdir()))}.json"
        surroundings = {key: value for key, value in os.environ.items() if not key.startswith("MIDSTREAM_")}
        self.stderr_path = self._ready.with_suffix(".stderr")
        with self.stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.price"],
                stderr=stderr,
                env=surroundings
                | {"MIDSTREAM_READY_FILE": str(self._ready), "MIDSTREAM_PRICE_PORT": "0", "MIDSTREAM_PRICE_METRICS_PORT": "0"}
                | environment,
            )  # fmt: skip

    def ready(self) -> dict[str, int]:
        def found() -> dict[str, int]:
            assert self.process.poll() is None, self.stderr_path.read_text()
            return json.loads(self._ready.read_text()) if self._ready.exists() else {}

        return wait_for(found, what="the server's ready file")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ready()['port']}"

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def start_server(redis_url: str, session: str, tmp_path: Path, out: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []
    directory = tmp_path / "servers"
    directory.mkdir()

    def start(**environment: str) -> Server:
        settings = {"MIDSTREAM_REDIS_URL": redis_url, "MIDSTREAM_SESSION": session, "MIDSTREAM_OUT": str(out)}
        server = Server(directory, settings | environment)
        servers.append(server)
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


async def wait_health(channel: grpc.aio.Channel, *, serving: bool) -> None:
    """Watch the service's health until it is as wanted."""
    wanted = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    stub = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(PATIENCE_S):
        call = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        async for response in call:
            if response.status == wanted:
                call.cancel()
                return


def mids_of(batches: list[Batch]) -> list[tuple[int, str, int, int, float]]:
    """Return what the kernel makes of the batches: (sequence, ticker, event ns, arrival ns, mid) per mid."""
    kernel = PriceKernel(latency_threshold_ns=THRESHOLD_NS)
    found: list[tuple[int, str, int, int, float]] = []
    for batch in batches:
        kernel.process(TickFrame(batch.payload))
        if encoded := kernel.take_mid_batch():
            found += MidFrame(encoded).mids()
    return found


def mids_in(response: pb.StreamMidPricesResponse) -> list[tuple[int, str, int, int, float]]:
    batch = response.batch
    columns = zip(
        batch.sequence, batch.ticker_index, batch.event_time_ns, batch.arrival_time_ns, batch.mid_price, strict=True
    )
    return [(sequence, batch.tickers[index], event, arrival, mid) for sequence, index, event, arrival, mid in columns]


async def collect(
    call: AsyncIterator[pb.StreamMidPricesResponse], count: int
) -> list[tuple[int, str, int, int, float]]:
    """Read a stream until it gave `count` mids."""
    found: list[tuple[int, str, int, int, float]] = []
    async with asyncio.timeout(PATIENCE_S):
        async for response in call:
            found += mids_in(response)
            if len(found) >= count:
                return found
    raise AssertionError(f"the stream ended after {len(found)} of {count} mids")


@pytest.mark.quick
async def test_latest_mid_is_the_last_one_of_its_ticker(
    start_server: Callable[..., Server], queue: Queue, session: str, out: Path
) -> None:
    batches = make_batches(1_000)
    server = start_server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = PriceServiceStub(channel)
        await wait_health(channel, serving=True)
        stream = stub.StreamMidPrices(pb.StreamMidPricesRequest(session=session))
        await stream.initial_metadata()
        queue.publish(batches)
        streamed = await collect(stream, len(mids_of(batches)))
        stream.cancel()

        sequence, ticker, event, arrival, mid = mids_of(batches)[-1]
        response = await stub.GetMidPrice(pb.GetMidPriceRequest(ticker=ticker, session=session))

    assert streamed == mids_of(batches)
    assert response.mid_price == pb.MidPrice(
        ticker=ticker,
        mid_price=mid,
        event_time_ns=event,
        arrival_time_ns=arrival,
        sequence=sequence,
        mode=MODE_HISTORICAL,
    )
    queue.wait_committed(1_000)
    assert server.stop() == 0
    assert read_logs(out).mids == expected_logs(batches).mids


async def test_requests_that_cannot_be_served_say_why(
    start_server: Callable[..., Server], queue: Queue, session: str
) -> None:
    server = start_server()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = PriceServiceStub(channel)
        await wait_health(channel, serving=True)

        async def refusal(call: object) -> tuple[grpc.StatusCode, str]:
            answer = call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await answer  # type: ignore[misc]
            return caught.value.code(), caught.value.details() or ""

        code, text = await refusal(stub.GetMidPrice(pb.GetMidPriceRequest(session=session)))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "`ticker`" in text
        code, text = await refusal(stub.GetMidPrice(pb.GetMidPriceRequest(ticker="GHOST", session=session)))
        assert code == grpc.StatusCode.NOT_FOUND
        assert "GHOST" in text
        code, text = await refusal(stub.GetMidPrice(pb.GetMidPriceRequest(ticker="X", session="default")))
        assert code == grpc.StatusCode.NOT_FOUND
        assert "`default`" in text
        code, text = await refusal(stub.GetMidPrice(pb.GetMidPriceRequest(ticker="X", session="a b")))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        for after in (10**9, 1 << 63, (1 << 64) - 1):
            code, text = await refusal(
                stub.StreamMidPrices(pb.StreamMidPricesRequest(session=session, after_sequence=after))
            )
            assert code == grpc.StatusCode.OUT_OF_RANGE
        code, text = await refusal(stub.ComputeMidPrices(pb.ComputeMidPricesRequest(bid_price=[1.0], ask_price=[])))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "`ask_price`" in text
        code, text = await refusal(
            stub.ComputeMidPrices(pb.ComputeMidPricesRequest(bid_price=[1.0], ask_price=[1.0], bid_amount=[1.0, 2.0]))
        )
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "`bid_amount`" in text
        too_many = [1.0] * 100_001
        code, text = await refusal(
            stub.ComputeMidPrices(pb.ComputeMidPricesRequest(bid_price=too_many, ask_price=too_many))
        )
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "100000" in text


@pytest.mark.parametrize("quotes", [3, 30_000], ids=["inline", "in a thread"])
async def test_computed_mids_name_the_missing_sides(start_server: Callable[..., Server], quotes: int) -> None:
    bid = [100.0, math.nan, 0.0] * (quotes // 3)
    ask = [101.0, 5.0, 3.0] * (quotes // 3)
    amounts = [1.0, 1.0, 0.0] * (quotes // 3)
    async with grpc.aio.insecure_channel(start_server().address) as channel:
        response = await PriceServiceStub(channel).ComputeMidPrices(
            pb.ComputeMidPricesRequest(bid_price=bid, ask_price=ask, bid_amount=amounts)
        )

    assert len(response.mid_price) == quotes
    assert response.mid_price[0] == 100.5
    assert all(math.isnan(response.mid_price[index]) for index in response.missing_side)
    assert list(response.missing_side) == [index for index in range(quotes) if index % 3]


async def test_subscriber_resumes_in_the_middle_of_a_batch_without_gap_or_repeat(
    start_server: Callable[..., Server], queue: Queue, session: str
) -> None:
    batches = make_batches(2_000)
    expected = mids_of(batches)
    queue.publish(batches)
    async with grpc.aio.insecure_channel(start_server().address) as channel:
        stub = PriceServiceStub(channel)
        await wait_health(channel, serving=True)
        queue.wait_committed(2_000)
        everything = stub.StreamMidPrices(pb.StreamMidPricesRequest(session=session, from_oldest=True))
        assert await collect(everything, len(expected)) == expected
        for after in (0, 149, expected[-2][0]):
            rest = [mid for mid in expected if mid[0] > after]
            resumed = stub.StreamMidPrices(pb.StreamMidPricesRequest(session=session, after_sequence=after))
            assert await collect(resumed, len(rest)) == rest
        ticker = expected[0][1]
        of_ticker = [mid for mid in expected if mid[1] == ticker]
        filtered = stub.StreamMidPrices(pb.StreamMidPricesRequest(session=session, tickers=[ticker], from_oldest=True))
        assert await collect(filtered, len(of_ticker)) == of_ticker


async def test_without_a_session_the_server_s_own_is_meant(
    start_server: Callable[..., Server], queue: Queue, session: str
) -> None:
    batches = make_batches(200)
    queue.publish(batches)
    sequence, ticker, *_ = mids_of(batches)[-1]
    async with grpc.aio.insecure_channel(start_server().address) as channel:
        stub = PriceServiceStub(channel)
        await wait_health(channel, serving=True)
        queue.wait_committed(200)

        asked = await stub.GetMidPrice(pb.GetMidPriceRequest(ticker=ticker), wait_for_ready=True)
        streamed = await collect(stub.StreamMidPrices(pb.StreamMidPricesRequest(from_oldest=True)), 1)

    assert asked.mid_price.sequence == sequence
    assert streamed == mids_of(batches)[: len(streamed)]


async def test_subscriber_resumes_within_its_epoch_only(
    start_server: Callable[..., Server], queue: Queue, session: str
) -> None:
    batches = make_batches(2_000, epoch="the-new-one")
    expected = mids_of(batches)
    queue.publish(batches)
    async with grpc.aio.insecure_channel(start_server().address) as channel:
        stub = PriceServiceStub(channel)
        await wait_health(channel, serving=True)
        queue.wait_committed(2_000)

        for epoch in ("", "the-new-one"):
            request = pb.StreamMidPricesRequest(after_sequence=1_000, epoch=epoch)
            rest = [mid for mid in expected if mid[0] > 1_000]
            assert await collect(stub.StreamMidPrices(request), len(rest)) == rest
        for after in (0, 1_000, 2_000):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.StreamMidPrices(pb.StreamMidPricesRequest(after_sequence=after, epoch="the-old-one")).read()
            assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
            assert "`the-old-one` is over; the current one is `the-new-one`" in str(caught.value.details())


async def test_subscriber_that_asks_for_trimmed_mids_is_told_the_oldest(
    start_server: Callable[..., Server], queue: Queue, session: str
) -> None:
    batches = make_batches(4_000, rows_per_batch=4_000) + make_batches(
        4_000, rows_per_batch=4_000, first_sequence=4_001
    )
    batches += make_batches(4_000, first_sequence=8_001, seed=2)
    queue.publish(batches)
    async with grpc.aio.insecure_channel(start_server(MIDSTREAM_RETAIN_BYTES="1").address) as channel:
        stub = PriceServiceStub(channel)
        await wait_health(channel, serving=True)
        queue.wait_committed(12_000)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.StreamMidPrices(pb.StreamMidPricesRequest(session=session, after_sequence=1)):
                pass

    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert "oldest retained" in (caught.value.details() or "")


async def test_mids_off_is_a_failed_precondition_that_names_the_setting(
    start_server: Callable[..., Server], queue: Queue, session: str, out: Path
) -> None:
    batches = make_batches(500)
    queue.publish(batches)
    async with grpc.aio.insecure_channel(start_server(MIDSTREAM_MIDS="off").address) as channel:
        await wait_health(channel, serving=True)
        queue.wait_committed(500)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await PriceServiceStub(channel).GetMidPrice(pb.GetMidPriceRequest(ticker="X", session=session))

    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "MIDSTREAM_MIDS" in (caught.value.details() or "")
    assert queue.client.exists(queue.keys.mids) == 0
    assert read_logs(out).mids == expected_logs(batches).mids


async def test_second_server_stands_by_and_takes_over_when_the_first_is_killed(
    start_server: Callable[..., Server], queue: Queue, out: Path
) -> None:
    batches = make_batches(2_000)
    first = start_server()
    async with grpc.aio.insecure_channel(first.address) as channel:
        await wait_health(channel, serving=True)
    queue.publish(batches[:10])
    queue.wait_committed(batches[9].last_sequence)
    second = start_server()
    async with grpc.aio.insecure_channel(second.address) as channel:
        await wait_health(channel, serving=False)
        first.process.kill()
        first.process.wait()
        queue.publish(batches[10:])
        await wait_health(channel, serving=True)
        queue.wait_committed(2_000)

    assert second.stop() == 0
    assert read_logs(out).mids == expected_logs(batches).mids
    assert read_logs(out).errors == expected_logs(batches).errors


async def test_health_follows_redis(start_server: Callable[..., Server], tmp_path: Path) -> None:
    private = EmbeddedRedis.start(tmp_path / "private", append_only=False)
    try:
        async with grpc.aio.insecure_channel(start_server(MIDSTREAM_REDIS_URL=private.url).address) as channel:
            await wait_health(channel, serving=True)

            private.stop()

            await wait_health(channel, serving=False)
    finally:
        private.stop()


def test_sigterm_commits_and_exits_0(start_server: Callable[..., Server], queue: Queue, out: Path) -> None:
    batches = make_batches(3_000)
    server = start_server()
    server.ready()
    queue.publish(batches)
    queue.wait_committed(1)

    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(PATIENCE_S)

    assert code == 0
    assert expected_logs(batches).mids.startswith(read_logs(out).mids)


def test_second_server_that_must_not_wait_is_refused_in_one_line(
    start_server: Callable[..., Server], queue: Queue, out: Path
) -> None:
    start_server().ready()
    wait_for(queue.announcement, what="the first server's announcement")

    second = start_server(MIDSTREAM_LOCK_WAIT="off", MIDSTREAM_LOG_LEVEL="error")

    assert second.process.wait(PATIENCE_S) == 2
    lines = second.stderr_path.read_text().splitlines()
    assert len(lines) == 1
    assert "is written by process" in lines[0]


@pytest.mark.long
def test_server_on_a_full_disk_gives_up_and_resumes_exactly(
    start_server: Callable[..., Server], queue: Queue, out: Path
) -> None:
    batches = make_batches(1_000)
    queue.publish(batches[:5])
    first = start_server()
    queue.wait_committed(500)
    assert first.stop() == 0
    queue.publish(batches[5:])

    full = start_server(MIDSTREAM_FAULT="sink_before_write:1:enospc")
    code = full.process.wait(60)

    assert code == 1
    assert "No space left" in queue.announcement()["finished_error"]
    assert queue.announcement()["sequence"] == 500
    start_server()
    queue.wait_committed(1_000)
    assert read_logs(out).mids == expected_logs(batches).mids


def test_wrong_settings_are_all_named_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server(
        MIDSTREAM_LATENCY_THRESHOLD_MS="fast", MIDSTREAM_LOG_TIMESTAMP="receive", MIDSTREAM_SINK="a b", MIDSTREAM_MIDS="2"
    )  # fmt: skip

    assert server.process.wait(PATIENCE_S) == 2
    text = server.stderr_path.read_text()
    for name in ("LATENCY_THRESHOLD_MS", "LOG_TIMESTAMP", "SINK", "MIDS"):
        assert f"MIDSTREAM_{name}" in text

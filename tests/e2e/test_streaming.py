"""ReplayService and PriceService under load: positions, filters, and a client that does not keep up."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from protos.common.v1.market_pb2 import MODE_HISTORICAL, MODE_LIVE, TickBatch
from protos.price.v1 import price_pb2
from protos.price.v1.price_pb2_grpc import PriceServiceStub
from protos.replay.v1.replay_pb2 import GetSessionRequest, StreamTicksRequest
from protos.replay.v1.replay_pb2_grpc import ReplayServiceStub
from tests.support.cli import until
from tests.support.made_ticks import MADE_TICKERS, write_made_ticks
from tests.support.serving import CALL_S, Serving, sequences, serving, ticks

ROWS = 450_000
"""More than the 16 MiB that a replay server keeps in memory for its subscribers."""
TRAILER = "midstream-last-sequence"


@dataclass(frozen=True)
class Flood:
    """A session in which half a million ticks passed while one client did not read."""

    servers: Serving
    slow_code: grpc.StatusCode
    slow_details: str
    slow_last_sequence: int
    slow_received: int
    fast: list[TickBatch]
    fast_mids: list[float]


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flood]:
    directory = tmp_path_factory.mktemp("flood")
    made = write_made_ticks(directory / "made.csv", ROWS, step_us=10)
    # Nearly standing still, so that every subscriber is there before the flood.
    settings = {"HISTORICAL": str(made), "SPEED": "0.001", "HIGH_BYTES": str(2**21), "RETAIN_BYTES": str(2**22)}
    with serving(directory / "out", **settings) as servers:
        until(lambda: servers.state().get("last_sequence"), what="first record")
        slow = ReplayServiceStub(servers.channel("replay")).StreamTicks(StreamTicksRequest(), timeout=3 * CALL_S)
        slow_received = next(iter(slow)).last_sequence
        fast: list[TickBatch] = []
        fast_mids: list[float] = []
        readers = [
            threading.Thread(target=_read_ticks, args=(servers, fast)),
            threading.Thread(target=_read_mids, args=(servers, fast_mids)),
        ]
        for reader in readers:
            reader.start()
        with servers.control() as control:
            control.set_speed(0)
        for reader in readers:
            reader.join(timeout=CALL_S)
        # Until it is trimmed, what the slow client has not read is there for it.
        until(lambda: servers.state().get("oldest_sequence", 0) > ROWS // 2, what="the trimming of what was read")
        try:
            for batch in slow:
                slow_received = batch.last_sequence
        except grpc.RpcError as exc:
            trailers: dict[str, Any] = dict(exc.trailing_metadata())
            yield Flood(
                servers, exc.code(), exc.details(), int(trailers.get(TRAILER, -1)), slow_received, fast, fast_mids
            )
        else:
            raise AssertionError("the stream of the slow client ended without an error")


def _read_ticks(servers: Serving, into: list[TickBatch]) -> None:
    with grpc.insecure_channel(servers.address("replay")) as channel:
        stream = ReplayServiceStub(channel).StreamTicks(StreamTicksRequest(), timeout=CALL_S)
        for batch in stream:
            into.append(batch)
            if batch.last_sequence >= ROWS:
                stream.cancel()
                return


def _read_mids(servers: Serving, into: list[float]) -> None:
    with grpc.insecure_channel(servers.address("price")) as channel:
        request = price_pb2.StreamMidPricesRequest(after_sequence=0)
        stream = PriceServiceStub(channel).StreamMidPrices(request, timeout=CALL_S)
        for answer in stream:
            into.extend(answer.batch.mid_price)
            if answer.batch.last_sequence >= ROWS:
                stream.cancel()
                return


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """Return code and message of a call that has to fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), str(caught.value.details())


def test_slow_client_is_disconnected_with_the_last_sequence_it_was_sent(flood: Flood) -> None:
    assert flood.slow_code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert flood.slow_last_sequence == flood.slow_received < ROWS
    assert str(flood.slow_last_sequence) in flood.slow_details


def test_other_clients_get_everything_in_order_meanwhile(flood: Flood) -> None:
    assert sequences(flood.fast) == list(range(1, ROWS + 1))
    assert [tick[3] for tick in ticks(flood.fast)] == list(range(1, ROWS + 1))
    assert flood.fast_mids == [row + 0.5 for row in range(1, ROWS + 1)]


def test_position_inside_of_a_batch_continues_with_the_very_next_record(flood: Flood) -> None:
    entry = flood.fast[-2]
    after = entry.first_sequence + 5

    batches = flood.servers.stream(after_sequence=after, epoch=entry.epoch, to=ROWS)

    assert sequences(batches) == list(range(after + 1, ROWS + 1))
    assert [tick[3] for tick in ticks(batches)] == list(range(after + 1, ROWS + 1))


def test_ticker_filter_keeps_the_numbers_of_what_it_keeps(flood: Flood) -> None:
    after = flood.fast[-2].first_sequence + 5
    wanted = [row for row in range(after + 1, ROWS + 1) if row % 3 == 1]

    batches = flood.servers.stream(after_sequence=after, tickers=[MADE_TICKERS[1]], to=ROWS)

    assert [sequence for batch in batches for sequence in batch.tick_sequence] == wanted
    assert [tick[3] for tick in ticks(batches)] == wanted


def oldest_of(flood: Flood) -> int:
    return int(flood.servers.replay.GetSession(GetSessionRequest()).session.oldest_sequence)


def test_positions_that_cannot_be_served_are_out_of_range_naming_the_oldest(flood: Flood) -> None:
    before = oldest_of(flood)
    assert before > 1

    def stream(**request: Any) -> Callable[[], Any]:
        return lambda: flood.servers.stream(to=ROWS, **request)

    code, details = refused(stream(after_sequence=1))
    named = int(details.rpartition(" ")[2])
    assert (code, before <= named) == (grpc.StatusCode.OUT_OF_RANGE, True), details
    # The engine reports a few times a second; the stream may have been trimmed since.
    until(lambda: oldest_of(flood) == named, what="a report that names the same oldest sequence")
    code, details = refused(stream(after_sequence=ROWS + 10**9))
    assert (code, str(ROWS) in details) == (grpc.StatusCode.OUT_OF_RANGE, True), details
    code, details = refused(stream(after_sequence=ROWS, epoch="another"))
    assert (code, "another" in details) == (grpc.StatusCode.OUT_OF_RANGE, True), details
    code, details = refused(stream(session="nobody"))
    assert (code, "nobody" in details) == (grpc.StatusCode.NOT_FOUND, True), details
    code, details = refused(stream(session="no/body"))
    assert (code, "session" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details


def test_stream_without_position_begins_at_the_oldest_retained(flood: Flood) -> None:
    before = oldest_of(flood)

    batches = flood.servers.stream(to=ROWS)

    found = sequences(batches)
    assert found == list(range(found[0], ROWS + 1))
    assert before <= found[0]
    until(lambda: oldest_of(flood) == found[0], what="a report that names the same oldest sequence")


def test_mid_prices_are_computed_from_a_batch_of_quotes(flood: Flood) -> None:
    request = price_pb2.ComputeMidPricesRequest(
        bid_price=[100, 7, math.nan, 0], ask_price=[101, 9, 1, 5], bid_amount=[1, 1, 1, 0], ask_amount=[1, 1, 1, 1]
    )

    answer = flood.servers.price.ComputeMidPrices(request)

    assert list(answer.mid_price[:2]) == [100.5, 8.0]
    assert all(math.isnan(mid) for mid in answer.mid_price[2:])
    assert list(answer.missing_side) == [2, 3]
    code, details = refused(
        lambda: flood.servers.price.ComputeMidPrices(price_pb2.ComputeMidPricesRequest(bid_price=[1]))
    )
    assert (code, "ask_price" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details


def test_latest_mid_price_is_that_of_the_last_tick(flood: Flood) -> None:
    flood.servers.wait_committed(ROWS)
    last = max(row for row in range(ROWS - 3, ROWS + 1) if row % 3 == 2)

    def latest() -> Any:
        mid = flood.servers.price.GetMidPrice(price_pb2.GetMidPriceRequest(ticker=MADE_TICKERS[2])).mid_price
        return mid if mid.sequence == last else None

    mid = until(latest, what="the last mid")
    assert (mid.mid_price, mid.mode) == (last + 0.5, MODE_HISTORICAL)
    code, details = refused(lambda: flood.servers.price.GetMidPrice(price_pb2.GetMidPriceRequest(ticker="NOBODY")))
    assert (code, "NOBODY" in details) == (grpc.StatusCode.NOT_FOUND, True), details


def test_streams_from_now_begin_with_what_is_published_next(flood: Flood) -> None:
    """Last in this file: the session is live from here on."""
    servers = flood.servers
    before = int(servers.state()["last_sequence"])
    stream = servers.replay.StreamTicks(StreamTicksRequest(from_now=True), timeout=CALL_S)
    mids = servers.price.StreamMidPrices(price_pb2.StreamMidPricesRequest(), timeout=CALL_S)
    # Headers come with the first message, so there is nothing else that tells that both have subscribed.
    filtered = servers.stream(after_sequence=before - 1, to=before)
    assert sequences(filtered) == [before]

    with servers.control() as control:
        control.set_mode("live")
    batch = next(iter(stream))
    answer = next(iter(mids))
    stream.cancel()
    mids.cancel()

    assert batch.first_sequence > before
    assert batch.mode == answer.batch.mode == MODE_LIVE
    assert answer.batch.first_sequence > before

"""Created sessions on two servers of which one dies, and readers of a part of the mids over a move."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from clients.rpc import ControlClient
from protos.common.v1.market_pb2 import MidBatch, TickBatch
from protos.price.v1 import price_pb2
from protos.replay.v1 import replay_pb2 as pb
from tests.support.cli import until
from tests.support.created_sessions import BEGIN_NS, CALL_S, Servers, SessionCalls, reported, write_ticks
from tests.support.redis_server import RedisForTests
from tests.support.server_process import server_process

Start = Callable[..., Servers]


@contextlib.contextmanager
def control(running: Servers, session: str) -> Iterator[ControlClient]:
    server = running.start("control")
    with ControlClient(f"127.0.0.1:{server.announcement['port']}", session=session) as client:
        yield client


def numbers(batches: list[TickBatch]) -> list[int]:
    return [number for batch in batches for number in range(batch.first_sequence, batch.last_sequence + 1)]


@pytest.mark.long
def test_two_replay_servers_serve_one_session_and_the_second_takes_it_over(
    servers: Start, data: Path, tmp_path: Path, own_client: redis.Redis, own_redis: RedisForTests
) -> None:
    rows = 20_000
    write_ticks(data / "paced.csv", rows)
    running = servers()
    (tmp_path / "second").mkdir()
    with (
        control(running, "paced") as commands,
        server_process(
            "replay",
            tmp_path / "second",
            REDIS_URL=own_redis.url,
            HISTORICAL=str(data / "own.csv"),
            # A server's own session has one server.
            SESSION="second",
        ) as second,
    ):
        running.calls.create("paced", files=["paced.csv"], rate=4_000.0)
        others = SessionCalls(second.channel)
        before = until(lambda: (found := others.get("paced")).last_sequence > 100 and found, what="the first ticks")
        # Or all of it might be published before the first one dies.
        commands.pause()
        first_pid = reported(own_client, "paced")["pid"]
        to = before.last_sequence
        assert [batch.SerializeToString() for batch in running.calls.ticks("paced", to=to)] == [
            batch.SerializeToString() for batch in others.ticks("paced", to=to)
        ]

        running.replay.kill()
        until(
            lambda: reported(own_client, "paced")["pid"] not in (0, first_pid), what="the engine of the second server"
        )
        commands.resume()
        done = others.wait_state("paced", pb.SESSION_STATE_COMPLETED)
        others.wait_read("paced", rows=rows)
        read = others.ticks("paced", to=rows)

        assert (done.epoch, done.last_sequence) == (before.epoch, rows)
        assert numbers(read) == list(range(1, rows + 1))
        assert running.log("paced").count(b"\n") == rows


@pytest.mark.long
def test_a_filtered_stream_of_mids_gets_the_state_of_its_tickers_after_a_move(servers: Start, data: Path) -> None:
    rows, asked_ns = 300, BEGIN_NS + 1_000_000_000
    for ticker in ("ETH", "SOL"):
        write_ticks(data / f"{ticker}.csv", rows, ticker=ticker)
    running = servers()
    running.calls.create("two", files=["ETH.csv", "SOL.csv"])
    running.calls.wait_read("two", rows=2 * rows)
    request = price_pb2.StreamMidPricesRequest(session="two", tickers=["ETH"])
    stream = running.mids.StreamMidPrices(request, timeout=CALL_S)
    stream.initial_metadata()

    with control(running, "two") as steer:
        steer.seek(arrival_time_ns=asked_ns)
    batches: list[MidBatch] = []
    while sum(len(batch.mid_price) for batch in batches) < rows - 100:
        batches.append(next(stream).batch)
    stream.cancel()

    [state] = [batch.state for batch in batches if batch.HasField("state")]
    # Row 99 arrived at 0.995 s, the last before it.
    assert [(mid.ticker, mid.arrival_time_ns, mid.mid_price) for mid in state.mids] == [
        ("ETH", BEGIN_NS + 995_000_000, 149.5)
    ]
    assert {ticker for batch in batches for ticker in batch.tickers} == {"ETH"}
    arrivals = [time_ns for batch in batches for time_ns in batch.arrival_time_ns]
    assert arrivals == [BEGIN_NS + row * 10_000_000 + 5_000_000 for row in range(100, rows)]

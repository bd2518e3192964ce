"""Many sessions at once: what happens to one is nothing to the others, and nothing is lost of any."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
import redis

from protos.price.v1 import price_pb2
from protos.replay.v1 import replay_pb2 as pb
from services.runtime.session.keys import SessionKeys
from tests.support.cli import replay, until
from tests.support.created_sessions import CALL_S, Servers, reported, write_ticks
from tests.support.redis_server import RedisForTests
from tests.support.server_process import SERVING

ROWS = 20_000
BLOCKED_ROWS = 80_000
SMALL_QUEUE = str(2 * 1024 * 1024)

Start = Callable[..., Servers]


def single_run(file: Path, out: Path) -> bytes:
    """What one replay of a file alone writes."""
    replay([file], out)
    return (out / "mid_prices.log").read_bytes()


@pytest.mark.nightly
def test_one_session_without_its_file_and_one_that_nobody_reads_are_nothing_to_the_others(
    servers: Start, data: Path, tmp_path: Path, own_client: redis.Redis
) -> None:
    write_ticks(data / "eth.csv", ROWS, ticker="ETH")
    write_ticks(data / "sol.csv", ROWS, ticker="SOL")
    write_ticks(data / "much.csv", BLOCKED_ROWS)
    running = servers(HIGH_BYTES=SMALL_QUEUE)
    calls = running.calls

    calls.create("blocked", files=["much.csv"], sinks=["never"])
    calls.create("missing", files=["not-there.csv"])
    blocked = calls.wait_state("blocked", pb.SESSION_STATE_BACKPRESSURED)
    calls.create("eth", files=["eth.csv"])
    calls.create("sol", files=["sol.csv"])
    failed = calls.wait_state("missing", pb.SESSION_STATE_FAILED)
    for name in ("eth", "sol"):
        calls.wait_state(name, pb.SESSION_STATE_COMPLETED)
        calls.wait_read(name, rows=ROWS)

    assert 0 < blocked.last_sequence < BLOCKED_ROWS
    assert "not-there.csv" in failed.error
    assert running.replay.health() == running.price.health() == SERVING
    assert running.log("eth") == single_run(data / "eth.csv", tmp_path / "single-eth")
    assert running.log("sol") == single_run(data / "sol.csv", tmp_path / "single-sol")
    price = running.mids.GetMidPrice(price_pb2.GetMidPriceRequest(session="eth", ticker="ETH"), timeout=CALL_S)
    assert price.mid_price.sequence == ROWS
    with pytest.raises(grpc.RpcError):
        running.mids.GetMidPrice(price_pb2.GetMidPriceRequest(session="sol", ticker="ETH"), timeout=CALL_S)

    logs = calls.delete("eth")

    assert logs == {"price": str(running.out / "eth")}
    assert running.log("eth")
    assert not own_client.exists(*SessionKeys("eth").everything)


@pytest.mark.long
def test_an_engine_that_is_killed_and_a_server_that_is_killed_go_on_where_they_were(
    servers: Start, data: Path, tmp_path: Path, own_client: redis.Redis
) -> None:
    write_ticks(data / "paced.csv", ROWS)
    write_ticks(data / "other.csv", ROWS)
    running = servers()
    running.calls.create("paced", files=["paced.csv"], rate=4_000.0, time_debt=pb.TimeDebt.POLICY_STRETCH)
    running.calls.create("other", files=["other.csv"], speed=40.0)
    until(lambda: running.calls.get("paced").last_sequence > 100, what="the first ticks")
    until(lambda: "pid" in reported(own_client, "other"), what="the other engine")
    first, other = running.calls.get("paced"), reported(own_client, "other")

    killed = reported(own_client, "paced")["pid"]
    os.kill(int(str(killed)), signal.SIGKILL)
    until(lambda: reported(own_client, "paced")["pid"] not in (0, killed), what="the next engine")
    until(lambda: running.calls.get("paced").last_sequence > first.last_sequence, what="its first ticks")
    assert reported(own_client, "other")["pid"] == other["pid"]
    running.restart_replay()
    done = running.calls.wait_state("paced", pb.SESSION_STATE_COMPLETED)
    running.calls.wait_read("paced", rows=ROWS)

    assert (done.epoch, done.last_sequence) == (first.epoch, ROWS)
    assert (done.pacing.rate, done.time_debt.policy) == (4_000.0, pb.TimeDebt.POLICY_STRETCH)
    assert running.log("paced") == single_run(data / "paced.csv", tmp_path / "single")
    assert running.calls.wait_state("other", pb.SESSION_STATE_COMPLETED).last_sequence == ROWS


def test_figures_of_a_session_are_its_own_and_go_with_it(servers: Start, data: Path) -> None:
    write_ticks(data / "eth.csv", 300, ticker="ETH")
    running = servers()
    for name in ("eth", "kept"):
        running.calls.create(name, files=["eth.csv"])
        running.calls.wait_read(name, rows=300)
    rows, mids = (f'midstream_session_{what}_total{{session="eth"}} 300.0' for what in ("replay_rows", "price_mids"))
    until(lambda: rows in running.replay.figures(), what="what the engine took in")
    until(lambda: mids in running.price.figures(), what="what the sink wrote")
    until(lambda: "midstream_price_mids_total 10.0" in running.price.figures(), what="mids of the server's own session")
    assert "midstream_replay_rows_total 10.0" in running.replay.figures()

    running.calls.delete("eth")

    for server in (running.replay, running.price):
        # A text of the figures is kept for a moment.
        until(lambda server=server: 'session="eth"' not in server.figures(), what="the end of its figures")  # type: ignore[misc]
        assert 'session="kept"' in server.figures()


@pytest.mark.nightly
def test_a_session_of_the_same_name_begins_anew_and_spares_the_logs_of_the_first(servers: Start, data: Path) -> None:
    write_ticks(data / "first.csv", 300, ticker="ETH")
    write_ticks(data / "second.csv", 200, ticker="SOL")
    running = servers()
    running.calls.create("again", files=["first.csv"])
    running.calls.wait_read("again", rows=300)
    created_ns = running.calls.get("again").definition.created_time_ns
    running.calls.delete("again")
    first = running.log("again")

    running.calls.create("again", files=["second.csv"])
    running.calls.wait_read("again", rows=200)

    assert first.count(b"\n") == 300
    assert running.log("again").count(b"\n") == 200
    assert running.log(f"again~{created_ns}") == first


def test_a_redis_that_loses_everything_gets_the_definitions_back(
    servers: Start, data: Path, own_client: redis.Redis, own_redis: RedisForTests
) -> None:
    write_ticks(data / "eth.csv", 300, ticker="ETH")
    running = servers()
    before = running.calls.create("eth", files=["eth.csv"])
    running.calls.wait_read("eth", rows=300)
    log = running.log("eth")

    own_client.flushall()

    until(lambda: own_client.exists(SessionKeys("eth").definition), what="the definition")
    assert running.calls.get("eth").definition == before.definition
    assert running.log("eth") == log

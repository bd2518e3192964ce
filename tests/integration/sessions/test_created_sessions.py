"""Sessions that are created in a running replay server: a life of their own, and an end that leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import redis

from protos.replay.v1 import replay_pb2 as pb
from services.runtime.session.keys import DEFINED, SESSIONS, SessionKeys
from tests.support.cli import until
from tests.support.created_sessions import CALL_S, SessionCalls, write_ticks
from tests.support.server_process import SERVING, ServerProcess, server_process

ROWS = 2_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_ticks(folder / "own.csv", 10)
    return folder


@pytest.fixture
def server(redis_url: str, session_name: str, tmp_path: Path, data: Path) -> Iterator[ServerProcess]:
    with server_process(
        "replay",
        tmp_path,
        REDIS_URL=redis_url,
        SESSION=session_name,
        HISTORICAL=str(data / "own.csv"),
        SINKS="",
        SPEED="max",
    ) as running:
        yield running


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    assert isinstance(error, grpc.Call)
    return error.code()


def test_a_created_session_streams_what_its_files_hold_and_leaves_nothing_when_it_is_deleted(
    server: ServerProcess, data: Path, redis_client: redis.Redis, session_name: str
) -> None:
    write_ticks(data / "ticks.csv", ROWS, ticker="ETH")
    calls, name = SessionCalls(server.channel), f"{session_name}-a"

    created = calls.create(name, files=["ticks.csv"])
    batches = calls.ticks(name, to=ROWS)
    done = calls.wait_state(name, pb.SESSION_STATE_COMPLETED)
    again = calls.create(name, files=["ticks.csv"])

    assert created.definition.files == ["ticks.csv"]
    assert created.definition.sinks == ["none"]
    assert created.definition.created_time_ns == again.definition.created_time_ns > 0
    assert sum(len(batch.bid_price) for batch in batches) == ROWS == done.last_sequence
    assert set(batches[0].tickers) == {"ETH"}
    until(lambda: {session_name, name} <= set(calls.names()), what="both sessions listed")

    calls.delete(name)

    assert name not in calls.names()
    assert not redis_client.exists(*SessionKeys(name).everything)
    assert not redis_client.sismember(SESSIONS, name)
    assert not redis_client.sismember(DEFINED, name)
    with pytest.raises(grpc.RpcError) as gone:
        calls.delete(name)
    assert code_of(gone.value) == grpc.StatusCode.NOT_FOUND
    assert server.health() == SERVING


def test_nothing_is_left_of_a_session_of_four_partitions_also_where_its_definition_went_first(
    server: ServerProcess, data: Path, redis_client: redis.Redis, session_name: str
) -> None:
    with (data / "ticks.csv").open("w", encoding="ascii") as file:
        file.write("index,timestamp,ticker,bid_price,bid_amount,ask_price,ask_amount,latency\n")
        for row in range(40):
            file.write(f"{row},2026-01-01 00:00:{row:02}.000000,T{row % 13},100.25,1.0,100.75,1.0,5\n")
    calls, name = SessionCalls(server.channel), f"{session_name}-four"

    def kept() -> list[bytes]:
        return sorted(redis_client.scan_iter(match=f"midstream:{{{name}*"))

    calls.create(name, files=["ticks.csv"], partitions=4)
    assert calls.wait_state(name, pb.SESSION_STATE_COMPLETED).last_sequence == 40
    lying = kept()
    for number in range(4):
        assert SessionKeys(name, number).ticks.encode() in lying
    assert SessionKeys(name).partitions.encode() in lying
    calls.delete(name)
    assert kept() == []
    assert not redis_client.sismember(SESSIONS, name)

    # A deletion that was cut short behind its first step.
    calls.create(name, files=["ticks.csv"], partitions=4)
    calls.wait_state(name, pb.SESSION_STATE_COMPLETED)
    redis_client.delete(SessionKeys(name).definition)
    redis_client.srem(DEFINED, name)
    until(lambda: not kept(), what="the next look, which brings it to its end")
    assert not redis_client.sismember(SESSIONS, name)


def test_a_session_leaves_at_the_pace_that_it_was_created_with(
    server: ServerProcess, data: Path, session_name: str
) -> None:
    write_ticks(data / "ticks.csv", ROWS)
    calls, name = SessionCalls(server.channel), f"{session_name}-rate"

    calls.create(name, files=["ticks.csv"], rate=20_000.0, time_debt=pb.TimeDebt.POLICY_STRETCH)
    done = calls.wait_state(name, pb.SESSION_STATE_COMPLETED)

    # In real gaps it would be 20 s, and at full speed nothing would be paced.
    assert done.pacing.elapsed_ns > (ROWS - 1) / 20_000 * 1e9 * 0.9
    assert done.pacing.batches > 10
    assert (done.speed, done.pacing.rate, done.pacing.gap_cap_ns, done.pacing.delay_ns) == (1.0, 20_000.0, 0, 0)
    assert done.time_debt.policy == pb.TimeDebt.POLICY_STRETCH
    assert (done.definition.rate, done.definition.HasField("gap_cap_ns")) == (20_000.0, False)
    with pytest.raises(grpc.RpcError) as refused:
        calls.create(f"{name}2", files=["ticks.csv"], rate=1.0, delay_ns=5_000_000)
    assert code_of(refused.value) == grpc.StatusCode.INVALID_ARGUMENT
    assert f"{name}2" not in calls.names()
    calls.delete(name)


def test_the_streams_of_a_session_end_when_it_is_deleted_while_it_runs(
    server: ServerProcess, data: Path, session_name: str
) -> None:
    write_ticks(data / "slow.csv", ROWS, step_ms=1000)
    calls, name = SessionCalls(server.channel), f"{session_name}-slow"
    calls.create(name, files=["slow.csv"], speed=1.0)
    stream = calls.stub.StreamTicks(pb.StreamTicksRequest(session=name), timeout=CALL_S)
    assert next(stream).first_sequence == 1

    calls.delete(name)
    with pytest.raises(grpc.RpcError) as ended:
        list(stream)

    assert code_of(ended.value) == grpc.StatusCode.NOT_FOUND
    assert "was deleted" in str(ended.value)


def test_a_missing_file_fails_its_session_alone(server: ServerProcess, data: Path, session_name: str) -> None:
    write_ticks(data / "ticks.csv", ROWS)
    calls = SessionCalls(server.channel)
    bad, good = f"{session_name}-bad", f"{session_name}-good"

    calls.create(bad, files=["missing.csv"])
    calls.create(good, files=["ticks.csv"])
    failed = calls.wait_state(bad, pb.SESSION_STATE_FAILED)
    done = calls.wait_state(good, pb.SESSION_STATE_COMPLETED)

    assert "missing.csv" in failed.error
    assert (done.last_sequence, done.error) == (ROWS, "")
    assert server.health() == SERVING
    until(lambda: calls.get(session_name).state == pb.SESSION_STATE_COMPLETED, what="the server's own session")
    for name in (bad, good):
        calls.delete(name)

"""Recorded files through a real engine into a real Redis."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.integration.replay.engine.harness import HISTORICAL, EngineChild, Session, now_s, records
from tests.support.redis_server import RedisForTests
from tests.support.waiting import wait_until

Start = Callable[..., EngineChild]
HEADER = "index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount,latency\n"


@pytest.mark.quick
def test_the_sample_is_replayed_alike_at_any_speed(redis_url: str, session_name: str, start_engine: Start) -> None:
    results = []
    for name, speed in ((session_name, 0.0), (f"{session_name}.2", 40.0)):
        engine = start_engine(redis_url, name, speed=speed)
        engine.wait_state("COMPLETED")
        session = Session(redis_url, name)
        results.append(records(session.frames()))
        assert engine.stop() == 0
        assert session.state()["last_sequence"] == 20_007

    assert len(results[0]) == 20_007
    assert results[0] == results[1]


def test_killed_at_random_the_records_are_those_of_an_undisturbed_run(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    seed = Random().randrange(1 << 30)
    print("seed", seed)  # noqa: T201
    random = Random(seed)
    calm = start_engine(redis_url, f"{session_name}.calm")
    calm.wait_state("COMPLETED")
    calm.stop()
    session = Session(redis_url, session_name)
    for _ in range(4):
        before = session.last_sequence()
        engine = start_engine(redis_url, session_name, speed=20.0)
        goal = before + random.randrange(1, 4000)
        wait_until(lambda goal=goal: session.last_sequence() >= goal)  # type: ignore[misc]
        engine.kill()
    engine = start_engine(redis_url, session_name)
    engine.wait_state("COMPLETED")
    engine.stop()

    assert records(session.frames()) == records(Session(redis_url, f"{session_name}.calm").frames())


def test_pause_speed_and_resume_reach_the_engine_through_the_journal(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_url, session_name)
    engine = start_engine(redis_url, session_name, speed=1.0)
    session.intend(1, "pause")
    session.wait_applied(1)
    stood = session.last_sequence()
    session.intend(2, "speed", speed=30.0)
    session.intend(3, "mode", mode=2)
    session.wait_applied(3)
    state = session.state()
    assert session.last_sequence() == stood
    assert (state["paused"], state["speed"], state["mode"], state["state"]) == (True, 30.0, 1, "PAUSED")
    assert state["refused"]["revision"] == 3
    assert "MIDSTREAM_LIVE_URL" in state["refused"]["reason"]

    engine.kill()
    engine = start_engine(redis_url, session_name, speed=1.0)
    engine.wait_state("PAUSED")
    session.intend(4, "resume")
    engine.wait_state("COMPLETED")

    assert len(records(session.frames())) == 20_007


def test_redis_killed_and_restarted_is_filled_again_exactly(
    new_redis: Callable[..., RedisForTests], tmp_path: Path, start_engine: Start
) -> None:
    server = new_redis(append_only=True)
    link = tmp_path / "redis.sock"
    link.symlink_to(server.url.removeprefix("unix://").partition("?")[0])
    url = f"unix://{link}"
    engine = start_engine(url, "default", speed=4.0)
    session = Session(url, "default")
    wait_until(lambda: session.last_sequence() > 3000)
    server.kill()
    wait_until(lambda: bool(engine.events("unavailable")))
    server.restart()
    link.unlink()
    link.symlink_to(server.url.removeprefix("unix://").partition("?")[0])
    session = Session(url, "default")

    engine.wait_state("COMPLETED")

    assert len(records(session.frames())) == 20_007
    assert engine.process.poll() is None


def test_the_stream_deleted_in_the_middle_is_published_again(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_url, session_name)
    engine = start_engine(redis_url, session_name, speed=5.0)
    wait_until(lambda: session.last_sequence() > 2000)
    session.client.delete(session.keys.ticks, session.keys.fence, session.keys.checkpoint, session.keys.lease)

    engine.wait_state("COMPLETED")

    assert len(records(session.frames())) == 20_007


def test_a_second_engine_is_refused(redis_url: str, session_name: str, start_engine: Start) -> None:
    first = start_engine(redis_url, session_name, speed=1.0)
    first.wait_state("RUNNING")

    second = start_engine(redis_url, session_name, speed=1.0)

    assert second.wait() == 2
    (refused,) = second.events("refused")
    assert session_name in refused["message"]
    assert first.process.poll() is None
    assert Session(redis_url, session_name).state()["pid"] == first.process.pid


def test_an_engine_that_was_fenced_ends_with_one_clear_line(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    session = Session(redis_url, session_name)
    engine = start_engine(redis_url, session_name, speed=1.0)
    engine.wait_state("RUNNING")

    session.client.set(session.keys.fence, "somebody else")

    assert engine.wait() == 1
    assert engine.events("error")[-1]["message"] == f"another producer took over session {session_name}"
    assert engine.last_state()["state"] == "FAILED"


@pytest.mark.parametrize("speed", [0.0, 10_000.0])
def test_an_unsorted_file_ends_after_what_is_before_the_row(
    redis_url: str, session_name: str, tmp_path: Path, start_engine: Start, speed: float
) -> None:
    path = tmp_path / "unsorted.csv"
    rows = [f"{n},2025-01-01 00:{n // 600:02d}:{n // 10 % 60:02d}.{n % 10},A,1,2,1,1,5\n" for n in range(30_000)]
    path.write_text(HEADER + "".join([*rows, "30,2025-01-01 00:00:01,A,1,2,1,1,5\n"]))

    engine = start_engine(redis_url, session_name, historical=[str(path)], speed=speed)

    assert engine.wait() == 2
    (refused,) = engine.events("refused")
    assert "unsorted.csv" in refused["message"]
    assert engine.last_state()["state"] == "FAILED"
    assert 10_000 <= len(records(Session(redis_url, session_name).frames())) <= 30_000


def test_a_missing_file_is_refused_before_anything_is_published(
    redis_url: str, session_name: str, start_engine: Start
) -> None:
    engine = start_engine(redis_url, session_name, historical=["/nowhere/ticks.csv"])

    assert engine.wait() == 2
    assert "/nowhere/ticks.csv" in engine.events("refused")[0]["message"]
    assert Session(redis_url, session_name).frames() == []


def test_a_truncated_gzip_is_played_as_far_as_it_goes_and_counted_as_damaged(
    redis_url: str, session_name: str, tmp_path: Path, start_engine: Start
) -> None:
    path = tmp_path / "cut.csv.gz"
    packed = gzip.compress(HISTORICAL.read_bytes())
    path.write_bytes(packed[: len(packed) // 2])

    engine = start_engine(redis_url, session_name, historical=[str(path)])
    engine.wait_state("COMPLETED")
    engine.wait_for(lambda state: state.get("damaged_sources") == 1)

    found = records(Session(redis_url, session_name).frames())
    assert 5_000 < len(found) < 15_000
    assert any("compressed data" in record for record in found)
    assert engine.stop() == 0


@pytest.mark.parametrize("by_signal", [True, False], ids=["SIGTERM", "stop command"])
def test_stopping_drains_within_the_grace_period(
    redis_url: str, session_name: str, start_engine: Start, by_signal: bool
) -> None:
    session = Session(redis_url, session_name)
    engine = start_engine(redis_url, session_name, speed=1.0)
    wait_until(lambda: session.last_sequence() > 500)
    began_s = now_s()
    if by_signal:
        os.kill(engine.process.pid, signal.SIGTERM)
        code = engine.wait(6.0)
    else:
        code = engine.stop()

    assert code == 0
    assert now_s() - began_s < 5.0
    assert session.state()["last_sequence"] == session.last_sequence()


def test_stopping_while_redis_does_not_answer_ends_within_the_grace_period(
    new_redis: Callable[..., RedisForTests], start_engine: Start
) -> None:
    server = new_redis()
    engine = start_engine(server.url, "default", speed=1.0)
    engine.wait_state("RUNNING")
    server.suspend()
    try:
        began_s = now_s()
        assert engine.stop() == 0
        assert now_s() - began_s < 5.5
    finally:
        server.resume()


def test_an_engine_ends_with_its_server(redis_url: str, session_name: str, start_engine: Start) -> None:
    engine = start_engine(redis_url, session_name, speed=1.0)
    engine.wait_state("RUNNING")
    assert engine.process.stdin is not None

    engine.process.stdin.close()

    assert engine.wait(5.0) == 1

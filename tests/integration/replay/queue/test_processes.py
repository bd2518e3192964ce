"""Producers as processes: killed at every named place, suspended, and replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis

from services.runtime.session.keys import SessionKeys
from tests.integration.replay.queue.child import FENCED, TAKEN
from tests.integration.replay.queue.harness import producing, sequences, until

CHILD = "tests.integration.replay.queue.child"
BATCHES = 25


class Children:
    """Starts producers and leaves none behind."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(self, url: str, session: str, batches: int = BATCHES, **environment: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", CHILD, url, session, str(batches)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.started.append(child)
        return child


@pytest.fixture
def children() -> Iterator[Children]:
    started = Children()
    yield started
    for child in started.started:
        if child.poll() is None:
            child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@pytest.mark.cases(3)
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("site", ["before_xadd", "after_xadd", "before_checkpoint", "after_checkpoint"])
def test_a_producer_killed_at_a_named_place_loses_and_doubles_nothing(
    site: str, nth: int, children: Children, redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    killed = children.start(redis_url, session_name, MIDSTREAM_FAULT=f"{site}:{nth}")
    assert killed.wait(30) == 137
    left = sequences(redis_client, SessionKeys(session_name))
    assert left == list(range(1, len(left) + 1))

    # Its lease is still there; its connection is not.
    assert children.start(redis_url, session_name).wait(30) == 0

    assert sequences(redis_client, SessionKeys(session_name)) == list(range(1, 10 * BATCHES + 1))
    checkpoint = redis_client.hgetall(SessionKeys(session_name).checkpoint)
    assert checkpoint[b"sequence"] == b"250"


def test_a_suspended_producer_wakes_up_fenced(
    children: Children, redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    keys = SessionKeys(session_name)
    suspended = children.start(redis_url, session_name, 1_000_000, MIDSTREAM_FAULT="after_xadd:5:sigstop")
    os.waitid(os.P_PID, suspended.pid, os.WSTOPPED | os.WNOWAIT)
    assert children.start(redis_url, session_name).wait(30) == TAKEN
    # As if ten seconds had passed.
    redis_client.delete(keys.lease)

    with producing(redis_url, session_name, seed=9) as heir:
        start = heir.adopted.next_sequence
        heir.publish(10)
        heir.publisher.flush()
        os.kill(suspended.pid, signal.SIGCONT)

        assert suspended.wait(30) == FENCED
        assert suspended.stdout is not None
        assert "taken over" in suspended.stdout.read()
        heir.publish(10)
        heir.publisher.flush()

    assert sequences(redis_client, keys) == list(range(1, start + 200))


def test_a_producer_that_is_killed_at_random_places(
    children: Children, redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    keys = SessionKeys(session_name)
    for goal in (20, 60, 100):
        child = children.start(redis_url, session_name, 1_000_000)
        length = redis_client.xlen(keys.ticks)
        until(lambda length=length, goal=goal: redis_client.xlen(keys.ticks) >= length + goal, timeout_s=20.0)  # type: ignore[misc]
        child.kill()
        child.wait()

    found = sequences(redis_client, keys)
    assert found == list(range(1, len(found) + 1))

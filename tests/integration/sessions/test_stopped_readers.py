"""Readers of created sessions that stop or die: who waits for them, and who does not notice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from clients.rpc import ControlClient
from protos.common.v1.market_pb2 import TickBatch
from protos.replay.v1 import replay_pb2 as pb
from services.runtime.session.keys import READER_GROUP_PREFIX, SessionKeys
from tests.support.cli import clean_environment, command, kill, until
from tests.support.created_sessions import CALL_S, Servers, SessionCalls, write_ticks

pytestmark = pytest.mark.long

ROWS = 250_000
"""Some 17 MB: more than the queue below and the buffers of a connection over loopback hold together."""
SMALL_QUEUE = str(2 * 1024 * 1024)
SLOW = 10.0
"""Records per second until all readers are there; then the speed is raised."""

Start = Callable[..., Servers]


@contextlib.contextmanager
def control(running: Servers, session: str) -> Iterator[ControlClient]:
    server = running.start("control")
    with ControlClient(f"127.0.0.1:{server.announcement['port']}", session=session) as client:
        yield client


@contextlib.contextmanager
def tail(running: Servers, session: str, out: Path, policy: str) -> Iterator[subprocess.Popen[bytes]]:
    """A subscriber in a process of its own, which has got its first record."""
    environment = {"MIDSTREAM_REPLAY_PORT": str(running.replay.announcement["port"])}
    with out.open("wb") as lines:
        reader = subprocess.Popen(
            command("tail", "--session", session, "--from-oldest", "--policy", policy, "--json"),
            env=clean_environment(environment),
            stdout=lines,
        )
    try:
        until(lambda: out.stat().st_size, what=f"the first record of the reader with {policy}")
        yield reader
    finally:
        kill(reader)


@pytest.mark.cases(1)
@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL], ids=["goes on", "dies"])
def test_a_private_session_waits_for_a_reader_that_is_stopped_and_not_for_a_dead_one(
    servers: Start, data: Path, tmp_path: Path, own_client: redis.Redis, then: signal.Signals
) -> None:
    write_ticks(data / "much.csv", ROWS)
    running = servers(HIGH_BYTES=SMALL_QUEUE)
    calls, out = running.calls, tmp_path / "read.jsonl"
    calls.create("mine", files=["much.csv"], sinks=["none"], private=True, rate=SLOW)
    with control(running, "mine") as steer, tail(running, "mine", out, "block") as reader:
        os.kill(reader.pid, signal.SIGSTOP)
        steer.set_speed(0.0)
        calls.wait_state("mine", pb.SESSION_STATE_BACKPRESSURED)
        still = standing(calls, "mine")
        [taken] = positions(own_client, "mine")
        os.kill(reader.pid, then)
        done = calls.wait_state("mine", pb.SESSION_STATE_COMPLETED)
        if then == signal.SIGCONT:
            until(lambda: last_sequence(out) == ROWS, what="the last record", timeout_s=60)

    assert still.state == pb.SESSION_STATE_BACKPRESSURED
    assert 0 < taken < still.last_sequence < ROWS
    assert done.last_sequence == ROWS
    if then == signal.SIGCONT:
        assert sequences(out) == list(range(1, ROWS + 1))
    until(lambda: not positions(own_client, "mine"), what="the end of its group")


def test_stopped_subscribers_of_every_policy_are_nothing_to_the_others(
    servers: Start, data: Path, tmp_path: Path
) -> None:
    write_ticks(data / "much.csv", ROWS)
    running = servers()
    calls = running.calls
    calls.create("shared", files=["much.csv"], sinks=["none"], rate=SLOW)
    with contextlib.ExitStack() as stack:
        steer = stack.enter_context(control(running, "shared"))
        stopped = [
            stack.enter_context(tail(running, "shared", tmp_path / policy, policy))
            for policy in ("disconnect", "skip", "conflate")
        ]
        for reader in stopped:
            os.kill(reader.pid, signal.SIGSTOP)
        others = stack.enter_context(ThreadPoolExecutor(3))
        reading = [others.submit(calls.ticks, "shared", to=ROWS) for _ in range(3)]
        steer.set_speed(0.0)
        read = [one.result(timeout=CALL_S) for one in reading]
        done = calls.wait_state("shared", pb.SESSION_STATE_COMPLETED)

        assert [reader.poll() for reader in stopped] == [None] * 3

    assert [numbers(batches) for batches in read] == [list(range(1, ROWS + 1))] * 3
    assert done.last_sequence == ROWS


def standing(calls: SessionCalls, session: str) -> pb.Session:
    """Wait until a session has published nothing for two seconds of its reports; return the last of these."""
    before = calls.get(session)

    def found_standing() -> pb.Session | None:
        nonlocal before
        found = calls.get(session)
        if found.last_sequence != before.last_sequence:
            before = found
        return found if found.reported_time_ns > before.reported_time_ns + 2_000_000_000 else None

    found: pb.Session = until(found_standing, what=f"reports of {session} that stands")
    return found


def numbers(batches: list[TickBatch]) -> list[int]:
    return [number for batch in batches for number in range(batch.first_sequence, batch.last_sequence + 1)]


def sequences(out: Path) -> list[int]:
    """Numbers of the ticks that a reader has written, but for a line under way."""
    lines = out.read_bytes().rpartition(b"\n")[0].splitlines()
    return [int(found["sequence"]) for found in map(json.loads, lines) if found["type"] == "tick"]


def last_sequence(out: Path) -> int:
    """Number of the last tick in the last 64 KiB of what a reader has written; 0 where there is none."""
    with out.open("rb") as file:
        file.seek(max(0, out.stat().st_size - 65_536))
        lines = file.read().split(b"\n")[1:-1]
    found = [json.loads(line) for line in lines]
    return max((int(one["sequence"]) for one in found if one["type"] == "tick"), default=0)


def positions(client: redis.Redis, session: str) -> list[int]:
    """How far the groups of blocking readers are."""
    groups = client.xinfo_groups(SessionKeys(session).ticks)
    return [
        int(group["last-delivered-id"].partition(b"-")[2])
        for group in groups  # type: ignore[union-attr]
        if group["name"].startswith(READER_GROUP_PREFIX.encode())
    ]

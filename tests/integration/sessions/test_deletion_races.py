"""Created sessions of several partitions that are deleted while their engines start or move: nothing runs on, and no key is left."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import redis

from protos.replay.v1 import replay_pb2 as pb
from services.runtime.session.keys import DEFINED, SESSIONS
from tests.support.cli import until
from tests.support.created_sessions import CALL_S, SessionCalls, write_ticks
from tests.support.redis_server import RedisForTests
from tests.support.server_process import ServerProcess, server_process

pytestmark = pytest.mark.nightly

ROUNDS = 10
SEED = 15


@pytest.fixture
def pair(own_redis: RedisForTests, tmp_path: Path) -> Iterator[list[ServerProcess]]:
    """Two servers that share whatever is created."""
    file = write_ticks(tmp_path / "ticks.csv", 2_000)
    with ExitStack() as stack:
        servers = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            settings = {"OWNER": name, "HISTORICAL": str(file), "SESSION": f"own-{name}", "SINKS": "", "SPEED": "max"}
            servers.append(
                stack.enter_context(server_process("replay", tmp_path / name, REDIS_URL=own_redis.url, **settings))
            )
        yield servers


def left(client: redis.Redis) -> list[bytes]:
    return list(client.scan_iter(match="midstream:{race-*"))


def known(client: redis.Redis) -> set[bytes]:
    return {*client.smembers(SESSIONS), *client.smembers(DEFINED)}


def producers(client: redis.Redis) -> set[str]:
    """The connections of engines, by their names."""
    return {each["name"] for each in client.client_list() if each["name"].startswith("midstream-replay:race-")}


def test_what_is_deleted_while_it_starts_or_moves_leaves_nothing(
    pair: list[ServerProcess], own_client: redis.Redis
) -> None:
    rng = random.Random(SEED)
    calls = [SessionCalls(server.channel) for server in pair]
    print(f"seed {SEED}")  # noqa: T201  (beside the failure)

    for number in range(ROUNDS):
        name = f"race-{number}"
        definition = pb.SessionDefinition(files=["ticks.csv"], partitions=rng.choice((1, 2, 4)), speed=1.0)
        rng.choice(calls).stub.CreateSession(
            pb.CreateSessionRequest(session=name, definition=definition), timeout=CALL_S
        )
        # Before an engine runs, while they do, and while partitions move to the other server.
        time.sleep(rng.choice((0.0, 0.3, 1.0, 1.6, 2.5)))  # what is raced against is another process
        try:
            rng.choice(calls).stub.DeleteSession(
                pb.DeleteSessionRequest(session=name), timeout=rng.choice((0.05, CALL_S, CALL_S))
            )
        except grpc.RpcError as exc:
            if not isinstance(exc, grpc.Call) or exc.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise

    until(lambda: not producers(own_client), what="the end of every engine", timeout_s=30)
    until(lambda: known(own_client) <= {b"own-a", b"own-b", b""}, what="the end of every name", timeout_s=30)
    assert left(own_client) == []

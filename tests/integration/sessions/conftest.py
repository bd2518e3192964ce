"""A replay server, and a price server beside it, on a Redis of their own: what one session does to others has to show."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.created_sessions import Servers, write_ticks
from tests.support.redis_server import RedisForTests


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisForTests]:
    (tmp_path / "redis").mkdir()
    server = RedisForTests(tmp_path / "redis", append_only=True)
    yield server
    server.stop()


@pytest.fixture
def own_client(own_redis: RedisForTests) -> Iterator[redis.Redis]:
    client = own_redis.client()
    yield client
    client.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_ticks(folder / "own.csv", 10)
    return folder


@pytest.fixture
def servers(own_redis: RedisForTests, tmp_path: Path, data: Path) -> Iterator[Callable[..., Servers]]:
    """Start servers; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(**settings: str) -> Servers:
            return stack.enter_context(Servers(own_redis.url, tmp_path, data, settings))

        yield start

"""A real Redis for the whole session of tests, and a price engine per test that never outlives it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.runtime.embedded import EmbeddedRedis
from tests.integration.price.harness import Engine, Queue

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis.start(tmp_path_factory.mktemp("redis"), append_only=False)
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    return redis_server.url


@pytest.fixture
def session() -> str:
    return f"price-{next(_numbers)}"


@pytest.fixture
def queue(redis_url: str, session: str) -> Iterator[Queue]:
    queue = Queue(redis_url, session)
    yield queue
    queue.close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def engine_config(redis_url: str, session: str, out: Path) -> dict[str, Any]:
    return {"redis_url": redis_url, "session": session, "out": str(out), "mids": False, "mids_csv": True}


@pytest.fixture
def start_engine(engine_config: dict[str, Any]) -> Iterator[Callable[..., Engine]]:
    """Start engines with the test's configuration; whatever still runs at the end is killed."""
    engines: list[Engine] = []

    def start(*, fault: str = "", environment: dict[str, str] | None = None, **changes: Any) -> Engine:
        engine = Engine(engine_config | changes, fault=fault, environment=environment)
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.kill()

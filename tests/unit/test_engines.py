"""The suite runs on the engine that is asked for, and says which one that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime import redis_binary
from services.runtime.redis_binary import find_engine
from tests.support.engines import VARIABLE, engine_of_this_run, other_engines, use_engine_of_this_run


@pytest.fixture(autouse=True)
def bundled_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_binary, "_bundled", redis_binary._bundled)


def _engine(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_named_engine_takes_the_place_of_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine_of_this_run()
    named = _engine(tmp_path / "redis-server", "Redis server v=8.99.1 sha=0")

    monkeypatch.setenv(VARIABLE, "")
    use_engine_of_this_run()
    assert engine_of_this_run() == before

    monkeypatch.setenv(VARIABLE, str(named))
    use_engine_of_this_run()
    assert find_engine().path == named
    assert engine_of_this_run() == f"redis 8.99.1 ({named})"


def test_named_program_that_is_no_engine_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(_engine(tmp_path / "redis-server", "hello")))

    with pytest.raises(pytest.exit.Exception, match="is no redis-server or valkey-server that starts"):
        use_engine_of_this_run()


def test_engines_on_path_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    named = _engine(tmp_path / "valkey-server", "Valkey server v=8.0.1 sha=0")

    assert named in [engine.path for engine in other_engines()]

"""An engine that hangs is not served over: nobody but its server can tell."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.chaos import engine_of
from tests.support.made_ticks import write_made_ticks
from tests.support.redis_server import RedisForTests
from tests.support.server_process import NOT_SERVING, SERVING, server_process
from tests.support.waiting import wait_until


@pytest.mark.cases(1)
@pytest.mark.parametrize("name", ["replay", "price"])
def test_a_server_whose_engine_is_stopped_is_not_serving_until_it_goes_on(
    new_redis: Callable[..., RedisForTests], tmp_path: Path, name: str
) -> None:
    settings = {"REDIS_URL": new_redis().url}
    if name == "replay":
        settings |= {"HISTORICAL": str(write_made_ticks(tmp_path / "made.csv", 1_000)), "SPEED": "0.001"}
    with server_process(name, tmp_path, **settings) as server:
        server.wait_health(SERVING)
        engine = engine_of(server.process.pid, f"services.{name}")
        assert engine is not None
        os.kill(engine, signal.SIGSTOP)
        try:
            server.wait_health(NOT_SERVING)
            wait_until(
                lambda: "the engine has said nothing for" in server.log.read_text(), what="the reason in the log"
            )
        finally:
            os.kill(engine, signal.SIGCONT)
        server.wait_health(SERVING)

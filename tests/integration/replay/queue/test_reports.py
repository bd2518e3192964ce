"""Reports of a session in a real Redis: where people look when something is wrong, so they come whatever Redis lacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.replay.engine.figures import EngineFigures
from services.replay.engine.reporter import StateReporter
from services.runtime.connection import connect
from services.runtime.session.keys import SESSIONS, SessionKeys
from services.runtime.session.report import EngineReport, EngineState
from tests.support.clock import FakeClock
from tests.support.redis_server import RedisForTests


@pytest.mark.parametrize("first", [False, True], ids=["reported before", "first report"])
def test_a_session_says_how_it_is_to_a_redis_without_memory(
    first: bool, new_redis: Callable[..., RedisForTests], session_name: str
) -> None:
    keys, figures, told = SessionKeys(session_name), EngineFigures(session_name, owned=True), []
    with connect(new_redis().url, client_name="test") as client:
        reporter = StateReporter(
            figures,
            connect=lambda: client,
            keys=keys,
            tell=lambda event, **fields: told.append(event),
            clock=FakeClock(),
        )
        figures.phase = EngineState.RUNNING
        if not first:
            reporter.publish()
        client.config_set("maxmemory", "1")
        figures.error = "Redis has no memory left"

        reporter.publish()

        stored = client.get(keys.state)
        assert stored is not None
        assert EngineReport.decode(session_name, stored).error == "Redis has no memory left"
        assert client.pttl(keys.state) > 0
        assert "unavailable" not in told
        client.config_set("maxmemory", "0")
        reporter.publish()
        assert client.smembers(SESSIONS) == {session_name.encode()}

"""What the commands read of engine and sink while a session runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import pytest
import redis

from services.cli.fleet import Watcher
from services.runtime.session.announcement import SinkAnnouncement, SinkPosition
from services.runtime.session.keys import SessionKeys
from services.runtime.session.report import EngineReport
from services.runtime.session.versions import NewerVersion

ANNOUNCEMENT = SinkAnnouncement(SinkPosition("price", "e", 7, 0, b"", "r"))


def test_rows_of_earlier_runs_are_those_that_the_first_sink_of_this_run_began_with(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    sinks = SessionKeys(session_name).sinks
    redis_client.hset(sinks, "price", replace(ANNOUNCEMENT, rows_at_start=1, time_ns=time.time_ns()).encode())
    with contextlib.closing(Watcher(redis_url, session_name, sink="price")) as watcher:
        watcher.both()
        stale = watcher.rows_before
        for rows in (5, 9):
            redis_client.hset(
                sinks, "price", replace(ANNOUNCEMENT, rows_at_start=rows, time_ns=time.time_ns()).encode()
            )
            watcher.both()

        assert (stale, watcher.rows_before) == (0, 5)


def test_a_report_of_a_newer_release_is_named(redis_url: str, redis_client: redis.Redis, session_name: str) -> None:
    report = EngineReport(session_name).encode().replace('"version":1', '"version":2')
    redis_client.set(SessionKeys(session_name).state, report)

    with (
        contextlib.closing(Watcher(redis_url, session_name, sink="price")) as watcher,
        pytest.raises(NewerVersion, match="version 2"),
    ):
        watcher.both()

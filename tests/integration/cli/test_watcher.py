"""What the commands read of engine and sink while a session runs."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import pytest
import redis

from fastpath.midprice import PriceCounts
from services.cli.fleet import Watcher
from services.runtime.session import partitions_stored
from services.runtime.session.announcement import LogReport, SinkAnnouncement, SinkPosition
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
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


def test_reports_of_a_run_count_also_when_the_system_time_was_put_back(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    keys, hour_ns = SessionKeys(session_name), 3_600_000_000_000

    def report(sequence: int, time_ns: int) -> None:
        redis_client.set(
            keys.state, EngineReport(session_name, last_sequence=sequence, reported_time_ns=time_ns).encode()
        )
        redis_client.hset(keys.sinks, "price", replace(ANNOUNCEMENT, time_ns=time_ns).encode())

    with contextlib.closing(Watcher(redis_url, session_name, sink="price", own_run=True)) as watcher:
        report(7, time.time_ns() - hour_ns)
        assert watcher.both() == (None, None)
        report(1, time.time_ns())
        watcher.both()
        report(2, time.time_ns() - hour_ns)

        engine, sink = watcher.both()

    assert engine is not None
    assert engine.last_sequence == 2
    assert sink is not None


def test_of_several_partitions_all_are_watched(redis_url: str, redis_client: redis.Redis, session_name: str) -> None:
    keys = [SessionKeys(session_name, partition) for partition in (0, 1)]
    redis_client.set(keys[0].partitions, partitions_stored.encode(Partitioning(2)))
    for partition, sequence in enumerate((7, 5)):
        report = EngineReport(session_name, last_sequence=sequence, partition=partition, partitions=2)
        redis_client.set(keys[partition].partition_state, report.encode())
        counted = LogReport(counts=PriceCounts(*[sequence] * len(PriceCounts._fields)), digest="d", mid_bytes=sequence)
        redis_client.hset(keys[partition].sinks, "price", replace(ANNOUNCEMENT, log=counted).encode())

    with contextlib.closing(Watcher(redis_url, session_name, sink="price")) as watcher:
        engine, sink = watcher.both()
        before = watcher.progress("redis")
        both = watcher.sinks
        # Of the second alone.
        redis_client.hset(
            keys[1].sinks, "price", replace(ANNOUNCEMENT, position=replace(ANNOUNCEMENT.position, sequence=8)).encode()
        )
        after = watcher.progress("redis")

    assert engine is not None
    assert sink is not None
    assert (engine.last_sequence, sink.position.sequence) == (12, 14)
    assert (sink.log.counts.mids, sink.log.mid_bytes, sink.log.digest) == (12, 12, "")
    assert [each and each.log.mid_bytes for each in both] == [7, 5]
    assert before != after

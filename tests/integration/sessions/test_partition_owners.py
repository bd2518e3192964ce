"""Replay servers that share a session, as processes: one comes, one goes, one is killed, and the records are the same."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.cli import until
from tests.support.redis_server import RedisForTests
from tests.support.replay_fleet import PARTITIONS, Fleet, expected, published, write_file

pytestmark = pytest.mark.long


@pytest.fixture
def fleet(own_redis: RedisForTests, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(own_redis.url, tmp_path, write_file(tmp_path / "ticks.csv"))
    with contextlib.closing(made):
        yield made


def test_servers_share_partitions_that_move_with_them_without_hole_or_repeat(
    fleet: Fleet, own_client: redis.Redis
) -> None:
    # Twenty seconds of data at twice their pace: everything below happens while records leave.
    fleet.start("a", SPEED="2")
    fleet.wait_owners("a", "a", "a", "a")
    fleet.start("b", SPEED="2")
    fleet.wait_owners("a", "a", "b", "b")
    # What alerts read of a session is there by the names that it has in one partition.
    until(lambda: "\nmidstream_pacing_speed 2.0\n" in fleet.servers["b"].figures(), what="the session's own figures")
    assert "\nmidstream_queue_backpressured 0.0\n" in fleet.servers["b"].figures()
    fleet.servers["a"].kill()
    fleet.wait_owners("b", "b", "b", "b")
    fleet.start("c", SPEED="max")
    fleet.wait_owners("b", "b", "c", "c")
    assert fleet.servers["b"].stop() == 0
    fleet.servers["b"].killed = True
    fleet.wait_owners("c", "c", "c", "c")
    fleet.wait_complete()

    assert {each.watermark_time_ns for each in fleet.partitions()} == {2**63 - 1}
    for partition in range(PARTITIONS):
        assert published(own_client, partition) == expected(partition)


def test_an_engine_that_is_stopped_loses_its_partition_and_cannot_write_when_it_wakes(
    fleet: Fleet, own_client: redis.Redis
) -> None:
    fleet.start("a", SPEED="1")
    fleet.wait_owners("a", "a", "a", "a")
    [stopped] = [each for each in fleet.partitions() if each.partition == 2]
    os.kill(stopped.pid, signal.SIGSTOP)
    until(
        lambda: fleet.partitions()[2].pid not in (0, stopped.pid),
        what="another engine for the partition",
    )
    fleet.servers["a"].stop()
    fleet.servers["a"].killed = True
    fleet.start("d", SPEED="max")
    fleet.wait_complete()

    assert published(own_client, 2) == expected(2)


@pytest.mark.nightly
def test_an_engine_that_is_stopped_before_it_has_its_partition_is_replaced(
    fleet: Fleet, own_client: redis.Redis
) -> None:
    server = fleet.start("a", SPEED="max", LOG_LEVEL="info", LOG_FORMAT="json")
    started: list[int] = []

    def found() -> bool:
        started[:] = [int(pid) for pid in re.findall(r'"engine started".*"pid": (\d+)', server.log.read_text())]
        return len(started) == PARTITIONS

    until(found, what="the start of every engine")
    # It is still loading what it needs.
    os.kill(started[2], signal.SIGSTOP)
    fleet.wait_complete()

    assert [published(own_client, partition) for partition in range(PARTITIONS)] == [
        expected(partition) for partition in range(PARTITIONS)
    ]

"""A session of four partitions over all primaries of a real cluster, shared by servers: primaries, slots and owners go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.connection import connect
from services.runtime.session.keys import SessionKeys
from tests.support.redis_cluster import RedisClusterForTests
from tests.support.replay_fleet import PARTITIONS, Fleet, expected, published, write_file

pytestmark = pytest.mark.long


@pytest.fixture
def session(redis_cluster: RedisClusterForTests) -> str:
    """A name whose partitions lie on all primaries."""
    for number in range(100):
        name = f"spread-{number}"
        nodes = {redis_cluster.primary_of(ticks_of(name, partition)).port for partition in range(PARTITIONS)}
        if len(nodes) == 3:
            return name
    raise AssertionError("no name of a hundred lies on all primaries")


@pytest.fixture
def fleet(redis_cluster: RedisClusterForTests, session: str, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(redis_cluster.url, tmp_path, write_file(tmp_path / "ticks.csv"), session=session)
    with contextlib.closing(made):
        yield made


def ticks_of(session: str, partition: int) -> str:
    return SessionKeys(session, partition).ticks


def test_streams_are_whole_whatever_becomes_of_primaries_slots_and_owners(
    fleet: Fleet, redis_cluster: RedisClusterForTests, session: str
) -> None:
    # Twenty seconds of data at less than half their pace: everything below happens while records leave.
    fleet.start("a", SPEED="0.4")
    fleet.start("b", SPEED="0.4")
    fleet.wait_owners("a", "a", "b", "b")

    killed = redis_cluster.primary_of(ticks_of(session, 0))
    redis_cluster.kill(killed)
    assert redis_cluster.primary_of(ticks_of(session, 0)) is not killed
    redis_cluster.restart(killed)
    redis_cluster.wait_until_agreed()
    fleet.wait_owners("a", "a", "b", "b")
    redis_cluster.migrate_slot(ticks_of(session, 1), redis_cluster.other_primary(ticks_of(session, 1)))
    fleet.servers["b"].kill()
    fleet.wait_owners("a", "a", "a", "a")
    assert not fleet.is_complete()
    fleet.start("c", SPEED="max")
    fleet.wait_owners("a", "a", "c", "c")
    assert fleet.servers["a"].stop() == 0
    fleet.servers["a"].killed = True
    fleet.wait_complete()

    with connect(redis_cluster.url, client_name="test") as client:
        for partition in range(PARTITIONS):
            assert published(client, partition, session=session) == expected(partition)

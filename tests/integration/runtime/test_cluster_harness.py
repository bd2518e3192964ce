"""The cluster that tests run on does what they are told it does."""

from __future__ import annotations

import pytest
import redis

from tests.support.redis_cluster import RedisClusterForTests

KEY = "midstream:{harness/0}:ticks"


def test_slot_moves_with_its_keys_and_is_open_on_both_sides_meanwhile(redis_cluster: RedisClusterForTests) -> None:
    source, target = redis_cluster.primary_of(KEY), redis_cluster.other_primary(KEY)
    source.ask("SET", KEY, "1")

    with redis_cluster.migrating_slot(KEY, target) as move_keys:
        assert source.ask("GET", KEY) == b"1"
        move_keys()
        with pytest.raises(redis.exceptions.AskError):
            source.ask("GET", KEY)

    assert redis_cluster.primary_of(KEY) is target
    assert target.ask("GET", KEY) == b"1"
    with pytest.raises(redis.exceptions.MovedError):
        source.ask("GET", KEY)


def test_replica_takes_over_when_told_and_when_its_primary_is_killed(redis_cluster: RedisClusterForTests) -> None:
    first = redis_cluster.primary_of(KEY)
    first.ask("SET", KEY, "1")
    (second,) = redis_cluster.replicas_of(KEY)

    assert redis_cluster.failover(KEY) is second
    assert second.ask("GET", KEY) == b"1"
    assert redis_cluster.replicas_of(KEY) == [first]

    redis_cluster.kill(second)
    assert redis_cluster.primary_of(KEY) is first
    assert first.ask("GET", KEY) == b"1"

    redis_cluster.heal()
    assert redis_cluster.replicas_of(KEY) == [second]


def test_stopped_primary_is_replaced_and_comes_back_as_a_replica(redis_cluster: RedisClusterForTests) -> None:
    first = redis_cluster.primary_of(KEY)
    (second,) = redis_cluster.replicas_of(KEY)

    redis_cluster.stop(first)
    assert redis_cluster.primary_of(KEY) is second

    redis_cluster.heal()
    assert redis_cluster.replicas_of(KEY) == [first]

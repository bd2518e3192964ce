"""Clients of a cluster do what clients of one Redis do, through moved slots and failovers, and send nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from services.runtime.cluster.slots import Elsewhere, NotACluster
from services.runtime.connection import at, at_async, connect, connect_async, servers
from services.runtime.errors import Bug, StartRefused
from services.runtime.preflight import check_redis
from tests.support.ports import free_port
from tests.support.redis_cluster import RedisClusterForTests, slot_of
from tests.support.redis_server import RedisForTests
from tests.support.waiting import wait_until

KEYS = [f"midstream:{{clients/{index}}}:k" for index in range(40)]
"""In slots all over the cluster."""


@pytest.fixture
def client(redis_cluster: RedisClusterForTests) -> Iterator[Any]:
    found = connect(redis_cluster.url, client_name="cluster-test", timeout_s=2.0)
    yield found
    found.close()


def test_commands_pipelines_transactions_and_scripts_reach_their_node(
    client: Any, redis_cluster: RedisClusterForTests
) -> None:
    pipe = client.pipeline(transaction=False)
    for index, key in enumerate(KEYS):
        pipe.set(key, index)
        pipe.get(key)
    answers = pipe.execute()

    assert answers == [answer for index in range(len(KEYS)) for answer in (True, b"%d" % index)]
    assert {redis_cluster.primary_of(key).port for key in KEYS} == {
        node.connection_pool.connection_kwargs["port"] for node in servers(client)
    }
    with client.pipeline(transaction=True) as transaction:
        transaction.watch(KEYS[0])
        assert transaction.get(KEYS[0]) == b"0"
        transaction.multi()
        transaction.incr(KEYS[0])
        assert transaction.execute() == [1]
        transaction.watch(KEYS[0])
        client.set(KEYS[0], "5")
        transaction.multi()
        transaction.incr(KEYS[0])
        with pytest.raises(redis.WatchError):
            transaction.execute()
    script = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    assert script(keys=[KEYS[0]], args=[2]) == 7
    assert [script(keys=[key], args=[1]) for key in KEYS[1:]] == list(range(2, len(KEYS) + 1))
    names = {found["name"] for found in at(client, KEYS[0]).client_list()}
    assert "cluster-test" in names


def test_transaction_over_two_slots_never_leaves(client: Any) -> None:
    pipe = client.pipeline(transaction=True)
    pipe.set(KEYS[0], 1)

    with pytest.raises(Bug, match="2 slots"):
        pipe.set(KEYS[1], 1)
    with pytest.raises(Bug, match="2 slots"):
        client.exists(KEYS[0], KEYS[1])


def test_moved_slot_is_followed_and_nothing_runs_twice(client: Any, redis_cluster: RedisClusterForTests) -> None:
    key = KEYS[3]
    client.set(key, 0)
    watched = client.pipeline(transaction=True)
    watched.watch(key)

    with redis_cluster.migrating_slot(key, redis_cluster.other_primary(key)) as move_keys:
        assert client.incr(key) == 1
        move_keys()
        assert client.incr(key) == 2
    assert client.incr(key) == 3
    redis_cluster.migrate_slot(key, redis_cluster.other_primary(key))
    pipe = client.pipeline(transaction=True)
    pipe.incr(key)
    assert pipe.execute() == [4]
    redis_cluster.migrate_slot(key, redis_cluster.other_primary(key))
    pipe = client.pipeline(transaction=False)
    pipe.incr(key)
    pipe.get(KEYS[4])
    assert pipe.execute() == [5, None]

    watched.multi()
    watched.incr(key)
    with pytest.raises(redis.WatchError):
        watched.execute()
    assert client.get(key) == b"5"


def test_client_goes_on_behind_a_failover(client: Any, redis_cluster: RedisClusterForTests) -> None:
    key = KEYS[5]
    client.set(key, 1)
    redis_cluster.failover(key)
    client.set(key, 2)

    redis_cluster.kill(redis_cluster.primary_of(key))
    with pytest.raises(redis.ConnectionError):
        client.get(key)

    def answers() -> bool:
        try:
            return bool(client.get(key) == b"2")
        except redis.ConnectionError:
            return False

    wait_until(answers, timeout_s=20.0, what="the replica's answer")


async def test_client_of_an_event_loop_does_the_same(redis_cluster: RedisClusterForTests) -> None:
    client: Any = connect_async(redis_cluster.url, client_name="cluster-test", timeout_s=2.0)
    key = KEYS[6]

    await asyncio.gather(*(client.set(each, 1) for each in KEYS))
    pipe = client.pipeline(transaction=False)
    for each in KEYS:
        pipe.get(each)
    assert await pipe.execute() == [b"1"] * len(KEYS)
    async with client.pipeline(transaction=True) as transaction:
        await transaction.watch(key)
        transaction.multi()
        transaction.incr(key)
        assert await transaction.execute() == [2]
    script = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    assert await script(keys=[key], args=[1]) == 3
    await asyncio.to_thread(redis_cluster.migrate_slot, key, redis_cluster.other_primary(key))
    assert await client.incr(key) == 4
    await asyncio.to_thread(redis_cluster.migrate_slot, key, redis_cluster.other_primary(key))
    async with client.pipeline(transaction=True) as transaction:
        await transaction.watch(key)
        transaction.multi()
        transaction.incr(key)
        assert await transaction.execute() == [5]
    assert "cluster-test" in {found["name"] for found in await (await at_async(client, key)).client_list()}
    with pytest.raises(Bug, match="2 slots"):
        await client.exists(KEYS[0], KEYS[1])
    await client.aclose()


def test_redis_of_the_other_kind_is_refused_with_the_url_to_write(
    redis_cluster: RedisClusterForTests, new_redis: Any
) -> None:
    node, port = redis_cluster.nodes[0], free_port()
    with node.client() as plain, pytest.raises(StartRefused) as refused:
        check_redis(plain, live=False)
    assert f"write redis+cluster://{node.address} instead of redis://{node.address}" in refused.value.message

    alone: RedisForTests = new_redis(extra=("--port", str(port), "--bind", "127.0.0.1"))
    assert alone.pid
    with connect(f"redis+cluster://127.0.0.1:{port}", client_name="test") as clustered:
        with pytest.raises(NotACluster):
            clustered.get("k")
        with pytest.raises(StartRefused, match=r"write redis:// instead of redis\+cluster://"):
            check_redis(clustered, live=False)


def test_every_primary_of_a_cluster_is_looked_at(client: Any, redis_cluster: RedisClusterForTests) -> None:
    assert check_redis(client, live=True).cluster_enabled
    bad = redis_cluster.primary_of(KEYS[7])
    bad.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    try:
        with pytest.raises(StartRefused, match=f"Redis {bad.address} refused: maxmemory-policy is 'allkeys-lru'"):
            check_redis(client, live=True)
    finally:
        bad.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_slot_without_a_primary_is_named(client: Any, redis_cluster: RedisClusterForTests) -> None:
    key = KEYS[8]
    holder = redis_cluster.primary_of(key)
    client.set(key, 1)
    slot = slot_of(key)
    client.delete(key)
    holder.ask("CLUSTER", "DELSLOTS", slot)

    try:
        with pytest.raises((Elsewhere, redis.exceptions.ClusterDownError)) as told:
            client.get(key)
        with pytest.raises((Elsewhere, redis.exceptions.ClusterDownError)) as told:
            client.get(key)
        assert "slot" in str(told.value)
    finally:
        holder.ask("CLUSTER", "ADDSLOTS", slot)

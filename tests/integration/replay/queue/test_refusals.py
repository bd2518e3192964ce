"""A Redis that takes no writes for a while, as in a failover or with a full disk, is waited for; nothing doubles, nothing is lost."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable

import pytest
import redis

from services.replay.queue import QueueLimits
from tests.integration.replay.queue.harness import Reader, connected, producing, sequences, until
from tests.support.redis_server import RedisForTests

CHANGE = Callable[[RedisForTests, redis.Redis], object]


def _lose_the_disk(server: RedisForTests, client: redis.Redis) -> None:
    """A snapshot that cannot be written stops writes, as an append-only file on a full disk does."""
    shutil.rmtree(server.directory)
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")


def _find_the_disk(server: RedisForTests, client: redis.Redis) -> None:
    client.config_set("stop-writes-on-bgsave-error", "no")


TROUBLES: dict[str, tuple[CHANGE, CHANGE]] = {
    "READONLY": (lambda _, client: client.replicaof("127.0.0.1", "1"), lambda _, client: client.replicaof("NO", "ONE")),
    "NOREPLICAS": (
        lambda _, client: client.config_set("min-replicas-to-write", 1),
        lambda _, client: client.config_set("min-replicas-to-write", 0),
    ),
    "MISCONF": (_lose_the_disk, _find_the_disk),
    "OOM": (lambda _, client: client.config_set("maxmemory", 1), lambda _, client: client.config_set("maxmemory", 0)),
}


@pytest.mark.cases(3)
@pytest.mark.parametrize("code", TROUBLES)
@pytest.mark.parametrize("behind", [True, False], ids=["trims, too", "nothing to trim"])
def test_writes_that_are_refused_for_a_while_are_waited_for(
    new_redis: Callable[..., RedisForTests], session_name: str, code: str, behind: bool
) -> None:
    server = new_redis(extra=("--save", "3600 1000000"))
    begin, end = TROUBLES[code]
    limits = QueueLimits(high_records=1_000, retain_bytes=0 if behind else 64 << 20)
    with connected(server.url) as client, producing(server.url, session_name, limits=limits) as producer:
        reader = Reader(client, producer.keys, "g")
        producer.publish_all(5)
        while reader.read():
            pass
        begin(server, client)

        publishing = threading.Thread(target=producer.publish_all, args=(5,))
        publishing.start()
        until(lambda: producer.publisher.waiting)
        problem = producer.publisher.problem
        end(server, client)
        publishing.join(20.0)

        assert not publishing.is_alive()
        assert problem, "it has to say what it waits for"
        while reader.read():
            pass
        assert reader.last == 100
        assert sequences(client, producer.keys)[-50:] == list(range(51, 101))


@pytest.mark.parametrize("code", ["NOREPLICAS", "MISCONF", "OOM"])
def test_producer_that_begins_then_waits_as_well(
    new_redis: Callable[..., RedisForTests], session_name: str, code: str
) -> None:
    server = new_redis(extra=("--save", "3600 1000000"))
    begin, end = TROUBLES[code]
    with connected(server.url) as client:
        begin(server, client)
        mended = threading.Timer(0.3, lambda: end(server, client))
        mended.start()

        with producing(server.url, session_name) as producer:
            producer.publish_all(1)

        mended.join()
        assert sequences(client, producer.keys) == list(range(1, 11))

"""What it takes until a record counts as acknowledged, on a real primary with a real replica."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastpath.frame import MODE_LIVE
from services.replay.queue import Level, RedisRefused, acknowledgement
from services.replay.queue.wire import pack
from tests.integration.replay.queue.harness import CHECKPOINT, Producer, producing, sequences, stream, until
from tests.support.redis_server import RedisForTests, says_what_disks_have
from tests.support.replicated_redis import ReplicatedRedis


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[ReplicatedRedis]:
    servers = ReplicatedRedis(tmp_path)
    yield servers
    servers.close()


def test_a_replica_confirms_behind_the_transaction_without_another_round_trip(
    replicated: ReplicatedRedis, session_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may take longer than one question lasts.
    monkeypatch.setitem(acknowledgement._QUESTIONS, Level.REPLICA, pack("WAIT", 1, 4000))
    with producing(replicated.url, session_name, acknowledged=Level.REPLICA) as producer:
        asked, executed = replicated.proxy.commands[b"WAIT"], replicated.proxy.commands[b"EXEC"]

        for _ in range(5):
            producer.publish(1, urgent=True)
        producer.publisher.flush()

        assert producer.publisher.acknowledged
        assert "BACKPRESSURED" not in producer.states
        commands = replicated.proxy.commands
        assert commands[b"WAIT"] - asked == commands[b"EXEC"] - executed


def test_what_no_replica_has_is_not_acknowledged_and_not_appended_again(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    with producing(replicated.url, session_name, acknowledged=Level.REPLICA) as producer:
        producer.publish_all(1)
        replicated.fall_behind()
        producer.publish(1, urgent=True)

        until(lambda: (producer.publisher.tend(), "confirmed for 1 s" in producer.publisher.problem)[1])

        assert not producer.publisher.acknowledged
        assert producer.publisher.problem == "no replica has confirmed for 1 s"
        assert producer.states[-1] == "BACKPRESSURED"
        producer.wake.set()
        assert producer.publish(1) == 0, "nothing more goes out before it is confirmed"
        producer.wake.clear()
        replicated.catch_up()
        producer.publisher.flush()
        assert producer.publisher.acknowledged
        assert producer.states[-1] == "RUNNING"
        with replicated.client() as client:
            assert sequences(client, producer.keys) == list(range(1, 21))


@pytest.mark.parametrize("mode", [0, MODE_LIVE], ids=["history", "live"])
def test_what_was_not_confirmed_goes_to_the_next_primary_as_it_was(
    mode: int, replicated: ReplicatedRedis, session_name: str
) -> None:
    options = {"mode": mode} if mode else {}
    with producing(replicated.url, session_name, acknowledged=Level.REPLICA, **options) as producer:
        producer.publish_all(2)
        replicated.fall_behind()
        producer.publish(1, urgent=True, checkpoint=CHECKPOINT)
        until(lambda: (producer.publisher.tend(), bool(producer.publisher.problem))[1])
        with replicated.client() as client:
            before = client.xrange(producer.keys.ticks)
        assert len(before) == 3

        replicated.fail_over()
        with replicated.client() as client:
            assert len(client.xrange(producer.keys.ticks)) == 2, "the replica was to be behind"
        replicated.rejoin()
        producer.publisher.flush()

        with replicated.client() as client:
            assert client.xrange(producer.keys.ticks) == before
            assert client.hget(producer.keys.checkpoint, "inputs") == b"abc"


def test_what_was_not_confirmed_and_is_on_the_next_primary_is_asked_about_there(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    with producing(replicated.url, session_name, acknowledged=Level.REPLICA) as producer:
        producer.publish_all(1)
        replicated.fall_behind()
        producer.publish(1, urgent=True)
        until(lambda: (producer.publisher.tend(), bool(producer.publisher.problem))[1])
        before = producer.publisher.reconnects
        replicated.proxy.cut()

        until(lambda: (producer.publisher.tend(), producer.publisher.reconnects > before)[1])
        producer.publisher.tend()

        assert not producer.publisher.acknowledged, "a new connection asked about nothing, which every replica has"
        replicated.catch_up()
        producer.publisher.flush()
        with replicated.client() as client:
            assert [frame.first_sequence for frame in stream(client, producer.keys)] == [1, 11]


def test_a_session_is_taken_over_only_when_a_replica_knows(replicated: ReplicatedRedis, session_name: str) -> None:
    replicated.fall_behind()
    producer = Producer(replicated.url, session_name, acknowledged=Level.REPLICA)
    adopting = threading.Thread(target=producer.adopt)
    adopting.start()

    until(lambda: producer.publisher.problem.startswith("no replica has confirmed"))
    assert producer.states[-1] == "BACKPRESSURED"
    replicated.catch_up()
    adopting.join(10.0)

    assert producer.adopted.next_sequence == 1
    producer.publisher.close()


def test_a_redis_that_wants_replicas_and_has_none_is_waited_for_by_its_reason(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    with replicated.primary.client() as client:
        client.config_set("min-replicas-to-write", "1")
        client.config_set("min-replicas-max-lag", "1")
    with producing(replicated.url, session_name) as producer:
        producer.publish_all(1)
        replicated.link.refuse()
        with replicated.primary.client() as client:
            until(lambda: client.info("replication")["connected_slaves"] == 0)

        producer.publish(1, urgent=True)
        until(lambda: (producer.publisher.tend(), "NOREPLICAS" in producer.publisher.problem)[1])

        assert producer.states[-1] == "BACKPRESSURED"
        assert "unreachable" not in producer.publisher.problem
        replicated.catch_up()
        producer.publisher.flush()
        assert producer.states[-1] == "RUNNING"


def test_a_checkpoint_that_the_next_primary_did_not_get_is_written_again(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    with producing(replicated.url, session_name) as producer:
        producer.publish_all(1)
        replicated.fall_behind()
        producer.publisher.save(CHECKPOINT)

        replicated.fail_over()
        producer.publisher.flush()
        producer.publish_all(1)

        with replicated.client() as client:
            assert client.hget(producer.keys.checkpoint, "inputs") == b"abc"
            assert client.hget(producer.keys.checkpoint, "run_id").decode() == client.info("server")["run_id"]


def test_a_disk_confirms(new_redis: Callable[..., RedisForTests], session_name: str) -> None:
    server = new_redis(append_only=True, extra=("--appendfsync", "always"))
    with server.client() as client:
        if not says_what_disks_have(client):
            pytest.skip("this engine has no WAITAOF (Redis before 7.2)")

    with producing(server.url, session_name, acknowledged=Level.DURABLE) as producer:
        producer.publish_all(3)

        assert producer.publisher.acknowledged


def test_an_engine_without_a_disk_is_no_durable_one(new_redis: Callable[..., RedisForTests], session_name: str) -> None:
    server = new_redis(append_only=False)

    with pytest.raises(RedisRefused, match="MIDSTREAM_ACKNOWLEDGED=durable needs the append-only file") as refused:
        Producer(server.url, session_name, acknowledged=Level.DURABLE).adopt()
    assert "\n" not in str(refused.value)
    with producing(server.url, session_name, acknowledged=Level.DURABLE, durable_engine=True) as promised:
        promised.publish_all(1)


def test_live_data_needs_no_file_where_the_engine_is_durable_by_itself(redis_url: str, session_name: str) -> None:
    with producing(
        redis_url, session_name, live_configured=True, acknowledged=Level.DURABLE, durable_engine=True
    ) as promised:
        promised.publish_all(1)
        assert promised.publisher.acknowledged

    with pytest.raises(RedisRefused, match="live ticks exist only once"):
        # Who is not asked to be durable is not believed either.
        Producer(redis_url, session_name, live_configured=True, durable_engine=True).adopt()

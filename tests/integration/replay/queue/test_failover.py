"""A replica that was behind takes over: no number ever has two contents, whoever is still alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from fastpath.frame import MODE_LIVE
from services.replay.queue import Fenced, QueueLost
from tests.integration.replay.queue.harness import (
    CHECKPOINT,
    Producer,
    Reader,
    announce,
    producing,
    sequences,
    stream,
)
from tests.support.replicated_redis import ReplicatedRedis

LIVE = replace(CHECKPOINT, effective=replace(CHECKPOINT.effective, mode=MODE_LIVE), seams=())
HISTORY = replace(CHECKPOINT, seams=())


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[ReplicatedRedis]:
    servers = ReplicatedRedis(tmp_path)
    yield servers
    servers.close()


def publish_and_lose(replicated: ReplicatedRedis, producer: Producer, *, kept: int = 2, lost: int = 3) -> None:
    """Publish some that the replica gets, some that it does not, and have it take over."""
    producer.publish(kept)
    producer.publisher.save(LIVE if producer.mode == MODE_LIVE else HISTORY)
    replicated.fall_behind()
    producer.publish_all(lost)
    with replicated.client() as client:
        assert sequences(client, producer.keys) == list(range(1, 10 * (kept + lost) + 1))
    replicated.fail_over()
    with replicated.client() as client:
        assert sequences(client, producer.keys) == list(range(1, 10 * kept + 1))


def test_a_producer_that_lives_jumps_over_live_records_that_are_gone(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    with producing(replicated.url, session_name, mode=MODE_LIVE) as producer:
        publish_and_lose(replicated, producer)

        adopted = producer.adopt()

        assert (adopted.next_sequence, adopted.gap and adopted.gap.next_sequence) == (21, 51)


def test_a_producer_that_died_too_is_followed_by_another_numbering(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    dead = Producer(replicated.url, session_name, mode=MODE_LIVE)
    epoch = dead.adopt().epoch
    publish_and_lose(replicated, dead)
    dead.publisher._wire.close()

    with replicated.client() as client, producing(replicated.url, session_name, seed=2, mode=MODE_LIVE) as heir:
        assert heir.adopted.epoch != epoch
        assert heir.adopted.next_sequence == 1
        assert heir.adopted.gap is not None
        assert heir.adopted.checkpoint is not None
        assert heir.adopted.checkpoint.effective.mode == MODE_LIVE
        heir.publish_all(1)
        assert [(frame.epoch, frame.first_sequence) for frame in stream(client, heir.keys)] == [(heir.adopted.epoch, 1)]


def test_a_numbering_ends_only_when_its_readers_have_the_end(replicated: ReplicatedRedis, session_name: str) -> None:
    dead = Producer(replicated.url, session_name, mode=MODE_LIVE)
    dead.adopt()
    with replicated.client() as client:
        slow = Reader(client, dead.keys, "slow")
        slow.read(1)
    publish_and_lose(replicated, dead)
    dead.publisher._wire.close()
    heir = Producer(replicated.url, session_name, seed=2, mode=MODE_LIVE)
    looked: list[str] = []

    with replicated.client() as client:
        slow.client = client

        def read_on() -> None:
            if "has read its end" in heir.publisher.problem:
                looked.append(heir.publisher.problem)
                slow.read(1)

        heir.on_wait = read_on
        heir.adopt()

    assert slow.last == 20
    assert len(looked) >= 2
    assert "consumer group `slow` is behind" in looked[0]
    assert heir.adopted.next_sequence == 1
    heir.publisher.close()


@pytest.mark.parametrize("alive", [True, False], ids=["the producer lives", "the producer died"])
def test_history_that_is_gone_goes_out_again_as_it_was(
    alive: bool, replicated: ReplicatedRedis, session_name: str
) -> None:
    producer = Producer(replicated.url, session_name)
    epoch = producer.adopt().epoch
    publish_and_lose(replicated, producer)
    if not alive:
        producer.publisher._wire.close()
        producer = Producer(replicated.url, session_name, seed=2)

    with replicated.client() as client:
        announce(client, producer.keys, "price", epoch=epoch, sequence=50)
        adopted = producer.adopt()
        producer.publish_all(3)

        assert (adopted.epoch, adopted.next_sequence, adopted.gap) == (epoch, 21, None)
        assert sequences(client, producer.keys) == list(range(1, 51))
    producer.publisher.close()


def _rolled_back(replicated: ReplicatedRedis, session: str) -> tuple[Producer, Producer]:
    """Two producers, of which the second took over where the replica did not see it."""
    first, second = Producer(replicated.url, session, mode=MODE_LIVE), Producer(replicated.url, session, seed=2)
    second.mode = MODE_LIVE
    first.adopt()
    first.publish(1)
    first.publisher.save(LIVE)
    with replicated.client() as client:
        replicated.fall_behind()
        client.delete(first.keys.lease)
    second.adopt()
    second.publish_all(2)
    return first, second


def test_a_take_over_that_redis_lost_is_made_again_where_the_first_is_gone(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    first, second = _rolled_back(replicated, session_name)
    first.publisher._wire.close()
    replicated.fail_over()

    adopted = second.adopt()

    assert (adopted.next_sequence, adopted.gap and adopted.gap.next_sequence) == (11, 31)
    with replicated.client() as client:
        assert client.get(second.keys.fence) == second.publisher._claim.holder.token.encode()
    second.publisher.close()


def test_a_first_producer_that_was_away_for_long_does_not_trust_a_fence_that_came_back(
    replicated: ReplicatedRedis, session_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = _rolled_back(replicated, session_name)
    epoch = first.adopted.epoch
    replicated.fail_over()
    # It was stopped for as long as its lease.
    monkeypatch.setattr("services.replay.queue.pipeline.LEASE_MS", 0)

    first.publish(1)
    with pytest.raises(QueueLost, match="in which another producer may have had the session"):
        first.publisher.flush()
    adopted = first.adopt()

    assert (adopted.epoch != epoch, adopted.next_sequence) == (True, 1)
    with pytest.raises(Fenced):
        second.adopt()
    first.publisher.close()
    second.publisher.close()


def test_one_node_that_comes_back_has_lost_nothing(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    with producing(redis_url, session_name, mode=MODE_LIVE) as producer:
        producer.publish(2)
        producer.publisher.save(LIVE)
    redis_client.hset(producer.keys.checkpoint, "run_id", "the process before")

    with producing(redis_url, session_name, seed=2, mode=MODE_LIVE) as heir:
        assert (heir.adopted.epoch, heir.adopted.next_sequence) == (producer.adopted.epoch, 21)


def test_a_command_that_may_have_been_applied_where_it_is_gone_begins_another_numbering(
    replicated: ReplicatedRedis, session_name: str
) -> None:
    dead = Producer(replicated.url, session_name)
    epoch = dead.adopt().epoch
    with replicated.client() as client:
        client.xadd(dead.keys.control, {"intent": "{}"}, id=f"0-{HISTORY.effective.revision + 1}")
    publish_and_lose(replicated, dead)
    dead.publisher._wire.close()

    with producing(replicated.url, session_name, seed=2) as heir:
        assert (heir.adopted.epoch != epoch, heir.adopted.next_sequence) == (True, 1)

"""The ordinary way: batches go in, in order, with their checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis

from services.replay.queue import QueueLimits, RedisRefused
from services.replay.queue.model import parse_checkpoint
from services.replay.queue.pipeline import SHARED_LINGER_NS
from services.runtime.errors import Bug
from services.runtime.session.keys import SESSIONS
from tests.integration.replay.queue.harness import (
    CHECKPOINT,
    START_NS,
    Producer,
    make_batch,
    producing,
    sequences,
    stream,
)
from tests.support.clock import FakeClock


@pytest.fixture
def producer(redis_url: str, session_name: str) -> Iterator[Producer]:
    with producing(redis_url, session_name) as producing_one:
        yield producing_one


@pytest.mark.quick
def test_batches_arrive_in_order_and_complete(producer: Producer, redis_client: redis.Redis) -> None:
    producer.publish(23)
    producer.publisher.flush()

    assert sequences(redis_client, producer.keys) == list(range(1, 231))
    assert producer.publisher.acknowledged
    assert producer.publisher.oldest_sequence == 1
    assert redis_client.sismember(SESSIONS, producer.keys.session)


def test_an_urgent_batch_leaves_at_once(producer: Producer, redis_client: redis.Redis) -> None:
    producer.publish(1, urgent=True)

    # Nothing was flushed; the transaction was sent before publish returned, and the connection of this test comes later.
    producer.publish(1)
    assert redis_client.xlen(producer.keys.ticks) == 1


def test_a_lingering_batch_leaves_with_tend(redis_url: str, session_name: str, redis_client: redis.Redis) -> None:
    with producing(redis_url, session_name, clock=FakeClock()) as producer:
        producer.publish(1)
        assert redis_client.xlen(producer.keys.ticks) == 0

        producer.publisher.tend()
        producer.publisher.tend()

        assert redis_client.xlen(producer.keys.ticks) == 1


def test_a_batch_of_one_of_several_partitions_waits_longer_for_company(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    clock = FakeClock()
    with producing(redis_url, session_name, clock=clock, linger_ns=SHARED_LINGER_NS) as producer:
        producer.publish(1)
        clock.advance_ns(SHARED_LINGER_NS - 1)
        producer.publish(1)
        assert redis_client.xlen(producer.keys.ticks) == 0

        clock.advance_ns(1)
        producer.publish(1)
        producer.publisher.tend()

        assert redis_client.xlen(producer.keys.ticks) == 3


def test_a_checkpoint_goes_with_its_batch_and_comes_back(
    producer: Producer, redis_client: redis.Redis, redis_url: str
) -> None:
    producer.publish(1, checkpoint=CHECKPOINT)
    producer.publisher.flush()

    stored = parse_checkpoint(redis_client.hgetall(producer.keys.checkpoint))
    assert stored is not None
    assert (stored.checkpoint, stored.epoch) == (CHECKPOINT, producer.adopted.epoch)
    producer.publisher.close()
    with producing(redis_url, producer.keys.session) as heir:
        assert heir.adopted.checkpoint == CHECKPOINT


def test_saving_needs_no_batch(producer: Producer, redis_client: redis.Redis) -> None:
    producer.publisher.save(CHECKPOINT)

    assert redis_client.hget(producer.keys.checkpoint, "sequence") == b"7"
    assert redis_client.exists(producer.keys.ticks) == 0


def test_a_hole_a_repeat_and_another_epoch_are_refused_before_anything_is_sent(
    producer: Producer, redis_client: redis.Redis
) -> None:
    epoch = producer.adopted.epoch
    producer.publish(1)

    for batch, first in ((make_batch(epoch, 1), 1), (make_batch(epoch, 21), 21), (make_batch("other", 11), 11)):
        with pytest.raises(Bug):
            producer.publisher.publish(batch, first, first + 9, wake=threading.Event(), arrival_time_ns=START_NS)

    producer.publisher.flush()
    assert sequences(redis_client, producer.keys) == list(range(1, 11))


def test_the_lease_is_renewed_while_nothing_is_published(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    clock = FakeClock()
    with producing(redis_url, session_name, clock=clock) as producer:
        redis_client.pexpire(producer.keys.lease, 5000)

        clock.advance(2.0)
        producer.publisher.tend()
        producer.publisher.flush()
        assert redis_client.pttl(producer.keys.lease) > 5000

        # Gone altogether: noticed by one renewal, written again by the next.
        redis_client.delete(producer.keys.lease)
        for _ in range(2):
            clock.advance(2.0)
            producer.publisher.tend()
            producer.publisher.flush()
        assert b"midstream-replay" in (redis_client.get(producer.keys.lease) or b"")


def test_closing_gives_the_session_up(producer: Producer, redis_client: redis.Redis) -> None:
    producer.publish(1)
    producer.publisher.flush()

    producer.publisher.close()

    assert redis_client.exists(producer.keys.lease) == 0
    assert redis_client.exists(producer.keys.fence) == 1


def test_a_key_of_another_type_is_refused(producer: Producer, redis_client: redis.Redis) -> None:
    redis_client.set(producer.keys.checkpoint, "x")

    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        producer.publisher.save(CHECKPOINT)


def test_large_batches_pass_through_small_socket_buffers(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    with producing(redis_url, session_name, padding=100_000, limits=QueueLimits(high_bytes=64 << 20)) as producer:
        producer.publish(9)
        producer.publisher.flush()

        frames = stream(redis_client, producer.keys)
        assert [frame.first_sequence for frame in frames] == list(range(1, 91, 10))

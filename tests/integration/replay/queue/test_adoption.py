"""Taking a session over: who may, and where it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis

from fastpath.frame import MARKER_GAP, MODE_LIVE
from services.replay.queue import (
    Fenced,
    Publisher,
    QueueLimits,
    QueueLost,
    RedisRefused,
    SessionTaken,
    SinkExpectation,
    Stopped,
)
from services.replay.queue.claim import Claim
from services.replay.queue.rewind import rewind
from services.replay.queue.wire import Wire
from services.runtime.session.keys import SessionKeys
from tests.integration.replay.queue.harness import (
    CHECKPOINT,
    Producer,
    Reader,
    announce,
    producing,
    sequences,
    until,
)
from tests.support.redis_server import RedisForTests

PRICE = SinkExpectation(("price",), grace_s=0.0)


def fill(url: str, session: str, batches: int = 3, **options: object) -> str:
    """Leave a session behind as a producer that ended in order; returns its epoch."""
    with producing(url, session, **options) as producer:
        producer.publish(batches)
        producer.publisher.save(
            replace(CHECKPOINT, effective=replace(CHECKPOINT.effective, mode=producer.mode), seams=())
        )
        return producer.adopted.epoch


@pytest.mark.quick
def test_a_second_producer_is_refused_in_one_line_that_names_the_first(redis_url: str, session_name: str) -> None:
    with producing(redis_url, session_name):
        second = Producer(redis_url, session_name, seed=2)

        with pytest.raises(SessionTaken) as refused:
            second.adopt()

    text = str(refused.value)
    assert session_name in text
    assert "process" in text
    assert "--session" in text
    assert "\n" not in text


def test_of_two_that_start_together_one_gets_the_session(redis_url: str, session_name: str) -> None:
    producers = [Producer(redis_url, session_name, seed=seed) for seed in range(4)]
    barrier = threading.Barrier(len(producers))
    outcomes: list[str] = []

    def start(producer: Producer) -> None:
        barrier.wait()
        try:
            producer.adopt()
            outcomes.append("adopted")
        except SessionTaken:
            outcomes.append("taken")

    threads = [threading.Thread(target=start, args=(producer,)) for producer in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["adopted", "taken", "taken", "taken"]
    for producer in producers:
        producer.publisher.close()


def test_a_lease_whose_producer_lost_its_connection_is_dead(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    dead = Producer(redis_url, session_name)
    dead.adopt()
    dead.publish(2)
    dead.publisher.flush()
    dead.publisher._wire.close()
    assert redis_client.exists(dead.keys.lease)
    name = dead.publisher._claim.holder.client_name
    until(lambda: name not in str(redis_client.client_list()))

    with producing(redis_url, session_name, seed=2) as heir:
        assert heir.adopted.next_sequence == 21
        assert heir.adopted.epoch == dead.adopted.epoch


def test_a_producer_whose_lease_ran_out_is_fenced_off(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    with producing(redis_url, session_name) as stopped:
        stopped.publish(1)
        stopped.publisher.flush()
        redis_client.delete(stopped.keys.lease)

        with producing(redis_url, session_name, seed=2) as heir:
            heir.publish(1, urgent=True)
            heir.publisher.flush()
            stopped.publish(1)
            with pytest.raises(Fenced):
                stopped.publisher.flush()
            with pytest.raises(Fenced):
                stopped.adopt()
            heir.publish(1)
            heir.publisher.flush()

        assert sequences(redis_client, heir.keys) == list(range(1, 31))


def test_a_takeover_alone_already_keeps_the_old_producer_out(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    with producing(redis_url, session_name) as stopped:
        stopped.publish_all(1)
        redis_client.delete(stopped.keys.lease)

        with producing(redis_url, session_name, seed=2):
            with pytest.raises(Fenced):
                stopped.publish_all(1)

        assert sequences(redis_client, stopped.keys) == list(range(1, 11))


def test_case_1_the_tail_is_continued(redis_url: str, session_name: str, redis_client: redis.Redis) -> None:
    epoch = fill(redis_url, session_name)
    announce(redis_client, SessionKeys(session_name), "price", epoch=epoch, sequence=10)

    with producing(redis_url, session_name, seed=2, sinks=PRICE) as heir:
        assert (heir.adopted.epoch, heir.adopted.next_sequence) == (epoch, 31)
        assert heir.adopted.gap is None
        assert heir.adopted.checkpoint is not None
        # Nothing was committed: the entries that were there before count as unread.
        assert heir.publisher.backlog_records == 30
        heir.publish(1)
        heir.publisher.flush()

    assert sequences(redis_client, SessionKeys(session_name)) == list(range(1, 41))


def test_case_2_a_historical_span_that_redis_lost_is_published_again(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    epoch = fill(redis_url, session_name)
    announce(redis_client, SessionKeys(session_name), "price", epoch=epoch, sequence=57)

    with producing(redis_url, session_name, seed=2, sinks=PRICE) as heir:
        assert (heir.adopted.next_sequence, heir.adopted.gap) == (31, None)


def test_case_2_a_live_span_that_redis_lost_becomes_a_gap_that_jumps(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    keys = SessionKeys(session_name)
    epoch = fill(redis_url, session_name, mode=MODE_LIVE)
    announce(redis_client, keys, "price", epoch=epoch, sequence=57, live_sequence=57, cursor=b"")

    with producing(redis_url, session_name, seed=2, sinks=PRICE, mode=MODE_LIVE) as heir:
        gap = heir.adopted.gap
        assert gap is not None
        assert (heir.adopted.next_sequence, gap.kind, gap.next_sequence) == (31, MARKER_GAP, 58)
        # The gap's own batch, and then the jump that it announces.
        heir.batch_records = 1
        heir.publish(1)
        heir.next = 58
        heir.publish(1)
        heir.publisher.flush()

    assert sequences(redis_client, keys) == [*range(1, 32), 58]


def test_case_3_a_missing_stream_is_continued_from_the_slowest_sink(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    keys = SessionKeys(session_name)
    epoch = fill(redis_url, session_name)
    redis_client.delete(keys.ticks, keys.fence)
    announce(redis_client, keys, "price", epoch=epoch, sequence=20, cursor=b"slow")
    announce(redis_client, keys, "other", epoch=epoch, sequence=30, cursor=b"fast")

    with producing(redis_url, session_name, seed=2, sinks=PRICE) as heir:
        assert (heir.adopted.epoch, heir.adopted.next_sequence, heir.adopted.cursor) == (epoch, 21, b"slow")


def test_case_3_without_announcements_a_new_epoch_begins(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    epoch = fill(redis_url, session_name)
    redis_client.delete(SessionKeys(session_name).ticks)

    with producing(redis_url, session_name, seed=2) as heir:
        assert heir.adopted.epoch != epoch
        assert (heir.adopted.next_sequence, heir.adopted.cursor) == (1, b"")
        assert not heir.adopted.fresh


def test_case_4_a_restart_in_live_mode_owes_a_gap(redis_url: str, session_name: str) -> None:
    fill(redis_url, session_name, mode=MODE_LIVE)

    with producing(redis_url, session_name, seed=2) as heir:
        assert heir.adopted.next_sequence == 31
        assert heir.adopted.gap is not None
        assert heir.adopted.gap.next_sequence == 0


def test_announcements_made_to_another_redis_do_not_count(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    keys = SessionKeys(session_name)
    announce(redis_client, keys, "price", epoch="old", sequence=20, run_id="another")

    with producing(redis_url, session_name, sinks=PRICE) as producer:
        assert producer.adopted.next_sequence == 1


def test_an_expected_sink_is_waited_for(redis_url: str, session_name: str, redis_client: redis.Redis) -> None:
    keys = SessionKeys(session_name)
    producer = Producer(redis_url, session_name, sinks=SinkExpectation(("price",), grace_s=30.0))
    adopting = threading.Thread(target=producer.adopt)

    adopting.start()
    until(lambda: bool(redis_client.exists(keys.lease)))
    announce(redis_client, keys, "price", epoch="e", sequence=20)
    adopting.join(10.0)

    assert not adopting.is_alive()
    assert (producer.adopted.epoch, producer.adopted.next_sequence) == ("e", 21)
    producer.publisher.close()


def test_waiting_for_a_sink_ends_with_stopping(redis_url: str, session_name: str, redis_client: redis.Redis) -> None:
    producer = Producer(redis_url, session_name, sinks=SinkExpectation(("price",), grace_s=30.0))
    outcome: list[BaseException] = []

    def adopt() -> None:
        try:
            producer.adopt()
        except Stopped as exc:
            outcome.append(exc)

    adopting = threading.Thread(target=adopt)
    adopting.start()
    until(lambda: bool(redis_client.exists(producer.keys.lease)))
    producer.stopping.set()
    adopting.join(5.0)

    assert len(outcome) == 1
    producer.publisher.close()


def test_what_is_in_the_stream_already_counts_and_is_measured_in_chunks(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    with producing(redis_url, session_name) as first:
        first.publish(41)
        first.publisher.flush()

    with producing(redis_url, session_name, seed=2) as heir:
        backlog = heir.publisher._backlog
        assert (backlog.records, backlog.oldest_sequence) == (410, 1)
        assert backlog.size == sum(len(fields[b"b"]) for _, fields in redis_client.xrange(heir.keys.ticks))


def test_a_newest_entry_that_somebody_deleted_is_published_again_under_its_number(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    fill(redis_url, session_name)
    keys = SessionKeys(session_name)
    redis_client.xdel(keys.ticks, "0-21")

    with producing(redis_url, session_name, seed=2) as heir:
        assert heir.adopted.next_sequence == 21
        heir.publish(2)
        heir.publisher.flush()

    assert sequences(redis_client, keys) == list(range(1, 41))


def test_groups_of_a_stream_that_is_written_anew_miss_nothing_and_repeat_nothing_they_committed(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    fill(redis_url, session_name)
    keys = SessionKeys(session_name)
    ids = [entry_id for entry_id, _ in redis_client.xrange(keys.ticks)]
    for group, acknowledged in (("at-work", 0), ("up-to-date", len(ids) - 1)):
        redis_client.xgroup_create(keys.ticks, group, id="0")
        redis_client.xreadgroup(group, "one", {keys.ticks: ">"}, count=len(ids) - 1)
        for entry_id in ids[:acknowledged]:
            redis_client.xack(keys.ticks, group, entry_id)
    redis_client.xdel(keys.ticks, ids[-1])

    with producing(redis_url, session_name, seed=2) as heir:
        heir.publish(1)
        heir.publisher.flush()

    def unread(group: str) -> list[bytes]:
        found = redis_client.xreadgroup(group, "one", {keys.ticks: ">"}, count=100)
        return [entry_id for entry_id, _ in found[0][1]] if found else []

    assert unread("at-work") == ids
    assert unread("up-to-date") == ids[-1:]
    assert not redis_client.exists(f"{keys.ticks}:rewound")


def test_a_stream_is_not_written_anew_by_a_producer_that_lost_it(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    fill(redis_url, session_name)
    keys = SessionKeys(session_name)
    before = redis_client.xrange(keys.ticks)
    wire = Wire(redis_url, client_name="late", stopping=threading.Event())
    wire.open()
    redis_client.set(keys.fence, "somebody else")

    with pytest.raises(Fenced):
        rewind(wire, Claim(keys, "late"), keys.ticks)

    wire.close()
    assert redis_client.xrange(keys.ticks) == before


def test_an_emptied_stream_takes_low_numbers_again(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    fill(redis_url, session_name)
    keys = SessionKeys(session_name)
    redis_client.xtrim(keys.ticks, maxlen=0, approximate=False)

    with producing(redis_url, session_name, seed=2) as heir:
        heir.publish(2)
        heir.publisher.flush()

    assert sequences(redis_client, keys) == list(range(1, 21))


def test_a_stream_that_a_reader_made_before_is_taken_as_it_is(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    reader = Reader(redis_client, SessionKeys(session_name), "early")

    with producing(redis_url, session_name) as producer:
        producer.publish(2)
        producer.publisher.flush()

    assert reader.read() == 2


def test_a_stream_of_somebody_else_is_refused(redis_url: str, session_name: str, redis_client: redis.Redis) -> None:
    redis_client.xadd(SessionKeys(session_name).ticks, {"b": b"\xff\xff\xff"}, id="0-1")

    with pytest.raises(RedisRefused, match="not a batch of ticks"):
        Producer(redis_url, session_name).adopt()


def test_a_checkpoint_of_a_newer_release_is_refused_and_not_guessed(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    fill(redis_url, session_name)
    redis_client.hset(SessionKeys(session_name).checkpoint, "version", "2")

    with pytest.raises(RedisRefused, match="checkpoint in Redis has version 2"):
        Producer(redis_url, session_name, seed=2).adopt()


def test_an_announcement_of_a_newer_release_is_refused_and_not_taken_for_none(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    redis_client.hset(SessionKeys(session_name).sinks, "price", '{"version":2,"place":7}')

    with pytest.raises(RedisRefused, match="announcement of sink `price` has version 2"):
        Producer(redis_url, session_name).adopt()


def test_a_redis_that_would_lose_ticks_is_refused(new_redis: Callable[..., RedisForTests], session_name: str) -> None:
    server = new_redis(extra=("--maxmemory-policy", "allkeys-lru"))

    with pytest.raises(RedisRefused, match="noeviction"):
        Producer(server.url, session_name).adopt()


def test_a_wrong_password_is_refused_at_once(new_redis: Callable[..., RedisForTests], session_name: str) -> None:
    server = new_redis()
    with server.client() as client:
        client.config_set("requirepass", "secret")

    with pytest.raises(RedisRefused, match="does not let us in"):
        Producer(server.url, session_name).adopt()
    server.kill()


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(RedisRefused, match="redis://"):
        Producer("http://nowhere", "s")


def test_waiting_for_a_redis_that_is_not_there_ends_with_stopping(session_name: str) -> None:
    producer = Producer("redis://127.0.0.1:1/0", session_name)
    producer.on_wait = producer.stopping.set

    with pytest.raises(Stopped):
        producer.adopt()

    assert producer.publisher.waiting
    assert "unreachable" in producer.publisher.problem


def test_figures_of_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="high_bytes"):
        QueueLimits(high_bytes=0)


def test_a_publisher_is_of_no_use_before_it_adopted_and_after_the_queue_was_lost(
    redis_url: str, session_name: str, redis_client: redis.Redis
) -> None:
    with producing(redis_url, session_name) as producer:
        redis_client.delete(producer.keys.fence)
        with pytest.raises(QueueLost):
            producer.publish(2, urgent=True)
        assert isinstance(producer.publisher, Publisher)
        producer.adopt()
        producer.publish(1)
        producer.publisher.flush()

    assert sequences(redis_client, producer.keys) == list(range(1, producer.next))

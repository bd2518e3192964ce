"""Slow readers, missing readers, late readers: memory stays bounded and nothing unread goes."""

from __future__ import annotations

import threading
from random import Random

import pytest
import redis

from services.replay.queue import QueueLimits, SinkExpectation
from services.replay.queue.patience import SHARED_WAIT_S, WAIT_S_MIN
from tests.integration.replay.queue.harness import Reader, producing, sequences
from tests.support.clock import FakeClock

PADDING = 30_000


@pytest.mark.quick
def test_a_slow_reader_bounds_the_stream_and_the_wait_is_visible(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    limits = QueueLimits(high_records=100, retain_bytes=0)
    with producing(redis_url, session_name, limits=limits) as producer:
        reader = Reader(redis_client, producer.keys, "slow")
        longest = 0

        def read() -> None:
            nonlocal longest
            longest = max(longest, redis_client.xlen(producer.keys.ticks) - reader.last // 10)
            assert producer.publisher.waiting
            assert "`slow`" in producer.publisher.problem
            assert producer.publisher.backlog_records <= 100
            reader.read(2)

        producer.on_wait = read
        producer.publish(60)
        producer.publisher.flush()
        while reader.read():
            pass

        assert reader.last == 600
        assert longest == 10
        assert producer.states[-1] == "RUNNING"
        assert set(producer.states) == {"BACKPRESSURED", "RUNNING"}


class NotedWaits(threading.Event):
    """Waits for nothing, is set after four waits, and knows how long each would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        if len(self.seconds) == 4:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(
    ("first_s", "waits_s"),
    [(WAIT_S_MIN, [0.001, 0.002, 0.004, 0.008]), (SHARED_WAIT_S, [0.016, 0.032, 0.032, 0.032])],
    ids=["alone", "one of several partitions"],
)
def test_looks_for_room_become_rarer(
    redis_url: str, redis_client: redis.Redis, session_name: str, first_s: float, waits_s: list[float]
) -> None:
    with producing(redis_url, session_name, limits=QueueLimits(high_records=30), room_wait_s=first_s) as producer:
        Reader(redis_client, producer.keys, "slow")
        waits = producer.wake = NotedWaits()

        assert producer.publish(10) == 3

        assert waits.seconds == waits_s


def test_the_bytes_of_the_backlog_are_bounded_too(redis_url: str, redis_client: redis.Redis, session_name: str) -> None:
    with producing(redis_url, session_name, padding=PADDING, limits=QueueLimits(high_bytes=1 << 20)) as producer:
        Reader(redis_client, producer.keys, "slow")
        producer.on_wait = producer.wake.set

        taken = producer.publish(100)

        assert 0 < producer.publisher.backlog_bytes <= 1 << 20
        assert taken == redis_client.xlen(producer.keys.ticks)


def test_a_wait_gives_way_to_wake_and_the_same_batch_is_taken_later(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_url, session_name, limits=QueueLimits(high_records=30)) as producer:
        reader = Reader(redis_client, producer.keys, "slow")
        producer.on_wait = producer.wake.set

        assert producer.publish(10) == 3
        assert not producer.publisher.waiting
        producer.wake.clear()
        producer.on_wait = None
        reader.read()
        assert producer.publish(2) == 2
        producer.publisher.flush()

        assert sequences(redis_client, producer.keys) == list(range(1, 51))


def test_an_expected_sink_without_a_group_is_waited_for(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    sinks = SinkExpectation(("price",), grace_s=0.0)
    with producing(redis_url, session_name, sinks=sinks, limits=QueueLimits(high_records=30)) as producer:
        Reader(redis_client, producer.keys, "other")
        producer.on_wait = producer.wake.set

        assert producer.publish(10) == 3
        assert "BACKPRESSURED" in producer.states
        assert redis_client.xlen(producer.keys.ticks) == 3


def test_without_readers_only_what_is_retained_stays(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    limits = QueueLimits(high_bytes=2 << 20, retain_bytes=4 << 20)
    with producing(redis_url, session_name, padding=PADDING, limits=limits) as producer:
        producer.publish(150)
        producer.publisher.flush()
        producer.publisher._pipeline.poll()
        producer.publisher.flush()
        producer.publisher._pipeline.advance(poll=True)
        producer.publisher.flush()

        kept = sequences(redis_client, producer.keys)
        size = sum(len(fields[b"b"]) for _, fields in redis_client.xrange(producer.keys.ticks))
        assert kept == list(range(kept[0], 1501))
        assert 3 << 20 < size < 8 << 20
        assert producer.publisher.oldest_sequence == kept[0]


def test_a_late_group_reads_everything_that_is_retained(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_url, session_name, padding=PADDING, limits=QueueLimits(retain_bytes=2 << 20)) as producer:
        producer.publish(100)
        producer.publisher.flush()
        late = Reader(redis_client, producer.keys, "late")

        producer.on_wait = lambda: late.read(1) and None
        producer.publish(50)
        producer.publisher.flush()
        while late.read():
            pass

        assert late.last == 1500


def test_a_group_that_is_gone_for_its_lease_does_not_hold_back_any_more(
    redis_url: str, redis_client: redis.Redis, session_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    limits = QueueLimits(high_records=30, retain_bytes=0, group_lease_s=0.05)
    with producing(redis_url, session_name, clock=clock, limits=limits) as producer:
        redis_client.xgroup_create(producer.keys.ticks, "dead", "0", mkstream=True)
        producer.on_wait = lambda: clock.advance(1.0)

        assert producer.publish(20) == 20

        assert caplog.text.count("group does not count any more") == 1


def test_trimming_looks_at_the_groups_again_at_the_very_moment(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    limits = QueueLimits(high_bytes=64 << 20, retain_bytes=0)
    with producing(redis_url, session_name, padding=PADDING, limits=limits) as producer:
        producer.publish(20)
        producer.publisher.flush()
        producer.publisher._pipeline.poll()
        assert producer.publisher._backlog.trim_floor() > 1

        # Between the look and the trim a reader comes that wants all of it.
        late = Reader(redis_client, producer.keys, "late")
        producer.publish(1, urgent=True)
        producer.publisher.flush()

        assert redis_client.xlen(producer.keys.ticks) == 21
        while late.read():
            pass
        assert late.last == 210


@pytest.mark.parametrize("seed", range(3))
def test_whatever_groups_do_nothing_unread_is_trimmed(
    seed: int, redis_url: str, redis_client: redis.Redis, session_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(seed)
    limits = QueueLimits(high_bytes=5 << 20, retain_bytes=1 << 20)
    readers: list[Reader] = []
    unacknowledged: list[tuple[Reader, bytes]] = []

    with producing(redis_url, session_name, padding=PADDING, limits=limits) as producer:
        keys = producer.keys

        def act() -> None:
            what = random.random()
            if what < 0.1 and len(readers) < 4:
                readers.append(Reader(redis_client, keys, f"g{random.random()}", start=random.choice(("0", "$"))))
            elif what < 0.15 and readers:
                redis_client.xgroup_destroy(keys.ticks, readers.pop(random.randrange(len(readers))).group)
            elif what < 0.4 and readers:
                reader = random.choice(readers)
                before = redis_client.xlen(keys.ticks)
                assert before
                # The reader itself refuses a hole, which is what trimming something unread would be.
                reader.read(random.randrange(1, 12))
            elif what < 0.6 and readers:
                reader = random.choice(readers)
                found = redis_client.xreadgroup(reader.group, "c", {keys.ticks: ">"}, count=random.randrange(1, 4))
                for entry_id, fields in found[0][1] if found else []:
                    assert fields, f"seed {seed}: {entry_id!r} was trimmed under {reader.group}"
                    first = int(entry_id.split(b"-")[1])
                    assert not reader.last or first == reader.last + 1, f"seed {seed}"
                    reader.last = first + 9
                    unacknowledged.append((reader, entry_id))
            elif unacknowledged:
                reader, entry_id = unacknowledged.pop(random.randrange(len(unacknowledged)))
                if reader in readers:
                    # What is pending is never trimmed, so it can be read again.
                    assert redis_client.xrange(keys.ticks, entry_id, entry_id), f"seed {seed}: {entry_id!r}"
                    redis_client.xack(keys.ticks, reader.group, entry_id)

        redis_client.xgroup_create(keys.ticks, "never", "$", mkstream=True)
        redis_client.xgroup_destroy(keys.ticks, "never")
        producer.on_wait = None
        for _ in range(250):
            producer.wake = threading.Event()
            producer.wake.set()
            producer.publish(random.randrange(1, 4))
            producer.publisher._pipeline.advance(poll=True)
            act()
        producer.publisher.flush()

        assert producer.next > 100
        assert redis_client.xlen(keys.ticks) < (producer.next - 1) // 10, "nothing was trimmed at all"

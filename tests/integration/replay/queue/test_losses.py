"""Everything that Redis, the network and other people can do to a producer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from fastpath.frame import MODE_LIVE
from services.replay.queue import Fenced, QueueLimits, QueueLost, SinkExpectation, Stopped
from services.replay.queue import patience as patience_module
from services.replay.queue import wire as wire_module
from services.replay.queue.claim import Claim
from services.replay.queue.pipeline import BATCHES_PER_TRANSACTION
from services.replay.queue.wire import Wire, pack
from services.runtime.session.keys import SessionKeys
from tests.integration.replay.queue.harness import (
    CHECKPOINT,
    Reader,
    announce,
    connected,
    producing,
    sequences,
    until,
)
from tests.support.clock import FakeClock
from tests.support.ports import free_port
from tests.support.proxy import TcpProxy
from tests.support.redis_server import RedisForTests

PRICE = SinkExpectation(("price",), grace_s=0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is silent for a third of a second is gone."""
    monkeypatch.setattr(wire_module, "STALL_S", 0.3)
    monkeypatch.setattr(wire_module, "DRAIN_S", 0.1)
    monkeypatch.setattr(wire_module, "_HANDSHAKE_S", 0.3)


@pytest.fixture
def tcp_redis(new_redis: Callable[..., RedisForTests]) -> Iterator[tuple[RedisForTests, str]]:
    """A Redis on a port that it keeps over restarts, with every write on disk before its answer."""
    port = free_port()
    server = new_redis(append_only=True, extra=("--port", str(port), "--appendfsync", "always"))
    yield server, f"redis://127.0.0.1:{port}/0"
    server.stop()


# Replies


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize(
    "command", ["MULTI", "XADD", "HSET", "PEXPIRE", "EVAL", "EXEC", "WATCH", "GET", "XLEN", "XINFO", "XPENDING"]
)
def test_a_lost_reply_loses_and_doubles_nothing(
    command: str, nth: int, redis_proxy: TcpProxy, redis_client: redis.Redis, session_name: str
) -> None:
    clock = FakeClock()
    limits = QueueLimits(retain_bytes=0, high_bytes=64 << 20)
    with producing(redis_proxy.url, session_name, clock=clock, limits=limits, padding=60_000) as producer:
        readers = [Reader(redis_client, producer.keys, name) for name in ("a", "b")]
        producer.publish(8)
        producer.publisher.flush()
        readers[0].read()
        readers[1].read(3, acknowledge=False)

        redis_proxy.drop_reply(command, nth=nth)
        for _ in range(4):
            # Every round renews the lease, asks the groups, trims, saves and appends.
            clock.advance(2.5)
            for reader in readers:
                reader.read(3)
            pending = redis_client.xpending_range(producer.keys.ticks, "b", "-", "+", 3)
            if pending:
                redis_client.xack(producer.keys.ticks, "b", *(entry["message_id"] for entry in pending))
            producer.publish(5)
            producer.publisher.save(CHECKPOINT)
            producer.publisher.tend()
        dropped = redis_proxy.wait_dropped(0.0)
        for reader in readers:
            while reader.read():
                pass

        assert dropped, "the scenario does not send this command"
        assert [reader.last for reader in readers] == [280, 280]
        found = sequences(redis_client, producer.keys)
        assert found == list(range(found[0], 281))


@pytest.mark.parametrize(
    "command",
    ["INFO", "CONFIG", "WATCH", "GET", "MULTI", "EXEC", "SADD", "HGETALL", "XREVRANGE", "XINFO", "EVAL", "XLEN"],
)
def test_a_reply_lost_while_adopting_only_costs_an_attempt(
    command: str, redis_proxy: TcpProxy, redis_url: str, session_name: str
) -> None:
    with producing(redis_url, session_name) as first:
        first.publish(3)
        first.publisher.save(CHECKPOINT)
    redis_proxy.drop_reply(command)

    with producing(redis_proxy.url, session_name, seed=2) as heir:
        assert redis_proxy.wait_dropped(0.0)
        assert (heir.adopted.epoch, heir.adopted.next_sequence) == (first.adopted.epoch, 31)
        assert heir.adopted.checkpoint == CHECKPOINT


def test_a_reply_that_never_comes_is_given_up(
    redis_proxy: TcpProxy, redis_client: redis.Redis, session_name: str, impatient: None
) -> None:
    with producing(redis_proxy.url, session_name) as producer:
        producer.publish(4)
        producer.publisher.flush()
        redis_proxy.drop_reply("EXEC", then="hang")

        producer.publish(20)
        producer.publisher.flush()

        assert sequences(redis_client, producer.keys) == list(range(1, 241))


def test_a_connection_cut_at_any_byte_loses_nothing(
    redis_proxy: TcpProxy, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_proxy.url, session_name) as producer:
        producer.on_wait = redis_proxy.restore
        for cut in range(1, 130, 9):
            redis_proxy.cut_at_byte(cut)
            producer.publish(7)
            producer.publisher.flush()

        assert sequences(redis_client, producer.keys) == list(range(1, producer.next))


def test_connections_refused_for_a_while_are_waited_out(
    redis_proxy: TcpProxy, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_proxy.url, session_name) as producer:
        producer.publish(1)
        refused = 0

        def restore() -> None:
            nonlocal refused
            refused += 1
            if refused == 3:
                redis_proxy.restore()

        producer.on_wait = restore
        redis_proxy.refuse()
        producer.publish(9)
        producer.publisher.flush()

        assert sequences(redis_client, producer.keys) == list(range(1, 101))
        assert producer.states[-1] == "RUNNING"
        assert not producer.publisher.waiting


def test_what_an_old_connection_still_delivers_comes_too_late(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    keys = SessionKeys(session_name)
    claim = Claim(keys, "token")
    old, new = (Wire(redis_url, client_name="c", stopping=threading.Event()) for _ in range(2))
    old.open()
    claim.take(old)
    claim.arm(old)

    # The old connection is thought lost; what it sent is still in the socket of a Redis that was stopped.
    new.open()
    claim.confirm(new)
    old.send([pack("MULTI"), pack("HSET", keys.checkpoint, "sequence", 1), pack("EXEC")])

    assert old.read(3)[-1] is None
    assert redis_client.exists(keys.checkpoint) == 0
    assert redis_client.ttl(keys.fence) == -1
    old.close()
    new.close()


# Redis itself


def test_a_redis_suspended_for_longer_than_the_timeout(
    new_redis: Callable[..., RedisForTests], session_name: str, impatient: None
) -> None:
    server = new_redis()
    with producing(server.url, session_name, padding=3000) as producer, connected(server.url) as client:
        producer.publish(4)
        producer.publisher.flush()
        waits = 0

        def resume() -> None:
            nonlocal waits
            waits += 1
            if waits == 2:
                server.resume()

        producer.on_wait = resume
        server.suspend()
        producer.publish(40)
        producer.publisher.save(CHECKPOINT)

        assert sequences(client, producer.keys) == list(range(1, 441))
        assert waits >= 2


@pytest.mark.parametrize("call", ["publish", "flush"])
def test_a_suspended_redis_does_not_hold_up_a_stop(
    call: str, new_redis: Callable[..., RedisForTests], session_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "DRAIN_S", 0.2)
    server = new_redis()
    with producing(server.url, session_name, padding=60_000) as producer:
        calls = {"publish": lambda: producer.publish(100), "flush": lambda: producer.publish_all(1)}
        server.suspend()
        timer = threading.Timer(0.2, producer.stopping.set)
        timer.start()
        started = time.monotonic()

        with pytest.raises(Stopped):
            calls[call]()

        timer.join()
        # Not the 5 s after which a silent peer counts as gone.
        assert time.monotonic() - started < 4.0
        server.resume()


def test_a_redis_that_comes_back_with_everything_is_simply_continued(
    tcp_redis: tuple[RedisForTests, str], session_name: str
) -> None:
    server, url = tcp_redis
    with producing(url, session_name) as producer:
        producer.publish(7)
        producer.publisher.flush()
        before = producer.publisher.redis_run_id
        server.kill()
        server.restart()

        producer.publish(7)
        producer.publisher.flush()

        assert producer.publisher.redis_run_id != before
        with connected(url) as client:
            assert sequences(client, producer.keys) == list(range(1, 141))


def test_a_redis_that_comes_back_empty_is_filled_again_from_the_slowest_sink(
    new_redis: Callable[..., RedisForTests], session_name: str
) -> None:
    port = free_port()
    server = new_redis(extra=("--port", str(port)))
    url = f"redis://127.0.0.1:{port}/0"
    with producing(url, session_name, sinks=PRICE) as producer:
        producer.publish(7)
        producer.publisher.flush()
        epoch = producer.adopted.epoch
        server.kill()
        server.restart()
        with connected(url) as client:
            announce(client, producer.keys, "price", epoch=epoch, sequence=40, cursor=b"forty")

            with pytest.raises(QueueLost):
                producer.publish_all(7)
            adopted = producer.adopt()

            assert (adopted.epoch, adopted.next_sequence, adopted.cursor) == (epoch, 41, b"forty")
            producer.publish(3)
            producer.publisher.flush()
            assert sequences(client, producer.keys) == list(range(41, 71))


# Other people


def lose(client: redis.Redis, keys: SessionKeys, how: str) -> None:
    if how == "flushall":
        # Only this session's keys: the Redis is shared with other tests.
        client.delete(*client.keys(f"*{keys.session}*"))
    elif how == "fence":
        client.delete(keys.fence)
    elif how == "stream":
        client.delete(keys.ticks)
    elif how == "stream made again":
        client.delete(keys.ticks)
        client.xgroup_create(keys.ticks, "price", "0", mkstream=True)
    elif how == "newest entry":
        client.xdel(keys.ticks, client.xrevrange(keys.ticks, count=1)[0][0])


@pytest.mark.quick
@pytest.mark.parametrize("how", ["flushall", "fence", "stream", "stream made again", "newest entry"])
@pytest.mark.parametrize("when", ["idle", "armed", "under way"])
def test_what_somebody_deletes_is_noticed_before_there_is_a_hole(
    how: str, when: str, redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_url, session_name) as producer:
        producer.publish(8)
        if when != "under way":
            producer.publisher.flush()
        if when == "armed":
            producer.publish(2)
        lose(redis_client, producer.keys, how)

        with pytest.raises(QueueLost):
            producer.publish_all(8)

        # Whatever is there now, nothing was put on top of the loss.
        left = sequences(redis_client, producer.keys)
        assert left == list(range(1, len(left) + 1))
        adopted = producer.adopt()
        assert adopted.next_sequence == len(left) + 1
        assert adopted.gap is None
        producer.publish(5)
        producer.publisher.flush()
        assert sequences(redis_client, producer.keys) == list(range(1, producer.next))


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("return redis.call('SET', KEYS[2], 'somebody else')", Fenced),
        ("return redis.call('DEL', KEYS[2])", QueueLost),
        ("return redis.call('DEL', KEYS[1])", QueueLost),
        ("redis.call('DEL', KEYS[1]) return redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM')", QueueLost),
    ],
    ids=["taken over", "fence deleted", "stream deleted", "stream made again"],
)
def test_what_happens_between_exec_and_the_next_watch_is_noticed_before_the_next_append(
    script: str, error: type[Exception], redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_url, session_name) as producer:
        producer.publish_all(8)
        keys, claim = producer.keys, producer.publisher._claim
        watch = pack("WATCH", keys.fence, keys.ticks)
        claim.arming = claim.arming.replace(watch, pack("EVAL", script, 2, keys.ticks, keys.fence))
        length = redis_client.xlen(keys.ticks)

        with pytest.raises(error):
            producer.publish_all(2 * BATCHES_PER_TRANSACTION)

        # The transaction before that instant is in, or went with the stream; the one after it never left.
        assert redis_client.xlen(keys.ticks) in (length + BATCHES_PER_TRANSACTION, 0)


def test_live_records_lost_with_the_stream_become_a_gap(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    with producing(redis_url, session_name, mode=MODE_LIVE, sinks=PRICE) as producer:
        Reader(redis_client, producer.keys, "price")
        producer.publish(3)
        producer.publisher.flush()
        epoch = producer.adopted.epoch
        lose(redis_client, producer.keys, "flushall")
        announce(redis_client, producer.keys, "price", epoch=epoch, sequence=20, live_sequence=20)

        with pytest.raises(QueueLost):
            producer.publish_all(4)
        adopted = producer.adopt()

        assert (adopted.epoch, adopted.next_sequence) == (epoch, 21)
        assert adopted.gap is not None
        # Beyond everything that this process gave out, sent or not.
        assert adopted.gap.next_sequence == producer.publisher._memory.sequence + 1  # type: ignore[union-attr]
        assert adopted.gap.next_sequence > 31


def test_groups_that_somebody_destroys_hold_the_producer_back_until_they_are_there_again(
    redis_url: str, redis_client: redis.Redis, session_name: str
) -> None:
    limits = QueueLimits(high_records=50, retain_bytes=0)
    with producing(redis_url, session_name, sinks=PRICE, limits=limits) as producer:
        Reader(redis_client, producer.keys, "price").read()
        redis_client.xgroup_destroy(producer.keys.ticks, "price")

        def create() -> None:
            reader = Reader(redis_client, producer.keys, "price")
            producer.on_wait = lambda: reader.read() and None

        producer.on_wait = create
        producer.publish(12)

        assert "BACKPRESSURED" in producer.states


def test_entries_that_a_reader_deletes_do_not_stop_the_producer(
    redis_url: str, redis_client: redis.Redis, session_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with producing(redis_url, session_name) as producer:
        for round_number in range(3):
            producer.publish(4)
            producer.publisher.flush()
            redis_client.xdel(producer.keys.ticks, f"0-{1 + 40 * round_number}")
        producer.publish(4)
        producer.publisher.flush()

        assert redis_client.xlen(producer.keys.ticks) == 13
        assert "only the producer may trim it" in caplog.text


def test_another_token_in_the_fence_is_final(redis_url: str, redis_client: redis.Redis, session_name: str) -> None:
    with producing(redis_url, session_name) as producer:
        producer.publish(2)
        producer.publisher.flush()
        redis_client.set(producer.keys.fence, "somebody else")

        with pytest.raises(Fenced):
            producer.publish_all(8)

        assert sequences(redis_client, producer.keys) == list(range(1, 21))


# Memory


@pytest.mark.parametrize("retain_bytes", [0, 1 << 20])
def test_a_full_redis_is_waited_for_and_trimming_still_makes_room(
    retain_bytes: int, new_redis: Callable[..., RedisForTests], session_name: str
) -> None:
    server = new_redis()
    limits = QueueLimits(retain_bytes=retain_bytes)
    with (
        connected(server.url) as client,
        producing(server.url, session_name, limits=limits, padding=30_000) as producer,
    ):
        reader = Reader(client, producer.keys, "price")
        producer.publish_all(100)
        # Less than there is already: only a trim can help, and Redis takes no transaction until then.
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - (2 << 20))
        problems: list[str] = []

        def read() -> None:
            problems.append(producer.publisher.problem)
            reader.read(1000)

        producer.on_wait = read
        producer.publish_all(100)

        client.config_set("maxmemory", 0)
        while reader.read(1000):
            pass
        assert reader.last == 2000
        assert any("memory" in problem for problem in problems)


def test_a_connection_lost_while_redis_is_full_does_not_end_in_a_deadlock(
    new_redis: Callable[..., RedisForTests], session_name: str
) -> None:
    server = new_redis()
    limits = QueueLimits(retain_bytes=1 << 20)
    with (
        connected(server.url) as client,
        TcpProxy.for_redis(server.url) as proxy,
        producing(proxy.url, session_name, limits=limits, padding=30_000) as producer,
    ):
        reader = Reader(client, producer.keys, "price")
        producer.publish_all(100)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) - (2 << 20))
        proxy.cut()
        producer.on_wait = lambda: reader.read(1000) and None

        producer.publish_all(20)

        assert sequences(client, producer.keys)[-1] == 1200


def test_a_wait_for_memory_gives_way_to_wake_and_to_stopping(
    new_redis: Callable[..., RedisForTests], session_name: str
) -> None:
    server = new_redis()
    with connected(server.url) as client, producing(server.url, session_name, padding=30_000) as producer:
        Reader(client, producer.keys, "price")
        client.config_set("maxmemory", 1)
        producer.on_wait = producer.wake.set
        assert producer.publish(300) < 40

        producer.on_wait = producer.stopping.set
        producer.wake.clear()
        with pytest.raises(Stopped):
            producer.publish(1)
        with pytest.raises(Stopped):
            producer.publisher.flush()


def test_the_lease_outlives_a_lack_of_memory(new_redis: Callable[..., RedisForTests], session_name: str) -> None:
    server = new_redis()
    clock = FakeClock()
    with connected(server.url) as client, producing(server.url, session_name, clock=clock) as producer:
        Reader(client, producer.keys, "price")
        client.config_set("maxmemory", 1)
        producer.on_wait = producer.wake.set
        producer.publish(8)
        client.pexpire(producer.keys.lease, 3000)

        clock.advance(2.5)
        for _ in range(3):
            producer.publisher.tend()

        until(lambda: client.pttl(producer.keys.lease) > 3000)
        client.config_set("maxmemory", 0)
        producer.wake.clear()
        producer.publisher.flush()
        assert sequences(client, producer.keys) == list(range(1, producer.next))


def test_delays_between_attempts_are_bounded_and_random() -> None:
    assert patience_module._RECONNECT.cap_s <= 1.0

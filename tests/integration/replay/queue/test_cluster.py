"""A producer on a cluster: slots move, primaries change or die, and the stream holds every record once, in order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from services.replay.queue import QueueLimits, QueueLost
from services.replay.queue import wire as wire_module
from services.replay.queue.wire import LOST, Wire, pack
from services.runtime.cluster.slots import Elsewhere
from services.runtime.session.keys import SessionKeys
from tests.integration.replay.queue.harness import (
    CHECKPOINT,
    Producer,
    Reader,
    connected,
    producing,
    sequences,
    until,
)
from tests.support.clock import FakeClock
from tests.support.ports import free_port
from tests.support.redis_cluster import RedisClusterForTests, slot_of
from tests.support.slot_watch import SlotWatch, slots_watched


class Publishing(threading.Thread):
    """Publishes until told to stop, and adopts again where the queue was lost, as an engine does."""

    def __init__(self, producer: Producer) -> None:
        super().__init__(daemon=True)
        self.producer = producer
        self.enough = threading.Event()
        self.lost = 0
        self.failure: BaseException | None = None
        self.published = 0

    def run(self) -> None:
        try:
            while not self.enough.is_set() or not self.producer.publisher.acknowledged:
                try:
                    self.producer.publish(urgent=True)
                    self.producer.publisher.flush()
                except QueueLost:
                    self.lost += 1
                    self.producer.adopt()
                self.published = self.producer.next - 1
        except BaseException as exc:  # noqa: BLE001  shown by the test that waits for it
            self.failure = exc

    def goes_on(self) -> None:
        """Wait until more was acknowledged."""
        wanted = self.published + 50
        until(lambda: self.published >= wanted or self.failure is not None, timeout_s=30.0)
        if self.failure is not None:
            raise self.failure

    def end(self) -> int:
        """Stop; returns the last sequence."""
        self.enough.set()
        self.join(30.0)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure
        return self.published


@pytest.fixture
def publishing(redis_cluster: RedisClusterForTests, session_name: str) -> Iterator[Publishing]:
    with producing(redis_cluster.url, session_name) as producer:
        thread = Publishing(producer)
        thread.start()
        thread.goes_on()
        yield thread
        thread.producer.stopping.set()
        thread.end() if thread.is_alive() else None


def test_slot_moves_while_records_are_published(publishing: Publishing, redis_cluster: RedisClusterForTests) -> None:
    keys = publishing.producer.keys
    for _ in range(4):
        redis_cluster.migrate_slot(keys.ticks, redis_cluster.other_primary(keys.ticks))
        publishing.goes_on()
    last = publishing.end()

    with connected(redis_cluster.url) as client:
        assert sequences(client, keys) == list(range(1, last + 1))
    assert publishing.lost == 0
    assert publishing.producer.publisher.reconnects >= 4


def test_replica_takes_over_while_records_are_published(
    publishing: Publishing, redis_cluster: RedisClusterForTests
) -> None:
    keys = publishing.producer.keys
    before = publishing.producer.publisher.redis_run_id
    for _ in range(2):
        redis_cluster.failover(keys.ticks)
        publishing.goes_on()
        assert publishing.producer.publisher.redis_run_id != before
        before = publishing.producer.publisher.redis_run_id
    last = publishing.end()

    with connected(redis_cluster.url) as client:
        assert sequences(client, keys) == list(range(1, last + 1))


def test_primary_is_killed_while_records_are_published(
    publishing: Publishing, redis_cluster: RedisClusterForTests
) -> None:
    keys = publishing.producer.keys
    redis_cluster.kill(redis_cluster.primary_of(keys.ticks))
    publishing.goes_on()
    last = publishing.end()

    with connected(redis_cluster.url) as client:
        assert sequences(client, keys) == list(range(1, last + 1))


def test_primary_hangs_is_replaced_and_wakes_up(
    publishing: Publishing, redis_cluster: RedisClusterForTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "STALL_S", 0.5)
    monkeypatch.setattr(wire_module, "_HANDSHAKE_S", 0.3)
    keys = publishing.producer.keys
    before = redis_cluster.primary_of(keys.ticks)

    redis_cluster.stop(before)
    publishing.goes_on()
    # What was on its way to it is executed now, by a node that nobody listens to any more.
    redis_cluster.cont(before)
    publishing.goes_on()
    redis_cluster.wait_until_agreed()
    publishing.goes_on()
    last = publishing.end()

    assert redis_cluster.primary_of(keys.ticks) is not before
    with connected(redis_cluster.url) as client:
        assert sequences(client, keys) == list(range(1, last + 1))


def test_slot_that_nobody_has_is_named_while_the_producer_waits(
    publishing: Publishing, redis_cluster: RedisClusterForTests
) -> None:
    keys = publishing.producer.keys
    primary = redis_cluster.primary_of(keys.ticks)
    (replica,) = redis_cluster.replicas_of(keys.ticks)

    redis_cluster.kill(replica)
    redis_cluster.kill(primary)
    until(lambda: f"slot {slot_of(keys.ticks)} ({keys.ticks})" in publishing.producer.publisher.problem, timeout_s=20.0)
    redis_cluster.heal()

    publishing.goes_on()
    last = publishing.end()
    with connected(redis_cluster.url) as client:
        assert sequences(client, keys)[-1] == last


def test_transaction_that_meets_a_moved_slot_is_lost_and_not_refused(
    redis_cluster: RedisClusterForTests, session_name: str
) -> None:
    keys = SessionKeys(session_name)
    # Who is named first may be dead.
    url = redis_cluster.url.replace("://", f"://127.0.0.1:{free_port()},")
    wire = Wire(url, client_name="wire-test", stopping=threading.Event(), key=keys.ticks)
    wire.open()
    wire.call("SET", keys.fence, "me")
    transaction = pack("MULTI") + pack("XADD", keys.ticks, "0-1", "b", b"x") + pack("EXEC")
    target = redis_cluster.other_primary(keys.ticks)

    with redis_cluster.migrating_slot(keys.ticks, target) as move_keys:
        # Half of the keys that are asked for together are there: TRYAGAIN.
        with pytest.raises(Elsewhere, match=rf"slot {slot_of(keys.ticks)} .*"):
            wire.call("WATCH", keys.fence, keys.ticks)
        assert not wire.is_open
        wire.open()
        move_keys()
        with pytest.raises(LOST, match="Ask"):
            wire.call("GET", keys.fence)
        wire.open()
        wire.call("PING")
    wire.send([transaction])
    with pytest.raises(LOST, match="Moved"):
        wire.read(3)

    wire.open()
    wire.send([transaction])
    assert wire.read(3)[-1] == [b"0-1"]
    assert wire.call("GET", keys.fence) == b"me"
    wire.close()


def test_transactions_scripts_and_trims_of_a_producer_are_in_one_slot_each(
    redis_cluster: RedisClusterForTests, session_name: str
) -> None:
    clock = FakeClock()
    limits = QueueLimits(retain_bytes=0, high_bytes=64 << 20)
    with slots_watched(redis_cluster) as watch, connected(redis_cluster.url) as client:
        with producing(redis_cluster.url, session_name, clock=clock, limits=limits, padding=60_000) as producer:
            reader = Reader(client, producer.keys, "a")
            for _ in range(4):
                producer.publish(6)
                producer.publish(2, checkpoint=CHECKPOINT)
                producer.publisher.flush()
                reader.read(100)
                # Renews the lease, asks the groups and trims.
                clock.advance(2.5)
                producer.publisher.tend()
            assert producer.publisher.oldest_sequence > 1
        with producing(redis_cluster.url, session_name, seed=2) as heir:
            assert heir.next == 4 * 8 * heir.batch_records + 1

    assert watch.crossing == []
    assert watch.transactions > 6
    assert {"EVAL", "WATCH", "XADD", "HSET", "PEXPIRE", "XINFO"} <= set(watch.commands)
    for node in redis_cluster.nodes:
        assert b"CROSSSLOT" not in node.ask("INFO", "errorstats")


def test_looking_for_a_node_ends_when_told_to_stop(monkeypatch: pytest.MonkeyPatch, session_name: str) -> None:
    monkeypatch.setattr(wire_module, "_HANDSHAKE_S", 0.1)
    stopping = threading.Event()
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))
    wire = Wire(url, client_name="wire-test", stopping=stopping, key=SessionKeys(session_name).ticks)

    with pytest.raises(LOST):
        wire.open()
    stopping.set()
    with pytest.raises(wire_module.Stopped):
        wire.open()


def test_watch_tells_what_crosses_slots() -> None:
    watch = SlotWatch()
    for text in (
        '1.0 [0 h:1] "MULTI"',
        '1.0 [0 h:2] "SET" "{b}1" "x"',
        '1.0 [0 h:1] "SET" "{a}1" "\\x00\\"y"',
        '1.0 [0 h:1] "SET" "{b}1" "x"',
        '1.0 [0 h:1] "EXEC"',
        '1.0 [0 h:1] "DEL" "{a}1" "{b}1"',
        '1.0 [0 h:1] "EVAL" "return 1" "2" "{a}1" "{b}1"',
        '1.0 [0 lua] "DEL" "{a}1" "{b}1"',
        '1.0 [0 h:1] "DEL" "{a}1" "{a}2"',
    ):
        watch.take(7000, b"+" + text.encode())

    assert [found.split(" over ")[0] for found in watch.crossing] == ["transaction", "DEL", "EVAL"]
    assert watch.transactions == 1

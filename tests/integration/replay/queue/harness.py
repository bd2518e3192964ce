"""What the tests of the publisher share: batches, a producer with its knobs, a reader that notices every hole."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import redis

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, TickFrame, encode_batch
from services.replay.queue import Adopted, Checkpoint, Level, Publisher, QueueLimits, SinkExpectation
from services.replay.queue.patience import WAIT_S_MIN
from services.replay.queue.pipeline import LINGER_NS
from services.runtime.clock import Clock, SystemClock
from services.runtime.connection import connect
from services.runtime.session.intents import Effective
from services.runtime.session.keys import SessionKeys

START_NS = 1_735_689_600_000_000_000
STEP_NS = 1_000_000
CHECKPOINT = Checkpoint(
    Effective(MODE_HISTORICAL, revision=3, paused=False, speed=2.5), seams=({"kind": "seam"},), inputs="abc", sequence=7
)


def make_batch(epoch: str, first: int, count: int = 10, *, mode: int = MODE_HISTORICAL, padding: int = 0) -> bytes:
    """Encode `count` ticks whose content follows from their sequence; `padding` makes the batch larger."""
    block = Block(Tickers())
    for sequence in range(first, first + count):
        block.append_tick(
            f"T{sequence % 3}" + "x" * padding,
            arrival_time_ns=START_NS + sequence * STEP_NS,
            event_time_ns=START_NS + sequence * STEP_NS - 5,
            bid_price=float(sequence),
            bid_amount=1.0,
            ask_price=float(sequence + 1),
            ask_amount=1.0,
            row=sequence + 1,
        )
    encoded, rows, last = encode_batch(
        block, 0, count, epoch=epoch, mode=mode, first_sequence=first, sources=("a.csv",)
    )
    assert (rows, last) == (count, first + count - 1)
    return encoded


class Producer:
    """A publisher and the little of an engine that it needs."""

    def __init__(
        self,
        url: str,
        session: str,
        *,
        limits: QueueLimits | None = None,
        sinks: SinkExpectation | None = None,
        clock: Clock | None = None,
        seed: int = 1,
        mode: int = MODE_HISTORICAL,
        batch_records: int = 10,
        padding: int = 0,
        acknowledged: Level = Level.MEMORY,
        durable_engine: bool = False,
        live_configured: bool = False,
        linger_ns: int = LINGER_NS,
        room_wait_s: float = WAIT_S_MIN,
    ) -> None:
        self.keys = SessionKeys(session)
        self.stopping = threading.Event()
        self.wake = threading.Event()
        self.states: list[str] = []
        self.mode = mode
        self.batch_records = batch_records
        self.padding = padding
        self.on_wait: Callable[[], None] | None = None
        self.publisher = Publisher(
            url=url,
            keys=self.keys,
            limits=QueueLimits() if limits is None else limits,
            sinks=SinkExpectation() if sinks is None else sinks,
            live_configured=live_configured,
            stopping=self.stopping,
            clock=SystemClock() if clock is None else clock,
            random=Random(seed),
            on_state=self._note,
            acknowledged=acknowledged,
            durable_engine=durable_engine,
            linger_ns=linger_ns,
            room_wait_s=room_wait_s,
        )
        self.adopted: Adopted
        self.next = 0

    def _note(self, state: str) -> None:
        self.states.append(state)
        if state == "BACKPRESSURED" and self.on_wait is not None:
            self.on_wait()

    def adopt(self) -> Adopted:
        self.adopted = self.publisher.adopt()
        self.next = self.adopted.next_sequence
        return self.adopted

    def encode(self) -> bytes:
        return make_batch(self.adopted.epoch, self.next, self.batch_records, mode=self.mode, padding=self.padding)

    def publish(self, batches: int = 1, *, urgent: bool = False, checkpoint: Checkpoint | None = None) -> int:
        """Publish up to `batches`; returns how many were taken before `wake` came."""
        for done in range(batches):
            last = self.next + self.batch_records - 1
            taken = self.publisher.publish(
                self.encode(),
                self.next,
                last,
                wake=self.wake,
                arrival_time_ns=START_NS + last * STEP_NS,
                checkpoint=checkpoint,
                urgent=urgent,
            )
            if not taken:
                return done
            self.next = last + 1
        return batches

    def publish_all(self, batches: int) -> None:
        """Publish and wait for the answers."""
        self.publish(batches)
        self.publisher.flush()


@contextmanager
def producing(url: str, session: str, **options: Any) -> Iterator[Producer]:
    """A producer that has adopted its session."""
    producer = Producer(url, session, **options)
    try:
        producer.adopt()
        yield producer
    finally:
        producer.publisher.close()


def stream(client: redis.Redis, keys: SessionKeys) -> list[TickFrame]:
    """Return all entries; asserts that ids agree with contents."""
    frames = []
    for entry_id, fields in client.xrange(keys.ticks):
        frame = TickFrame(fields[b"b"])
        assert entry_id == b"0-%d" % frame.first_sequence
        frames.append(frame)
    return frames


def sequences(client: redis.Redis, keys: SessionKeys) -> list[int]:
    """Return the sequence of every tick in the stream, in the order of the stream."""
    return [tick[0] for frame in stream(client, keys) for tick in frame.ticks()]


def announce(client: redis.Redis, keys: SessionKeys, sink: str, *, epoch: str, sequence: int, **more: Any) -> None:
    """Announce a sink's position as Price does."""
    run_id = client.info("server")["run_id"]
    fields: dict[str, Any] = {"epoch": epoch, "sequence": sequence, "live_sequence": 0, "cursor": "", "run_id": run_id}
    fields |= more
    if isinstance(fields["cursor"], bytes):
        fields["cursor"] = base64.b64encode(fields["cursor"]).decode()
    client.hset(keys.sinks, sink, json.dumps(fields))


class Reader:
    """A consumer group with one consumer; refuses holes and repeats."""

    def __init__(self, client: redis.Redis, keys: SessionKeys, group: str, *, start: str = "0") -> None:
        self.client, self.keys, self.group = client, keys, group
        client.xgroup_create(keys.ticks, group, start, mkstream=True)
        self.last = 0

    def read(self, count: int = 10, *, acknowledge: bool = True) -> int:
        """Read and check up to `count` entries; returns how many there were."""
        found = self.client.xreadgroup(self.group, "c", {self.keys.ticks: ">"}, count=count)
        entries = found[0][1] if found else []
        for entry_id, fields in entries:
            frame = TickFrame(fields[b"b"])
            assert not self.last or frame.first_sequence == self.last + 1, (self.group, frame.first_sequence, self.last)
            self.last = frame.last_sequence
            if acknowledge:
                self.client.xack(self.keys.ticks, self.group, entry_id)
        return len(entries)


def until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait for a condition of another process or thread."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.002)


@contextmanager
def connected(url: str) -> Iterator[redis.Redis]:
    """A client that is closed afterwards."""
    client = connect(url, client_name="test")
    try:
        yield client
    finally:
        client.close()

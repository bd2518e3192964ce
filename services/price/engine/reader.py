"""The sink's end of the queue: its consumer group, its announcements, and a look-ahead of one read.

Two connections: one only ever waits in XREADGROUP, the other carries everything else. Nothing here retries: after any
ConnectionError or TimeoutError of redis-py the caller connects again and reads its own pending entries first.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from services.price.engine.claim import REPLY_TIMEOUT_S, Hold
from services.price.engine.replies import ReplyBuffer
from services.price.engine.wake import Waker
from services.runtime.connection import at, connect, drop_connections
from services.runtime.session.keys import SessionKeys

CONSUMER: Final = "sink"
"""Every sink uses one name for ever: a new name would see none of the entries that are pending."""
BLOCK_MS: Final = 2000
PAGE_ENTRIES: Final = 16


class QueueEntry(NamedTuple):
    """One entry of the stream; `payload` is None when the entry was trimmed while it was pending.

    The payload of a polled entry is gone with the next poll.
    """

    id: bytes
    payload: bytes | memoryview | None


class NoGroup(Exception):
    """The stream or the group was deleted."""


class QueueReader:
    """Reads one stream as one consumer group. Made for one thread."""

    def __init__(self, *, url: str, keys: SessionKeys, group: str, read_count: int, waker: Waker, hold: Hold) -> None:
        self._keys = keys
        self._hold = hold
        self._group = group
        self._read_count = read_count
        self._waker = waker
        name = f"midstream-price-{group}-{socket.gethostname()}-{os.getpid()}"
        # redis-py types its replies for decoded and undecoded text at once; here they are always bytes.
        self.client: Any = connect(url, client_name=name, timeout_s=REPLY_TIMEOUT_S)
        self._reading = connect(url, client_name=name + "-read", timeout_s=REPLY_TIMEOUT_S)
        self._pool: Any = None
        self._connection: Any = None
        self._replies = ReplyBuffer()
        self._asked_at = 0.0
        self._asked = False
        self.run_id = ""

    def connect(self) -> None:
        """Open both connections and learn which Redis this is."""
        self.disconnect()
        self.run_id = str(cast("Any", at(self.client, self._keys.ticks)).info("server")["run_id"])
        self._pool = at(self._reading, self._keys.ticks).connection_pool
        self._connection = self._pool.get_connection()
        self._replies.reset()

    def create_group(self) -> None:
        """Create the group at the beginning of the stream; nothing happens when it exists."""
        try:
            self.client.xgroup_create(self._keys.ticks, self._group, id="0", mkstream=True)
        except ResponseError as exc:
            if "BUSYGROUP" not in str(exc):
                raise

    def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None
        self._asked = False
        # In a cluster the stream may be another node's by now.
        drop_connections(self._reading)
        drop_connections(self.client)

    def close(self) -> None:
        self.disconnect()
        self.client.close()
        self._reading.close()

    def poll(self, timeout_s: float) -> list[QueueEntry] | None:
        """Return new entries; an empty list when the read ended without any, None when there is no answer yet.

        The next read is asked for before the entries are returned, so that Redis prepares it while they are processed.
        """
        if not self._asked:
            self._ask()
        if not self._connection.can_read(0):
            # The socket itself: neither waiting for it together with the waker nor reading it is among redis-py's public calls.
            self._waker.wait(timeout_s, self._connection._sock.fileno())
            if not self._connection.can_read(0):
                if time.monotonic() - self._asked_at > BLOCK_MS / 1000 + REPLY_TIMEOUT_S:
                    raise RedisConnectionError(f"no answer to a read for {REPLY_TIMEOUT_S:g} s after its time was up")
                return None
        try:
            # Only here are replies large: redis-py would copy each of them twice.
            answer = self._replies.read(self._connection._sock)
        except ResponseError as exc:
            self._asked = False
            if str(exc).startswith("NOGROUP"):
                raise NoGroup(str(exc)) from exc
            raise
        self._ask()
        return _entries(answer)

    def _ask(self) -> None:
        self._connection.send_command(
            "XREADGROUP", "GROUP", self._group, CONSUMER, "COUNT", self._read_count, "BLOCK", BLOCK_MS,
            "STREAMS", self._keys.ticks, ">",
        )  # fmt: skip
        self._asked = True
        self._asked_at = time.monotonic()

    def own_pending(self) -> Iterator[list[QueueEntry]]:
        """Yield the entries that were delivered to this sink and not acknowledged, oldest first."""
        after: bytes = b"0"
        while True:
            try:
                answer = self.client.xreadgroup(self._group, CONSUMER, {self._keys.ticks: after}, count=PAGE_ENTRIES)
            except ResponseError as exc:
                if str(exc).startswith("NOGROUP"):
                    raise NoGroup(str(exc)) from exc
                raise
            entries = [
                QueueEntry(entry_id, fields.get(b"b") if fields else None)
                for _, page in answer
                for entry_id, fields in page
            ]
            if not entries:
                return
            yield entries
            after = entries[-1].id

    def retained(self, first_sequence: int, last_sequence: int) -> Iterator[list[QueueEntry]]:
        """Yield the retained entries that can hold sequences `first_sequence`..`last_sequence`."""
        before = self.client.xrevrange(self._keys.ticks, max=f"0-{first_sequence}", count=1)
        start: bytes = before[0][0] if before else b"0-%d" % first_sequence
        while True:
            page = self.client.xrange(self._keys.ticks, min=start, max=f"0-{last_sequence}", count=PAGE_ENTRIES)
            if not page:
                return
            yield [QueueEntry(entry_id, fields.get(b"b")) for entry_id, fields in page]
            start = b"(" + page[-1][0]

    def partitions(self) -> bytes | None:
        """Return what is stored about the partitions of the session; None is that it has one."""
        return cast("bytes | None", self.client.get(self._keys.partitions))

    def delivered_sequence(self) -> int:
        """Return the first sequence of the last entry that the group was given; 0 when it was given none."""
        for group in self.client.xinfo_groups(self._keys.ticks):
            if group["name"] == self._group.encode():
                milliseconds, _, sequence = group["last-delivered-id"].partition(b"-")
                return int(sequence) if milliseconds == b"0" else 0
        return 0

    def newest(self) -> QueueEntry | None:
        """Return the newest entry; None when the stream is empty."""
        newest = self.client.xrevrange(self._keys.ticks, count=1)
        return QueueEntry(newest[0][0], newest[0][1].get(b"b")) if newest else None

    def announce(self, announcement: str, acknowledged: Sequence[bytes] = ()) -> None:
        """Acknowledge entries and publish the sink's position in one transaction."""

        def fill(pipeline: Any) -> None:
            if acknowledged:
                pipeline.xack(self._keys.ticks, self._group, *acknowledged)
            pipeline.hset(self._keys.sinks, self._group, announcement)

        try:
            self._hold.execute(self.client, fill)
        except redis.exceptions.OutOfMemoryError:
            # A full Redis refuses the announcement; acknowledging needs no memory, and is what makes room.
            if acknowledged:
                self._hold.acknowledge(self.client, self._keys.ticks, self._group, acknowledged)


def _entries(answer: Any) -> list[QueueEntry]:
    if not answer:
        return []
    return [
        QueueEntry(entry_id, fields[fields.index(b"b") + 1] if fields and b"b" in fields[::2] else None)
        for _, page in answer
        for entry_id, fields in page
    ]

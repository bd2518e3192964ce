"""Measure how far the consumer groups of a queue are behind, in records, bytes and data time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import redis
import redis.asyncio

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.frame import TickFrame, peek
from fastpath.records import FrameError, FrameHead
from protos.health.v1.health_pb2 import QueueLag
from services.health.standing import Reader, Standing
from services.runtime.clock import Clock
from services.runtime.session.keys import SessionKeys

T = TypeVar("T")


class GroupActivity:
    """Remembers when consumer groups were last seen doing something, for as long as they exist."""

    def __init__(self, clock: Clock, *, lease_s: float) -> None:
        self._clock = clock
        self._lease_ns = round(lease_s * 1e9)
        self._seen: dict[Reader, tuple[object, int]] = {}
        self.standing = Standing(clock)
        self.sinks = Standing(clock)
        self.late = Standing(clock)
        """For how long groups have been further behind than they may be."""

    def is_active(self, reader: Reader, *, position: object, idle_ms: Sequence[int]) -> bool:
        """Tell whether a group called within the lease. Without consumers only a change of its position shows that."""
        now_ns = self._clock.monotonic_ns()
        before, since_ns = self._seen.get(reader, (position, now_ns))
        if before != position:
            since_ns = now_ns
        self._seen[reader] = position, since_ns
        if idle_ms:
            since_ns = now_ns - min(idle_ms) * 1_000_000
        return now_ns - since_ns <= self._lease_ns

    def keep(self, groups: Collection[Reader]) -> None:
        """Forget every other one."""
        self.standing.keep(groups)
        self.late.keep(groups)
        for name in self._seen.keys() - set(groups):
            del self._seen[name]


class UnreadableQueue(Exception):
    """An entry of a queue is not a batch of ticks, so nobody can tell how far its groups are."""


class GroupLag(NamedTuple):
    """How far one group is behind, and for how long it has stood there."""

    queue: QueueLag
    standing_s: float


async def newest_head(client: redis.asyncio.Redis, keys: SessionKeys) -> FrameHead | None:
    """Return the last entry of a session's tick stream; None where there is none. Raises UnreadableQueue."""
    newest = await _head_at(client, keys.ticks, max_id="+")
    return newest[0] if newest is not None else None


async def measure_lag(
    client: redis.asyncio.Redis, keys: SessionKeys, activity: GroupActivity, *, partition: int | None = None
) -> list[GroupLag]:
    """Measure every group on a tick stream; a stream without groups, or no stream, gives an empty list.

    `partition` is what they are told with in sessions of several.

    Raises UnreadableQueue.
    """
    newest = await _head_at(client, keys.ticks, max_id="+")
    if newest is None:
        return []
    try:
        groups = await client.xinfo_groups(keys.ticks)
        found = [await _lag_of(client, keys, group, *newest, activity=activity) for group in groups]
    except redis.ResponseError:
        return []  # the stream, or a group, went between two commands
    if partition is not None:
        for lag in found:
            lag.queue.partition = partition
    return found


async def _lag_of(
    client: redis.asyncio.Redis,
    keys: SessionKeys,
    group: dict[str, Any],
    newest: FrameHead,
    newest_bytes: int,
    *,
    activity: GroupActivity,
) -> GroupLag:
    committed_id = group["last-delivered-id"]
    if int(group["pending"]):
        pending = await client.xpending(keys.ticks, group["name"])
        # Below the lowest pending entry everything is committed.
        committed_id = b"(" + pending["min"] if pending["min"] else committed_id
    committed = await _head_at(client, keys.ticks, max_id=committed_id)
    if committed is None:
        # Nothing that it committed is retained: it is behind by everything there is.
        oldest: Any = await client.xrange(keys.ticks, count=1)
        frame = _read(TickFrame, keys.ticks, oldest[0]) if oldest else None
        behind_ns = _first_arrival_ns(frame) if frame is not None else newest.last_arrival_time_ns
        records = newest.last_sequence - (frame.first_sequence if frame is not None else newest.first_sequence) + 1
    else:
        behind_ns = committed[0].last_arrival_time_ns
        # A group may be ahead of what was read as the newest a moment before.
        records = max(newest.last_sequence - committed[0].last_sequence, 0)
    data_time_ns = 0
    # Batches without ticks have no data time.
    if records and BEFORE_EVERYTHING not in (behind_ns, newest.last_arrival_time_ns):
        data_time_ns = max(newest.last_arrival_time_ns - behind_ns, 0)
    consumers = await client.xinfo_consumers(keys.ticks, group["name"])
    name = group["name"].decode("utf-8", "replace")
    bytes_per_record = newest_bytes / (newest.last_sequence - newest.first_sequence + 1)
    position = (group["last-delivered-id"], group["pending"])
    # Committed, not delivered: a consumer that takes entries and never acknowledges them stands still.
    reader = (keys.session, name, keys.partition)
    standing_s = activity.standing.seconds(reader, position=committed_id, behind=records > 0)
    queue = QueueLag(
        session=keys.session,
        group=name,
        lag_records=records,
        lag_bytes=round(records * bytes_per_record),
        lag_data_time_ns=data_time_ns,
        active=activity.is_active(
            reader,
            position=position,
            idle_ms=[int(consumer["idle"]) for consumer in consumers],
        ),
        standing_ms=round(standing_s * 1000),
    )
    return GroupLag(queue, standing_s)


def _first_arrival_ns(frame: TickFrame) -> int:
    ticks = frame.ticks()
    return ticks[0][3] if ticks else BEFORE_EVERYTHING


async def _head_at(client: redis.asyncio.Redis, key: str, *, max_id: str | bytes) -> tuple[FrameHead, int] | None:
    entries: Any = await client.xrevrange(key, max=max_id, count=1)
    return (_read(peek, key, entries[0]), len(entries[0][1][b"b"])) if entries else None


def _read(reader: Callable[[bytes], T], key: str, entry: tuple[bytes, dict[bytes, bytes]]) -> T:
    entry_id, fields = entry
    try:
        return reader(fields.get(b"b", b""))
    except FrameError as exc:
        raise UnreadableQueue(f"entry {entry_id.decode()} of {key} cannot be read ({exc})") from exc

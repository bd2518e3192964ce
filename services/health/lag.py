"""How far the consumer groups of a queue are behind, in records, bytes and data time."""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio

from fastpath.frame import FrameHead, peek
from protos.health.v1.health_pb2 import QueueLag
from services.runtime.keys import SessionKeys


async def measure_lag(client: redis.asyncio.Redis, keys: SessionKeys, *, group_lease_s: float) -> list[QueueLag]:
    """Measure every group on the session's tick stream; a stream without groups, or no stream, gives an empty list."""
    newest = await _head_at(client, keys.ticks, max_id="+")
    if newest is None:
        return []
    try:
        groups = await client.xinfo_groups(keys.ticks)
    except redis.ResponseError:
        return []  # the stream went between two commands
    return [await _lag_of(client, keys, group, *newest, group_lease_s=group_lease_s) for group in groups]


async def _lag_of(
    client: redis.asyncio.Redis,
    keys: SessionKeys,
    group: dict[str, Any],
    newest: FrameHead,
    newest_bytes: int,
    *,
    group_lease_s: float,
) -> QueueLag:
    committed_id = group["last-delivered-id"]
    if int(group["pending"]):
        pending = await client.xpending(keys.ticks, group["name"])
        # Below the lowest pending entry everything is committed.
        committed_id = f"({pending['min'].decode()}" if pending["min"] else committed_id
    committed = await _head_at(client, keys.ticks, max_id=committed_id)
    if committed is None:
        # Nothing committed is retained: measure from the oldest entry there is.
        oldest: Any = await client.xrange(keys.ticks, count=1)
        first = peek(oldest[0][1][b"b"]).first_sequence if oldest else newest.first_sequence
        records, data_time_ns = newest.last_sequence - first + 1, 0
    else:
        records = newest.last_sequence - committed[0].last_sequence
        data_time_ns = max(newest.last_arrival_time_ns - committed[0].last_arrival_time_ns, 0)
    bytes_per_record = newest_bytes / (newest.last_sequence - newest.first_sequence + 1)
    return QueueLag(
        session=keys.session,
        group=group["name"].decode(),
        lag_records=records,
        lag_bytes=round(records * bytes_per_record),
        lag_data_time_ns=data_time_ns if records else 0,
        active=await _is_active(client, keys, group, group_lease_s),
    )


async def _head_at(client: redis.asyncio.Redis, key: str, *, max_id: str | bytes) -> tuple[FrameHead, int] | None:
    entries: Any = await client.xrevrange(key, max=max_id, count=1)
    return (peek(entries[0][1][b"b"]), len(entries[0][1][b"b"])) if entries else None


async def _is_active(
    client: redis.asyncio.Redis, keys: SessionKeys, group: dict[str, Any], group_lease_s: float
) -> bool:
    consumers = await client.xinfo_consumers(keys.ticks, group["name"])
    return not consumers or min(int(consumer["idle"]) for consumer in consumers) < group_lease_s * 1000

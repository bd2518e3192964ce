"""Measure how far the sinks of a session are behind, by what they announce."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

import redis.asyncio

from fastpath.columns import BEFORE_EVERYTHING
from fastpath.records import FrameHead
from protos.health.v1.health_pb2 import SinkLag
from services.health.standing import Standing
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.keys import SessionKeys
from services.runtime.session.versions import NewerVersion


async def measure_sinks(
    client: redis.asyncio.Redis,
    keys: SessionKeys,
    newest: FrameHead | None,
    standing: Standing,
    *,
    partition: int | None = None,
) -> list[SinkLag]:
    """Measure every sink that has announced itself; `newest` is the queue's last entry, None where there is none.

    `partition` is what they are told with in sessions of several.
    """
    stored = await cast("Awaitable[dict[bytes, bytes]]", client.hgetall(keys.sinks))
    found = [_lag(keys, name.decode("utf-8", "replace"), raw, newest, standing) for name, raw in sorted(stored.items())]
    if partition is not None:
        for lag in found:
            lag.partition = partition
    return found


def _lag(keys: SessionKeys, name: str, raw: bytes, newest: FrameHead | None, standing: Standing) -> SinkLag:
    try:
        announced = SinkAnnouncement.decode(name, raw)
    except (ValueError, NewerVersion) as exc:
        return SinkLag(session=keys.session, sink=name, error=str(exc))
    at = announced.position
    other = newest is not None and newest.epoch != at.epoch
    records = max(newest.last_sequence - at.sequence, 0) if newest is not None and not other else 0
    behind_ns = 0
    times = (
        newest.last_arrival_time_ns if newest is not None else BEFORE_EVERYTHING,
        announced.log.last_arrival_time_ns,
    )
    if records and BEFORE_EVERYTHING not in times:
        behind_ns = max(times[0] - times[1], 0)
    stands_s = standing.seconds(
        (keys.session, name, keys.partition), position=(at.epoch, at.sequence), behind=records > 0 or other
    )
    return SinkLag(
        session=keys.session,
        sink=name,
        sequence=at.sequence,
        lag_records=records,
        lag_data_time_ns=behind_ns,
        standing_ms=round(stands_s * 1000),
        other_epoch=other,
        error=announced.finished_error or "",
    )

"""Tell of each partition of a session who produces it, how far it is, and where its sinks stand."""

from __future__ import annotations

from typing import Any, NamedTuple

import redis.asyncio

from protos.replay.v1 import replay_pb2 as pb
from services.replay.session_queue import SessionQueue
from services.replay.sessions import NO_REPORT, newest_head, session_message
from services.runtime.session.announcement import SinkAnnouncement
from services.runtime.session.holders import Holder, living_holders
from services.runtime.session.keys import SessionKeys
from services.runtime.session.report import EngineReport
from services.runtime.session.versions import NewerVersion
from services.runtime.session.watermarks import Watermark

_Lease = tuple[int, str]
"""Of a partition and a sink."""


class _Stored(NamedTuple):
    """What lies in Redis about one partition."""

    report: bytes | None
    watermark: bytes | None
    sinks: dict[str, int]
    """How far each is, by name."""


class PartitionListing:
    """Reads what the keys of partitions say."""

    def __init__(self, client: redis.asyncio.Redis, queue: SessionQueue) -> None:
        # The client's annotations allow for decoded replies as well; ours are bytes.
        self._client: Any = client
        self._queue = queue

    async def describe(self, session: str, count: int) -> list[pb.Partition]:
        """Describe the `count` partitions of a session."""
        holders = await self._queue.holders(session, count)
        stored = await self._stored(session, count)
        leases = {
            (number, sink): SessionKeys(session, number).sink_lease(sink)
            for number, each in enumerate(stored)
            for sink in each.sinks
        }
        sinks = await living_holders(self._client, leases) if count > 1 else {}
        found = []
        for number, each in enumerate(stored):
            partition = pb.Partition(partition=number)
            await self._add_report(partition, SessionKeys(session, number), each.report)
            if number in holders:
                holder = holders[number]
                partition.owner, partition.host, partition.pid = holder.owner, holder.host, holder.pid
            promised = Watermark.decode(each.watermark)
            if promised is not None and promised.epoch == partition.epoch:
                partition.watermark_time_ns = promised.arrival_time_ns
            partition.sinks.extend(_sink(number, *said, sinks) for said in each.sinks.items())
            found.append(partition)
        return found

    async def _stored(self, session: str, count: int) -> list[_Stored]:
        """Read what the keys of all partitions hold, at once."""
        pipeline = self._client.pipeline(transaction=False)
        for number in range(count):
            keys = SessionKeys(session, number)
            pipeline.get(keys.report_of(count))
            pipeline.get(keys.watermark)
            pipeline.hgetall(keys.sinks)
        read = iter(await pipeline.execute())
        return [
            _Stored(
                report,
                watermark,
                {field.decode("utf-8", "replace"): _sequence(field, said[field]) for field in sorted(said)},
            )
            for report, watermark, said in zip(read, read, read, strict=True)
        ]

    async def _add_report(self, partition: pb.Partition, keys: SessionKeys, stored: bytes | None) -> None:
        try:
            if not stored:
                await self._add_retained(partition, keys)
                return
            report = EngineReport.decode(keys.session, stored)
        except (ValueError, NewerVersion) as exc:
            partition.error = str(exc)
            return
        told = session_message(report)
        partition.state, partition.epoch = told.state, told.epoch
        partition.oldest_sequence, partition.last_sequence = told.oldest_sequence, told.last_sequence
        partition.error = told.error

    async def _add_retained(self, partition: pb.Partition, keys: SessionKeys) -> None:
        """Say what is retained of a partition whose engine ended long ago, or never was."""
        head = await newest_head(self._client, keys.ticks)
        if head is not None:
            partition.epoch, partition.last_sequence, partition.error = head.epoch, head.last_sequence, NO_REPORT


def _sequence(field: bytes, said: bytes) -> int:
    try:
        return SinkAnnouncement.decode(field.decode("utf-8", "replace"), said).position.sequence
    except (ValueError, NewerVersion):
        return 0


def _sink(number: int, name: str, sequence: int, holders: dict[_Lease, Holder]) -> pb.SinkPosition:
    position = pb.SinkPosition(sink=name, sequence=sequence)
    if (number, name) in holders:
        holder = holders[number, name]
        position.owner, position.host, position.pid = holder.owner, holder.host, holder.pid
    return position

"""What a price server reads of partitions whose sinks run elsewhere, and when it ends with one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from prometheus_client import CollectorRegistry

from services.price.shared_sinks import ANNOUNCED_AT_ONCE, SharedSinks, SinkQueue
from services.runtime.connection import connect_async
from services.runtime.metrics import Metrics
from services.runtime.partition_figures import PartitionFigures
from services.runtime.session.announcement import SinkAnnouncement, SinkPosition
from services.runtime.session.holders import Holder
from services.runtime.session.keys import SessionKeys
from services.runtime.session.owners import Owners

CLIENT = "test-shared-sinks"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    client = connect_async(redis_url, client_name=CLIENT)
    yield client
    await client.aclose()


def announcement(sequence: int) -> str:
    return SinkAnnouncement(
        SinkPosition(name="price", epoch="e", sequence=sequence, live_sequence=0, cursor=b"", run_id="r")
    ).encode()


async def test_how_far_sinks_elsewhere_are_is_read_a_part_at_a_time(client: Any, session: str) -> None:
    partitions = 2 * ANNOUNCED_AT_ONCE + 5
    for partition in range(partitions):
        keys = SessionKeys(session, partition)
        await client.hset(keys.sinks, "price", announcement(partition + 1) if partition != 9 else "broken")
        if partition < 2:
            holder = Holder(token="t", host="h", pid=1, client_name=CLIENT, owner="ab"[partition])
            await client.set(keys.sink_lease("price"), holder.encode())
    heard: dict[int, int] = {}
    queue = SinkQueue(client, "price", owner="a", on_committed=heard.__setitem__)

    sizes = []
    for _ in range(3):
        assert await queue.producers(session, partitions) == {0: "a", 1: "b"}
        sizes.append(len(heard))

    # Of its own sinks it hears from their engines.
    assert heard == {partition: partition + 1 for partition in range(1, partitions) if partition != 9}
    assert sizes == [ANNOUNCED_AT_ONCE - 1, 2 * ANNOUNCED_AT_ONCE - 1, partitions - 2]
    assert await queue.holder(SessionKeys(session, 1)) == "process 1 on host h"
    assert await queue.holder(SessionKeys(session, 2)) == ""


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another server"])
async def test_a_sink_that_refuses_ends_its_server_only_where_nobody_else_could_have_the_partition(
    others: int, client: redis.asyncio.Redis, redis_url: str, session: str, tmp_path: Path
) -> None:
    for number in range(others):
        other = Owners(
            client,
            SessionKeys(session),
            role="price/price",
            name=f"o{number}",
            host="h",
            pid=1,
            monotonic_s=lambda: 0.0,
        )
        await other.meet(held=())
    (tmp_path / "p0").mkdir()
    (tmp_path / "p0" / "errors.log").write_text("somebody's\n")
    refused = asyncio.Event()

    def hear(trouble: str) -> None:
        if "errors.log` exists, but no position" in trouble:
            refused.set()

    sinks = SharedSinks(
        client,
        session,
        1,
        sink="price",
        owner="me",
        config={"redis_url": redis_url, "sink": "price"},
        figures=PartitionFigures(Metrics(CollectorRegistry())),
        on_trouble=hear,
        on_committed=lambda partition, sequence: None,
    )
    await sinks.start(tmp_path)
    try:
        if others:
            async with asyncio.timeout(20):
                await refused.wait()
        else:
            assert await sinks.run() == 2
    finally:
        await sinks.stop()

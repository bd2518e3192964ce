"""The feed simulator over a real local socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.simulators.feed import FeedFaults, SimFeed
from services.simulators.feed_script import read_script

LINES = [",index,timestamp,ticker,ask_amount,ask_price,bid_price,bid_amount"] + [
    f"{number},{number},2025-01-01 00:00:{number // 10:02d}.{number % 10}00000,A,1,2,1,{number}"
    for number in range(200)
]


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[str]:
    feed = SimFeed(read_script(LINES, name="x"), **({"speed": 0.0} | options))
    port = await feed.start("127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        await feed.stop()


async def receive(connection: ClientConnection, count: int) -> list[Any]:
    return [json.loads(await connection.recv()) for _ in range(count)]


async def test_every_client_gets_every_row_from_the_first_one() -> None:
    async with serving() as url, connect(url) as first, connect(url) as second:
        for connection in (first, second):
            assert [row["bid_amount"] for row in await receive(connection, 200)] == list(range(200))


async def test_at_its_end_the_feed_stays_open_and_silent() -> None:
    async with serving() as url, connect(url) as connection:
        await receive(connection, 200)
        await (await connection.ping())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.05)


async def test_batches_are_arrays() -> None:
    async with serving(batch=64) as url, connect(url) as connection:
        assert [len(rows) for rows in await receive(connection, 4)] == [64, 64, 64, 8]


async def test_restamped_rows_are_a_little_older_than_now() -> None:
    async with serving(restamp=True) as url, connect(url) as connection:
        rows = await receive(connection, 200)

    assert len({row["timestamp"] for row in rows}) > 100
    assert all(not row["timestamp"].startswith("2025-01-01") for row in rows)


async def test_a_dropped_connection_ends_without_a_close_frame_and_the_next_one_begins_again() -> None:
    async with serving(faults=FeedFaults(drop_after=10, drops=1)) as url:
        async with connect(url) as connection:
            with pytest.raises(ConnectionClosed) as caught:
                await receive(connection, 200)
        assert caught.value.rcvd is None
        async with connect(url) as connection:
            assert len(await receive(connection, 200)) == 200


async def test_refused_handshakes_are_answered_with_503() -> None:
    async with serving(faults=FeedFaults(refuse=1)) as url:
        with pytest.raises(InvalidStatus, match="503"):
            await connect(url)
        async with connect(url) as connection:
            await receive(connection, 200)


async def test_garbage_comes_between_the_rows() -> None:
    async with serving(faults=FeedFaults(garbage_every=50)) as url, connect(url) as connection:
        messages = [await connection.recv() for _ in range(204)]

    assert (
        sum(b"bid_amount" in (message if isinstance(message, bytes) else message.encode()) for message in messages)
        == 200
    )


async def test_a_stalled_feed_answers_pings() -> None:
    async with serving(faults=FeedFaults(stall_after=5)) as url, connect(url) as connection:
        await receive(connection, 5)
        await (await connection.ping())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.05)

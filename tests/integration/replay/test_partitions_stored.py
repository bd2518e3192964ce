"""In how many parts a session is published: the first server says it, all others keep to it."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime.connection import connect, connect_async
from services.runtime.errors import FailedPrecondition
from services.runtime.session import partitions_stored
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning

FOUR = Partitioning(4, {"BTC/USDT": 3})


async def test_what_the_first_server_says_is_what_every_reader_finds(redis_url: str, session_name: str) -> None:
    client = connect_async(redis_url, client_name="test")

    assert await partitions_stored.read(client, SessionKeys(session_name)) == Partitioning()
    await asyncio.gather(*(partitions_stored.settle(client, SessionKeys(session_name), FOUR) for _ in range(5)))

    assert await partitions_stored.read(client, SessionKeys(session_name)) == FOUR
    stored = await client.get(SessionKeys(session_name).partitions)
    assert stored == b'{"assigned": {"BTC/USDT": 3}, "count": 4}'
    await client.aclose()


async def test_one_partition_leaves_nothing_behind(redis_url: str, session_name: str) -> None:
    client = connect_async(redis_url, client_name="test")

    await partitions_stored.settle(client, SessionKeys(session_name), Partitioning())

    assert not await client.exists(SessionKeys(session_name).partitions)
    await client.aclose()


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (
            Partitioning(2),
            "published in 4 partitions, and this server is set to 2 partitions: set MIDSTREAM_PARTITIONS=4",
        ),
        (Partitioning(), "published in 4 partitions, and this server is set to one partition"),
        (Partitioning(4), "other tickers assigned to its partitions than MIDSTREAM_PARTITION_OF says"),
    ],
    ids=["another number", "one", "another assignment"],
)
async def test_another_server_with_other_partitions_is_refused(
    redis_url: str, session_name: str, wanted: Partitioning, problem: str
) -> None:
    client = connect_async(redis_url, client_name="test")
    await partitions_stored.settle(client, SessionKeys(session_name), FOUR)

    with pytest.raises(FailedPrecondition, match=problem) as caught:
        await partitions_stored.settle(client, SessionKeys(session_name), wanted)
    with connect(redis_url, client_name="test") as waiting:
        # Whoever only asks is told the same.
        assert partitions_stored.objection(waiting, SessionKeys(session_name), wanted) == caught.value.message
        assert partitions_stored.objection(waiting, SessionKeys(session_name), FOUR) == ""

    assert await partitions_stored.read(client, SessionKeys(session_name)) == FOUR
    await client.aclose()


async def test_a_session_that_was_published_whole_is_not_cut_afterwards(redis_url: str, session_name: str) -> None:
    client = connect_async(redis_url, client_name="test")
    await client.xadd(SessionKeys(session_name).ticks, {"b": b"x"})

    with pytest.raises(FailedPrecondition, match="published in one partition, and this server is set to 4 partitions"):
        await partitions_stored.settle(client, SessionKeys(session_name), FOUR)

    assert not await client.exists(SessionKeys(session_name).partitions)
    await client.aclose()


async def test_what_nobody_can_have_written_on_purpose_is_said(redis_url: str, session_name: str) -> None:
    client = connect_async(redis_url, client_name="test")
    await client.set(SessionKeys(session_name).partitions, b'{"count": "many"}')

    with pytest.raises(FailedPrecondition, match="says nothing of how many partitions"):
        await partitions_stored.read(client, SessionKeys(session_name))
    await client.aclose()

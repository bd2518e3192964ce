"""Streams of sessions, and what they are told when theirs is deleted."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime.errors import NotFound
from services.runtime.session.keys import SessionKeys
from services.runtime.session.streamed_sessions import StreamedSessions


async def test_the_streams_of_a_deleted_session_end_and_those_of_others_do_not() -> None:
    streamed, begun = StreamedSessions(), asyncio.Semaphore(0)

    async def stream(session: str) -> None:
        async with streamed.streaming(session):
            begun.release()
            await asyncio.Event().wait()

    first, second, other = (asyncio.create_task(stream(name)) for name in ("a", "a", "b"))
    for _ in range(3):
        await begun.acquire()
    assert streamed.names == {"a", "b"}

    streamed.end("a")
    streamed.end("nobody's")

    for task in (first, second):
        with pytest.raises(NotFound, match="`a` was deleted"):
            await task
    assert not other.done()
    assert streamed.names == {"b"}
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other
    assert streamed.names == frozenset()


async def test_a_time_out_of_the_stream_itself_stays_one() -> None:
    with pytest.raises(TimeoutError):
        async with StreamedSessions().streaming("a"):
            raise TimeoutError


def test_every_key_of_a_session_is_among_those_that_its_end_removes() -> None:
    keys = SessionKeys("s")
    named = {getattr(keys, name) for name in dir(SessionKeys) if isinstance(getattr(SessionKeys, name), property)}

    assert {keys.ticks, keys.control, keys.definition, keys.state, keys.logs} <= set(keys.everything)
    assert set(keys.everything) == {key for key in named if isinstance(key, str)}

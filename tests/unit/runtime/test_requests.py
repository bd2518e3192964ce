"""Requests of one call, read one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.runtime.errors import InvalidRequest
from services.runtime.request_memory import RequestMemory
from services.runtime.requests import Requests


class Call:
    """What a client sends, and what becomes of the reading of it."""

    def __init__(self, *messages: bytes) -> None:
        self.closed = 0
        self.arrived: list[int] = []
        memory = RequestMemory(1000, message_bytes_max=100, timeout_s=5.0)
        self.requests = Requests(
            self._received(messages),
            None,
            held=memory.request(lambda error: None),
            bytes_max=100,
            count=Counter("requests", "requests", registry=CollectorRegistry()),
            arrived=lambda: self.arrived.append(1),
        )

    async def _received(self, messages: tuple[bytes, ...]) -> AsyncIterator[bytes]:
        try:
            for message in messages:
                yield message
        finally:
            self.closed += 1


async def test_what_one_message_was_read_from_is_closed_at_once_and_makes_no_task() -> None:
    call = Call(b"first", b"second")
    tasks = asyncio.all_tasks()

    assert await call.requests.only() == b"first"

    assert call.closed == 1
    assert asyncio.all_tasks() == tasks
    assert call.arrived == [1]


async def test_of_many_each_is_read_when_it_is_asked_for() -> None:
    call = Call(b"first", b"second", b"third")

    assert await anext(call.requests) == b"first"
    assert call.closed == 0
    assert [one async for one in call.requests] == [b"second", b"third"]
    assert call.closed == 1
    assert call.arrived == [1]


async def test_reading_that_never_began_is_closed_without_a_word() -> None:
    call = Call(b"first")

    await call.requests.aclose()

    assert call.closed == 0


async def test_a_missing_message_is_said_to_be_missing() -> None:
    with pytest.raises(InvalidRequest, match="is missing"):
        await Call().requests.only()

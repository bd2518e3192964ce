"""Several streams as one: whatever comes next in any of them, the order of each kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def interleaved(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Yield what comes, until one of them ends or raises; each is asked for more only once what it gave was taken.

    It owns the streams: they are closed with it.
    """
    waiting: dict[asyncio.Task[T], AsyncGenerator[T, None]] = {}
    try:
        for stream in streams:
            waiting[asyncio.create_task(_next(stream))] = stream
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            # In the order in which they began to wait, so that a busy one keeps nobody from its turn.
            for task in [each for each in waiting if each in done]:
                stream = waiting[task]
                try:
                    came = task.result()
                except StopAsyncIteration:
                    return
                yield came
                del waiting[task]
                waiting[asyncio.create_task(_next(stream))] = stream
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for stream in streams:
            await stream.aclose()


async def _next(stream: AsyncGenerator[T, None]) -> T:
    return await anext(stream)

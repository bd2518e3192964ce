"""Background tasks: watched while they run, ended for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

REPEAT_S = 0.2


async def end_task(task: asyncio.Task[Any] | None) -> None:
    """Cancel `task` and wait until it has ended; what it raised is dropped.

    A cancellation can get lost in a library that turns it into a time-out of its own; a task that treats time-outs as trouble to
    recover from would then run on for ever. So it is repeated.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=REPEAT_S)
    if task is not None and not task.cancelled():
        task.exception()


async def until_one_ends(tasks: Collection[asyncio.Task[None]]) -> None:
    """Return when one of `tasks` has ended by itself, raising what it raised. Where they were cancelled instead, wait for ever:
    the end was asked for, and whoever asked goes on from there.
    """
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in tasks if task.done() and not task.cancelled()]
    for task in ended:
        task.result()
    if not ended:
        await asyncio.Event().wait()


def raise_if_cancelled() -> None:
    """Raise the cancellation of the current task again where a library has swallowed it; call it before a wait without end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

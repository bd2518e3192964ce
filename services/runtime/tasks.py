"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
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


def raise_if_cancelled() -> None:
    """Raise the cancellation of the current task again where a library has swallowed it; call it before a wait without end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError

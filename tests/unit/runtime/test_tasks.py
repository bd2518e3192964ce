"""Background tasks: an end of its own is told, a cancellation is not taken for one."""

from __future__ import annotations

import asyncio

import pytest

from services.runtime.tasks import end_task, until_one_ends


async def for_ever() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    return None


async def failing() -> None:
    raise ValueError("a bug")


async def test_the_end_of_one_task_is_enough() -> None:
    tasks = [asyncio.create_task(for_ever()), asyncio.create_task(at_once())]

    await until_one_ends(tasks)

    assert [task.done() for task in tasks] == [False, True]
    await end_task(tasks[0])


async def test_what_a_task_raised_is_raised() -> None:
    tasks = [asyncio.create_task(for_ever()), asyncio.create_task(failing())]

    with pytest.raises(ValueError, match="a bug"):
        await until_one_ends(tasks)

    await end_task(tasks[0])


async def test_tasks_that_were_cancelled_have_not_ended_by_themselves() -> None:
    tasks = [asyncio.create_task(for_ever()), asyncio.create_task(for_ever())]
    waiting = asyncio.create_task(until_one_ends(tasks))

    for task in tasks:
        await end_task(task)
    for _ in range(10):
        await asyncio.sleep(0)

    assert not waiting.done()
    await end_task(waiting)

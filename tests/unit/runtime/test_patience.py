"""Two queues of an event loop: what has stepped aside is passed, and gets its turn all the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from services.runtime.patience import PATIENT_BESIDE_URGENT, URGENT_IN_A_ROW, patient_loop, step_aside

MANY = 50
STEPS = 20


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=patient_loop) as runner:
        runner.run(main())


class Crowd:
    """Tasks that always have something to do."""

    def __init__(self) -> None:
        self.steps = 0

    async def patient(self) -> None:
        step_aside()
        await self.urgent()

    async def urgent(self) -> None:
        while True:
            self.steps += 1
            await asyncio.sleep(0)

    async def settle(self, tasks: list[asyncio.Task[None]]) -> None:
        # A turn for each of them, and one more for whoever asks, however they are mixed.
        for _ in range(2 * len(tasks)):
            await asyncio.sleep(0)
        assert self.steps >= len(tasks)
        self.steps = 0


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_a_chain_of_urgent_steps_passes_a_crowd_that_has_stepped_aside() -> None:
    async def main() -> None:
        crowd = Crowd()
        tasks = [asyncio.create_task(crowd.patient()) for _ in range(MANY)]
        await crowd.settle(tasks)

        for _ in range(STEPS):
            await asyncio.sleep(0)

        # A few in a turn of the loop; in a loop of one queue each step waits for all of them.
        assert crowd.steps <= PATIENT_BESIDE_URGENT * (STEPS + 1)
        await ended(tasks)

    run(main)


def test_a_crowd_of_urgent_tasks_does_not_keep_the_patient_from_their_turn() -> None:
    async def main() -> None:
        crowd = Crowd()
        tasks = [asyncio.create_task(crowd.urgent()) for _ in range(MANY)]
        await crowd.settle(tasks)
        step_aside()
        await asyncio.sleep(0)
        crowd.steps = 0

        for _ in range(STEPS):
            await asyncio.sleep(0)

        assert crowd.steps <= (URGENT_IN_A_ROW + 1) * STEPS
        await ended(tasks)

    run(main)


def test_tasks_of_those_who_stepped_aside_step_aside_too_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that whoever steps aside comes last, and not now and then.
    monkeypatch.setattr("services.runtime.patience.URGENT_IN_A_ROW", 100)

    async def main() -> None:
        found: list[str] = []

        async def tell(name: str) -> None:
            for _ in range(3):
                found.append(name)
                await asyncio.sleep(0)

        async def parent() -> None:
            step_aside()
            await asyncio.sleep(0)
            await asyncio.create_task(tell("child"))

        beginning = asyncio.create_task(parent())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(asyncio.create_task(tell("other")), beginning)

        assert found == ["other"] * 3 + ["child"] * 3

    run(main)


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_timers_sockets_threads_and_cancelled_handles_work_as_in_any_loop(debug: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        found: list[str] = []
        loop.call_soon(found.append, "cancelled").cancel()
        step_aside()
        loop.call_soon(found.append, "cancelled").cancel()
        one, other = socket.socketpair()
        one.setblocking(False)
        other.setblocking(False)
        with one, other:
            await loop.sock_sendall(one, b"x")
            assert await loop.sock_recv(other, 1) == b"x"
        assert await asyncio.to_thread(lambda: "thread") == "thread"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        order: list[int] = []
        for number in range(5):
            loop.call_soon(order.append, number)
        await asyncio.sleep(0.001)

        assert order == [0, 1, 2, 3, 4]
        assert found == []

    run(main)


async def test_stepping_aside_changes_nothing_in_a_loop_of_one_queue() -> None:
    step_aside()

    await asyncio.sleep(0)

    assert await asyncio.to_thread(lambda: 1) == 1

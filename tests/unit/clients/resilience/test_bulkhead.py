"""Places for calls under way: bounded, first come first served, recovery calls first, nothing lost on cancellation."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from clients.resilience.bulkhead import Bulkhead, BulkheadConfig
from clients.resilience.call import Priority
from clients.resilience.errors import BulkheadFull
from tests.support.resilience_calls import SEED
from tests.support.virtual_time import VirtualLoop, run_virtual


def of(places: int, *, extra: int = 0, waiting: int = 10, wait_s: float = 5.0) -> Bulkhead:
    return Bulkhead(
        "exchange/orders",
        BulkheadConfig(concurrent_max=places, recovery_extra=extra, waiting_max=waiting, wait_s_max=wait_s),
    )


async def hold(
    bulkhead: Bulkhead, seconds: float, log: list[str], name: str, priority: Priority = Priority.NORMAL
) -> None:
    async with bulkhead.place(priority, wait_s=60):
        log.append(name)
        await asyncio.sleep(seconds)


def test_never_more_than_its_places_and_in_order() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead, log = of(2), list[str]()
        tasks = [asyncio.ensure_future(hold(bulkhead, 1, log, str(number))) for number in range(6)]
        await asyncio.sleep(0.5)
        assert (bulkhead.active, bulkhead.waiting, log) == (2, 4, ["0", "1"])
        await asyncio.gather(*tasks)
        assert log == list("012345")
        assert (bulkhead.active, bulkhead.waiting) == (0, 0)

    run_virtual(main)


def test_full_line_refuses_at_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead, log = of(1, waiting=1), list[str]()
        tasks = [asyncio.ensure_future(hold(bulkhead, 1, log, str(number))) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BulkheadFull, match="1 calls under way, 1 waiting"):
            await hold(bulkhead, 1, log, "late")
        await asyncio.gather(*tasks)

    run_virtual(main)


def test_waiting_ends_at_its_bound() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead, log = of(1, wait_s=2), list[str]()
        task = asyncio.ensure_future(hold(bulkhead, 10, log, "first"))
        await asyncio.sleep(0)
        started = loop.time()
        with pytest.raises(BulkheadFull, match="within 2 s"):
            await hold(bulkhead, 1, log, "second")
        assert loop.time() - started == pytest.approx(2)
        assert bulkhead.waiting == 0
        await task

    run_virtual(main)


def test_recovery_calls_have_places_of_their_own_and_come_first() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead, log = of(1, extra=1), list[str]()
        tasks = [
            asyncio.ensure_future(hold(bulkhead, 1, log, "normal")),
            asyncio.ensure_future(hold(bulkhead, 1, log, "waits")),
            asyncio.ensure_future(hold(bulkhead, 2, log, "cancel", Priority.RECOVERY)),
            asyncio.ensure_future(hold(bulkhead, 1, log, "cancel 2", Priority.RECOVERY)),
        ]
        await asyncio.sleep(0.5)
        assert log == ["normal", "cancel"]
        await asyncio.gather(*tasks)
        assert log == ["normal", "cancel", "cancel 2", "waits"]

    run_virtual(main)


def test_cancelled_waiter_does_not_take_the_place_of_the_next() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead, log = of(1), list[str]()
        tasks = [asyncio.ensure_future(hold(bulkhead, 1, log, str(number))) for number in range(3)]
        await asyncio.sleep(1)
        # At this instant the first ends; whether the second has just been let in or not, the third has to get in.
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert log[-1] == "2"
        assert (bulkhead.active, bulkhead.waiting) == (0, 0)

    run_virtual(main)


def test_waiter_cancelled_after_its_place_was_granted_gives_it_back() -> None:
    async def main(loop: VirtualLoop) -> None:
        bulkhead, log = of(1), list[str]()
        first = bulkhead.place(Priority.NORMAL, wait_s=1)
        await first.__aenter__()
        waiter = asyncio.ensure_future(hold(bulkhead, 1, log, "waiter"))
        await asyncio.sleep(0)

        await first.__aexit__(None, None, None)
        assert bulkhead.active == 1
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)

        assert (bulkhead.active, bulkhead.waiting, log) == (0, 0, [])

    run_virtual(main)


def test_random_cancellations_lose_no_place() -> None:
    async def main(loop: VirtualLoop) -> None:
        random, bulkhead, log = Random(SEED), of(3, extra=1, waiting=1_000), list[str]()
        tasks = []
        for number in range(500):
            priority = Priority.RECOVERY if random.random() < 0.1 else Priority.NORMAL
            tasks.append(
                asyncio.ensure_future(hold(bulkhead, random.choice([0, 0.1, 0.2]), log, str(number), priority))
            )
            if random.random() < 0.3:
                tasks[random.randrange(len(tasks))].cancel()
            await asyncio.sleep(random.choice([0, 0, 0.01, 0.1]))
            assert bulkhead.active <= 4
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (bulkhead.active, bulkhead.waiting) == (0, 0)

    run_virtual(main)


@pytest.mark.parametrize(
    ("field", "value"),
    [("concurrent_max", 0), ("recovery_extra", -1), ("waiting_max", -1), ("wait_s_max", float("nan"))],
)
def test_wrong_figure_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{field}`"):
        BulkheadConfig(**{field: value})  # type: ignore[arg-type]

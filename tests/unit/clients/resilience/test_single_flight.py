"""Concurrent calls for one thing are one call (L04)."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from clients.resilience.errors import BulkheadFull, DeadlineExpired
from clients.resilience.single_flight import FlightCancelled, SingleFlight
from tests.support.virtual_time import VirtualLoop, run_virtual


class Upstream:
    """Counts calls; answers when it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        await self.go.wait()
        if self._error is not None:
            raise self._error
        return number


@pytest.mark.quick
async def test_l04_a_thousand_concurrent_misses_are_one_call() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    upstream = Upstream()
    callers = [asyncio.create_task(flight.run("key", upstream)) for _ in range(1000)]
    await asyncio.sleep(0)

    upstream.go.set()
    results = await asyncio.gather(*callers)

    assert results == [1] * 1000
    assert upstream.calls == 1
    assert flight.under_way == 0


async def test_l04_a_failing_leader_gives_everybody_the_same_error_and_its_traceback_does_not_grow() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    error = RuntimeError("no")
    upstream = Upstream(error)
    callers = [asyncio.create_task(flight.run("key", upstream)) for _ in range(1000)]
    await asyncio.sleep(0)

    upstream.go.set()
    results = await asyncio.gather(*callers, return_exceptions=True)

    assert all(result is error for result in results)
    assert upstream.calls == 1
    assert len(traceback.extract_tb(error.__traceback__)) < 10


async def test_l04_an_error_is_not_remembered() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    failing, working = Upstream(RuntimeError("no")), Upstream()
    failing.go.set()
    working.go.set()
    with pytest.raises(RuntimeError):
        await flight.run("key", failing)

    assert await flight.run("key", working) == 1


async def test_l04_cancelling_the_leader_does_not_cancel_its_followers() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    upstream = Upstream()
    leader, *followers = [asyncio.create_task(flight.run("key", upstream)) for _ in range(10)]
    await asyncio.sleep(0)

    leader.cancel()
    await asyncio.wait({leader})
    upstream.go.set()

    assert leader.cancelled()
    assert await asyncio.gather(*followers) == [1] * 9
    assert upstream.calls == 1


async def test_cancelling_a_follower_leaves_the_leader_alone() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    upstream = Upstream()
    leader, follower = (asyncio.create_task(flight.run("key", upstream)) for _ in range(2))
    await asyncio.sleep(0)

    follower.cancel()
    await asyncio.wait({follower})
    upstream.go.set()

    assert await leader == 1


async def test_the_call_ends_when_nobody_waits_for_it_and_a_newcomer_starts_its_own() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    abandoned, wanted = Upstream(), Upstream()
    callers = [asyncio.create_task(flight.run("key", abandoned)) for _ in range(3)]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    wanted.go.set()

    assert await flight.run("key", wanted) == 1
    assert flight.under_way == 0


async def test_a_newcomer_does_not_join_a_call_that_is_being_cancelled() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    tidied = asyncio.Event()

    async def tidies_up_slowly() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            await tidied.wait()
        return 0

    caller = asyncio.create_task(flight.run("key", tidies_up_slowly))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    wanted = Upstream()
    wanted.go.set()

    async with asyncio.timeout(5.0):
        assert await flight.run("key", wanted) == 1
    tidied.set()
    await asyncio.sleep(0)


def test_l04_a_hanging_leader_gives_everybody_one_error_after_the_time_limit() -> None:
    async def main(loop: VirtualLoop) -> tuple[set[int], float, int]:
        flight: SingleFlight[str, int] = SingleFlight(timeout_s=5.0)
        upstream = Upstream()
        started_s = loop.time()
        results = await asyncio.gather(*(flight.run("key", upstream) for _ in range(100)), return_exceptions=True)
        assert all(isinstance(result, DeadlineExpired) for result in results)
        return {id(result) for result in results}, loop.time() - started_s, upstream.calls

    errors, waited_s, calls = run_virtual(main)

    assert len(errors) == 1
    assert waited_s == pytest.approx(5.0, abs=0.01)
    assert calls == 1


async def test_a_timeout_of_the_call_itself_stays_what_it_is() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    upstream = Upstream(TimeoutError("mine"))
    upstream.go.set()

    with pytest.raises(TimeoutError, match="mine"):
        await flight.run("key", upstream)


async def test_a_call_that_cancels_itself_does_not_look_like_a_cancelled_caller() -> None:
    flight: SingleFlight[str, int] = SingleFlight()

    async def cancels() -> int:
        raise asyncio.CancelledError

    with pytest.raises(FlightCancelled):
        await flight.run("key", cancels)


async def test_different_keys_are_different_calls_up_to_the_bound() -> None:
    flight: SingleFlight[int, int] = SingleFlight(keys_max=2)
    upstream = Upstream()
    callers = [asyncio.create_task(flight.run(key, upstream)) for key in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(BulkheadFull):
        await flight.run(2, upstream)

    upstream.go.set()
    assert sorted(await asyncio.gather(*callers)) == [1, 2]

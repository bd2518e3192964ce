"""Threads and tasks at once: exact probe counts, events that form a path, sums that add up."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from clients.resilience.breaker_config import BreakerState
from clients.resilience.errors import CallNotPermitted
from tests.support.resilience_breakers import Bench, bench


@pytest.fixture(autouse=True)
def switch_often() -> Iterator[None]:
    """Let threads take turns every few microseconds, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def due() -> Bench:
    """Return an open breaker whose wait elapses now."""
    here = bench(probes=3)
    here.open()
    here.clock.advance(5)
    return here


def assert_exactly_three(here: Bench, ran: list[int], rejected: list[int]) -> None:
    assert (len(ran), len(rejected)) == (3, 97)
    assert here.told.path.count(BreakerState.HALF_OPEN) == 1
    assert here.breaker.snapshot().counts.rejected == 97


def run_threads(repeats: int) -> None:
    with ThreadPoolExecutor(100) as pool:
        for _ in range(repeats):
            here, ran, rejected = due(), list[int](), list[int]()
            gate = threading.Barrier(100)

            def call(
                here: Bench = here, ran: list[int] = ran, rejected: list[int] = rejected, gate: threading.Barrier = gate
            ) -> None:
                gate.wait(30)
                try:
                    here.breaker.acquire()
                except CallNotPermitted:
                    rejected.append(1)
                else:
                    ran.append(1)

            for future in [pool.submit(call) for _ in range(100)]:
                future.result(30)
            assert_exactly_three(here, ran, rejected)


async def run_tasks(repeats: int) -> None:
    for _ in range(repeats):
        here, ran, rejected = due(), list[int](), list[int]()
        gate = asyncio.Event()

        async def call(
            here: Bench = here, ran: list[int] = ran, rejected: list[int] = rejected, gate: asyncio.Event = gate
        ) -> None:
            async def function() -> None:
                ran.append(1)
                await asyncio.sleep(0)

            await asyncio.sleep(0)
            await gate.wait()
            try:
                await here.call_async(function)
            except CallNotPermitted:
                rejected.append(1)

        tasks = [asyncio.ensure_future(call()) for _ in range(100)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        assert_exactly_three(here, ran, rejected)


def test_cb12_hundred_threads_at_the_instant_get_exactly_the_probes() -> None:
    run_threads(20)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_cb12_thousand_repeats_with_threads() -> None:
    run_threads(1_000)


async def test_cb12_hundred_tasks_at_the_instant_get_exactly_the_probes() -> None:
    await run_tasks(20)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_cb12_thousand_repeats_with_tasks() -> None:
    await run_tasks(1_000)


def run_mixed(threads: int, calls: int, *, seed: int) -> None:
    here = bench(open_s=0.001, open_s_max=0.002, probes=2, window_calls=20, calls_min=5, probe_lease_s=0.05)
    made: list[int] = []

    def work(number: int) -> None:
        random = Random(seed + number)
        attempts = 0
        for _ in range(calls):
            attempts += 1
            here.clock.advance_ns(random.randrange(10_000))
            try:
                permit = here.breaker.acquire()
            except CallNotPermitted:
                continue
            endings: list[Callable[[], None]] = [permit.success, permit.failure, permit.ignore, permit.cancel]
            random.choices(endings, weights=(5, 5, 1, 1))[0]()
        made.append(attempts)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)

    counts = here.breaker.snapshot().counts
    total = counts.successes + counts.failures + counts.ignored + counts.rejected + counts.cancelled + counts.late
    assert total == sum(made) == threads * calls
    assert len(here.told.transitions) > 2
    state = BreakerState.CLOSED
    for event in here.told.transitions:
        assert event.previous is state
        state = event.state
    assert state is here.breaker.state


def test_cb26_mixed_calls_of_many_threads_add_up() -> None:
    run_mixed(16, 500, seed=26)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_cb26_ten_thousand_calls_of_64_threads_add_up() -> None:
    run_mixed(64, 10_000, seed=2026)

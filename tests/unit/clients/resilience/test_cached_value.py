"""Old values are served marked, up to their limit (L05)."""

from __future__ import annotations

import asyncio

import pytest

from clients.resilience.cached_value import Aged, CachedValue, ValueUnavailable
from tests.support.virtual_time import VirtualLoop, run_virtual


class Source:
    """Counts fetches; takes a while; fails when told to."""

    def __init__(self) -> None:
        self.fetches = 0
        self.down = False
        self.takes_s = 0.0

    async def __call__(self) -> int:
        self.fetches += 1
        number = self.fetches
        await asyncio.sleep(self.takes_s)
        if self.down:
            raise ConnectionError("down")
        return number


def make(loop: VirtualLoop, source: Source, **options: float) -> CachedValue[int]:
    settings = {"fresh_s": 10.0, "revalidate_s": 60.0, "age_s_max": 3600.0} | options
    return CachedValue(source, monotonic_ns=loop.monotonic_ns, **settings)


@pytest.mark.quick
def test_a_fresh_value_is_served_without_asking() -> None:
    async def main(loop: VirtualLoop) -> tuple[Aged[int], int]:
        source = Source()
        cached = make(loop, source)
        await cached.get()
        await asyncio.sleep(9.0)
        return await cached.get(), source.fetches

    known, fetches = run_virtual(main)

    assert known.value == 1
    assert not known.stale
    assert known.age_s == pytest.approx(9.0, abs=0.01)
    assert fetches == 1


def test_an_old_value_is_served_at_once_while_one_fetch_runs_behind() -> None:
    async def main(loop: VirtualLoop) -> tuple[list[Aged[int]], Aged[int], int, float]:
        source = Source()
        cached = make(loop, source)
        await cached.get()
        await asyncio.sleep(30.0)
        source.takes_s = 5.0
        started_s = loop.time()
        stale = [await cached.get() for _ in range(100)]
        waited_s = loop.time() - started_s
        await asyncio.sleep(6.0)
        after = await cached.get()
        await cached.close()
        return stale, after, source.fetches, waited_s

    stale, after, fetches, waited_s = run_virtual(main)

    assert all(known.stale and known.value == 1 for known in stale)
    assert waited_s < 0.01
    assert after.value == 2
    assert not after.stale
    assert fetches == 2


def test_l05_two_hours_of_outage_serve_the_old_value_marked_until_it_is_too_old() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, int, float, int]:
        source = Source()
        cached = make(loop, source)
        await cached.get()
        source.down = True
        served = refused = 0
        oldest_s = 0.0
        for _ in range(7200 // 30):
            await asyncio.sleep(30.0)
            try:
                known = await cached.get()
            except ValueUnavailable as exc:
                refused += isinstance(exc.__cause__, ConnectionError)
            else:
                assert known.stale
                oldest_s = max(oldest_s, known.age_s)
                served += 1
        return served, refused, oldest_s, source.fetches

    served, refused, oldest_s, fetches = run_virtual(main)

    assert served == pytest.approx(120, abs=1)
    assert refused == pytest.approx(120, abs=1)
    assert 3500 < oldest_s <= 3600
    assert fetches <= 1 + 240


def test_an_outage_does_not_turn_every_request_into_a_fetch() -> None:
    async def main(loop: VirtualLoop) -> int:
        source = Source()
        source.down = True
        cached = make(loop, source, retry_s=1.0)
        for _ in range(1000):
            with pytest.raises(ValueUnavailable):
                await cached.get()
            await asyncio.sleep(0.01)
        return source.fetches

    assert run_virtual(main) <= 11


def test_an_error_is_forgotten_after_a_second() -> None:
    async def main(loop: VirtualLoop) -> int:
        source = Source()
        source.down = True
        cached = make(loop, source, retry_s=1.0)
        with pytest.raises(ValueUnavailable) as refusal:
            await cached.get()
        assert refusal.value.retry_after_s == 1.0
        source.down = False
        await asyncio.sleep(1.01)
        return (await cached.get()).value

    assert run_virtual(main) == 2


def test_a_longer_memory_of_errors_is_refused() -> None:
    with pytest.raises(ValueError, match="at most a second"):
        CachedValue(Source(), fresh_s=1.0, age_s_max=2.0, retry_s=5.0)


def test_a_caller_may_ask_for_a_younger_value_than_the_cache_would_serve() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, int]:
        source = Source()
        cached = make(loop, source)
        await cached.get()
        await asyncio.sleep(5.0)
        younger = await cached.get(age_s_max=2.0)
        source.down = True
        await asyncio.sleep(5.0)
        with pytest.raises(ValueUnavailable, match=r"5\.0 s old"):
            await cached.get(age_s_max=2.0)
        return younger.value, source.fetches

    assert run_virtual(main) == (2, 3)


def test_a_value_is_as_old_as_the_question() -> None:
    async def main(loop: VirtualLoop) -> float:
        source = Source()
        source.takes_s = 4.0
        return (await make(loop, source).get()).age_s

    assert run_virtual(main) == pytest.approx(4.0, abs=0.01)


def test_concurrent_misses_are_one_fetch_and_a_hanging_one_ends() -> None:
    async def main(loop: VirtualLoop) -> tuple[int, float]:
        source = Source()
        source.takes_s = 1000.0
        cached = make(loop, source, timeout_s=3.0)
        started_s = loop.time()
        results = await asyncio.gather(*(cached.get() for _ in range(1000)), return_exceptions=True)
        assert all(isinstance(result, ValueUnavailable) for result in results)
        return source.fetches, loop.time() - started_s

    fetches, waited_s = run_virtual(main)

    assert fetches == 1
    assert waited_s == pytest.approx(3.0, abs=0.01)


def test_forgetting_makes_the_next_caller_fetch() -> None:
    async def main(loop: VirtualLoop) -> int:
        source = Source()
        cached = make(loop, source)
        await cached.get()
        cached.forget()
        assert cached.peek() is None
        return (await cached.get()).value

    assert run_virtual(main) == 2


def test_closing_ends_the_fetch_that_runs_behind() -> None:
    async def main(loop: VirtualLoop) -> float:
        source = Source()
        cached = make(loop, source)
        await cached.get()
        await asyncio.sleep(30.0)
        source.takes_s = 1000.0
        await cached.get()
        await asyncio.sleep(0.1)
        started_s = loop.time()
        await cached.close()
        await cached.close()
        return loop.time() - started_s

    assert run_virtual(main) < 0.1

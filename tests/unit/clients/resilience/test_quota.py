"""The quota holds against a provider that counts rolling and fixed windows (L01)."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

import pytest

from clients.resilience.errors import LimitReached
from clients.resilience.quota import (
    REFERENCE_PRICE_WINDOWS,
    LedgerUnavailable,
    LedgerView,
    Quota,
    Slot,
    Window,
)
from tests.support.quota_ledger import MemoryQuotaLedger
from tests.support.virtual_time import VirtualLoop, run_virtual


class CountingProvider:
    """Counts each request at the moment it arrives, in rolling windows and in fixed ones, and answers 429 beyond either."""

    def __init__(self, loop: VirtualLoop, windows: tuple[Window, ...] = REFERENCE_PRICE_WINDOWS) -> None:
        self._loop = loop
        self._windows = windows
        self._rolling: list[deque[int]] = [deque() for _ in windows]
        self._fixed: list[dict[int, int]] = [{} for _ in windows]
        self.requests = 0
        self.refused = 0
        self.most = [0 for _ in windows]

    def arrive(self) -> int:
        self.requests += 1
        now_ns = self._loop.wall_ns()
        refused = False
        for index, window in enumerate(self._windows):
            length_ns = round(window.length_s * 1e9)
            rolling = self._rolling[index]
            while rolling and rolling[0] <= now_ns - length_ns:
                rolling.popleft()
            rolling.append(now_ns)
            frame = now_ns // length_ns
            self._fixed[index][frame] = self._fixed[index].get(frame, 0) + 1
            most = max(len(rolling), self._fixed[index][frame])
            self.most[index] = max(self.most[index], most)
            refused = refused or most > window.count
        self.refused += refused
        return 429 if refused else 200


def make_quota(loop: VirtualLoop, ledger: MemoryQuotaLedger, **options: object) -> Quota:
    return Quota(ledger, wall_ns=loop.wall_ns, monotonic_ns=loop.monotonic_ns, sleep=asyncio.sleep, **options)  # type: ignore[arg-type]


async def make_request(provider: CountingProvider, rng: random.Random, flights: set[asyncio.Task[None]]) -> None:
    """Travel 0-20 s in all; what has left arrives even if its sender is gone."""
    travel_s, total_s = sorted((rng.uniform(0, 20), rng.uniform(0, 20)))

    async def arrive() -> None:
        await asyncio.sleep(travel_s)
        provider.arrive()

    flight = asyncio.create_task(arrive())
    flights.add(flight)
    flight.add_done_callback(flights.discard)
    await asyncio.sleep(total_s)


def campaign(seed: int, *, hours: float, restarts: int) -> CountingProvider:
    """Two greedy processes on one ledger; each is killed at random moments, with requests under way, and starts again."""

    async def main(loop: VirtualLoop) -> CountingProvider:
        rng = random.Random(seed)
        ledger, provider = MemoryQuotaLedger(), CountingProvider(loop)
        flights: set[asyncio.Task[None]] = set()
        end_s = loop.time() + hours * 3600

        async def worker(quota: Quota) -> None:
            while True:
                try:
                    slot = await quota.acquire(deadline_s=120.0)
                except LimitReached as exc:
                    await asyncio.sleep(exc.retry_after_s or 1.0)
                    continue
                for attempt in (1, 2):  # A retry takes a slot of its own.
                    try:
                        async with asyncio.timeout(10.0):
                            await make_request(provider, rng, flights)
                        await slot.replied()
                        break
                    except TimeoutError:
                        if attempt == 2:
                            break
                        try:
                            slot = await quota.acquire(deadline_s=30.0)
                        except LimitReached:
                            break

        async def process() -> None:
            kills = restarts // 2
            while loop.time() < end_s:
                quota = make_quota(loop, ledger)
                workers = [asyncio.create_task(worker(quota)) for _ in range(8)]
                left_s = end_s - loop.time()
                await asyncio.sleep(min(left_s, rng.expovariate(kills / (hours * 3600))) + 0.001)
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

        await asyncio.gather(process(), process())
        return provider

    return run_virtual(main)


@pytest.mark.parametrize("seed", [1])
def test_l01_two_processes_with_restarts_never_exceed_the_quota_in_either_kind_of_window(seed: int) -> None:
    provider = campaign(seed, hours=1.3, restarts=8)

    assert provider.refused == 0
    assert provider.most[0] <= 50
    assert provider.most[1] <= 1000
    # 1000 an hour bind: almost all of it gets used.
    assert provider.requests > 1.3 * 850


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [11, 12])
def test_l01_a_day_with_a_hundred_restarts_never_exceeds_the_quota(seed: int) -> None:
    provider = campaign(seed, hours=24, restarts=100)

    assert provider.refused == 0
    assert provider.most[0] <= 50
    assert provider.most[1] <= 1000
    assert provider.requests > 24 * 850


@pytest.mark.quick
def test_a_slot_counts_from_its_reservation_until_its_reply_and_the_window() -> None:
    async def main(loop: VirtualLoop) -> float:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),), margin_s=0.5)
        slot = await quota.acquire(deadline_s=0.0)
        await asyncio.sleep(20.0)
        await slot.replied()
        replied_s = loop.time()
        await quota.acquire(deadline_s=100.0)
        return loop.time() - replied_s

    waited_s = run_virtual(main)

    assert waited_s == pytest.approx(60.5, abs=0.01)


def test_a_request_that_was_never_answered_counts_until_it_can_no_longer_arrive() -> None:
    async def main(loop: VirtualLoop) -> float:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),), arrival_bound_s=30.0, margin_s=0.5)
        started_s = loop.time()
        await quota.acquire(deadline_s=0.0)
        await quota.acquire(deadline_s=100.0)
        return loop.time() - started_s

    waited_s = run_virtual(main)

    assert waited_s == pytest.approx(90.5, abs=0.01)


def test_a_request_that_never_left_frees_its_slot_at_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),))
        slot = await quota.acquire(deadline_s=0.0)
        await slot.not_sent()
        await quota.acquire(deadline_s=0.0)

    run_virtual(main)


def test_waiting_past_the_deadline_is_refused_at_once_and_says_when_to_come_back() -> None:
    async def main(loop: VirtualLoop) -> tuple[float | None, float]:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),), margin_s=0.5)
        await (await quota.acquire(deadline_s=0.0)).replied()
        before_s = loop.time()
        with pytest.raises(LimitReached) as refusal:
            await quota.acquire(deadline_s=59.0)
        return refusal.value.retry_after_s, loop.time() - before_s

    retry_after_s, waited_s = run_virtual(main)

    assert retry_after_s == pytest.approx(60.5, abs=0.01)
    assert waited_s < 0.001


def test_a_caller_behind_others_is_refused_when_its_turn_does_not_come_in_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),))
        await (await quota.acquire(deadline_s=0.0)).replied()
        patient = asyncio.create_task(quota.acquire(deadline_s=100.0))
        await asyncio.sleep(1.0)
        before_s = loop.time()
        with pytest.raises(LimitReached):
            await quota.acquire(deadline_s=5.0)
        waited_s = loop.time() - before_s
        await patient
        return waited_s

    assert run_virtual(main) == pytest.approx(5.0, abs=0.01)


def test_a_throttled_reply_silences_every_process_on_the_ledger() -> None:
    async def main(loop: VirtualLoop) -> float:
        ledger = MemoryQuotaLedger()
        one, other = make_quota(loop, ledger), make_quota(loop, ledger)
        await (await one.acquire(deadline_s=0.0)).throttled(retry_after_s=90.0)
        started_s = loop.time()
        await other.acquire(deadline_s=100.0)
        return loop.time() - started_s

    assert run_virtual(main) == pytest.approx(90.5, abs=0.01)


def test_a_wall_clock_that_steps_forward_frees_no_slot_early() -> None:
    async def main(loop: VirtualLoop) -> float:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),), margin_s=0.5)
        await (await quota.acquire(deadline_s=0.0)).replied()
        started_s = loop.time()
        loop.jump_wall_ns(3600 * 10**9)
        await quota.acquire(deadline_s=100.0)
        return loop.time() - started_s

    assert run_virtual(main) >= 60.0


def test_many_small_steps_forward_are_all_remembered() -> None:
    async def main(loop: VirtualLoop) -> float:
        quota = make_quota(loop, MemoryQuotaLedger(), windows=(Window(1, 60.0),), margin_s=0.5, poll_s=0.5)
        await (await quota.acquire(deadline_s=0.0)).replied()
        started_s = loop.time()
        waiting = asyncio.create_task(quota.acquire(deadline_s=400.0))
        for _ in range(40):
            await asyncio.sleep(0.7)
            loop.jump_wall_ns(5 * 10**9)
        await waiting
        return loop.time() - started_s

    assert run_virtual(main) >= 60.0


def test_a_wall_clock_that_was_a_year_ahead_does_not_stop_everything_for_a_year() -> None:
    async def main(loop: VirtualLoop) -> float:
        ledger = MemoryQuotaLedger()
        loop.jump_wall_ns(365 * 86_400 * 10**9)
        await (await make_quota(loop, ledger, windows=(Window(1, 60.0),)).acquire(deadline_s=0.0)).replied()
        loop.jump_wall_ns(-365 * 86_400 * 10**9)
        started_s = loop.time()
        await make_quota(loop, ledger, windows=(Window(1, 60.0),)).acquire(deadline_s=200.0)
        return loop.time() - started_s

    assert 60.0 <= run_virtual(main) <= 91.0


class BrokenLedger(MemoryQuotaLedger):
    """Loses its database when told to."""

    broken = False

    async def reserve(self, slot: Slot, admit: Callable[[LedgerView], bool], *, forget_before_ns: int) -> bool:
        self._check()
        return await super().reserve(slot, admit, forget_before_ns=forget_before_ns)

    async def settle(self, slot_id: str, counted_by_ns: int) -> None:
        self._check()
        await super().settle(slot_id, counted_by_ns)

    def _check(self) -> None:
        if self.broken:
            raise LedgerUnavailable("gone")


def test_without_a_ledger_nothing_is_sent_and_replies_are_not_spoilt() -> None:
    async def main(loop: VirtualLoop) -> int:
        ledger = BrokenLedger()
        quota = make_quota(loop, ledger)
        slot = await quota.acquire(deadline_s=0.0)
        ledger.broken = True
        await slot.replied()
        with pytest.raises(LedgerUnavailable):
            await quota.acquire(deadline_s=1.0)
        return (await quota.usage())[0].used

    assert run_virtual(main) == 1


def test_usage_counts_what_each_window_still_holds() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        quota = make_quota(loop, MemoryQuotaLedger())
        for _ in range(3):
            await (await quota.acquire(deadline_s=0.0)).replied()
        await asyncio.sleep(100.0)
        await (await quota.acquire(deadline_s=0.0)).replied()
        return [use.used for use in await quota.usage()]

    assert run_virtual(main) == [1, 4]


def test_the_ledger_forgets_what_no_window_holds() -> None:
    async def main(loop: VirtualLoop) -> int:
        ledger = MemoryQuotaLedger()
        quota = make_quota(loop, ledger, windows=(Window(5, 60.0),))
        for _ in range(50):
            await (await quota.acquire(deadline_s=100.0)).replied()
        return len((await ledger.load()).slots)

    assert run_virtual(main) <= 10


def test_windows_that_allow_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="allow something"):
        Quota(MemoryQuotaLedger(), windows=(Window(0, 60.0),))

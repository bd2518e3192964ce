"""S09: a signed request is accepted once, over restarts, crashes at any point, and clocks that step."""

from __future__ import annotations

import asyncio
import random

import pytest

from services.orders.auth.stamps import AHEAD_MS, KEYS_MAX, NONCES_MAX, STEP_MS, WINDOW_MS, Stamps
from services.runtime.errors import Unauthenticated, Unavailable
from tests.support.clock import FakeClock
from tests.support.memory_floors import MemoryFloors

KEY = "0123456789abcdef"


@pytest.fixture
def floors() -> MemoryFloors:
    return MemoryFloors()


def now_ms(clock: FakeClock) -> int:
    return clock.time_ns() // 1_000_000


def nonce(number: int) -> str:
    return f"{number:016d}"


async def is_accepted(stamps: Stamps, stamp_ms: int, number: int, key_id: str = KEY) -> bool:
    try:
        await stamps.accept(key_id, str(stamp_ms), nonce(number))
    except (Unauthenticated, Unavailable):
        return False
    return True


async def test_a_request_is_accepted_once(floors: MemoryFloors, fake_clock: FakeClock) -> None:
    stamps, stamp_ms = Stamps(floors, wall_ns=fake_clock.time_ns), now_ms(fake_clock)

    assert await is_accepted(stamps, stamp_ms, 1)
    with pytest.raises(Unauthenticated, match="used before"):
        await stamps.accept(KEY, str(stamp_ms), nonce(1))
    assert await is_accepted(stamps, stamp_ms, 2)
    assert await is_accepted(stamps, stamp_ms, 1, key_id="f" * 16)


async def test_one_that_comes_twice_at_once_is_accepted_once(floors: MemoryFloors, fake_clock: FakeClock) -> None:
    stamps, stamp_ms = Stamps(floors, wall_ns=fake_clock.time_ns), now_ms(fake_clock)

    assert sum(await asyncio.gather(*(is_accepted(stamps, stamp_ms, 1) for _ in range(20)))) == 1


@pytest.mark.parametrize(
    ("age_ms", "accepted"),
    [(0, True), (WINDOW_MS, True), (WINDOW_MS + 1, False), (-AHEAD_MS, True), (-AHEAD_MS - 1, False), (31_000, False),
     (-31_000, False)],
)  # fmt: skip
async def test_how_old_and_how_far_ahead_a_request_may_be(
    age_ms: int, accepted: bool, floors: MemoryFloors, fake_clock: FakeClock
) -> None:
    assert await is_accepted(Stamps(floors, wall_ns=fake_clock.time_ns), now_ms(fake_clock) - age_ms, 1) is accepted


@pytest.mark.parametrize("stamp", ["", "soon", "-1", "1e12", "１７６", "9" * 17, " 1"])
async def test_what_is_no_time_is_refused(stamp: str, floors: MemoryFloors, fake_clock: FakeClock) -> None:
    with pytest.raises(Unauthenticated, match="milliseconds"):
        await Stamps(floors, wall_ns=fake_clock.time_ns).accept(KEY, stamp, nonce(1))


@pytest.mark.parametrize("value", ["", "short", "x" * 65, "a b" * 6])
async def test_what_is_no_nonce_is_refused(value: str, floors: MemoryFloors, fake_clock: FakeClock) -> None:
    with pytest.raises(Unauthenticated, match="16 to 64"):
        await Stamps(floors, wall_ns=fake_clock.time_ns).accept(KEY, str(now_ms(fake_clock)), value)


@pytest.mark.parametrize("ahead_ms", [0, AHEAD_MS])
async def test_nothing_that_was_accepted_is_accepted_after_a_restart(
    ahead_ms: int, floors: MemoryFloors, fake_clock: FakeClock
) -> None:
    stamp_ms = now_ms(fake_clock) + ahead_ms
    assert await is_accepted(Stamps(floors, wall_ns=fake_clock.time_ns), stamp_ms, 1)

    again = Stamps(floors, wall_ns=fake_clock.time_ns)

    assert not await is_accepted(again, stamp_ms, 1)
    assert not await is_accepted(again, stamp_ms, 2), "another nonce does not make it a later request"
    fake_clock.advance((ahead_ms + STEP_MS + 1) / 1000)
    assert not await is_accepted(again, stamp_ms, 1)
    assert await is_accepted(again, now_ms(fake_clock), 3)


async def test_whoever_is_too_early_after_a_restart_is_told_when(floors: MemoryFloors, fake_clock: FakeClock) -> None:
    await Stamps(floors, wall_ns=fake_clock.time_ns).accept(KEY, str(now_ms(fake_clock)), nonce(1))

    with pytest.raises(Unauthenticated, match=r"sign it again, from 1\.0 s on"):
        await Stamps(floors, wall_ns=fake_clock.time_ns).accept(KEY, str(now_ms(fake_clock)), nonce(2))


async def test_a_clock_that_steps_back_brings_nothing_back(floors: MemoryFloors, fake_clock: FakeClock) -> None:
    stamps, stamp_ms = Stamps(floors, wall_ns=fake_clock.time_ns), now_ms(fake_clock)
    assert await is_accepted(stamps, stamp_ms, 1)
    fake_clock.advance(WINDOW_MS / 1000 * 4)
    assert await is_accepted(stamps, now_ms(fake_clock), 2)

    fake_clock.jump_wall_ns(-4 * WINDOW_MS * 1_000_000)

    assert not await is_accepted(stamps, stamp_ms, 1)
    assert not await is_accepted(Stamps(floors, wall_ns=fake_clock.time_ns), stamp_ms, 1)


async def test_the_floor_is_written_once_a_second_and_not_per_request(
    floors: MemoryFloors, fake_clock: FakeClock
) -> None:
    stamps = Stamps(floors, wall_ns=fake_clock.time_ns)
    for number in range(1000):
        assert await is_accepted(stamps, now_ms(fake_clock), number)
        fake_clock.advance(0.01)

    assert floors.writes <= 11


async def test_nothing_is_accepted_whose_floor_is_not_durable(floors: MemoryFloors, fake_clock: FakeClock) -> None:
    stamps = Stamps(floors, wall_ns=fake_clock.time_ns)
    floors.dies = "before"

    with pytest.raises(Unavailable):
        await stamps.accept(KEY, str(now_ms(fake_clock)), nonce(1))


async def test_what_is_remembered_is_bounded_and_forgetting_closes(floors: MemoryFloors, fake_clock: FakeClock) -> None:
    stamps, first_ms = Stamps(floors, wall_ns=fake_clock.time_ns), now_ms(fake_clock)
    for number in range(NONCES_MAX + 2_000):
        assert await is_accepted(stamps, first_ms + number // 10, number)

    assert not await is_accepted(stamps, first_ms, 0)
    assert not await is_accepted(stamps, first_ms, 99_999)
    assert len(stamps._keys[KEY].nonces) <= NONCES_MAX + 1
    for number in range(KEYS_MAX + 10):
        await is_accepted(stamps, first_ms, number, key_id=f"{number:016x}")
    assert len(stamps._keys) == KEYS_MAX
    assert not await is_accepted(stamps, first_ms, 0, key_id=f"{0:016x}")


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_nothing_is_accepted_twice(seed: int, fake_clock: FakeClock) -> None:
    chance, floors = random.Random(seed), MemoryFloors()
    stamps = Stamps(floors, wall_ns=fake_clock.time_ns)
    sent: list[tuple[int, int]] = []
    accepted: set[tuple[int, int]] = set()
    for number in range(600):
        match chance.randrange(12):
            case 0:
                stamps = Stamps(floors, wall_ns=fake_clock.time_ns)
                floors.dies = ""
            case 1:
                fake_clock.jump_wall_ns(chance.randrange(-90_000, 90_000) * 1_000_000)
            case 2:
                floors.dies = chance.choice(("", "before", "after"))
            case 3:
                fake_clock.advance(chance.choice((0.1, 2.0, 40.0)))
        fresh = (now_ms(fake_clock) + chance.randrange(-35_000, 7_000), number)
        request = chance.choice(sent) if sent and chance.random() < 0.5 else fresh
        sent.append(request)
        if await is_accepted(stamps, *request):
            assert request not in accepted
            accepted.add(request)

    assert len(accepted) > 5

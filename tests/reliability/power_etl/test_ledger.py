"""The quota's slots in a real database: two processes, restarts, an outage."""

from __future__ import annotations

import asyncio
import random
import secrets
from contextlib import suppress

import pytest

from clients.database import open_database
from clients.power.calendar import delivery_hour
from clients.power.reference.observation import Observation
from clients.resilience.errors import LimitReached
from clients.resilience.quota import LedgerUnavailable, LedgerView, Quota, QuotaLedger, Slot, Window
from services.power.etl.quota_ledger import SqlQuotaLedger
from services.power.etl.store import ReferenceStore, SavedStatus
from tests.support.quota_ledger import MemoryQuotaLedger
from tests.support.reporting_desk import Desk

HOUR = delivery_hour("2025-10-09", "15-16")


async def take(ledger: QuotaLedger, count: int, limit: int) -> int:
    """Reserve as many of `count` slots as the limit admits."""
    taken = 0
    for _ in range(count):
        slot = Slot(secrets.token_hex(8), 100, 1_000)
        taken += await ledger.reserve(slot, lambda view: len(view.slots) < limit, forget_before_ns=50)
    return taken


async def test_two_processes_share_the_slots(desk: Desk, database_url: str) -> None:
    other = open_database(database_url, application="test")
    ledgers = [SqlQuotaLedger(engine, quota="q") for engine in (desk.engine, other) for _ in range(2)]

    taken = await asyncio.gather(*(take(ledger, 10, 25) for ledger in ledgers))
    await other.dispose()

    assert sum(taken) == 25


async def test_a_restart_finds_every_slot(desk: Desk, database_url: str) -> None:
    await take(SqlQuotaLedger(desk.engine, quota="q"), 5, 50)

    again = open_database(database_url, application="test")
    view = await SqlQuotaLedger(again, quota="q").load()
    await again.dispose()

    assert len(view.slots) == 5


async def test_a_ledger_behaves_as_the_one_in_memory(desk: Desk) -> None:
    rng = random.Random(5)
    here, there = SqlQuotaLedger(desk.engine, quota="q"), MemoryQuotaLedger()
    await take(SqlQuotaLedger(desk.engine, quota="another"), 3, 50)
    slots: list[str] = []

    for step in range(60):
        action = rng.random()
        if action < 0.6:
            slot = Slot(f"slot-{step}", step, step + rng.randrange(50))
            limit, forget_ns = rng.randrange(1, 12), step - rng.randrange(40)
            results = [
                await ledger.reserve(
                    slot, lambda view, limit=limit: len(view.slots) < limit, forget_before_ns=forget_ns
                )  # type: ignore[misc]
                for ledger in (here, there)
            ]
            assert results[0] == results[1]
            slots.append(slot.slot_id)
        elif action < 0.85 and slots:
            chosen, moment = rng.choice(slots), rng.randrange(100)
            for ledger in (here, there):
                await ledger.settle(chosen, moment)
        else:
            until = rng.randrange(1_000)
            for ledger in (here, there):
                await ledger.block(until)
        one, two = await here.load(), await there.load()
        assert sorted(one.slots, key=lambda slot: slot.slot_id) == sorted(two.slots, key=lambda slot: slot.slot_id)
        assert one.blocked_until_ns == two.blocked_until_ns


async def test_a_quota_on_it_admits_no_more_than_its_window(desk: Desk, database_url: str) -> None:
    other = open_database(database_url, application="test")
    quotas = [Quota(SqlQuotaLedger(engine, quota="q"), windows=(Window(12, 60.0),)) for engine in (desk.engine, other)]

    async def use(quota: Quota) -> int:
        slots = []
        with suppress(LimitReached):
            for _ in range(10):
                slots.append(await quota.acquire(deadline_s=1.0))
        for slot in slots:
            await slot.replied()
        return len(slots)

    used = await asyncio.gather(*(use(quota) for quota in quotas))
    await other.dispose()

    assert sum(used) == 12


async def test_without_a_database_no_slot_is_given() -> None:
    engine = open_database("postgresql://nobody@127.0.0.1:1/nothing", application="test")

    with pytest.raises(LedgerUnavailable):
        await SqlQuotaLedger(engine, quota="q").reserve(Slot("a", 1, 2), lambda view: True, forget_before_ns=0)
    await engine.dispose()


async def test_an_error_of_the_caller_leaves_no_slot(desk: Desk) -> None:
    ledger = SqlQuotaLedger(desk.engine, quota="q")

    def broken(view: LedgerView) -> bool:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await ledger.reserve(Slot("a", 1, 2), broken, forget_before_ns=0)

    assert (await ledger.load()).slots == ()


async def test_every_observed_value_is_kept_once(desk: Desk) -> None:
    store = ReferenceStore(desk.engine)
    seen = [
        Observation(HOUR, None, "", None, 5), Observation(HOUR, None, "", None, 6), Observation(HOUR, 10, "", 100, 7),
        Observation(HOUR, 10, "", 100, 8), Observation(HOUR, 11, "", 100, 9), Observation(HOUR, 10, "", 200, 9),
    ]  # fmt: skip

    first = await store.add([(one, False) for one in seen])
    again = await store.add([(one, False) for one in seen])

    assert (first, again) == (4, 0)
    (known,) = await store.known([HOUR.day])
    assert (known.hour, known.stamp_ns, known.final) == (HOUR, 200, False)


async def test_the_last_price_of_an_hour_is_remembered_as_such(desk: Desk) -> None:
    store = ReferenceStore(desk.engine)
    await store.add([(Observation(HOUR, 10, "", 100, 7), False)])

    await store.add([(Observation(HOUR, 10, "", 100, 9), True)])
    await store.add([(Observation(HOUR, 10, "", 100, 9), False)])

    (known,) = await store.known([HOUR.day])
    assert known.final


async def test_one_of_two_holds_the_lease_until_it_ends(desk: Desk) -> None:
    store = ReferenceStore(desk.engine)

    assert await store.hold("one", now_ns=0, until_ns=10)
    assert not await store.hold("two", now_ns=5, until_ns=15)
    assert await store.hold("one", now_ns=9, until_ns=19)
    assert await store.hold("two", now_ns=20, until_ns=30)
    assert not await store.hold("one", now_ns=21, until_ns=31)
    await store.release("two")
    assert await store.hold("one", now_ns=21, until_ns=31)


async def test_the_standing_is_replaced(desk: Desk) -> None:
    store = ReferenceStore(desk.engine)
    assert await store.status() is None

    for number in (1, 2):
        await store.save_status(SavedStatus(number, number, "t", "{}"), now_ns=number)

    assert await store.status() == SavedStatus(2, 2, "t", "{}")

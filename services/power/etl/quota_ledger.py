"""The quota's slots in the database: neither a restart nor a second process forgets a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import outages_as, writing
from clients.power.store.reference_tables import quota_blocks, quota_slots
from clients.resilience.quota import LedgerUnavailable, LedgerView, Slot

T = TypeVar("T")

__all__ = ["SqlQuotaLedger", "load_view", "raise_block", "reserve_slot", "settle_slot"]


class SqlQuotaLedger:
    """Implements QuotaLedger on one row per quota, which every reservation locks first; SQLite locks the whole file instead."""

    def __init__(self, engine: AsyncEngine, *, quota: str) -> None:
        self._engine = engine
        self._quota = quota

    async def reserve(self, slot: Slot, admit: Callable[[LedgerView], bool], *, forget_before_ns: int) -> bool:
        return await self._write(
            lambda connection: reserve_slot(connection, self._quota, slot, admit, forget_before_ns)
        )

    async def settle(self, slot_id: str, counted_by_ns: int) -> None:
        await self._write(lambda connection: settle_slot(connection, self._quota, slot_id, counted_by_ns))

    async def block(self, until_ns: int) -> None:
        await self._write(lambda connection: raise_block(connection, self._quota, until_ns))

    async def load(self) -> LedgerView:
        with outages_as(_in_words_of_the_quota):
            async with self._engine.connect() as connection:
                return await connection.run_sync(load_view, self._quota)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        with outages_as(_in_words_of_the_quota):
            async with writing(self._engine) as connection:
                return await connection.run_sync(work)


def _in_words_of_the_quota(exc: Exception) -> LedgerUnavailable:
    return LedgerUnavailable(f"the database does not answer ({type(exc).__name__})")


def reserve_slot(
    connection: Connection, quota: str, slot: Slot, admit: Callable[[LedgerView], bool], forget_before_ns: int
) -> bool:
    """Add a slot if `admit` agrees; call it inside of a transaction that writes."""
    _lock(connection, quota)
    connection.execute(
        delete(quota_slots).where(quota_slots.c.quota == quota, quota_slots.c.counted_by_ns < forget_before_ns)
    )
    if not admit(load_view(connection, quota)):
        return False
    row = {
        "quota": quota,
        "slot_id": slot.slot_id,
        "reserved_ns": slot.reserved_ns,
        "counted_by_ns": slot.counted_by_ns,
    }
    connection.execute(insert(quota_slots), [row])
    return True


def settle_slot(connection: Connection, quota: str, slot_id: str, counted_by_ns: int) -> None:
    """Set when a slot was counted."""
    connection.execute(
        update(quota_slots)
        .where(quota_slots.c.quota == quota, quota_slots.c.slot_id == slot_id)
        .values(counted_by_ns=counted_by_ns)
    )


def raise_block(connection: Connection, quota: str, until_ns: int) -> None:
    """Raise the block, never lower it."""
    _lock(connection, quota)
    connection.execute(
        update(quota_blocks)
        .where(quota_blocks.c.quota == quota, quota_blocks.c.blocked_until_ns < until_ns)
        .values(blocked_until_ns=until_ns)
    )


def load_view(connection: Connection, quota: str) -> LedgerView:
    """Read everything of a quota."""
    rows = connection.execute(
        select(quota_slots.c.slot_id, quota_slots.c.reserved_ns, quota_slots.c.counted_by_ns).where(
            quota_slots.c.quota == quota
        )
    )
    slots = tuple(Slot(slot_id, int(reserved_ns), int(counted_by_ns)) for slot_id, reserved_ns, counted_by_ns in rows)
    blocked = connection.execute(select(quota_blocks.c.blocked_until_ns).where(quota_blocks.c.quota == quota))
    return LedgerView(slots, int(blocked.scalar() or 0))


def _lock(connection: Connection, quota: str) -> None:
    """Keep every other reservation of this quota out until the transaction ends."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as upsert

        connection.execute(upsert(quota_blocks).values(quota=quota, blocked_until_ns=0).on_conflict_do_nothing())
        connection.execute(select(quota_blocks.c.quota).where(quota_blocks.c.quota == quota).with_for_update()).one()
        return
    # The transaction began with the write lock of the file.
    known = connection.execute(select(quota_blocks.c.quota).where(quota_blocks.c.quota == quota)).first()
    if known is None:
        connection.execute(insert(quota_blocks), [{"quota": quota, "blocked_until_ns": 0}])

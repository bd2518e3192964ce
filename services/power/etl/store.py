"""Keep observed prices, the status of the price process and its lease in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

from sqlalchemy import Connection, case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from clients.database import DatabaseUnavailable, outages_as, writing
from clients.power.calendar import DeliveryHour, delivery_hour
from clients.power.reference.observation import Observation
from clients.power.store.reference_tables import SOURCE, reference_lease, reference_standing
from clients.power.store.schema import deals, ranking_ns, reference_prices

__all__ = ["KnownHour", "ReferenceStore", "SavedStatus", "add_observations"]

FINAL: Final = "final"


@dataclass(frozen=True)
class KnownHour:
    """An hour as earlier processes left it."""

    hour: DeliveryHour
    stamp_ns: int
    """The newest, or when it was seen where it lies in the future."""
    final: bool
    """Nothing more will come: the hour was asked once more after it had closed."""


@dataclass(frozen=True)
class SavedStatus:
    """The price process as others may know it."""

    next_due_ns: int
    last_answer_ns: int
    trouble: str
    schedule: str


class ReferenceStore:
    """Writes; every method is one transaction. The tables have to be there. Raises DatabaseUnavailable."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, observed: Sequence[tuple[Observation, bool]]) -> int:
        """Store what was observed, each value of each hour and stamp once; the flag says that it is the hour's last.

        Return how many were new.
        """
        async with self._writing() as connection:
            return await connection.run_sync(add_observations, observed)

    async def known(self, days: Sequence[date]) -> list[KnownHour]:
        """Return the hours of these days that have a price."""
        newest = (
            select(
                reference_prices.c.delivery_day,
                reference_prices.c.delivery_hour,
                func.max(ranking_ns()),
                func.max(case((reference_prices.c.state == FINAL, 1), else_=0)),
            )
            .where(
                reference_prices.c.delivery_day.in_([day.isoformat() for day in days]),
                reference_prices.c.last_update_ns.is_not(None),
            )
            .group_by(reference_prices.c.delivery_day, reference_prices.c.delivery_hour)
        )
        async with self._reading() as connection:
            rows = await connection.execute(newest)
            return [
                KnownHour(delivery_hour(day, label), int(stamp_ns), bool(final)) for day, label, stamp_ns, final in rows
            ]

    async def traded(self, days: Sequence[date]) -> list[DeliveryHour]:
        """Return the hours of these days that have deals; a quarter is compared with its hour's price, which is asked for."""
        names = (deals.c.delivery_day, deals.c.delivery_hour)
        chosen = select(*names).where(deals.c.delivery_day.in_([day.isoformat() for day in days])).distinct()
        async with self._reading() as connection:
            rows = await connection.execute(chosen)
            return sorted({delivery_hour(day, label).whole_hour for day, label in rows})

    async def status(self) -> SavedStatus | None:
        """Return what the last process left."""
        columns = reference_standing.c
        statement = select(columns.next_due_ns, columns.last_answer_ns, columns.trouble, columns.schedule)
        async with self._reading() as connection:
            row = (await connection.execute(statement.where(columns.source == SOURCE))).first()
        return None if row is None else SavedStatus(int(row[0]), int(row[1]), row[2], row[3])

    async def save_status(self, status: SavedStatus, *, now_ns: int) -> None:
        """Replace it."""
        values = {
            "next_due_ns": status.next_due_ns,
            "last_answer_ns": status.last_answer_ns,
            "trouble": status.trouble,
            "schedule": status.schedule,
            "updated_time_ns": now_ns,
        }
        async with self._writing() as connection:
            changed = await connection.execute(
                update(reference_standing).where(reference_standing.c.source == SOURCE).values(**values)
            )
            if changed.rowcount == 0:
                await connection.execute(insert(reference_standing), [{"source": SOURCE, **values}])

    async def hold(self, holder: str, *, now_ns: int, until_ns: int) -> bool:
        """Take or keep the lease; return whether `holder` has it. Of two processes only one polls."""
        async with self._writing() as connection:
            return await connection.run_sync(_hold, holder, now_ns, until_ns)

    async def release(self, holder: str) -> None:
        """Give the lease back, if `holder` has it."""
        async with self._writing() as connection:
            await connection.execute(
                update(reference_lease)
                .where(reference_lease.c.source == SOURCE, reference_lease.c.holder == holder)
                .values(held_until_ns=0)
            )

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with outages_as(DatabaseUnavailable):
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with outages_as(DatabaseUnavailable):
            async with writing(self._engine) as connection:
                yield connection


def add_observations(connection: Connection, observed: Sequence[tuple[Observation, bool]]) -> int:
    """Store observations inside of a transaction that writes; return how many were new."""
    added = 0
    columns = reference_prices.c
    for seen, last in observed:
        # NULLs are all different to a unique key, so what is there already has to be looked up.
        here = (columns.delivery_day == seen.hour.day_text, columns.delivery_hour == seen.hour.label)
        same = (columns.last_update_ns == seen.update_ns, columns.value_e4 == seen.value_e4)
        if seen.value_e4 is None:
            same = (columns.last_update_ns.is_(None), columns.value_e4.is_(None))
        known = connection.execute(select(columns.id, columns.state).where(*here, *same)).first()
        state = FINAL if last and seen.value_e4 is not None else seen.state
        if known is None:
            row = {
                "delivery_day": seen.hour.day_text,
                "delivery_hour": seen.hour.label,
                "value_e4": seen.value_e4,
                "unit": seen.unit,
                "last_update_ns": seen.update_ns,
                "observed_time_ns": seen.observed_ns,
                "state": state,
            }
            connection.execute(insert(reference_prices), [row])
            added += 1
        elif state == FINAL and known.state != FINAL:
            connection.execute(update(reference_prices).where(columns.id == known.id).values(state=FINAL))
    return added


def _hold(connection: Connection, holder: str, now_ns: int, until_ns: int) -> bool:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as upsert

        row = {"source": SOURCE, "holder": holder, "held_until_ns": 0}
        connection.execute(upsert(reference_lease).values(row).on_conflict_do_nothing())
    elif connection.execute(select(reference_lease.c.source).where(reference_lease.c.source == SOURCE)).first() is None:
        connection.execute(insert(reference_lease), [{"source": SOURCE, "holder": holder, "held_until_ns": 0}])
    mine = (reference_lease.c.holder == holder) | (reference_lease.c.held_until_ns < now_ns)
    changed = connection.execute(
        update(reference_lease)
        .where(reference_lease.c.source == SOURCE, mine)
        .values(holder=holder, held_until_ns=until_ns)
    )
    return bool(changed.rowcount)

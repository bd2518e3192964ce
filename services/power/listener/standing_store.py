"""The listener's row in the database."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import DatabaseUnavailable, outages_as, writing
from clients.power.store.schema import listener_standing, unusable_messages
from clients.power.store.standing import Standing, standing_row
from clients.power.store.tables import prepare_power_database

__all__ = ["StandingStore"]


class StandingStore:
    """One feed's (`StandingTable`) in SQLite or Postgres."""

    def __init__(self, engine: AsyncEngine, *, feed: str = "deals") -> None:
        self._engine = engine
        self._feed = feed
        self._prepared = False

    async def load(self) -> Standing | None:
        """Return what was left last; makes the tables where there are none."""
        if not self._prepared:
            await prepare_power_database(self._engine)
            self._prepared = True
        columns = [listener_standing.c[name] for name in standing_row(Standing())]
        with outages_as(DatabaseUnavailable):
            async with self._engine.connect() as connection:
                row = (
                    await connection.execute(select(*columns).where(listener_standing.c.feed == self._feed))
                ).one_or_none()
        if row is None:
            return None
        found = Standing(**row._mapping)
        return replace(found, connected=bool(found.connected), mostly_unusable=bool(found.mostly_unusable))

    async def count_unusable(self, since_ns: int) -> tuple[int, int]:
        """Return how many messages could not be used since then, and ever."""
        every = select(func.count()).select_from(unusable_messages)
        with outages_as(DatabaseUnavailable):
            async with self._engine.connect() as connection:
                recent = await connection.execute(every.where(unusable_messages.c.received_time_ns >= since_ns))
                return int(recent.scalar_one()), int((await connection.execute(every)).scalar_one())

    async def save(self, standing: Standing, *, now_ns: int) -> None:
        """Replace it."""
        values = {**standing_row(standing), "updated_time_ns": now_ns}
        with outages_as(DatabaseUnavailable):
            async with writing(self._engine) as connection:
                mine = listener_standing.c.feed == self._feed
                changed = await connection.execute(update(listener_standing).where(mine).values(**values))
                if changed.rowcount == 0:
                    await connection.execute(insert(listener_standing), [{"feed": self._feed, **values}])

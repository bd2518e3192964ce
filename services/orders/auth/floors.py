"""How far the stamps of each key have come, in the database beside the keys."""

from __future__ import annotations

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import outage_in_words, outages_as, writing
from services.orders.journal.schema import floors as table
from services.runtime.errors import Unavailable


class DatabaseFloors:
    """`Floors` in the journal's database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, key_id: str) -> int:
        """Return a key's floor. Raises Unavailable while the database is away."""
        with outages_as(lambda exc: Unavailable(f"signed requests cannot be checked: {outage_in_words(exc)}")):
            async with self._engine.connect() as connection:
                found = await connection.execute(select(table.c.floor_ms).where(table.c.key_id == key_id))
                return int(found.scalar() or 0)

    async def write(self, key_id: str, floor_ms: int) -> None:
        """Raise a key's floor; one that is higher stays. Raises Unavailable while the database is away."""
        with outages_as(lambda exc: Unavailable(f"signed requests cannot be checked: {outage_in_words(exc)}")):
            async with writing(self._engine) as connection:
                found = await connection.execute(select(table.c.floor_ms).where(table.c.key_id == key_id))
                if found.scalar() is None:
                    await connection.execute(insert(table).values(key_id=key_id, floor_ms=floor_ms))
                    return
                await connection.execute(
                    update(table).where(table.c.key_id == key_id, table.c.floor_ms < floor_ms).values(floor_ms=floor_ms)
                )

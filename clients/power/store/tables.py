"""Bring a power database to the newest tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import DatabaseUnavailable, migrate, outages_as
from clients.power.store.schema import VERSION_TABLE

MIGRATIONS: Final = Path(__file__).resolve().parent / "migrations"


async def prepare_power_database(engine: AsyncEngine) -> None:
    """Create or upgrade the tables of the power desk; safe when several processes start at once.

    Raises DatabaseUnavailable, and NewerDatabase where a newer version made them.
    """
    with outages_as(DatabaseUnavailable):
        await migrate(engine, MIGRATIONS, VERSION_TABLE)

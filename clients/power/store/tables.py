"""Bring a power database to the newest tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import DatabaseUnavailable, migrate, opening
from clients.power.store.schema import VERSION_TABLE
from clients.resilience.ports import Sleep

DATABASE_URL: Final = "sqlite:///var/power.db"
"""Where listener, price process and reporting meet unless told otherwise: a file, so that trying it out needs nothing."""
AGAIN_S: Final = 1.0
"""Between two attempts to reach a database that is away."""
MIGRATIONS: Final = Path(__file__).resolve().parent / "migrations"


async def prepare_power_database(engine: AsyncEngine) -> None:
    """Create or upgrade the tables of the power desk; safe when several processes start at once.

    Raises DatabaseUnavailable, DatabaseRefused where somebody has to mend something, and NewerDatabase where a newer version made them.
    """
    with opening():
        await migrate(engine, MIGRATIONS, VERSION_TABLE)


async def wait_for_power_database(engine: AsyncEngine, *, sleep: Sleep, on_away: Callable[[str], None]) -> None:
    """Prepare the tables, however long the database is away; each attempt that fails is told to `on_away` in a sentence."""
    while True:
        try:
            await prepare_power_database(engine)
        except DatabaseUnavailable as exc:
            on_away(f"the database does not answer: {exc.kind}")
            await sleep(AGAIN_S)
        else:
            return

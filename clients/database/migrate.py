"""Bring a database to the newest version of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database.engine import writing
from clients.database.outages import DatabaseRefused

_LOCK: Final = 7_305_210_118
"""Number of the Postgres advisory lock under which tables are changed; any constant will do."""


class NewerDatabase(DatabaseRefused):
    """The tables were made by a newer Midstream; the text says what to do."""


async def migrate(engine: AsyncEngine, scripts: Path, version_table: str) -> None:
    """Upgrade to the newest revision under `scripts` (a folder of revision files); safe when several processes start at once.

    Each part of the product keeps its own version table, so that they can share a database. Raises NewerDatabase.
    """
    async with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade, scripts, version_table)


def _upgrade(connection: Connection, scripts: Path, version_table: str) -> None:
    # Only here: readers of a database, who change no tables, do not wait for it.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    # The folder holds revision files and nothing else: this function is its environment.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("version_locations", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    directory = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in directory.walk_revisions()}

    def steps(current: Any, _: Any) -> Any:
        unknown = [name for name in current if name not in known]
        if unknown:
            raise NewerDatabase(
                f"the database is at revision {unknown[0]} ({version_table}), which this version does not know: "
                "it was used by a newer Midstream; install that one, or name another database"
            )
        return directory._upgrade_revs("head", current)

    with EnvironmentContext(config, directory, fn=steps, destination_rev="head") as environment:
        environment.configure(
            connection=connection, version_table=version_table, transactional_ddl=True, transaction_per_migration=False
        )
        environment.run_migrations()

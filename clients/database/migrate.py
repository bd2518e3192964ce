"""Bring a database to the newest version of its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, String, column, select, table, text
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database.engine import writing
from clients.database.outages import DatabaseRefused

_LOCK: Final = 7_305_210_118
"""Number of the Postgres advisory lock under which tables are changed; any constant will do."""
_REVISION: Final = re.compile(r"^(revision|down_revision) = (?:\"([^\"]+)\"|None)$", re.MULTILINE)


class NewerDatabase(DatabaseRefused):
    """The tables were made by a newer Midstream; the text says what to do."""


async def migrate(engine: AsyncEngine, scripts: Path, version_table: str) -> None:
    """Upgrade to the newest revision under `scripts` (a folder of revision files); safe when several processes start at once.

    Each part of the product keeps its own version table, so that they can share a database. Raises NewerDatabase.
    """
    async with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        # The library takes a tenth of a second of processor time to find that nothing is left to do, at every start of a server.
        if not await connection.run_sync(_is_newest, scripts, version_table):
            await connection.run_sync(_upgrade, scripts, version_table)


def _is_newest(connection: Connection, scripts: Path, version_table: str) -> bool:
    """Whether the tables are at the one revision that no other follows; whatever is not that plain is left to the library."""
    newest = _newest_revision(scripts)
    if newest is None or not connection.dialect.has_table(connection, version_table):
        return False
    versions = select(column("version_num", String)).select_from(table(version_table))
    return connection.execute(versions).scalars().all() == [newest]


def _newest_revision(scripts: Path) -> str | None:
    """Read in the revision files, without running them, which one is the last of a chain; None where that is not plain to see."""
    before: dict[str, str] = {}
    for path in scripts.glob("*.py"):
        if path.name == "__init__.py":
            continue
        found = dict(_REVISION.findall(path.read_text()))
        if found.keys() != {"revision", "down_revision"} or not found["revision"] or found["revision"] in before:
            return None
        before[found["revision"]] = found["down_revision"]
    last = before.keys() - before.values()
    return last.pop() if len(last) == 1 else None


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

"""Bring the rows of a database under its secret, or refuse when the secret that they are under is not there."""

from __future__ import annotations

import logging

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import writing
from services.runtime.access.keys.pepper import Pepper, PepperSource
from services.runtime.access.keys.schema import keys as table
from services.runtime.access.keys.store import list_keys
from services.runtime.errors import StartRefused
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)


async def prepare_keys(engine: AsyncEngine, source: PepperSource, *, now_ns: int) -> Pepper:
    """Return the secret of a database's keys, made where nothing is under one yet, with every row under it.

    Raises StartRefused when usable rows are under another one: a new one would end their keys without a word.
    """
    rows = await list_keys(engine)
    pepper = source.load()
    strange = [row for row in rows if row.is_usable(now_ns) and row.pepper_name not in (None, pepper and pepper.name)]
    if strange:
        raise StartRefused(missing_pepper(source, len(strange), strange[0].pepper_name or "", found=pepper is not None))
    if pepper is None:
        pepper = source.make()
    plain = [row for row in rows if row.pepper_name is None]
    if not plain:
        return pepper
    async with writing(engine) as connection:
        if connection.dialect.name == "sqlite":
            # Overwrites what an update takes the place of: the old column is enough to sign.
            await connection.execute(text("PRAGMA secure_delete=ON"))
        for row in plain:
            await connection.execute(
                update(table)
                .where(table.c.key_id == row.key_id, table.c.pepper.is_(None))
                .values(
                    secret_hash=pepper.proof(row.secret_hash),
                    signing=pepper.sealed(row.key_id, row.secret_hash),
                    pepper=pepper.name,
                )
            )
    await _forget_what_was_there(engine)
    logger.info("API keys sealed", extra=fields(keys=len(plain), secret=pepper.name, file=source))
    return pepper


def missing_pepper(source: PepperSource, count: int, name: str, *, found: bool) -> str:
    """Say which secret is missing and what to do."""
    what = "holds another one" if found else "is not there"
    return (
        f"{count} API keys are kept under the secret {name}, and {source} {what}: restore that file from a backup or name it with "
        "MIDSTREAM_KEYS_SECRET_FILE; if it is lost, end those keys with `midstream keys revoke --unreadable` and make new ones"
    )


async def _forget_what_was_there(engine: AsyncEngine) -> None:
    """Get rid of earlier versions of the rows in files of the database. Backups and archived logs keep theirs."""
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        if alone.dialect.name == "sqlite":
            await alone.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        else:
            await alone.execute(text(f"VACUUM FULL {table.name}"))

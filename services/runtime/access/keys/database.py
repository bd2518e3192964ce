"""Read API keys out of a database that may not be there yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, usable_url
from services.runtime.access.keys.schema import keys as table
from services.runtime.access.keys.store import StoredKey, list_keys

_NO_TABLE: Final = ("no such table", "does not exist")
"""What SQLite and Postgres say of a table that nobody has made."""


class KeysDatabase:
    """Reads the keys. A database or table that is missing has no keys, and is not made: that is for the order service or an operator."""

    def __init__(self, url: str, *, application: str) -> None:
        self._url = url
        self._application = application
        self._engine: AsyncEngine | None = None

    async def __call__(self) -> Sequence[StoredKey]:
        """Return every key."""
        if self._engine is None:
            if is_missing(self._url):
                return ()
            self._engine = open_database(self._url, application=self._application, create=False)
        try:
            return await list_keys(self._engine)
        except DBAPIError as exc:
            reason = str(exc.orig)
            if table.name in reason and any(words in reason for words in _NO_TABLE):
                return ()
            raise

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()


def open_keys(url: str, *, application: str) -> KeysDatabase:
    """Return what reads the keys of a database. Raises ValueError for an unusable URL."""
    usable_url(url)
    return KeysDatabase(url, application=application)


def is_missing(url: str) -> bool:
    """Whether the database is a file that is not there; opening it would make it."""
    parsed = usable_url(url)
    return parsed.drivername.startswith("sqlite") and not Path(parsed.database or "").exists()

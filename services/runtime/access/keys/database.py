"""Read API keys out of a database that may not be there yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, placed_url, usable_url
from services.runtime.access.keys.pepper import Pepper, PepperSource, pepper_source
from services.runtime.access.keys.schema import keys as table
from services.runtime.access.keys.store import StoredKey, list_keys
from services.runtime.settings import ServerSettings

_NO_TABLE: Final = ("no such table", "does not exist")
"""What SQLite and Postgres say of a table that nobody has made."""


class KeysDatabase:
    """Reads the keys. A database or table that is missing has no keys, and is not made: that is for the order service or an operator."""

    def __init__(self, url: str, source: PepperSource, *, application: str) -> None:
        self._url = url
        self._source = source
        self._pepper: Pepper | None = None
        self._application = application
        self._engine: AsyncEngine | None = None

    async def __call__(self) -> Sequence[StoredKey]:
        """Return every key. Raises StartRefused for a secret that others can read."""
        if self._engine is None:
            if is_missing(self._url):
                return ()
            self._engine = open_database(self._url, application=self._application, create=False)
        try:
            keys = await list_keys(self._engine, self._pepper)
            if any(not key.is_readable for key in keys):
                # The file is read when something needs it: the order service makes it, perhaps after we have started.
                self._pepper = await asyncio.to_thread(self._source.load)
                keys = await list_keys(self._engine, self._pepper)
            return keys
        except DBAPIError as exc:
            reason = str(exc.orig)
            if table.name in reason and any(words in reason for words in _NO_TABLE):
                return ()
            raise

    async def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()


def open_keys(settings: ServerSettings, *, application: str) -> KeysDatabase:
    """Return what reads the keys that a server's settings name. Raises ValueError for an unusable URL, and for a file on a
    network file system."""
    placed_url(settings.keys_database_url)
    return KeysDatabase(settings.keys_database_url, pepper_of(settings), application=application)


def pepper_of(settings: ServerSettings) -> PepperSource:
    """Return where the secret is that the keys of a server are kept under."""
    secret = settings.keys_secret
    return pepper_source(
        settings.keys_database_url,
        file=settings.keys_secret_file,
        text="" if secret is None else secret.get_secret_value(),
        directory=settings.out,
    )


def is_missing(url: str) -> bool:
    """Whether the database is a file that is not there; opening it would make it."""
    parsed = usable_url(url)
    return parsed.drivername.startswith("sqlite") and not Path(parsed.database or "").exists()

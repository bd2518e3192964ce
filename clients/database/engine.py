"""Open a database by URL, and write to it in transactions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from clients.database.file_systems import StatFs, network_file_system
from clients.database.tls import PostgresTls, without_tls
from clients.secrets.private_files import make_private, open_private, shared_directory

BUSY_TIMEOUT_MS: Final = 5_000
"""How long SQLite waits for another writer; longer is an outage that the caller handles."""
SWITCH_AGAIN_S: Final = 0.01
CONNECT_TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 10
"""Of one process. More statements than that wait for one another."""
POOL_WAIT_S: Final = 30.0
"""As long as callers wait at most; a deadline of theirs ends the wait sooner."""
STATEMENT_TIMEOUT_S: Final = 30.0

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_WRITE: Final = "midstream_write"
_SQLITE_MAGIC: Final = b"SQLite format 3\0"


def usable_url(url: str) -> URL:
    """Return the URL with the driver we use; raise ValueError naming what is legal. `sqlite:///var/x.db` is a relative path."""
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        # The text of the library's error repeats the URL, password included.
        raise ValueError("must be sqlite:///path/to/file.db or postgresql://user:password@host/database") from exc
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ValueError(
            f"must begin with sqlite:/// or postgresql://, not {parsed.drivername}://; those two databases are supported"
        )
    if driver.startswith("sqlite") and not parsed.database:
        raise ValueError("must name a file, like sqlite:///var/midstream.db: a database in memory forgets everything")
    if driver.startswith("postgresql"):
        PostgresTls.of(parsed)
    return parsed.set(drivername=driver)


def placed_url(url: str, *, statfs: StatFs | None = None) -> URL:
    """Return `usable_url`; raise ValueError, too, where a file is on a network file system.

    Writers of SQLite's write-ahead log coordinate in shared memory: on two machines they would ruin each other's database, and on one the
    locks of such file systems are no promise.
    """
    parsed = usable_url(url)
    if parsed.drivername.startswith("sqlite"):
        path = (parsed.database or "").removeprefix("file:")
        try:
            name = network_file_system(Path(path), statfs)
        except OSError as exc:
            shown = path if len(path) <= 80 else f"{path[:77]}..."
            raise ValueError(f"{shown} cannot be a database: {exc.strerror or exc}; name another file") from exc
        if name:
            raise ValueError(
                f"{path} is on a network file system ({name}), where SQLite loses or ruins data: "
                "use postgresql://..., or a file on a disk of this machine"
            )
    return parsed


def shown_url(url: str) -> str:
    """Return the URL for people: without the password."""
    return usable_url(url).render_as_string(hide_password=True)


def named_url(url: str) -> str:
    """Return the database for people, wherever they stand: a file by its whole path, anything else without the password."""
    parsed = usable_url(url)
    if parsed.drivername.startswith("sqlite") and parsed.database:
        return str(Path(parsed.database).absolute())
    return shown_url(url)


def open_database(url: str, *, application: str, create: bool = True) -> AsyncEngine:
    """Return an engine; nothing is connected yet. Raises ValueError for an unusable URL, and for a file on a network file system.
    Without `create`, a file that is not there is an outage, now and later.

    SQLite runs with a write-ahead log and syncs on every commit, so a commit survives power loss; its writers queue up
    (`writing`) instead of failing half way. Postgres connections are tested before use.
    """
    parsed = placed_url(url)
    if parsed.drivername.startswith("sqlite"):
        assert parsed.database  # usable_url refuses it otherwise
        if create:
            with contextlib.suppress(OSError):
                # Where that is not possible the first connection says that it cannot open the file.
                _make_private_file(Path(parsed.database))
        else:
            parsed = parsed.set(database=f"file:{quote(parsed.database)}", query={"mode": "rw", "uri": "true"})
        engine = create_async_engine(
            parsed, pool_pre_ping=False, pool_size=CONNECTIONS_MAX, max_overflow=0, pool_timeout=POOL_WAIT_S
        )
        event.listen(engine.sync_engine, "connect", _prepare_in_pool)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        without_tls(parsed),
        pool_pre_ping=True,
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        connect_args={
            "async_creator_fn": PostgresTls.of(parsed).connect,
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_S,
            "server_settings": {"application_name": f"midstream-{application}"},
        },
    )


def _make_private_file(path: Path) -> None:
    """Make the file before the library does: it holds orders and keys. Its companions take the mode from it."""
    shared_directory(path.parent)
    if _is_something_else(path):
        # Somebody's file under a wrong setting: the first connection refuses it, and it stays as it is.
        return
    os.close(open_private(path, os.O_RDWR))
    make_private(*(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")))


def _is_something_else(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) not in (b"", _SQLITE_MAGIC)
    return False


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Open a transaction that writes: committed at the end, rolled back on an error.

    SQLite takes the write lock at once: a transaction that reads first and asks for the lock later can only fail.
    """
    async with engine.connect() as connection:
        await connection.execution_options(**{_WRITE: True})
        async with connection.begin():
            yield connection


def _prepare_in_pool(connection: Any, _: Any) -> None:
    prepare_sqlite(connection, wait=lambda delay_s: await_only(asyncio.sleep(delay_s)))


def prepare_sqlite(connection: Any, *, wait: Callable[[float], object] = time.sleep) -> None:
    """Make a new connection one of ours: transactions where we begin them, patience with other writers, synced commits."""
    # The driver's own transaction control begins too late for us; `_begin_sqlite` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _write_ahead(cursor, wait)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _write_ahead(cursor: Any, wait: Callable[[float], object]) -> None:
    """Switch to the write-ahead log, which a new database needs once.

    SQLite does not wait for others here: two that want the same switch would wait for each other. So we do, by trying again.
    """
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline_s:
                raise
        wait(SWITCH_AGAIN_S)


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

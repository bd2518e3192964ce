"""One commit of the journal, in the words of the driver itself: the path of every order has no pool and no ORM on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from clients.database import DatabaseUnavailable, SqliteThread
from services.orders.journal.batch import Batch, Statement, Statements
from services.orders.journal.store import ClientIdTaken, Superseded

__all__ = ["JournalWriter", "writer_of"]

_THREAD: Final = "order-journal"


class JournalWriter(Protocol):
    """Commits a batch or nothing of it. Raises Superseded, ClientIdTaken, and what the driver says of an outage."""

    statements: Statements

    @property
    def trouble(self) -> str:
        """Why it will never commit again; empty otherwise."""
        ...

    async def commit(self, epoch: int, batch: Batch) -> None:
        """Make a batch durable, provided that the journal is still that of `epoch`."""
        ...

    async def close(self) -> None: ...


def writer_of(engine: AsyncEngine) -> JournalWriter:
    """Return the writer for the kind of database."""
    return PostgresWriter(engine) if engine.dialect.name == "postgresql" else SqliteWriter(engine)


class SqliteWriter:
    """One transaction is one call in a thread of its own: no other hop between threads."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.statements = Statements.of(engine.dialect)
        self._thread = SqliteThread(engine, name=_THREAD)

    @property
    def trouble(self) -> str:
        return self._thread.trouble

    async def commit(self, epoch: int, batch: Batch) -> None:
        await self._thread.run(lambda connection: self._commit(connection, epoch, batch))

    async def close(self) -> None:
        await self._thread.close()

    def _commit(self, connection: sqlite3.Connection, epoch: int, batch: Batch) -> None:
        statements = self.statements
        # The write lock at once: a transaction that asks for it later can only fail.
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute(statements.fence.sql, statements.fenced(epoch)).rowcount != 1:
            raise _superseded()
        connection.executemany(statements.event.sql, batch.events)
        if batch.created:
            try:
                connection.executemany(statements.created.sql, batch.created)
            except sqlite3.IntegrityError as exc:
                raise ClientIdTaken from exc
        for statement, rows in _rest(statements, batch):
            connection.executemany(statement.sql, rows)
        connection.execute("COMMIT")


class PostgresWriter:
    """Holds one connection of the pool for itself and speaks to its driver; each statement is one round trip for all its rows."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.statements = Statements.of(engine.dialect)
        self._engine = engine
        self._held: AsyncConnection | None = None
        self._driver: Any = None

    @property
    def trouble(self) -> str:
        return ""

    async def commit(self, epoch: int, batch: Batch) -> None:
        transaction = await self._begin()
        try:
            await self._write(epoch, batch)
            await transaction.commit()
        except (Superseded, ClientIdTaken):
            await transaction.rollback()
            raise
        except BaseException as exc:
            # Whatever it was, the connection may be in the middle of it: the next batch gets another one.
            lost = self._driver.is_closed()
            await self._drop()
            if lost and isinstance(exc, Exception):
                raise DatabaseUnavailable(exc) from exc
            raise

    async def close(self) -> None:
        held, self._held, self._driver = self._held, None, None
        if held is not None:
            await held.close()

    async def _begin(self) -> Any:
        if self._driver is not None:
            try:
                return await self._begun()
            except Exception:  # noqa: BLE001  it ended while it was idle: nothing was sent yet, and another one will say it again
                await self._drop()
        held = self._held = await self._engine.connect()
        self._driver = (await held.get_raw_connection()).driver_connection
        return await self._begun()

    async def _begun(self) -> Any:
        transaction = self._driver.transaction()
        await transaction.start()
        return transaction

    async def _drop(self) -> None:
        if self._held is not None:
            await self._held.invalidate()
        await self.close()

    async def _write(self, epoch: int, batch: Batch) -> None:
        # Only here: most processes use SQLite.
        from asyncpg import IntegrityConstraintViolationError

        statements, driver = self.statements, self._driver
        if await driver.execute(statements.fence.sql, *statements.fenced(epoch)) != "UPDATE 1":
            raise _superseded()
        await driver.executemany(statements.event.sql, batch.events)
        if batch.created:
            try:
                await driver.executemany(statements.created.sql, batch.created)
            except IntegrityConstraintViolationError as exc:
                raise ClientIdTaken from exc
        for statement, rows in _rest(statements, batch):
            await driver.executemany(statement.sql, rows)


def _rest(statements: Statements, batch: Batch) -> list[tuple[Statement, Sequence[tuple[Any, ...]]]]:
    parts = ((statements.changed, batch.changed), (statements.key, batch.keys), (statements.fill, batch.fills))
    return [(statement, rows) for statement, rows in parts if rows]


def _superseded() -> Superseded:
    return Superseded("another orders server has taken over this journal; stop one of them")

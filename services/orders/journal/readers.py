"""Single rows by what names them, in the words of the driver itself: a statement about an order that is not in memory asks for one.

Lists for people go through the pool, where a question to SQLite costs two milliseconds, for a row that is found in twenty microseconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import Dialect, bindparam, literal_column, select, union_all
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import SqliteThread
from services.orders.journal import schema
from services.orders.journal.batch import Statement

__all__ = ["JournalReader", "Questions", "reader_of"]

_THREAD: Final = "order-journal-reads"

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Questions:
    """What is asked for single rows. Orders are their id and their snapshot."""

    order: Statement
    """By `its_id`."""
    named: Statement
    """An order as an exchange names it: by `its_client_id` rather than by `its_exchange_id`, of several the oldest. Null is no name."""
    key: Statement
    """A use of `its_key` by `its_owner`, no older than `its_since_ns`."""

    @classmethod
    def of(cls, dialect: Dialect) -> Questions:
        """Make the questions for one kind of database."""
        orders, keys = schema.orders.c, schema.idempotency.c
        columns = (orders.order_id, orders.snapshot, orders.created_ns)
        # Each part has an index of its own; one condition with an "or" would be left to the planner.
        by_client_id = select(literal_column("0").label("place"), *columns).where(
            orders.exchange == bindparam("its_exchange"), orders.venue_client_order_id == bindparam("its_client_id")
        )
        by_exchange_id = select(literal_column("1").label("place"), *columns).where(
            orders.exchange == bindparam("its_exchange"),
            orders.market == bindparam("its_market"),
            orders.exchange_order_id == bindparam("its_exchange_id"),
        )
        either = union_all(by_client_id, by_exchange_id).subquery().c
        return cls(
            order=Statement.of(
                select(orders.order_id, orders.snapshot).where(orders.order_id == bindparam("its_id")), dialect
            ),
            named=Statement.of(
                select(either.order_id, either.snapshot)
                .order_by(either.place, either.created_ns, either.order_id)
                .limit(literal_column("1"))
                .offset(literal_column("0")),
                dialect,
            ),
            key=Statement.of(
                select(keys.owner, keys.key, keys.body_hash, keys.order_id, keys.created_ns).where(
                    keys.owner == bindparam("its_owner"),
                    keys.key == bindparam("its_key"),
                    keys.created_ns >= bindparam("its_since_ns"),
                ),
                dialect,
            ),
        )


class JournalReader(Protocol):
    """Answers questions; raises what the driver says of an outage."""

    questions: Questions

    async def rows(self, question: Statement, **values: Any) -> Rows:
        """Return what there is of one question."""
        ...

    async def close(self) -> None: ...


def reader_of(engine: AsyncEngine) -> JournalReader:
    """Return the reader for the kind of database."""
    return PostgresReader(engine) if engine.dialect.name == "postgresql" else SqliteReader(engine)


@dataclass(frozen=True)
class _Asked:
    sql: str
    values: tuple[Any, ...]
    answer: asyncio.Future[Rows]


class SqliteReader:
    """A thread of its own, so that nothing waits for a disk that syncs; whatever is asked while it answers is its next batch."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.questions = Questions.of(engine.dialect)
        self._thread = SqliteThread(engine, name=_THREAD)
        self._asked: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def rows(self, question: Statement, **values: Any) -> Rows:
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(question.sql, question.values(values), answer))
        if self._task is None:
            self._task = asyncio.create_task(self._answer_all(), name=_THREAD)
        return await answer

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.wait((self._task,))
        await self._thread.close()

    async def _answer_all(self) -> None:
        batch: list[_Asked] = []
        try:
            while self._asked:
                batch, self._asked = self._asked, []
                try:
                    answers = await self._thread.run(partial(_answers, batch))
                except Exception as exc:  # noqa: BLE001  it belongs to those who asked, not to those who ask next
                    for one in batch:
                        if not one.answer.done():
                            one.answer.set_exception(exc)
                else:
                    for one, found in zip(batch, answers, strict=True):
                        if not one.answer.done():
                            one.answer.set_result(found)
        finally:
            self._task = None
            # Where this was cancelled nobody waits for ever.
            for one in (*batch, *self._asked):
                one.answer.cancel()


class PostgresReader:
    """Its driver needs no thread, and reads wait for each other no longer than for a connection of the pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.questions = Questions.of(engine.dialect)
        self._engine = engine

    async def rows(self, question: Statement, **values: Any) -> Rows:
        async with self._engine.connect() as connection:
            return (await connection.exec_driver_sql(question.sql, question.values(values))).all()

    async def close(self) -> None:
        pass


def _answers(batch: Sequence[_Asked], connection: sqlite3.Connection) -> list[Rows]:
    return [connection.execute(one.sql, one.values).fetchall() for one in batch]

"""SQLite without a pool: one connection in one thread, for what is written so often that every hop between threads counts."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database.engine import prepare_sqlite
from clients.database.outages import DatabaseUnavailable

__all__ = ["SqliteThread"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class _Work:
    call: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]

    def answer(self, result: Any, error: Exception | None) -> None:
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            self.done.get_loop().call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class SqliteThread:
    """Runs calls one after the other, each with the connection, which is opened for the first of them.

    Whatever a call raises reaches whoever awaits it, and the transaction that it has begun is rolled back. A thread that ends
    before it is closed answers everything that waits, and every later call, with DatabaseUnavailable, and says so in `trouble`.
    """

    def __init__(self, engine: AsyncEngine, *, name: str) -> None:
        self._arguments: Any
        self._arguments, self._options = engine.dialect.create_connect_args(engine.url)
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False
        self._closing = False
        # A daemon: a disk that never answers must not keep a process that has to end.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def trouble(self) -> str:
        """Why nothing is run any more; empty while something is, and after `close`."""
        return f"the thread {self._thread.name} has ended" if self._ended and not self._closing else ""

    async def run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Run a call in the thread; return what it returns. A caller that goes away does not stop it."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._ended or self._closing:
                raise self._gone()
            if self._thread.ident is None:
                self._thread.start()
            self._work.put(_Work(call, done))
        return await done

    async def close(self) -> None:
        """Run what waits, close the connection and end the thread."""
        with self._lock:
            self._closing = True
            self._work.put(None)
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        try:
            self._serve_until_closed()
        except BaseException:
            logger.exception("thread of a database ended")
        finally:
            with self._lock:
                self._ended = True
            while not self._work.empty():
                work = self._work.get()
                if work is not None:
                    work.answer(None, self._gone())

    def _serve_until_closed(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            while (work := self._work.get()) is not None:
                try:
                    if connection is None:
                        connection = self._connect()
                    result = work.call(connection)
                except Exception as exc:  # noqa: BLE001  it belongs to whoever awaits this call, not to those behind it
                    if connection is not None and not _rolled_back(connection):
                        connection = None
                    work.answer(None, exc)
                except BaseException:
                    work.answer(None, self._gone())
                    raise
                else:
                    work.answer(result, None)
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(*self._arguments, **self._options)
        try:
            prepare_sqlite(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _gone(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(sqlite3.ProgrammingError(f"the thread {self._thread.name} has ended"))


def _rolled_back(connection: sqlite3.Connection) -> bool:
    """End what a failed call has begun; where even that fails the connection is closed, and the answer False."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        logger.exception("connection closed: its transaction could not be rolled back")
        connection.close()
        return False
    return True

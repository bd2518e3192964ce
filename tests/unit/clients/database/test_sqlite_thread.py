"""One connection in one thread: what a call raises reaches its caller, and an end reaches everybody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from clients.database import DatabaseUnavailable, SqliteThread, is_unavailable, open_database


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[SqliteThread]:
    engine = open_database(f"sqlite:///{tmp_path / 'x.db'}", application="test")
    opened = SqliteThread(engine, name="a-journal")
    await opened.run(lambda connection: connection.execute("CREATE TABLE t (n INTEGER UNIQUE)").close())
    yield opened
    await opened.close()
    await engine.dispose()


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def inserted_in_a_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (1)")
    raise LookupError("before the commit")


def inserted(number: int, connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (?)", (number,))


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 5000)]
)
async def test_the_connection_is_one_of_ours(thread: SqliteThread, pragma: str, value: object) -> None:
    assert await thread.run(lambda connection: connection.execute(f"PRAGMA {pragma}").fetchone()[0]) == value


async def test_everything_runs_in_one_thread_that_is_not_ours(thread: SqliteThread) -> None:
    threads = await asyncio.gather(*(thread.run(lambda _: threading.get_ident()) for _ in range(20)))

    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_an_error_reaches_its_caller_and_leaves_no_transaction_behind(thread: SqliteThread) -> None:
    failed = thread.run(inserted_in_a_transaction)
    counted = thread.run(count)

    results = await asyncio.gather(failed, counted, return_exceptions=True)

    assert isinstance(results[0], LookupError)
    assert results[1] == 0


async def test_a_database_that_is_locked_is_an_outage(thread: SqliteThread, tmp_path: Path) -> None:
    await thread.run(lambda connection: connection.execute("PRAGMA busy_timeout=0").close())
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError) as refused:
        await thread.run(lambda connection: connection.execute("BEGIN IMMEDIATE"))
    other.close()

    assert is_unavailable(refused.value)
    with pytest.raises(LookupError):
        await thread.run(inserted_in_a_transaction)


async def test_a_file_that_cannot_be_opened_is_tried_again_by_the_next_call(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    engine = open_database(f"sqlite:///{path}", application="test")
    thread = SqliteThread(engine, name="a-journal")
    path.unlink()
    path.mkdir()

    with pytest.raises(sqlite3.OperationalError, match="unable to open") as refused:
        await thread.run(count)
    path.rmdir()
    await thread.run(lambda connection: connection.execute("CREATE TABLE t (n INTEGER)").close())

    assert is_unavailable(refused.value)
    assert await thread.run(count) == 0
    await thread.close()
    await engine.dispose()


async def test_a_caller_that_goes_away_does_not_stop_its_call(thread: SqliteThread) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        entered.set()
        assert leave.wait(30)
        connection.execute("INSERT INTO t VALUES (1)")

    caller = asyncio.create_task(thread.run(slow))
    await asyncio.to_thread(entered.wait, 30)
    caller.cancel()
    leave.set()

    assert await thread.run(count) == 1


async def test_closing_runs_what_waits_and_refuses_what_comes_later(thread: SqliteThread, tmp_path: Path) -> None:
    waiting = [asyncio.create_task(thread.run(partial(inserted, n))) for n in range(20)]
    await asyncio.sleep(0)

    await thread.close()

    await asyncio.gather(*waiting)
    with pytest.raises(DatabaseUnavailable, match="a-journal"):
        await thread.run(count)
    assert thread.trouble == ""
    with sqlite3.connect(tmp_path / "x.db") as other:
        assert count(other) == 20
    other.close()


async def test_a_thread_that_ends_answers_everybody_and_says_so(
    thread: SqliteThread, caplog: pytest.LogCaptureFixture
) -> None:
    def ends(connection: sqlite3.Connection) -> None:
        raise SystemExit

    assert thread.trouble == ""
    async with asyncio.timeout(30):
        results = await asyncio.gather(thread.run(ends), thread.run(count), thread.run(count), return_exceptions=True)

    assert [type(result) for result in results] == [DatabaseUnavailable] * 3
    with pytest.raises(DatabaseUnavailable):
        await thread.run(count)
    assert thread.trouble == "the thread a-journal has ended"
    assert "thread of a database ended" in caplog.text

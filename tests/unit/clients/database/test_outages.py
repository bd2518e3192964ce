"""An outage becomes the error that the caller names; a bug and a cancellation stay what they are."""

from __future__ import annotations

import asyncio
import sqlite3

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from clients.database import DatabaseUnavailable, outages_as


def operational(text: str) -> OperationalError:
    return OperationalError("SELECT 1", {}, Exception(text))


def cut() -> DBAPIError:
    return DBAPIError("SELECT 1", {}, Exception("anything at all"), connection_invalidated=True)


class Away(Exception):
    """What a caller of the database tells its own callers."""


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(operational("database is locked"), id="locked"),
        pytest.param(operational("FATAL: the database system is starting up"), id="starting"),
        pytest.param(cut(), id="cut"),
        pytest.param(sqlite3.OperationalError("database or disk is full"), id="sqlite"),
        pytest.param(asyncpg.InterfaceError("connection is closed"), id="asyncpg"),
        pytest.param(asyncpg.exceptions.AdminShutdownError("terminating connection due to ..."), id="postgres"),
        pytest.param(ConnectionRefusedError("connection refused"), id="refused"),
        pytest.param(TimeoutError(), id="timeout"),
        pytest.param(OSError("no space left on device"), id="full"),
        pytest.param(DatabaseUnavailable(ConnectionResetError()), id="told-before"),
    ],
)
def test_an_outage_becomes_the_named_error_with_its_cause(outage: Exception) -> None:
    with pytest.raises(Away, match=type(outage).__name__) as caught:
        with outages_as(lambda exc: Away(type(exc).__name__)):
            raise outage

    assert caught.value.__cause__ is outage


@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(operational("no such column: prise"), id="statement"),
        pytest.param(sqlite3.OperationalError("no such column: prise"), id="sqlite"),
        pytest.param(asyncpg.UndefinedColumnError('column "prise" does not exist'), id="postgres"),
        pytest.param(ValueError("database is locked"), id="value"),
        pytest.param(KeyError("x"), id="key"),
        pytest.param(FileNotFoundError("x"), id="system"),
    ],
)
def test_a_bug_passes_unchanged(bug: Exception) -> None:
    with pytest.raises(type(bug)) as caught:
        with outages_as(DatabaseUnavailable):
            raise bug

    assert caught.value is bug
    assert bug.__cause__ is None


async def test_an_outage_in_what_is_awaited_counts() -> None:
    async def refused() -> None:
        await asyncio.sleep(0)
        raise ConnectionRefusedError

    with pytest.raises(DatabaseUnavailable):
        with outages_as(DatabaseUnavailable):
            await refused()


async def test_a_cancellation_passes() -> None:
    async def wait() -> None:
        with outages_as(DatabaseUnavailable):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_further_errors_count_where_the_block_says_so() -> None:
    with pytest.raises(DatabaseUnavailable):
        with outages_as(DatabaseUnavailable, besides=lambda exc: "no such table" in str(exc)):
            raise operational("no such table: deals")
    with pytest.raises(OperationalError):
        with outages_as(DatabaseUnavailable, besides=lambda exc: "no such table" in str(exc)):
            raise operational("no such column: prise")


def test_the_text_is_one_bounded_line_and_the_kind_says_no_more_than_the_class() -> None:
    away = DatabaseUnavailable(operational("database is locked\nINSERT INTO deals " + "x" * 10_000))

    assert str(away) == "OperationalError: (builtins.Exception) database is locked"
    assert away.kind == "OperationalError"
    assert str(DatabaseUnavailable(TimeoutError())) == "TimeoutError"

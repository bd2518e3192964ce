"""Databases for the tests of the reporting server: SQLite, and Postgres where there is one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.postgres import PostgresForTests, shared_postgres
from tests.support.reporting_desk import Desk, sqlite_url

__all__ = ["shared_postgres"]


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of either kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresForTests = request.getfixturevalue("shared_postgres")
    return server.new_database(f"reporting_{uuid.uuid4().hex[:12]}")


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk on either kind of database."""
    opened = await Desk.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk on SQLite."""
    opened = await Desk.open(sqlite_url(tmp_path))
    yield opened
    await opened.close()

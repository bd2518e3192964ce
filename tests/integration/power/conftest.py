"""Both databases for every test of the store."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, writing
from clients.power.store import prepare_power_database
from clients.power.store.schema import deals, feed_cursor, feed_gaps, unusable_messages
from tests.support.postgres import PostgresForTests, shared_postgres

__all__ = ["shared_postgres"]

KINDS = ["sqlite", "postgres"]


@pytest.fixture(params=KINDS)
def power_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database of each kind without any table; Postgres is skipped where there is none."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/power.db"
    server: PostgresForTests = request.getfixturevalue("shared_postgres")
    return server.new_database(f"power_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def shared_power_url(shared_postgres: PostgresForTests) -> str:
    """URL of the Postgres database that tests share, one after the other: a new one for each takes half a second."""
    return shared_postgres.new_database("power_shared")


@pytest_asyncio.fixture(params=KINDS)
async def power_engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An engine of each kind, with empty tables."""
    url = f"sqlite:///{tmp_path}/power.db"
    if request.param == "postgres":
        url = request.getfixturevalue("shared_power_url")
    engine = open_database(url, application="test")
    await prepare_power_database(engine)
    if request.param == "postgres":
        async with writing(engine) as connection:
            for table in (deals, feed_cursor, feed_gaps, unusable_messages):
                await connection.execute(table.delete())
    yield engine
    await engine.dispose()

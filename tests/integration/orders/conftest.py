"""Journals in every database that is supported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database
from services.orders.journal import DatabaseJournal, prepare_orders_database
from services.orders.journal.schema import METADATA
from tests.support.memory_journal import MemoryJournal
from tests.support.order_faces import ServedDesk
from tests.support.postgres import PostgresForTests, shared_postgres

__all__ = ["shared_postgres"]

DATABASES = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def orders_postgres(shared_postgres: PostgresForTests) -> str:
    """URL of one database for all tests here: creating one takes seconds, emptying it does not."""
    return shared_postgres.new_database("orders")


async def _emptied(request: pytest.FixtureRequest, directory: Path) -> AsyncEngine:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{directory / 'orders.db'}" if sqlite else request.getfixturevalue("orders_postgres")
    engine = open_database(url, application="test")
    await prepare_orders_database(engine)
    if not sqlite:
        async with engine.begin() as connection:
            await connection.execute(text("TRUNCATE " + ", ".join(METADATA.tables)))
    return engine


@pytest.fixture(params=DATABASES)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty, prepared database of each kind."""
    engine = await _emptied(request, tmp_path)
    yield engine
    await engine.dispose()


@pytest.fixture(params=(*DATABASES, "memory"))
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseJournal | MemoryJournal]:
    """An empty journal of each kind."""
    if request.param == "memory":
        yield MemoryJournal()
        return
    engine = await _emptied(request, tmp_path)
    opened = DatabaseJournal(engine)
    await opened.open()
    yield opened
    await opened.close()
    await engine.dispose()


@pytest.fixture(scope="module")
def served_desk() -> Iterator[ServedDesk]:
    """Both faces of a desk in a thread of its own, for clients that block."""
    desk = ServedDesk()
    desk.start()
    yield desk
    desk.stop()

"""URLs, transactions and migrations."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from clients.database import migrate, open_database, outage_in_words, outages_as, shown_url, usable_url, writing
from clients.database.engine import CONNECTIONS_MAX
from clients.database.migrate import NewerDatabase, _newest_revision
from clients.power.store.tables import MIGRATIONS as POWER
from services.orders.journal.database import MIGRATIONS as ORDERS

FIRST = '''"""First."""
from alembic import op
import sqlalchemy as sa

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table("things", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
'''
SECOND = '''"""Second."""
from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("things", sa.Column("size", sa.BigInteger))
'''


def url_of(path: Path) -> str:
    return f"sqlite:///{path}/test.db"


def scripts_in(path: Path, *texts: str) -> Path:
    folder = path / "scripts"
    folder.mkdir(exist_ok=True)
    for number, script in enumerate(texts, 1):
        (folder / f"{number:04d}_step.py").write_text(script)
    return folder


def test_urls_get_the_driver_we_use() -> None:
    assert usable_url("sqlite:///a/b.db").render_as_string() == "sqlite+aiosqlite:///a/b.db"
    assert usable_url("postgres://u:p@h/d").drivername == "postgresql+asyncpg"


@pytest.mark.parametrize("url", ["mysql://u@h/d", "nonsense", "sqlite://", ""])
def test_an_unusable_url_names_the_legal_ones(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///"):
        usable_url(url)


def test_the_password_is_never_shown() -> None:
    assert "hunter2" not in shown_url("postgresql://me:hunter2@db/x")
    with pytest.raises(ValueError) as caught:
        usable_url("postgresql://me:hunter2@db:port/x")
    assert "hunter2" not in str(caught.value)


async def test_migrations_run_once_however_many_start_together(tmp_path: Path) -> None:
    scripts = scripts_in(tmp_path, FIRST)
    engines = [open_database(url_of(tmp_path), application="test") for _ in range(4)]

    await asyncio.gather(*(migrate(engine, scripts, "version_things") for engine in engines))
    scripts_in(tmp_path, FIRST, SECOND)
    await migrate(engines[0], scripts, "version_things")

    async with engines[0].connect() as connection:
        rows = (await connection.execute(text("SELECT version_num FROM version_things"))).all()
        await connection.execute(text("SELECT id, name, size FROM things"))
    assert rows == [("0002",)]
    for engine in engines:
        await engine.dispose()


async def test_a_new_database_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    async def open_and_write(url: str) -> None:
        engine = open_database(url, application="test")
        try:
            async with writing(engine) as connection:
                await connection.execute(text("CREATE TABLE IF NOT EXISTS things (id INTEGER)"))
        finally:
            await engine.dispose()

    # Without the second try a round in three failed.
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        await asyncio.gather(*(open_and_write(url_of(folder)) for _ in range(6)))


async def test_tables_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    engine = open_database(url_of(tmp_path), application="test")
    await migrate(engine, scripts_in(tmp_path, FIRST), "version_things")
    async with writing(engine) as connection:
        await connection.execute(text("UPDATE version_things SET version_num = '0099'"))

    with pytest.raises(NewerDatabase, match="0099"):
        await migrate(engine, tmp_path / "scripts", "version_things")

    await engine.dispose()


async def test_tables_that_are_at_the_newest_revision_cost_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(url_of(tmp_path), application="test")
    await migrate(engine, scripts_in(tmp_path, FIRST), "version_things")
    upgrades: list[object] = []
    monkeypatch.setattr(import_module("clients.database.migrate"), "_upgrade", lambda *_: upgrades.append(1))

    await migrate(engine, tmp_path / "scripts", "version_things")
    at_the_newest = len(upgrades)
    await migrate(engine, scripts_in(tmp_path, FIRST, SECOND), "version_things")
    behind = len(upgrades)
    await migrate(engine, tmp_path / "scripts", "version_others")

    assert (at_the_newest, behind, len(upgrades)) == (0, 1, 2)
    await engine.dispose()


@pytest.mark.parametrize("scripts", [ORDERS, POWER], ids=["orders", "power"])
def test_the_newest_revision_is_what_the_library_takes_for_it(scripts: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("version_locations", str(scripts))
    config.set_main_option("path_separator", "newline")

    assert _newest_revision(scripts) == ScriptDirectory.from_config(config).get_current_head()
    assert _newest_revision(scripts) is not None


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [FIRST.replace('"0001"', "name()")],
        [FIRST, SECOND, SECOND.replace("0002", "0003")],
        [FIRST, SECOND, SECOND],
        [FIRST, SECOND.replace('"0001"', '("0001",)')],
        [FIRST, "nothing = 1"],
    ],
    ids=["none", "computed", "two heads", "twice", "a list", "not one"],
)
def test_revisions_that_are_no_plain_chain_are_left_to_the_library(tmp_path: Path, texts: list[str]) -> None:
    assert _newest_revision(scripts_in(tmp_path, *texts)) is None


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = open_database(url_of(tmp_path), application="test")
    broken = SECOND.replace("op.add_column", "op.create_table('half', sa.Column('id', sa.Integer))\n    op.nonsense")

    with pytest.raises(AttributeError):
        await migrate(engine, scripts_in(tmp_path, FIRST, broken), "version_things")

    async with engine.connect() as connection:
        tables = (await connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))).all()
    assert tables == []
    await engine.dispose()


async def test_writers_wait_for_each_other_instead_of_failing(tmp_path: Path) -> None:
    engine = open_database(url_of(tmp_path), application="test")
    await migrate(engine, scripts_in(tmp_path, FIRST), "version_things")

    async def add(number: int) -> None:
        async with writing(engine) as connection:
            count = (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(text("INSERT INTO things VALUES (:id, :name)"), {"id": count, "name": str(number)})

    await asyncio.gather(*(add(number) for number in range(8)))

    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 8
    await engine.dispose()


async def test_an_error_rolls_the_transaction_back(tmp_path: Path) -> None:
    engine = open_database(url_of(tmp_path), application="test")
    await migrate(engine, scripts_in(tmp_path, FIRST), "version_things")

    with pytest.raises(RuntimeError, match="halfway"):  # noqa: PT012  (the block is what is tested)
        async with writing(engine) as connection:
            await connection.execute(text("INSERT INTO things VALUES (1, 'x')"))
            raise RuntimeError("halfway")

    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 0
    await engine.dispose()


async def test_more_statements_than_connections_wait_for_one_another(tmp_path: Path) -> None:
    engine = open_database(url_of(tmp_path), application="test")

    async def ask() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT 7"))).scalar_one())

    answers = await asyncio.gather(*(ask() for _ in range(10 * CONNECTIONS_MAX)))
    await engine.dispose()

    assert answers == [7] * 10 * CONNECTIONS_MAX


async def test_a_wait_for_a_connection_that_takes_too_long_says_what_it_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.database.engine.POOL_WAIT_S", 0.01)
    engine = open_database(url_of(tmp_path), application="test")
    async with AsyncExitStack() as held:
        for _ in range(CONNECTIONS_MAX):
            await held.enter_async_context(engine.connect())

        with pytest.raises(RuntimeError, match="as many calls as it has connections keep the database busy"):
            with outages_as(lambda exc: RuntimeError(outage_in_words(exc))):
                await held.enter_async_context(engine.connect())
    await engine.dispose()

"""Keys as an operator handles them."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, writing
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import KEY_PATTERN, Pepper, create_key, list_keys, open_keys, revoke_key
from services.runtime.access.keys.store import matches
from services.runtime.errors import InvalidRequest, NotFound
from services.runtime.settings import ServerSettings

PEPPER = Pepper(b"p" * 32)


async def test_a_key_is_made_listed_and_ended(database: AsyncEngine) -> None:
    key = await create_key(database, PEPPER, name="bot", roles={Role.TRADE, Role.CONTROL}, owner="desk")
    parts = KEY_PATTERN.fullmatch(key)
    assert parts is not None
    before = (await list_keys(database, PEPPER))[0]
    await revoke_key(database, parts.group(1))
    after = (await list_keys(database, PEPPER))[0]

    assert (before.name, before.owner, before.roles, before.revoked_ns) == (
        "bot",
        "desk",
        {Role.TRADE, Role.CONTROL},
        None,
    )
    assert matches(before, parts.group(2))
    assert not after.is_usable(2**62)
    assert parts.group(2) not in before.secret_hash


async def test_keys_of_every_database(database: AsyncEngine) -> None:
    first = await create_key(database, PEPPER, name="one", roles={Role.READ}, now_ns=1)
    second = await create_key(database, PEPPER, name="two", roles={Role.ADMIN}, signed_only=True, now_ns=2)

    assert first != second
    assert [(key.name, key.owner, key.signed_only) for key in await list_keys(database, PEPPER)] == [
        ("one", "one", False), ("two", "two", True),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        await revoke_key(database, "0" * 16)
    for name in ("", "a b", "x" * 65, "ü"):
        with pytest.raises(InvalidRequest):
            await create_key(database, PEPPER, name=name, roles={Role.READ})


async def test_a_database_that_nobody_made_has_no_keys_and_is_not_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/later/orders.db"
    keys = open_keys(ServerSettings(keys_database_url=url), application="test")

    assert await keys() == ()
    assert os.listdir(tmp_path) == []

    engine = open_database(url, application="test")
    async with engine.connect():
        assert await keys() == (), "a database without our table"
    await prepare_orders_database(engine)
    await create_key(engine, PEPPER, name="one", roles={Role.READ})
    assert [key.name for key in await keys()] == ["one"]
    await engine.dispose()
    await keys.close()


async def test_a_database_that_was_deleted_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    engine = open_database(f"sqlite:///{path}", application="test")
    await prepare_orders_database(engine)
    await engine.dispose()
    reading = open_database(f"sqlite:///{path}", application="test", create=False)
    path.unlink()

    with pytest.raises(OperationalError, match="unable to open"):
        await list_keys(reading)
    await reading.dispose()
    # The driver does not wait for the thread of a connection that came to nothing.
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5.0)

    assert not path.exists()


async def test_keys_of_a_table_that_is_not_upgraded_yet_are_read(database: AsyncEngine) -> None:
    await create_key(database, PEPPER, name="old", roles={Role.TRADE})
    async with writing(database) as connection:
        await connection.execute(text("ALTER TABLE api_keys DROP COLUMN expires_ns"))
    try:
        assert [(key.name, key.expires_ns) for key in await list_keys(database, PEPPER)] == [("old", None)]
    finally:
        async with writing(database) as connection:
            await connection.execute(text("ALTER TABLE api_keys ADD COLUMN expires_ns BIGINT"))

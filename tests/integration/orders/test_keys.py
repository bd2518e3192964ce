"""Keys as an operator handles them."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.orders.auth import Role, create_key, list_keys, revoke_key
from services.orders.auth.keys import KEY_PATTERN, matches
from services.runtime.errors import InvalidRequest, NotFound


async def test_a_key_is_made_listed_and_ended(database: AsyncEngine) -> None:
    key = await create_key(database, name="bot", role=Role.TRADE, owner="desk")
    parts = KEY_PATTERN.fullmatch(key)
    assert parts is not None
    before = (await list_keys(database))[0]
    await revoke_key(database, parts.group(1))
    after = (await list_keys(database))[0]

    assert (before.name, before.owner, before.role, before.revoked_ns) == ("bot", "desk", Role.TRADE, None)
    assert matches(before, parts.group(2))
    assert not matches(after, parts.group(2))
    assert parts.group(2) not in before.secret_hash


async def test_keys_of_every_database(database: AsyncEngine) -> None:
    first = await create_key(database, name="one", role=Role.READ, now_ns=1)
    second = await create_key(database, name="two", role=Role.ADMIN, signed_only=True, now_ns=2)

    assert first != second
    assert [(key.name, key.owner, key.signed_only) for key in await list_keys(database)] == [
        ("one", "one", False), ("two", "two", True),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        await revoke_key(database, "0" * 16)
    for name in ("", "a b", "x" * 65, "ü"):
        with pytest.raises(InvalidRequest):
            await create_key(database, name=name, role=Role.READ)

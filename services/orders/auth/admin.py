"""Keys for people at a terminal: what `midstream keys` calls. Works beside a running server, which notices within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database
from services.orders.auth.keys import StoredKey, create_key, list_keys, revoke_key
from services.orders.auth.roles import Role
from services.orders.journal import prepare_orders_database

T = TypeVar("T")


def make_key(database_url: str, *, name: str, role: Role, owner: str = "", signed_only: bool = False) -> str:
    """Create a key and return it; it is not shown again. Raises InvalidRequest."""
    return _run(
        database_url, lambda engine: create_key(engine, name=name, role=role, owner=owner, signed_only=signed_only)
    )


def end_key(database_url: str, key_id: str) -> None:
    """Revoke a key. Raises NotFound."""
    _run(database_url, lambda engine: revoke_key(engine, key_id))


def known_keys(database_url: str) -> Sequence[StoredKey]:
    """Return every key, oldest first."""
    return _run(database_url, list_keys)


def _run(database_url: str, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def run() -> T:
        engine = open_database(database_url, application="keys")
        try:
            await prepare_orders_database(engine)
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())

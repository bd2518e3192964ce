"""`midstream keys create | list | revoke`: manage the API keys of the orders server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, outages_as, shown_url, usable_url
from services.cli.output import show
from services.cli.terminal import say
from services.orders.auth import Role, StoredKey, create_key, list_keys, revoke_key
from services.orders.config import OrdersSettings
from services.orders.journal import prepare_orders_database, schema
from services.runtime.errors import InvalidRequest, NotFound, StartRefused
from services.runtime.settings import load

Work = Callable[[AsyncEngine], Awaitable[Any]]


def run_create(name: str, role: str, owner: str, *, may_create: bool, as_json: bool) -> int:
    """Create a key and print it: nobody can show it again. `may_create` makes the database where there is none."""

    def create(engine: AsyncEngine) -> Awaitable[str]:
        return create_key(engine, name=name, role=Role(role), owner=owner)

    database, key = asyncio.run(_with_database(create, may_create=may_create))
    # Beside the key, which scripts take from stdout: servers with another database refuse it.
    say(f"the key is in {database}")
    return show(
        key, {"name": name, "role": role, "owner": owner or name, "key": key, "database": database}, as_json=as_json
    )


def run_list(*, as_json: bool) -> int:
    """Print every key without its secret."""
    database, found = asyncio.run(_with_database(list_keys))
    keys: list[StoredKey] = list(found)
    lines = [_line(key) for key in keys] or [
        f"no keys yet in {database}; `midstream keys create --role trade` makes one"
    ]
    return show("\n".join(lines), {"database": database, "keys": [_figures(key) for key in keys]}, as_json=as_json)


def run_revoke(key_id: str, *, as_json: bool) -> int:
    """Make a key unusable."""
    database, _ = asyncio.run(_with_database(lambda engine: revoke_key(engine, key_id)))
    sentence = f"revoked {key_id} in {database}; running servers notice within seconds"
    return show(sentence, {"database": database, "key_id": key_id, "usable": False}, as_json=as_json)


async def _with_database(work: Work, *, may_create: bool = False) -> tuple[str, Any]:
    """Return the name of the database and what `work` gives. Raises StartRefused, also where there is no database yet."""
    url = load(OrdersSettings).database_url
    database = _named(url)
    missing = StartRefused(
        f"there is no order service's database at {database}: stand where its server was started, set "
        "MIDSTREAM_ORDERS_DATABASE_URL to the server's, or make a new one with `midstream keys create --create`"
    )
    if not may_create and _is_missing(url):
        raise missing
    engine = open_database(url, application="keys")
    try:
        with outages_as(
            lambda exc: StartRefused(
                f"the database {shown_url(url)} cannot be used: {type(exc).__name__}; start it, or set another"
            )
        ):
            if not may_create and not await _has_tables(engine):
                raise missing
            await prepare_orders_database(engine)
            return database, await work(engine)
    except (InvalidRequest, NotFound) as exc:
        raise StartRefused(exc.message) from exc
    finally:
        await engine.dispose()


def _named(url: str) -> str:
    """Return the database for people: a file by its whole path, anything else as its URL without the password."""
    parsed = usable_url(url)
    if parsed.drivername.startswith("sqlite") and parsed.database:
        return str(Path(parsed.database).absolute())
    return shown_url(url)


def _is_missing(url: str) -> bool:
    """Tell whether the database is a file that is not there; opening it would make it."""
    parsed = usable_url(url)
    return parsed.drivername.startswith("sqlite") and not Path(parsed.database or "").exists()


async def _has_tables(engine: AsyncEngine) -> bool:
    def look(connection: Connection) -> bool:
        return inspect(connection).has_table(schema.keys.name)

    async with engine.connect() as connection:
        return await connection.run_sync(look)


def _line(key: StoredKey) -> str:
    state = "revoked" if key.revoked_ns is not None else "usable"
    return f"{key.key_id}  {key.role.value:<6} {state:<8} {_day(key.created_ns)}  {key.name} (orders of {key.owner})"


def _figures(key: StoredKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.value,
        "owner": key.owner,
        "usable": key.revoked_ns is None,
        "created_ns": key.created_ns,
    }


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d")

"""`midstream keys create | list | revoke`: manage the API keys of all servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import named_url, open_database, outages_as, placed_url, shown_url
from services.cli.keys_database import database_of_keys
from services.cli.output import show
from services.cli.terminal import say
from services.orders.config import OrdersSettings
from services.orders.journal import prepare_orders_database, schema
from services.runtime.access import Role
from services.runtime.access.keys import (
    ENDS_WITHIN_S,
    PepperSource,
    StoredKey,
    create_key,
    is_missing,
    list_keys,
    prepare_keys,
    read_roles,
    revoke_key,
    roles_text,
)
from services.runtime.errors import InvalidRequest, NotFound, StartRefused
from services.runtime.settings import load_to_look

_UNITS_NS: Final = {"d": 86_400_000_000_000, "h": 3_600_000_000_000}

Work = Callable[[AsyncEngine, PepperSource], Awaitable[Any]]


@dataclass(frozen=True)
class NewKey:
    """A key to be made, in the words of the command line."""

    name: str
    role: str
    owner: str = ""
    expires: str = ""
    signed_only: bool = False


def run_create(wanted: NewKey, *, may_create: bool, as_json: bool) -> int:
    """Create a key and print it: nobody can show it again. `may_create` makes the database where there is none."""
    roles = _roles(wanted.role)
    expires_ns = _expiry(wanted.expires, time.time_ns())

    async def create(engine: AsyncEngine, source: PepperSource) -> str:
        return await create_key(
            engine,
            await prepare_keys(engine, source, now_ns=time.time_ns()),
            name=wanted.name,
            roles=roles,
            owner=wanted.owner,
            expires_ns=expires_ns,
            signed_only=wanted.signed_only,
        )

    database, key = asyncio.run(_with_database(create, may_create=may_create))
    # Beside the key, which scripts take from stdout: servers with another database refuse it.
    say(f"midstream: the key is in {database}")
    figures = {
        "name": wanted.name,
        "role": roles_text(roles),
        "owner": wanted.owner or wanted.name,
        "expires_ns": expires_ns,
        "key": key,
        "database": database,
    }
    return show(key, figures, as_json=as_json)


def run_list(*, as_json: bool) -> int:
    """Print every key without its secret."""
    database, found = asyncio.run(_with_database(lambda engine, _: list_keys(engine)))
    keys: list[StoredKey] = list(found)
    lines = [_line(key) for key in keys] or [
        f"no keys yet in {database}; `midstream keys create --role trade` makes one"
    ]
    return show("\n".join(lines), {"database": database, "keys": [_figures(key) for key in keys]}, as_json=as_json)


def run_revoke(key_id: str | None, *, unreadable: bool, as_json: bool) -> int:
    """Make a key unusable, or all that the secret beside the database cannot check."""
    if (key_id is None) != unreadable:
        raise StartRefused("name one KEY_ID, or give --unreadable")

    async def revoke(engine: AsyncEngine, source: PepperSource) -> list[str]:
        ids = [key_id] if key_id is not None else await _unreadable(engine, source)
        for each in ids:
            await revoke_key(engine, each)
        return ids

    database, ids = asyncio.run(_with_database(revoke))
    sentence = (
        f"revoked {', '.join(ids) or 'nothing'} in {database}; "
        f"running servers refuse it and end its streams within {ENDS_WITHIN_S} s"
    )
    figures = {"database": database, "ends_within_s": ENDS_WITHIN_S}
    figures |= {"key_id": key_id, "usable": False} if key_id is not None else {"key_ids": ids}
    return show(sentence, figures, as_json=as_json)


async def _unreadable(engine: AsyncEngine, source: PepperSource) -> list[str]:
    keys = await list_keys(engine, source.load())
    return [key.key_id for key in keys if key.revoked_ns is None and not key.is_readable]


async def _with_database(work: Work, *, may_create: bool = False) -> tuple[str, Any]:
    """Return the name of the database and what `work` gives. Raises StartRefused, also where there is no database yet."""
    keys = database_of_keys(load_to_look(OrdersSettings))
    if keys.note:
        say(f"midstream: {keys.note}")
    url = keys.url
    try:
        placed_url(url)
    except ValueError as exc:
        raise StartRefused(f"MIDSTREAM_KEYS_DATABASE_URL, or the order service's own database: {exc}") from exc
    database = named_url(url)
    missing = StartRefused(
        f"there is no database with API keys at {database}: stand where its server was started, set "
        "MIDSTREAM_ORDERS_DATABASE_URL to the server's, or make a new one with `midstream keys create --create`"
    )
    if not may_create and is_missing(url):
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
            return database, await work(engine, keys.secret)
    except (InvalidRequest, NotFound) as exc:
        raise StartRefused(exc.message) from exc
    finally:
        await engine.dispose()


async def _has_tables(engine: AsyncEngine) -> bool:
    def look(connection: Connection) -> bool:
        return inspect(connection).has_table(schema.keys.name)

    async with engine.connect() as connection:
        return await connection.run_sync(look)


def _roles(text: str) -> frozenset[Role]:
    try:
        return read_roles(text)
    except ValueError:
        raise StartRefused(f"--role takes some of {', '.join(Role)}, separated by commas, not {text[:64]!r}") from None


def _expiry(text: str, now_ns: int) -> int | None:
    """Return when a key ends: so many days or hours from now, or the beginning of a day in UTC."""
    if not text:
        return None
    count, unit = text[:-1], text[-1]
    if count.isascii() and count.isdecimal() and len(count) <= 5 and unit in _UNITS_NS:
        return now_ns + int(count) * _UNITS_NS[unit]
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise StartRefused(f"--expires takes 90d, 12h or a date like 2027-01-31, not {text[:64]!r}") from None
    return round((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def _line(key: StoredKey) -> str:
    ends = "" if key.expires_ns is None else f", until {_day(key.expires_ns)}"
    signed = ", signed requests only" if key.signed_only else ""
    return (
        f"{key.key_id}  {roles_text(key.roles):<6} {_state(key):<8} {_day(key.created_ns)}  {key.name} "
        f"(orders of {key.owner}{ends}{signed})"
    )


def _state(key: StoredKey) -> str:
    if key.revoked_ns is not None:
        return "revoked"
    return "usable" if key.is_usable(time.time_ns()) else "expired"


def _figures(key: StoredKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": roles_text(key.roles),
        "owner": key.owner,
        "usable": key.is_usable(time.time_ns()),
        "signed_only": key.signed_only,
        "created_ns": key.created_ns,
        "revoked_ns": key.revoked_ns,
        "expires_ns": key.expires_ns,
    }


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d")

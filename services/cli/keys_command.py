"""`midstream keys create | list | revoke`: manage the API keys of the orders server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, outages_as, shown_url
from services.orders.auth import Role, StoredKey, create_key, list_keys, revoke_key
from services.orders.config import OrdersSettings
from services.orders.journal import prepare_orders_database
from services.runtime.errors import InvalidRequest, NotFound, StartRefused
from services.runtime.settings import load

Work = Callable[[AsyncEngine], Awaitable[Any]]


def run_create(name: str, role: str, owner: str, *, as_json: bool) -> int:
    """Create a key and print it: nobody can show it again."""
    key = asyncio.run(_with_database(lambda engine: create_key(engine, name=name, role=Role(role), owner=owner)))
    if as_json:
        print(json.dumps({"name": name, "role": role, "owner": owner or name, "key": key}))
    else:
        print(key)
    return 0


def run_list(*, as_json: bool) -> int:
    """Print every key without its secret."""
    keys: list[StoredKey] = list(asyncio.run(_with_database(list_keys)))
    if as_json:
        print(json.dumps([_figures(key) for key in keys]))
        return 0
    for key in keys:
        state = "revoked" if key.revoked_ns is not None else "usable"
        print(
            f"{key.key_id}  {key.role.value:<6} {state:<8} {_day(key.created_ns)}  {key.name} (orders of {key.owner})"
        )
    if not keys:
        print("no keys yet; `midstream keys create --role trade` makes one")
    return 0


def run_revoke(key_id: str) -> int:
    """Make a key unusable."""
    asyncio.run(_with_database(lambda engine: revoke_key(engine, key_id)))
    print(f"revoked {key_id}; running servers notice within seconds")
    return 0


async def _with_database(work: Work) -> Any:
    url = load(OrdersSettings).database_url
    engine = open_database(url, application="keys")
    try:
        with outages_as(
            lambda exc: StartRefused(
                f"the database {shown_url(url)} cannot be used: {type(exc).__name__}; start it, or set another"
            )
        ):
            await prepare_orders_database(engine)
            return await work(engine)
    except (InvalidRequest, NotFound) as exc:
        raise StartRefused(exc.message) from exc
    finally:
        await engine.dispose()


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

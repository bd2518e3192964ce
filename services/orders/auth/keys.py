"""API keys: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import writing
from services.orders.auth.roles import Role
from services.orders.journal.schema import keys as table
from services.runtime.errors import InvalidRequest, NotFound

PREFIX: Final = "mk"
"""Makes a key recognisable to people and to scanners for leaked secrets."""
KEY_PATTERN: Final = re.compile(r"mk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NO_HASH: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class StoredKey:
    """A key as the database has it: enough to recognise it, not enough to be it."""

    key_id: str
    name: str
    owner: str
    role: Role
    secret_hash: str = field(repr=False)
    signed_only: bool
    created_ns: int
    revoked_ns: int | None


def hashed(secret: str) -> str:
    """Return what is kept of a secret. It has 256 random bits, so one round is as good as a thousand."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def matches(key: StoredKey | None, secret: str) -> bool:
    """Compare in constant time; an unknown key costs as much as a wrong secret."""
    expected = key.secret_hash if key is not None else _NO_HASH
    same = hmac.compare_digest(hashed(secret), expected)
    return same and key is not None and key.revoked_ns is None


async def create_key(
    engine: AsyncEngine, *, name: str, role: Role, owner: str = "", signed_only: bool = False, now_ns: int | None = None
) -> str:
    """Create a key and return it; it is not shown again. Keys with the same `owner` (by default the name) see the same orders."""
    for what, value in (("name", name), ("owner", owner or name)):
        if _NAME.fullmatch(value) is None:
            raise InvalidRequest(what, f"must have 1 to 64 characters of A-Z a-z 0-9 . _ - (got {value[:64]!r})")
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    async with writing(engine) as connection:
        await connection.execute(
            insert(table).values(
                key_id=key_id,
                name=name,
                owner=owner or name,
                role=role.value,
                secret_hash=hashed(secret),
                signed_only=signed_only,
                created_ns=time.time_ns() if now_ns is None else now_ns,
            )
        )
    return f"{PREFIX}_{key_id}_{secret}"


async def revoke_key(engine: AsyncEngine, key_id: str, *, now_ns: int | None = None) -> None:
    """Make a key unusable; running servers notice within seconds. Raises NotFound."""
    async with writing(engine) as connection:
        changed = await connection.execute(
            update(table)
            .where(table.c.key_id == key_id, table.c.revoked_ns.is_(None))
            .values(revoked_ns=time.time_ns() if now_ns is None else now_ns)
        )
    if changed.rowcount != 1:
        raise NotFound(f"there is no usable key {key_id[:32]!r}; `midstream keys list` names them")


async def list_keys(engine: AsyncEngine) -> Sequence[StoredKey]:
    """Return every key, oldest first."""
    async with engine.connect() as connection:
        rows = (await connection.execute(select(table).order_by(table.c.created_ns, table.c.key_id))).all()
    return [StoredKey(**{**row._mapping, "role": Role(row.role), "signed_only": bool(row.signed_only)}) for row in rows]

"""API keys in the database: created, listed, revoked."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import writing
from services.runtime.access.key_shape import Presented, hashed, key_text, new_key
from services.runtime.access.keys.pepper import Pepper
from services.runtime.access.keys.schema import keys as table
from services.runtime.access.roles import Role
from services.runtime.errors import InvalidRequest, NotFound

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NO_HASH: Final = hashed("")
_NO_PEPPER: Final = Pepper(bytes(32))


@dataclass(frozen=True)
class StoredKey:
    """A key as the database has it."""

    key_id: str
    name: str
    owner: str
    roles: frozenset[Role]
    secret_hash: str = field(repr=False)
    signed_only: bool
    created_ns: int
    revoked_ns: int | None = None
    expires_ns: int | None = None
    pepper_name: str | None = None
    """Of the secret that the row is kept under; None for one that is not, from before there was one."""
    sealed: str = field(default="", repr=False)
    pepper: Pepper | None = None
    """That secret, where it is there."""

    @property
    def is_readable(self) -> bool:
        """Whether the key can be checked: the secret that it is kept under is there."""
        return self.pepper_name is None or self.pepper is not None

    @property
    def signing_digest(self) -> str:
        """What requests are signed with; empty when it cannot be read, or was put there by somebody without the secret."""
        if self.pepper_name is None:
            return self.secret_hash
        if self.pepper is None or len(self.sealed) != len(_NO_HASH):
            return ""
        digest = self.pepper.sealed(self.key_id, self.sealed)
        return digest if hmac.compare_digest(self.pepper.proof(digest), self.secret_hash) else ""

    def is_usable(self, now_ns: int) -> bool:
        """Whether it may be used at a time of the wall clock."""
        return self.revoked_ns is None and (self.expires_ns is None or now_ns < self.expires_ns)


def matches(key: StoredKey | None, secret: str) -> bool:
    """Compare in constant time; an unknown key costs as much as a wrong secret."""
    digest = hashed(secret)
    proof = (key.pepper if key is not None and key.pepper is not None else _NO_PEPPER).proof(digest)
    given = digest if key is not None and key.pepper_name is None else proof
    same = hmac.compare_digest(given, key.secret_hash if key is not None else _NO_HASH)
    return same and key is not None and key.is_readable


def read_roles(value: str) -> frozenset[Role]:
    """Return the roles in a column or an option, separated by commas. Raises ValueError."""
    return frozenset(Role(part.strip()) for part in value.split(","))


def roles_text(roles: Collection[Role]) -> str:
    """Return roles as the column has them, in the order of the least to the most trusted."""
    return ",".join(role for role in Role if role in roles)


async def create_key(
    engine: AsyncEngine,
    pepper: Pepper,
    *,
    name: str,
    roles: Collection[Role],
    owner: str = "",
    signed_only: bool = False,
    expires_ns: int | None = None,
    now_ns: int | None = None,
) -> str:
    """Create a key and return it; it is not shown again. Keys with the same `owner` (by default the name) see the same orders."""
    for what, value in (("name", name), ("owner", owner or name)):
        if _NAME.fullmatch(value) is None:
            raise InvalidRequest(what, f"must have 1 to 64 characters of A-Z a-z 0-9 . _ - (got {value[:64]!r})")
    if not roles:
        raise InvalidRequest("role", f"must name some of {', '.join(Role)}")
    created_ns = time.time_ns() if now_ns is None else now_ns
    if expires_ns is not None and expires_ns <= created_ns:
        raise InvalidRequest("expires", "must be in the future")
    key: Presented = new_key()
    async with writing(engine) as connection:
        await connection.execute(
            insert(table).values(
                key_id=key.key_id,
                name=name,
                owner=owner or name,
                role=roles_text(roles),
                secret_hash=pepper.proof(hashed(key.secret)),
                pepper=pepper.name,
                signing=pepper.sealed(key.key_id, hashed(key.secret)),
                signed_only=signed_only,
                created_ns=created_ns,
                expires_ns=expires_ns,
            )
        )
    return key_text(key)


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


async def list_keys(engine: AsyncEngine, pepper: Pepper | None = None) -> Sequence[StoredKey]:
    """Return every key, oldest first, with the secret that it is kept under where that is `pepper`.

    A table that an older Midstream made will do: a server may read before the order service has upgraded it.
    """
    async with engine.connect() as connection:
        rows = await connection.execute(text(f"SELECT * FROM {table.name} ORDER BY created_ns, key_id"))
        return [_stored(row, pepper) for row in rows.mappings().all()]


def _stored(row: Mapping[Any, Any], pepper: Pepper | None) -> StoredKey:
    name = row.get("pepper")
    return StoredKey(
        key_id=row["key_id"],
        name=row["name"],
        owner=row["owner"],
        roles=read_roles(row["role"]),
        secret_hash=row["secret_hash"],
        signed_only=bool(row["signed_only"]),
        created_ns=row["created_ns"],
        revoked_ns=row["revoked_ns"],
        expires_ns=row.get("expires_ns"),
        pepper_name=name,
        sealed=row.get("signing") or "",
        pepper=pepper if pepper is not None and pepper.name == name else None,
    )

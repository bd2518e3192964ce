"""Authenticators for tests: one whose names are credentials, and API keys without a database."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from services.runtime.access import Credentials, Identity, Role
from services.runtime.access.build import Access, Needs, keys_part
from services.runtime.access.failures import FailureCosts
from services.runtime.access.keys import KeyList, StoredKey, key_id_of
from services.runtime.errors import Unauthenticated


class NamedCallers:
    """`Bearer <name>` is whoever `known` has under that name."""

    def __init__(self, **roles: tuple[Role, ...]) -> None:
        self.known = {
            name: Identity("keys", name, f"owner-of-{name}", frozenset(held), subject=name)
            for name, held in roles.items()
        }
        self.asked: list[Credentials] = []

    async def identify(self, credentials: Credentials) -> Identity | None:
        self.asked.append(credentials)
        if credentials.authorization is None:
            return None
        try:
            return self.known[credentials.authorization.removeprefix("Bearer ")]
        except KeyError as exc:
            raise Unauthenticated("this name is not known") from exc

    async def holds(self, identity: Identity) -> bool:
        return self.known.get(identity.subject) == identity

    def expire(self, name: str, at_ns: int) -> None:
        """Give a caller an end."""
        self.known[name] = replace(self.known[name], expires_ns=at_ns)


def bearer(name: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata of a caller of that name."""
    return (("authorization", f"Bearer {name}"),) if name else ()


def key_access(
    load: Callable[[], Awaitable[Sequence[StoredKey]]],
    *,
    needs: Needs | None = None,
    wall_ns: Callable[[], int] = time.time_ns,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    failures_per_minute: int = 10_000,
) -> Access:
    """Return the access of a server that takes the API keys that `load` returns."""
    keys = KeyList(load, monotonic_ns=monotonic_ns)
    costs = FailureCosts(monotonic_ns=monotonic_ns, key_id=key_id_of, per_minute=failures_per_minute)
    part = keys_part(keys, wall_ns=wall_ns, costs=costs, close=keys.close)
    return Access(
        {"keys": part},
        keys=keys,
        needs=needs,
        wall_ns=wall_ns,
        monotonic_ns=monotonic_ns,
        costs=costs,
        open_metrics=True,
    )

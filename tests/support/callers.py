"""An authenticator for tests: names are credentials, and tests take them away."""

from __future__ import annotations

from dataclasses import replace

from services.runtime.access import Credentials, Identity, Role
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

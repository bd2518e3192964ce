"""The one decision: may whoever brought this do that?"""

from __future__ import annotations

from collections.abc import Mapping

from clients.resilience.ports import WallNs
from services.runtime.access.identity import OPEN, Authenticator, Credentials, Identity
from services.runtime.access.roles import any_covers, needed_role
from services.runtime.errors import PermissionDenied, Unauthenticated


class AccessGate:
    """Asks every authenticator; without one it is open, which `services.runtime.exposure` allows on loopback only."""

    def __init__(self, authenticators: Mapping[str, Authenticator], *, wall_ns: WallNs) -> None:
        """`authenticators` by the `kind` of the identities that they give."""
        self._authenticators = dict(authenticators)
        self._wall_ns = wall_ns

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return not self._authenticators

    async def admit(self, credentials: Credentials, path: str) -> Identity:
        """Return who may call `path` (`package.Service/Method`). Raises Unauthenticated, PermissionDenied."""
        try:
            needed = needed_role(path)
        except KeyError as exc:
            raise PermissionDenied("nobody may call this method") from exc
        if needed is None or self.is_open:
            return OPEN
        found = [
            identity
            for authenticator in self._authenticators.values()
            if (identity := await authenticator.identify(credentials)) is not None
        ]
        if not found:
            raise Unauthenticated(self._wanted())
        for identity in found:
            if any_covers(identity.roles, needed):
                return identity
        held = ", ".join(sorted({role for identity in found for role in identity.roles})) or "none"
        raise PermissionDenied(f"this needs role {needed}; {found[0].name} has {held}")

    async def holds(self, identity: Identity) -> bool:
        """Whether somebody who was admitted may go on."""
        if identity.kind == OPEN.kind:
            return True
        if identity.expires_ns is not None and self._wall_ns() >= identity.expires_ns:
            return False
        return await self._authenticators[identity.kind].holds(identity)

    def _wanted(self) -> str:
        wanted = {
            "keys": "an API key (`authorization: Bearer mk_...`)",
            "tokens": "a token (`authorization: Bearer eyJ...`)",
            "certificates": "a client certificate whose name has a role",
        }
        return "the caller did not say who it is; this server takes " + " or ".join(
            wanted.get(kind, kind) for kind in self._authenticators
        )

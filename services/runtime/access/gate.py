"""The one decision: may whoever brought this do that?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clients.resilience.ports import WallNs
from services.runtime.access.failures import FailureCosts
from services.runtime.access.identity import OPEN, Authenticator, Credentials, Identity
from services.runtime.access.lately import AdmittedLately
from services.runtime.access.rates import KeyRates
from services.runtime.access.roles import any_covers, needed_role
from services.runtime.errors import PermissionDenied, ResourceExhausted, Unauthenticated


class AccessGate:
    """Asks every authenticator; without one it is open, which `services.runtime.exposure` allows on loopback only."""

    def __init__(
        self,
        authenticators: Mapping[str, Authenticator],
        *,
        wall_ns: WallNs,
        costs: FailureCosts | None = None,
        rates: KeyRates | None = None,
        lately: AdmittedLately | None = None,
    ) -> None:
        """`authenticators` by the `kind` of the identities that they give; `costs` of those that fail, `rates` of those that do not.

        `lately` is told who was admitted.
        """
        self._authenticators = dict(authenticators)
        self._wall_ns = wall_ns
        self._costs = costs
        self._rates = rates
        self._lately = lately

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return not self._authenticators

    async def admit(self, credentials: Credentials, path: str) -> Identity:
        """Return who may call `path` (`package.Service/Method`). Raises Unauthenticated, PermissionDenied, ResourceExhausted."""
        try:
            needed = needed_role(path)
        except KeyError as exc:
            raise PermissionDenied("nobody may call this method") from exc
        if needed is None or self.is_open:
            return OPEN
        try:
            found = await self._identities(credentials)
        except Unauthenticated as exc:
            if self._costs is None:
                raise
            raise self._costs.failed(credentials, exc) from exc
        chosen = self.decide(found, path)
        if self._lately is not None:
            self._lately.note(credentials.authorization, path)
        return chosen

    def knows(self, authorization: str | None, path: str) -> bool:
        """Whether somebody with this header was admitted to a method a moment ago: enough to be told that there is no room."""
        return self._lately is not None and self._lately.knows(authorization, path)

    def decide(self, found: Collection[Identity], path: str) -> Identity:
        """Return which of somebody's identities may call `path`. Raises PermissionDenied, ResourceExhausted."""
        needed = needed_role(path)
        first = next(iter(found))
        chosen = next((each for each in found if needed is None or any_covers(each.roles, needed)), None)
        if self._rates is not None and not self._rates.take((chosen or first).subject, path):
            raise ResourceExhausted(f"{first.name} asks too often; wait a second")
        if chosen is None:
            held = ", ".join(sorted({role for each in found for role in each.roles})) or "none"
            raise PermissionDenied(f"this needs role {needed}; {first.name} has {held}")
        return chosen

    async def _identities(self, credentials: Credentials) -> list[Identity]:
        found = [
            identity
            for authenticator in self._authenticators.values()
            if (identity := await authenticator.identify(credentials)) is not None
        ]
        if not found:
            raise Unauthenticated(self._wanted())
        return found

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

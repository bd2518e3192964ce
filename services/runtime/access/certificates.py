"""Recognise callers by the subject alternative names of their client certificates, which TLS has verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clients.resilience.ports import WallNs
from services.runtime.access.identity import Credentials, Identity
from services.runtime.access.roles import Role
from services.runtime.access.settings import parse_roles
from services.runtime.errors import Unauthenticated

KIND: Final = "certificates"


class CertificateAuthenticator:
    """An `Authenticator`. A name that no setting mentions is nobody; the common name of a certificate is never looked at."""

    def __init__(self, roles: Sequence[str], *, wall_ns: WallNs) -> None:
        """`roles` as MIDSTREAM_TLS_ROLES has them. Raises ValueError for what cannot be read."""
        self._roles = parse_roles(roles)
        self._wall_ns = wall_ns

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return who a certificate stands for; None without one, or where none of its names has a role.

        With several such names the roles of all count; the first in the order of the setting gives its name, and its orders.
        """
        found = [name for name in self._roles if name in credentials.certificate_names]
        if not found:
            return None
        if credentials.certificate_expires_ns is not None and self._wall_ns() >= credentials.certificate_expires_ns:
            # A connection outlives the certificate that it began with.
            raise Unauthenticated("the client certificate has expired: connect again with a new one")
        roles: frozenset[Role] = frozenset().union(*(self._roles[name] for name in found))
        return Identity(KIND, found[0], found[0], roles, found[0], credentials.certificate_expires_ns)

    async def holds(self, identity: Identity) -> bool:
        """Whether the name still has a role: always, as settings do not change; its end is the gate's to see."""
        return identity.subject in self._roles

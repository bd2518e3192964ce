"""What a caller brings, who that makes it, and the port that every way to find out implements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from services.runtime.access.roles import Role


@dataclass(frozen=True)
class Credentials:
    """What a caller brought, seen before anything of the request's body is read."""

    authorization: str | None = field(default=None, repr=False)
    """The header of that name, as sent."""

    certificate_names: tuple[str, ...] = ()
    """Subject alternative names of a client certificate that TLS has verified: `dns:...`, `uri:...` or `email:...`."""

    certificate_expires_ns: int | None = None
    """UTC nanoseconds; None without a certificate, or where the listener does not say."""

    peer: str = ""
    """The address, without the port, which changes with every connection."""


@dataclass(frozen=True)
class Identity:
    """Somebody, as an authenticator found out."""

    kind: str
    """The authenticator: `keys`, `certificates` or `tokens`; `open` where none is configured."""
    name: str
    """For logs and the journal."""
    owner: str
    """Whose orders it sees."""
    roles: frozenset[Role]
    subject: str = ""
    """What the authenticator recognises it by later: a key's id, a token's id, a certificate's name."""
    expires_ns: int | None = None
    """UTC nanoseconds at which it ends, and its streams with it; None does not end by itself."""


OPEN: Final = Identity("open", "anyone", "anyone", frozenset(Role))
"""Who calls a loopback listener without an authenticator: it may do everything, as whoever can reach it could anyhow."""


class Authenticator(Protocol):
    """One way to find out who calls."""

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return who it is; None where the caller brought nothing of this kind.

        Raises Unauthenticated where what it brought is not usable.
        """
        ...

    async def holds(self, identity: Identity) -> bool:
        """Whether an identity that this authenticator gave is still good; open streams ask every second."""
        ...

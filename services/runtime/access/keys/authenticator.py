"""Recognise callers by API key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from clients.resilience.ports import WallNs
from services.runtime.access.identity import Credentials, Identity
from services.runtime.access.key_shape import presented
from services.runtime.access.keys.listing import KeyList
from services.runtime.access.keys.store import StoredKey, matches
from services.runtime.errors import Unauthenticated, Unavailable

KIND: Final = "keys"
NOT_USABLE: Final = "the API key is missing or not usable; send `authorization: Bearer mk_...`"
"""One sentence for unknown, wrong, revoked and expired: whoever guesses learns nothing."""


class KeyAuthenticator:
    """An `Authenticator`. A usable key is looked for before anything else, so that nobody's failures keep its holder out."""

    def __init__(
        self, keys: KeyList, *, wall_ns: WallNs, is_costly: Callable[[str], bool] = lambda peer: False
    ) -> None:
        """`is_costly` says of an address that its failures are no longer worth a look into the database."""
        self.keys = keys
        self._wall_ns = wall_ns
        self._is_costly = is_costly

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return whose key it is; None without one. Raises Unauthenticated, and Unavailable while no key can be checked."""
        brought = presented(credentials.authorization)
        if brought is None:
            return None
        key = self.keys.known(brought.key_id)
        if matches(key, brought.secret) or (key is not None and not key.is_readable):
            key = await self.keys.find(brought.key_id)
        elif self.keys.is_read and self._is_costly(credentials.peer):
            self.keys.refresh()
            raise Unauthenticated(NOT_USABLE)
        else:
            key = await self.keys.find_new(brought.key_id)
        check_readable(key)
        if not matches(key, brought.secret) or key is None or not key.is_usable(self._wall_ns()):
            raise Unauthenticated(NOT_USABLE)
        if key.signed_only:
            raise Unauthenticated("this key is for signed requests only")
        return identity_of(key)

    async def holds(self, identity: Identity) -> bool:
        """Whether the key is still there, not revoked and not expired."""
        try:
            key = await self.keys.find(identity.subject)
        except Unavailable:
            return False
        return key is not None and key.is_usable(self._wall_ns())


def check_readable(key: StoredKey | None) -> None:
    """Raise Unavailable for a key that nobody can check here: its holder is not wrong."""
    if key is not None and not key.is_readable:
        raise Unavailable(
            "this API key cannot be checked: the server lacks the secret that it is kept under (MIDSTREAM_KEYS_SECRET_FILE)"
        )


def identity_of(key: StoredKey) -> Identity:
    """Return who the holder of a key is."""
    return Identity(KIND, key.name, key.owner, key.roles, key.key_id, key.expires_ns)

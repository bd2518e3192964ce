"""An API key that does not show itself."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final, NoReturn, Self

from clients.secrets.errors import SecretRefused

LENGTH_MAX: Final = 512
"""Longer than any HMAC key of an exchange: whatever is longer is not one."""


class ApiKey:
    """Key id and secret of one account.

    Its repr, str and errors show a fingerprint only, and it cannot be pickled, so it does not end in a dump or another process.
    `copy` returns the same object. Equality takes the same time whatever differs.
    """

    __slots__ = ("__key_id", "__secret")

    def __init__(self, key_id: str, secret: str) -> None:
        self.__key_id = _checked("key id", key_id)
        self.__secret = _checked("secret", secret)

    @property
    def key_id(self) -> str:
        """The public half, for request headers only: it names an account, so it is not logged either."""
        return self.__key_id

    def reveal(self) -> str:
        """Return the secret, to sign with; keep no other copy."""
        return self.__secret

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart in logs."""
        return hashlib.sha256(self.__key_id.encode()).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"ApiKey(#{self.fingerprint})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ApiKey):
            return NotImplemented
        same_id = hmac.compare_digest(self.__key_id.encode(), other.__key_id.encode())
        return hmac.compare_digest(self.__secret.encode(), other.__secret.encode()) and same_id

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("an ApiKey cannot be pickled; load it again where it is needed")


def _checked(what: str, value: str) -> str:
    if not value:
        raise SecretRefused(f"the API {what} is empty")
    if len(value) > LENGTH_MAX:
        raise SecretRefused(f"the API {what} has {len(value)} characters, more than {LENGTH_MAX}: it is not one")
    if not value.isascii() or any(not character.isprintable() or character.isspace() for character in value):
        raise SecretRefused(
            f"the API {what} holds blanks or characters that no key has; copy it again without quotes and line ends"
        )
    return value

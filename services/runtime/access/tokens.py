"""Recognise callers by JSON web tokens of one issuer. Needs the extra `jwt`: imported only where tokens are taken."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import jwt
from jwt.exceptions import PyJWTError

from clients.resilience.ports import WallNs
from services.runtime.access.identity import Credentials, Identity
from services.runtime.access.roles import Role
from services.runtime.access.token_keys import TokenKeys
from services.runtime.errors import Unauthenticated

KIND: Final = "tokens"
LEEWAY_S: Final = 60
"""How far the issuer's clock and ours may be apart."""
TOKEN_CHARACTERS_MAX: Final = 8 * 1024
SUBJECT_CHARACTERS_MAX: Final = 128
NOT_USABLE: Final = "the token is not usable; get a new one from its issuer"
_REQUIRED: Final = ("exp", "iss", "aud", "sub")


class TokenAuthenticator:
    """An `Authenticator`. What a token says about how it is to be verified is never believed: its key decides."""

    def __init__(self, keys: TokenKeys, *, issuer: str, audience: str, roles_claim: str, wall_ns: WallNs) -> None:
        self.keys = keys
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim
        self._wall_ns = wall_ns

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return whose token it is; None without one. Raises Unauthenticated, and Unavailable while no token can be checked."""
        token = presented(credentials.authorization)
        if token is None:
            return None
        key_id, algorithm = _header(token)
        key = await self.keys.find(key_id)
        if key is None or algorithm != key.algorithm:
            raise Unauthenticated(NOT_USABLE)
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=self._issuer,
                audience=self._audience,
                # Times are judged below, by the clock that everything else here goes by.
                options={"require": list(_REQUIRED), "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
            raise Unauthenticated(NOT_USABLE) from exc
        expires_ns = self._expires_ns(claims)
        subject = claims["sub"]
        if not _is_name(subject):
            raise Unauthenticated(NOT_USABLE)
        # Names of keys and owners have no colon, so that no token can be made to share a key's orders.
        owner = f"token:{subject}"
        return Identity(KIND, subject, owner, self._roles(claims), subject=f"{subject} {key_id}", expires_ns=expires_ns)

    async def holds(self, identity: Identity) -> bool:
        """Whether the key that signed the token is still the issuer's; its `exp` is the gate's to look at."""
        return await self.keys.find(identity.subject.partition(" ")[2]) is not None

    def _expires_ns(self, claims: Mapping[str, Any]) -> int:
        """Return when what the token opens ends. A token within the leeway lasts as long as that."""
        now_ns, leeway_ns = self._wall_ns(), LEEWAY_S * 1_000_000_000
        expires_ns = _time_ns(claims["exp"])
        if now_ns >= expires_ns + leeway_ns:
            raise Unauthenticated("the token has expired; get a new one from its issuer")
        if "nbf" in claims and now_ns < _time_ns(claims["nbf"]) - leeway_ns:
            raise Unauthenticated("the token is not valid yet; compare the clocks of its issuer and of this server")
        return expires_ns if now_ns < expires_ns else expires_ns + leeway_ns

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """Return the roles that we know; what else an issuer hands out is for others."""
        claim = claims.get(self._roles_claim, ())
        names = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
        return frozenset(Role(name) for name in names if isinstance(name, str) and name in _ROLES)


_ROLES: Final = frozenset(role.value for role in Role)


def presented(authorization: str | None) -> str | None:
    """Return the token in an `authorization` header; None where there is none."""
    scheme, _, rest = (authorization or "").partition(" ")
    token = rest.strip()
    # Every header of a token is a JSON object, so that it begins like this in base64.
    if scheme.lower() != "bearer" or not token.startswith("eyJ"):
        return None
    return token


def _header(token: str) -> tuple[str, str]:
    """Return key id and algorithm, as the token says; nothing of it is proven."""
    if len(token) > TOKEN_CHARACTERS_MAX or token.count(".") != 2:
        raise Unauthenticated(NOT_USABLE)
    try:
        header = jwt.get_unverified_header(token)
    except (PyJWTError, ValueError, TypeError, RecursionError) as exc:
        raise Unauthenticated(NOT_USABLE) from exc
    key_id, algorithm = header.get("kid", ""), header.get("alg")
    # Nothing that a header may call critical is understood here.
    if not isinstance(key_id, str) or not isinstance(algorithm, str) or "crit" in header:
        raise Unauthenticated(NOT_USABLE)
    return key_id, algorithm


def _time_ns(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or abs(value) > 1e11:
        raise Unauthenticated(NOT_USABLE)
    return round(value * 1_000_000_000)


def _is_name(subject: object) -> bool:
    """Whether a subject may stand in logs and the journal."""
    return (
        isinstance(subject, str)
        and 0 < len(subject) <= SUBJECT_CHARACTERS_MAX
        and not any(unicodedata.category(character)[0] in "CZ" for character in subject)
    )

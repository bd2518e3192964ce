"""What a key looks like, how callers send it, and what is kept of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from services.runtime.access.identity import Credentials

PREFIX: Final = "mk"
"""Makes a key recognisable to people and to scanners for leaked secrets."""
KEY_PATTERN: Final = re.compile(r"mk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
HEADER_CHARACTERS_MAX: Final = 512
"""A longer header holds no key of ours, and is not decoded to find out."""


@dataclass(frozen=True)
class Presented:
    """A key as a caller brought it; empty parts where it is not even the shape of one."""

    key_id: str
    secret: str = field(repr=False)


NO_KEY: Final = Presented("", "")


def new_key() -> Presented:
    """Return a fresh key: 64 bits that name it, 256 that prove it."""
    return Presented(secrets.token_hex(8), secrets.token_urlsafe(32))


def key_text(key: Presented) -> str:
    """Return a key as people keep it."""
    return f"{PREFIX}_{key.key_id}_{key.secret}"


def presented(authorization: str | None) -> Presented | None:
    """Return the key in an `authorization` header; None where none was meant to be there.

    `Bearer mk_...` is what programs send, `Basic` with any user and the key as password what browsers ask people for. Whatever
    starts like a key and is none comes back as `NO_KEY`: a failed attempt, not something for another authenticator.
    """
    scheme, _, rest = (authorization or "").partition(" ")
    text = rest.strip()
    match scheme.lower():
        case "bearer":
            password = text
        case "basic":
            password = _password(text)
        case _:
            return None
    if not password.startswith(f"{PREFIX}_"):
        return None
    parts = KEY_PATTERN.fullmatch(password)
    return NO_KEY if parts is None else Presented(parts.group(1), parts.group(2))


def key_id_of(credentials: Credentials) -> str:
    """Return which key somebody tried; empty without one."""
    brought = presented(credentials.authorization)
    return "" if brought is None else brought.key_id


def hashed(secret: str) -> str:
    """Return the digest of a secret. It has 256 random bits, so one round is as good as a thousand."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def _password(text: str) -> str:
    if len(text) > HEADER_CHARACTERS_MAX:
        return ""
    try:
        decoded = base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(":")[2]

"""Check that a request was signed by the account it names and has not expired."""

from __future__ import annotations

import hashlib
import hmac

from services.simulators.bitmex.errors import BitmexError


def check_signature(secret: str, *, verb: str, target: str, expires: str, body: bytes, signature: str) -> None:
    """Raise 401 unless verb, path with query, expiry and body, as they came, are what was signed."""
    message = f"{verb}{target}{expires}".encode("utf-8", "surrogateescape") + body
    expected = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.lower().encode("utf-8", "replace")):
        raise BitmexError(401, "Signature not valid.")


def check_expiry(expires: str, now_s: int) -> None:
    """Raise 401 when the request is too old. Checked on arrival only: the engine's queue knows no expiry."""
    if not (expires.isascii() and expires.isdecimal()):
        raise BitmexError(401, "Invalid 'api-expires' header: it must be a UNIX timestamp in seconds.")
    if int(expires) <= now_s:
        raise BitmexError(401, f"This request has expired - `expires` is in the past. Current time: {now_s}")

"""Signatures of BitMEX: over exactly the bytes that go out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

EXPIRES_IN_S: Final = 30
"""Life of a signature. Long enough for a slow network, short enough that a captured one is soon worthless."""
STREAM_PATH: Final = "/realtime"
"""What a login on the websocket signs, whatever the path of its URL."""


def sign(secret: str, verb: str, target: str, expires_s: int, body: bytes = b"") -> str:
    """Return the signature of a request; `target` is path and query as they are sent, `body` the bytes as they are sent."""
    message = f"{verb}{target}{expires_s}".encode() + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def expiry_s(server_time_ns: int) -> int:
    """Return the `api-expires` of a request that is signed at this time of the server."""
    return server_time_ns // 1_000_000_000 + EXPIRES_IN_S


def headers(key_id: str, secret: str, verb: str, target: str, expires_s: int, body: bytes) -> Mapping[str, str]:
    """Return the three headers of a signed request."""
    return {
        "api-key": key_id,
        "api-expires": str(expires_s),
        "api-signature": sign(secret, verb, target, expires_s, body),
    }

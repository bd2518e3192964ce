"""Signatures of Binance: percent-encode first, then HMAC-SHA256 over query and body; the signature goes last."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import quote


def encode(parameters: Sequence[tuple[str, str]]) -> str:
    """Return the parameters in their order as `name=value&...`, everything but unreserved characters percent-encoded."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in parameters)


def signature(secret: str, query: str, body: str = "") -> str:
    """Return the hexadecimal signature; nothing stands between query and body."""
    return hmac.new(secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()


def signed(parameters: Sequence[tuple[str, str]], secret: str, *, timestamp_ms: int, recv_window_ms: int) -> str:
    """Return the parameters with window, timestamp and signature, ready to be the query or the form body of one attempt."""
    encoded = encode((*parameters, ("recvWindow", str(recv_window_ms)), ("timestamp", str(timestamp_ms))))
    return f"{encoded}&signature={signature(secret, encoded)}"

"""Signatures of Bybit: over exactly the query or the body that goes out, with nothing between the parts."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from clients.exchanges.exact_json import MalformedAnswer

CURSOR: Final = "cursor"
"""The parameter that takes what an answer gave, percent-encoded by the exchange already."""
STREAM_LOGIN: Final = "GET/realtime"
"""What a login on a websocket signs, with the time of its end behind it."""

_CURSOR: Final = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+", re.ASCII)


def query_of(parameters: Sequence[tuple[str, str]]) -> str:
    """Return the parameters in their order, percent-encoded; a cursor goes back as it came, or its signature would be wrong."""
    return "&".join(
        f"{name}={_as_it_came(value) if name == CURSOR else quote(value, safe='')}" for name, value in parameters
    )


def body_of(value: Mapping[str, Any]) -> bytes:
    """Return the object as compact JSON in the order of its keys. Prices and quantities are texts: a number here is a bug."""
    for name, member in value.items():
        if isinstance(member, float):
            raise TypeError(f"`{name}` is a float: it has lost its spelling already")
    return json.dumps(value, separators=(",", ":")).encode()


def message(timestamp_ms: int, key_id: str, recv_window_ms: int, payload: str) -> str:
    """Return what is signed; `payload` is the query without its question mark, or the body."""
    return f"{timestamp_ms}{key_id}{recv_window_ms}{payload}"


def signature(secret: str, text: str) -> str:
    """Return the hexadecimal signature of a text."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def headers(key_id: str, secret: str, *, timestamp_ms: int, recv_window_ms: int, payload: str) -> dict[str, str]:
    """Return the headers of one signed attempt."""
    return {
        "X-BAPI-API-KEY": key_id,
        "X-BAPI-TIMESTAMP": str(timestamp_ms),
        "X-BAPI-RECV-WINDOW": str(recv_window_ms),
        "X-BAPI-SIGN": signature(secret, message(timestamp_ms, key_id, recv_window_ms, payload)),
    }


def _as_it_came(cursor: str) -> str:
    if not _CURSOR.fullmatch(cursor):
        raise MalformedAnswer(f"the cursor of the next page is no part of a query: {cursor[:40]!r}")
    return cursor

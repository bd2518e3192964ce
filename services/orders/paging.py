"""Page tokens: where the page before ended, opaque to callers."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from services.orders.errors import Reason, denied

PAGE: Final = 100
PAGE_MAX: Final = 500


def page_size(asked: int) -> int:
    """Return how many rows a page gets; 0 stands for the default, and nobody gets more than PAGE_MAX."""
    if asked < 0:
        raise denied(Reason.BAD_FIELD, f"must not be negative (got {asked})", field="page_size")
    return min(asked, PAGE_MAX) or PAGE


def page_token(*position: int | str) -> str:
    """Return the token for the page behind a position."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def position_of(token: str, *kinds: type) -> tuple[Any, ...] | None:
    """Return the position of a token; None for none. A token that is not ours is refused."""
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        position = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        position = None
    usable = (
        isinstance(position, list)
        and len(position) == len(kinds)
        and all(type(part) is kind for part, kind in zip(position, kinds, strict=True))
        and all(not isinstance(part, int) or 0 <= part < 1 << 63 for part in position)
    )
    if not usable:
        raise denied(Reason.BAD_FIELD, "is not a token of a page before", field="page_token")
    return tuple(position)

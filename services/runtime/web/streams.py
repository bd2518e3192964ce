"""Streams ask for their place before they begin: they stay, so there may be only so many of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["STREAM_EXTENSION", "stream_refusal"]

STREAM_EXTENSION: Final = "midstream.stream"
"""In a request's scope: a call that makes its connection a stream, or says why it may not be one."""


def stream_refusal(scope: Mapping[str, Any]) -> str | None:
    """Make the request's connection a stream; or return why there is no room for another, in a sentence for a 503.

    Behind a server that knows no such places there is always room.
    """
    begin = scope.get("extensions", {}).get(STREAM_EXTENSION)
    refusal: str | None = None if begin is None else begin()
    return refusal

"""Ranges of time that are longer than an exchange answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_MILLISECOND_NS: Final = 1_000_000


def windows(start_ns: int, end_ns: int, window_ns: int) -> Iterator[tuple[int, int]]:
    """Split a range into pieces of at most `window_ns`, as inclusive milliseconds without overlap."""
    start_ms = start_ns // _MILLISECOND_NS
    end_ms = -(-end_ns // _MILLISECOND_NS)
    window_ms = window_ns // _MILLISECOND_NS
    while start_ms <= end_ms:
        last_ms = min(end_ms, start_ms + window_ms - 1)
        yield start_ms, last_ms
        start_ms = last_ms + 1

"""Planned faults of the simulated power exchange."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

__all__ = ["GARBAGE", "ExchangeFaults", "parse_faults"]

GARBAGE: Final[tuple[bytes, ...]] = (
    b"not json at all",
    b'{"deal_confirmation": {"id": "1", "price": NaN}}',
    b'{"deal_confirmation": {"id": "1", "price": 20.64',
    b'{"deal_confirmation": null}',
    b'{"heartbeat": {}}',
    b"[1, 2, 3]",
    b"\xff\xfe",
)


@dataclass(frozen=True)
class ExchangeFaults:
    """Counts are messages of one connection; 0 is never."""

    drop_after: int = 0
    """Break the connection without a word."""
    close_after: int = 0
    """Close the connection in order."""
    stall_after: int = 0
    """Send nothing more, but answer pings."""
    garbage_every: int = 0
    """Send something unusable before every n-th message."""
    skip_every: int = 0
    """Leave out every n-th message."""
    repeat_every: int = 0
    """Send every n-th message twice."""
    swap_every: int = 0
    """Send every n-th message behind the one that follows it."""
    refuse: int = 0
    """Answer the first n handshakes with 503."""
    unauthorised: int = 0
    """Answer the first n handshakes with 401."""
    drops: int = 1_000_000
    """How many connections are dropped or closed before they are left alone."""


def parse_faults(text: str) -> ExchangeFaults:
    """Return the plan of `name=n,name=n`; raise ValueError naming what is wrong."""
    known = {field.name for field in fields(ExchangeFaults)}
    values: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, count = part.partition("=")
        if name not in known or not (count.isascii() and count.isdecimal()):
            raise ValueError(f"must be name=count,... with the names {', '.join(sorted(known))}")
        values[name] = int(count)
    return ExchangeFaults(**values)

"""How the records of a session leave, in words for people."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1))
_LATE: Final = {"catch-up": "what is late catches up", "stretch": "the clock waits for what is late"}


def pace_words(*, gap_cap_ns: int, rate: float, delay_ns: int, policy: str, limit_ns: int) -> str:
    """Return how long it is from one record to the next, and what becomes of what is late."""
    if gap_cap_ns:
        gaps = f"gaps up to {duration_text(gap_cap_ns)}"
    elif rate:
        gaps = f"{rate:,.15g} records a second"
    elif delay_ns:
        gaps = f"{duration_text(delay_ns)} from one record to the next"
    else:
        gaps = "gaps as recorded"
    if policy == "fail":
        return f"{gaps}; fails when more than {duration_text(limit_ns)} behind"
    return f"{gaps}; {_LATE[policy]}" if policy in _LATE else gaps


def duration_text(duration_ns: int) -> str:
    """Return a duration as options take it, exact."""
    unit, length_ns = next(pair for pair in _UNITS if duration_ns % pair[1] == 0)
    return f"{duration_ns // length_ns}{unit}"

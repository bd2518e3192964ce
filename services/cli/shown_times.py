"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def shown_time(time_ns: int) -> str:
    """Return a time in UTC with 3, 6 or 9 digits of a second, whichever are needed."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")
    digits = f"{fraction:09d}"
    if fraction % 1_000_000 == 0:
        return f"{text}.{digits[:3]}"
    return f"{text}.{digits[:6]}" if fraction % 1000 == 0 else f"{text}.{digits}"


def shown_span(seconds: float) -> str:
    """Return how long something took, short: `0.3 s`, `42 s`, `3 min`, `5 h`, `2 d`."""
    for unit, length, below in (("s", 1.0, 120.0), ("min", 60.0, 7_200.0), ("h", 3_600.0, 172_800.0)):
        if abs(seconds) < below:
            return f"{seconds:.1f} s" if abs(seconds) < 10 else f"{seconds / length:,.0f} {unit}"
    return f"{seconds / 86_400:,.0f} d"

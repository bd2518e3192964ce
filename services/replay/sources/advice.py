"""What to do about a file of which no row could be used, by the reason why its first one could not."""

from __future__ import annotations

from typing import Final

_ADVICE: Final = (
    (
        ("is not a time", "no epoch time", "invalid", "fraction digits", "outside the years"),
        "times are written YYYY-MM-DD HH:MM:SS.ffffff (or with T, Z or an offset), or as a whole number of s, ms, us or ns since 1970",
    ),
    (
        ("fields, the header",),
        "fields are separated by commas, so decimals are written with a point and texts with a comma in quotes",
    ),
    (
        ("is not a number", "is too large"),
        "numbers are written with a decimal point and without thousands separators or units",
    ),
    (("is empty",), "every row has to have a timestamp, a ticker and, where the layout has it, a latency"),
    (("quote",), 'a text in quotes is written "like ""this"""'),
)


def advice(reason: str) -> str:
    """Return what such rows should look like; empty when nothing is known."""
    return next((what for marks, what in _ADVICE if any(mark in reason for mark in marks)), "")

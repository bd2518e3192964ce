"""Delivery periods as instants and as clock times."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from clients.power.calendar import BERLIN, delivery_hour

__all__ = ["clock_times", "local", "period_bounds_ns"]


@lru_cache(maxsize=1024)
def period_bounds_ns(day: str, label: str) -> tuple[int, int]:
    """Return when delivery begins and ends; of an hour that happens twice, from the first to the end of the second."""
    hour = delivery_hour(day, label)
    return hour.start_ns, hour.end_ns


def clock_times(label: str) -> str:
    """Spell a period as clock times, `15:00-16:00`: what is spelt `11-12` becomes a date in a spreadsheet."""
    return "-".join(part if ":" in part else f"{part}:00" for part in label.split("-"))


def local(time_ns: int) -> datetime:
    """Return an instant on the market's clock, to the second."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, tz=BERLIN)

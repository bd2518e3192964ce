"""The hours of the simulated power market.

The simulated world counts them by itself, and differently from `clients.power.calendar`: it asks the wall clock of Berlin for each name of
an hour instead of walking the day. If both shared code, a wrong hour on the day of a clock change would be wrong on both sides, and no test
could see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["MarketHour", "NoSuchHour", "hours_of_day", "named_hour", "open_hours"]

SECOND_NS: Final = 1_000_000_000
YEARS: Final = range(2000, 2100)
"""Days of other years are refused."""

_MARKET_CLOCK: Final = ZoneInfo("Europe/Berlin")
_NAMES: Final = tuple(f"{hour:02}-{hour + 1:02}" for hour in range(24))


class NoSuchHour(ValueError):
    """Nothing is traded under that name."""


@dataclass(frozen=True, order=True)
class MarketHour:
    """What is traded under one name: an hour of a local day or a quarter of it, or both of that name in the night that has one more."""

    day: date
    hour: int
    """0 to 23, as clocks in Berlin show it."""
    minute: int | None = None
    """Where a quarter begins: 0, 15, 30 or 45; None for the whole hour."""

    @property
    def day_text(self) -> str:
        """The day as messages spell it."""
        return self.day.isoformat()

    @property
    def label(self) -> str:
        """The hour or quarter as messages spell it."""
        if self.minute is None:
            return _NAMES[self.hour]
        end = self.hour * 60 + self.minute + 15
        return f"{self.hour:02}:{self.minute:02}-{end // 60:02}:{end % 60:02}"

    @property
    def starts_s(self) -> tuple[int, ...]:
        """The seconds since 1970 at which clocks come to show it: one, two where the hour is repeated, none where it is skipped."""
        return tuple(start_s + (self.minute or 0) * 60 for start_s in _starts_s(self.day, self.hour))

    def closes_ns(self, lead_ns: int = 0) -> int:
        """Return when trading ends: so long before delivery, of the second where there are two."""
        return self.starts_s[-1] * SECOND_NS - lead_ns


def hours_of_day(day: date) -> tuple[MarketHour, ...]:
    """Return what is traded of a day, in order."""
    return tuple(one for hour in range(24) if (one := MarketHour(day, hour)).starts_s)


def named_hour(day: str, label: str) -> MarketHour:
    """Return the hour that a request names, or raise NoSuchHour saying why there is none. One spelling counts."""
    try:
        parsed = date.fromisoformat(day)
    except ValueError:
        parsed = None
    if parsed is None or parsed.isoformat() != day or parsed.year not in YEARS:
        raise NoSuchHour(f"delivery_day: {day[:40]!r} is no day of {YEARS[0]} to {YEARS[-1]}; write it like 2023-02-21")
    if label not in _NAMES:
        raise NoSuchHour(f"delivery_hour: {label[:40]!r} is no delivery hour; write it like 08-09, up to 23-24")
    named = MarketHour(parsed, _NAMES.index(label))
    if not named.starts_s:
        raise NoSuchHour(f"delivery_hour: {day} has no {label}; summer time begins and skips it")
    return named


def open_hours(now_ns: int, lead_ns: int = 0) -> tuple[MarketHour, ...]:
    """Return what can be traded: everything of today and tomorrow that has not closed, soonest first."""
    today = datetime.fromtimestamp(now_ns // SECOND_NS, tz=_MARKET_CLOCK).date()
    return tuple(
        hour
        for day in (today, today + timedelta(days=1))
        for closes_ns, hour in _closures(day)
        if closes_ns - lead_ns > now_ns
    )


# A virtual day of deals asks for the same two days again and again.
@lru_cache(maxsize=64)
def _closures(day: date) -> tuple[tuple[int, MarketHour], ...]:
    return tuple((hour.closes_ns(), hour) for hour in hours_of_day(day))


@lru_cache(maxsize=8192)
def _starts_s(day: date, hour: int) -> tuple[int, ...]:
    # Both readings of the name, the earlier and the later; a reading that the clock does not show again was skipped.
    readings = [datetime(day.year, day.month, day.day, hour, tzinfo=_MARKET_CLOCK, fold=fold) for fold in (0, 1)]
    instants = sorted({int(reading.timestamp()) for reading in readings})
    return tuple(at for at in instants if datetime.fromtimestamp(at, tz=_MARKET_CLOCK).hour == hour)

"""The spans of time that candles are of: a number of seconds, weeks from Monday on, months of the calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
DAY_NS: Final = 86_400 * SECOND_NS
_MONDAY_NS: Final = 4 * DAY_NS
"""The first Monday after the epoch, which was a Thursday."""


@dataclass(frozen=True)
class Interval:
    """A span; with `months`, so many months of the calendar in UTC."""

    length_ns: int = 0
    months: int = 0

    def opening(self, time_ns: int) -> int:
        """Return when the span that holds a moment begins."""
        if self.months:
            moment = datetime.fromtimestamp(time_ns // SECOND_NS, tz=UTC)
            return _month_ns((moment.year * 12 + moment.month - 1) // self.months * self.months)
        origin = _MONDAY_NS if self.length_ns % (7 * DAY_NS) == 0 else 0
        return time_ns - (time_ns - origin) % self.length_ns

    def moved(self, opening_ns: int, count: int) -> int:
        """Return the beginning of the span that lies so many after (before) the one that begins there."""
        if self.months:
            moment = datetime.fromtimestamp(opening_ns // SECOND_NS, tz=UTC)
            return _month_ns(max(0, moment.year * 12 + moment.month - 1 + count * self.months))
        return opening_ns + count * self.length_ns


MINUTE: Final = Interval(MINUTE_NS)


def _month_ns(number: int) -> int:
    year, month = divmod(max(number, 1970 * 12), 12)
    return int(datetime(min(year, 9999), month + 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS

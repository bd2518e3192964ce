"""Delivery hours of the power market: local days of Europe/Berlin, which have 23, 24 or 25 hours and always at most 24 labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

__all__ = [
    "BERLIN",
    "DeliveryHour",
    "InvalidDelivery",
    "delivery_hour",
    "hours_of_day",
    "local_day",
    "tradable_hours",
]

BERLIN: Final = ZoneInfo("Europe/Berlin")
HOUR_NS: Final = 3_600_000_000_000

DAY_MIN: Final = date(2000, 1, 1)
DAY_MAX: Final = date(2099, 12, 31)
"""Days outside are typing errors; the bound also keeps nanoseconds inside 64 bits."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LABEL: Final = re.compile(r"([0-9]{1,2})\s*-\s*([0-9]{1,2})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)


class InvalidDelivery(ValueError):
    """A delivery day or hour that cannot be, in a sentence that names it."""


@dataclass(frozen=True, order=True)
class DeliveryHour:
    """One row of the market: a local day and a clock hour of it.

    On the day that summer time ends, 02-03 happens twice and the wire has one name for both: they are one row here, too.
    """

    day: date
    hour: int
    """0 to 23, on the wall clock."""

    @property
    def label(self) -> str:
        """Spelt as on the wire: `00-01` to `23-24`."""
        return _LABELS[self.hour]

    @property
    def day_text(self) -> str:
        """The day in ISO form, as on the wire and in the database."""
        return self.day.isoformat()

    @property
    def starts_ns(self) -> tuple[int, ...]:
        """Every instant at which an hour of this name begins: one, two in October, none in March's 02-03."""
        return _starts_ns(self.day).get(self.hour, ())

    @property
    def exists(self) -> bool:
        """False for the hour that summer time skips."""
        return bool(self.starts_ns)

    @property
    def ambiguous(self) -> bool:
        """True for the hour that happens twice: whatever is said about it may be about either."""
        return len(self.starts_ns) > 1

    @property
    def start_ns(self) -> int:
        """When delivery (of the first of two) begins. Raises InvalidDelivery for an hour that does not exist."""
        return self._known_starts_ns()[0]

    @property
    def end_ns(self) -> int:
        """When delivery (of the second of two) ends."""
        return self._known_starts_ns()[-1] + HOUR_NS

    def gate_closure_ns(self, lead_ns: int = 0) -> int:
        """Return when the last hour of this name can no longer be traded: `lead_ns` before it begins."""
        return self._known_starts_ns()[-1] - lead_ns

    def tradable(self, now_ns: int, lead_ns: int = 0) -> bool:
        """Tell whether some hour of this name has not closed yet; ignores whether it is on offer already."""
        return self.exists and self.gate_closure_ns(lead_ns) > now_ns

    def _known_starts_ns(self) -> tuple[int, ...]:
        starts = self.starts_ns
        if not starts:
            raise InvalidDelivery(f"{self.day_text} has no hour {self.label}: summer time begins and skips it")
        return starts


_LABELS: Final = tuple(f"{hour:02d}-{hour + 1:02d}" for hour in range(24))


@lru_cache(maxsize=4096)
def delivery_hour(day: str, hour: str) -> DeliveryHour:
    """Return the hour that a message names; raise InvalidDelivery when there is none of that name.

    Takes `2023-02-21` and `15-16`; also `8-9` and `23-00`, which some feeds send.
    """
    if not _DAY.fullmatch(day):
        raise InvalidDelivery(f"{day[:40]!r} is no day; write it like 2023-02-21")
    try:
        parsed = date.fromisoformat(day)
    except ValueError as exc:
        raise InvalidDelivery(f"{day} is not in the calendar") from exc
    if not DAY_MIN <= parsed <= DAY_MAX:
        raise InvalidDelivery(f"{day} is not between {DAY_MIN} and {DAY_MAX}")
    match = _LABEL.fullmatch(hour.strip())
    if match is None or not hour.isascii():
        raise InvalidDelivery(f"{hour[:40]!r} is no delivery hour; write it like 08-09")
    begin, end = int(match[1]), int(match[2])
    if not 0 <= begin <= 23 or end not in ({begin + 1} if begin < 23 else {24, 0}):
        raise InvalidDelivery(f"{hour[:40]!r} is no delivery hour; they are 00-01 to 23-24")
    found = DeliveryHour(parsed, begin)
    found._known_starts_ns()
    return found


def hours_of_day(day: date) -> tuple[DeliveryHour, ...]:
    """Return the rows of a local day in order: 24, or 23 on the day that summer time begins."""
    return tuple(DeliveryHour(day, hour) for hour in sorted(_starts_ns(day)))


def local_day(now_ns: int) -> date:
    """Return the market's date at an instant."""
    return datetime.fromtimestamp(now_ns // 1_000_000_000, tz=BERLIN).date()


def tradable_hours(now_ns: int, lead_ns: int = 0) -> tuple[DeliveryHour, ...]:
    """Return every hour that closes after `now_ns`, through 23-24 of the next local day, soonest first."""
    today = local_day(now_ns)
    return tuple(
        hour
        for day in (today, today + timedelta(days=1))
        for closure_ns, hour in _closures(day)
        if closure_ns - lead_ns > now_ns
    )


@lru_cache(maxsize=512)
def _closures(day: date) -> tuple[tuple[int, DeliveryHour], ...]:
    return tuple((hour.gate_closure_ns(), hour) for hour in hours_of_day(day))


@lru_cache(maxsize=512)
def _starts_ns(day: date) -> dict[int, tuple[int, ...]]:
    """Walk the day in UTC hours: the only way that counts its true hours."""
    moment = datetime(day.year, day.month, day.day, tzinfo=BERLIN).astimezone(UTC)
    starts: dict[int, tuple[int, ...]] = {}
    while (local := moment.astimezone(BERLIN)).date() == day:
        starts[local.hour] = (*starts.get(local.hour, ()), (moment - _EPOCH) // timedelta(microseconds=1) * 1000)
        moment += _HOUR
    return starts

"""Delivery periods of the power market: hours and quarters of hours on local days of Europe/Berlin.

A day has 23, 24 or 25 hours, and always at most 24 names of hours with four quarters each.
"""

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
    "is_quarter",
    "local_day",
    "quarters_of_day",
    "tradable_hours",
]

BERLIN: Final = ZoneInfo("Europe/Berlin")
HOUR_NS: Final = 3_600_000_000_000
QUARTER_NS: Final = HOUR_NS // 4
HOUR_MINUTES: Final = 60
QUARTER_MINUTES: Final = 15

DAY_MIN: Final = date(2000, 1, 1)
DAY_MAX: Final = date(2099, 12, 31)
"""Days outside are typing errors; the bound also keeps nanoseconds inside 64 bits."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LABEL: Final = re.compile(r"([0-9]{1,2})\s*-\s*([0-9]{1,2})")
_CLOCK_LABEL: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)


class InvalidDelivery(ValueError):
    """A delivery day or hour that cannot be, in a sentence that names it."""


@dataclass(frozen=True, order=True)
class DeliveryHour:
    """One row of the market: a local day and a clock hour of it, or a quarter of that hour.

    On the day that summer time ends, 02-03 and its quarters happen twice and the wire has one name for both: they are one row here,
    too. In order, an hour comes before its quarters.
    """

    day: date
    hour: int
    """0 to 23, on the wall clock."""
    quarter: int = 0
    """1 to 4; 0 is the whole hour."""

    @property
    def label(self) -> str:
        """Spelt as on the wire: `00-01` to `23-24`, `00:00-00:15` to `23:45-24:00`."""
        return _QUARTER_LABELS[self.hour][self.quarter - 1] if self.quarter else _LABELS[self.hour]

    @property
    def minutes(self) -> int:
        """How long power flows: 1 MW over a quarter is a quarter of a MWh."""
        return QUARTER_MINUTES if self.quarter else HOUR_MINUTES

    @property
    def whole_hour(self) -> DeliveryHour:
        """The hour that it is, or is a part of."""
        return DeliveryHour(self.day, self.hour) if self.quarter else self

    @property
    def quarters(self) -> tuple[DeliveryHour, ...]:
        """The four quarters of this hour."""
        return tuple(DeliveryHour(self.day, self.hour, number) for number in (1, 2, 3, 4))

    @property
    def day_text(self) -> str:
        """The day in ISO form, as on the wire and in the database."""
        return self.day.isoformat()

    @property
    def starts_ns(self) -> tuple[int, ...]:
        """Every instant at which an hour of this name begins: one, two in October, none in March's 02-03."""
        starts = _starts_ns(self.day).get(self.hour, ())
        if self.quarter > 1:
            return tuple(start + (self.quarter - 1) * QUARTER_NS for start in starts)
        return starts

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
        return self._known_starts_ns()[-1] + (QUARTER_NS if self.quarter else HOUR_NS)

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
_QUARTER_LABELS: Final = tuple(
    tuple(f"{hour:02d}:{minute:02d}-{hour + (minute == 45):02d}:{(minute + 15) % 60:02d}" for minute in (0, 15, 30, 45))
    for hour in range(24)
)
_PERIOD_LABELS: Final = {
    name: (hour, number) for hour in range(24) for number, name in enumerate((_LABELS[hour], *_QUARTER_LABELS[hour]))
}


def is_quarter(label: str) -> bool:
    """Tell a quarter's name from an hour's; for names that `DeliveryHour.label` wrote."""
    return ":" in label


@lru_cache(maxsize=16_384)
def delivery_hour(day: str, hour: str) -> DeliveryHour:
    """Return the hour or quarter that a message names; raise InvalidDelivery when there is none of that name.

    Takes `2023-02-21` with `15-16` or `22:00-22:15`; also `8-9`, `23-00`, `23:45-00:00` and `22:00-23:00`, which some feeds send.
    Half hours and blocks are no periods of this market: they are refused by their name.
    """
    if not _DAY.fullmatch(day):
        raise InvalidDelivery(f"{day[:40]!r} is no day; write it like 2023-02-21")
    try:
        parsed = date.fromisoformat(day)
    except ValueError as exc:
        raise InvalidDelivery(f"{day} is not in the calendar") from exc
    if not DAY_MIN <= parsed <= DAY_MAX:
        raise InvalidDelivery(f"{day} is not between {DAY_MIN} and {DAY_MAX}")
    found = DeliveryHour(parsed, *(_PERIOD_LABELS.get(hour) or _read_label(hour)))
    found._known_starts_ns()
    return found


def _read_label(label: str) -> tuple[int, int]:
    """Return hour and quarter of a period that is not spelt as we spell it."""
    text = label.strip()
    match = _CLOCK_LABEL.fullmatch(text) or _LABEL.fullmatch(text)
    if match is None or not label.isascii():
        raise InvalidDelivery(f"{label[:40]!r} is no delivery hour; write it like 08-09 or 08:00-08:15")
    numbers = [int(group) for group in match.groups()]
    hours, minutes = numbers[::2] if len(numbers) == 4 else numbers, numbers[1::2] if len(numbers) == 4 else [0, 0]
    begin, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    # Midnight at the end of a day is 24:00 or 00:00.
    length = (end or 24 * 60) - begin
    if hours[0] > 23 or max(minutes) > 59 or not 0 < length <= 24 * 60 - begin:
        raise InvalidDelivery(
            f"{label[:40]!r} is no delivery hour; they are 00-01 to 23-24 and 00:00-00:15 to 23:45-24:00"
        )
    if length == HOUR_MINUTES and not minutes[0]:
        return hours[0], 0
    if length == QUARTER_MINUTES and minutes[0] % QUARTER_MINUTES == 0:
        return hours[0], minutes[0] // QUARTER_MINUTES + 1
    what = (
        "half an hour"
        if length == 30
        else f"{length} minutes"
        if length % 60 or minutes[0]
        else f"a block of {length // 60} hours"
    )
    raise InvalidDelivery(
        f"{label[:40]!r} is no delivery hour: it is {what}; hours (08-09) and quarters (08:00-08:15) are traded"
    )


def hours_of_day(day: date) -> tuple[DeliveryHour, ...]:
    """Return the rows of a local day in order: 24, or 23 on the day that summer time begins."""
    return tuple(DeliveryHour(day, hour) for hour in sorted(_starts_ns(day)))


def quarters_of_day(day: date) -> tuple[DeliveryHour, ...]:
    """Return the quarters of a local day in order: 96, or 92 on the day that summer time begins."""
    return tuple(quarter for hour in hours_of_day(day) for quarter in hour.quarters)


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

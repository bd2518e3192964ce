"""Fields of a line as values, in Python integers and with the standard library only; what is wrong with one is the text of Unusable."""

from __future__ import annotations

import math
import re
from datetime import date

TIME_MIN = (date(1678, 1, 1) - date(1970, 1, 1)).days * 86_400 * 10**9
TIME_MAX = (date(2262, 1, 1) - date(1970, 1, 1)).days * 86_400 * 10**9 - 1
TICKER_SIZE_MAX = 256

_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TIMESTAMP = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})[ TD]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    rb"(?:\.([0-9]+))?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


class Unusable(ValueError):
    """The row or header cannot be used; the text is the reason."""


def shown(raw: bytes) -> str:
    """Return text for a reason."""
    return "'" + raw.decode(errors="replace")[:40] + "'"


def name_of(column: str, raw: bytes) -> str:
    """Read a ticker, or a part of one."""
    if not raw:
        raise Unusable(f"`{column}` is empty")
    if len(raw) > TICKER_SIZE_MAX:
        raise Unusable(f"`{column}` is longer than 256 bytes: {shown(raw)}")
    if b"\0" in raw:
        raise Unusable(f"`{column}` holds a NUL byte: {shown(raw)}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"`{column}` is not valid UTF-8: {shown(raw)}") from error


def number_of(column: str, raw: bytes) -> float:
    """Read a decimal number."""
    if not _NUMBER.fullmatch(raw):
        raise Unusable(f"`{column}` is not a number: {shown(raw)}")
    value = float(raw)
    if math.isinf(value):
        raise Unusable(f"`{column}` is too large: {shown(raw)}")
    return value


def quote_number(column: str, raw: bytes) -> float:
    """Read a price or an amount; NaN is none."""
    if not raw or raw.lower() == b"nan":
        return math.nan
    value = number_of(column, raw)
    if column.endswith("amount") and value < 0:
        raise Unusable(f"`{column}` is negative: {shown(raw)}")
    return value


def latency_of(raw: bytes) -> int:
    """Read milliseconds: float64, one multiplication by 1e6, half to even."""
    if not raw:
        raise Unusable("`latency` is empty")
    nanoseconds = number_of("latency", raw) * 1e6
    if abs(nanoseconds) >= 9.2e18:
        raise Unusable(f"`latency` is too large: {shown(raw)}")
    return round(nanoseconds)


def time_of(column: str, raw: bytes, fraction_unit_us: bool) -> int:
    """Read a civil time (naive = UTC) or an epoch integer whose unit its size tells."""
    if not raw:
        raise Unusable(f"{column} is empty")
    if re.fullmatch(rb"[0-9]+", raw):
        units = {9: 10**9, 10: 10**9, 12: 10**6, 13: 10**6, 15: 10**3, 16: 10**3, 18: 1, 19: 1}
        if len(raw) not in units or raw.startswith(b"0"):
            raise Unusable(f"{column} is no epoch time in s, ms, us or ns: {shown(raw)}")
        return _in_range(column, int(raw) * units[len(raw)])
    match = _TIMESTAMP.fullmatch(raw)
    if match is None:
        raise Unusable(f"{column} is not a time: {shown(raw)}")
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    fraction, offset = match[7] or b"", match[8] or b"Z"
    offset_hour, offset_minute = (0, 0) if offset == b"Z" else (int(offset[1:3]), int(offset[3:].lstrip(b":") or b"0"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days_in_month = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    faults = (
        (not 1678 <= year <= 2261, "is outside the years 1678 to 2261"),
        (not 1 <= month <= 12, "has an invalid month"),
        (not 1 <= day <= days_in_month[(month - 1) % 12], "has an invalid day"),
        (hour > 23, "has an invalid hour"),
        (minute > 59, "has an invalid minute"),
        (second > 59, "has an invalid second"),
        (
            len(fraction) > (6 if fraction_unit_us else 9),
            f"has more than {6 if fraction_unit_us else 9} fraction digits",
        ),
        (offset_hour > 23 or offset_minute > 59, "has an invalid offset"),
    )
    for wrong, reason in faults:
        if wrong:
            raise Unusable(f"{column} {reason}")
    fraction_ns = int(fraction or b"0") * 1_000 if fraction_unit_us else int(fraction.ljust(9, b"0"))
    minutes = ((date(year, month, day) - date(1970, 1, 1)).days * 24 + hour) * 60 + minute
    minutes -= (offset_hour * 60 + offset_minute) * (-1 if offset.startswith(b"-") else 1)
    return _in_range(column, (minutes * 60 + second) * 10**9 + fraction_ns)


def _in_range(column: str, time_ns: int) -> int:
    if not TIME_MIN <= time_ns <= TIME_MAX:
        raise Unusable(f"{column} is outside the years 1678 to 2261")
    return time_ns

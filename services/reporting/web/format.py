"""Numbers and times as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from clients.power.calendar import BERLIN
from services.reporting.engine.figures import plain

__all__ = ["Number", "amount", "clock", "day_name", "money", "number", "signed"]

DIGITS: Final = 2
_STEP: Final = Decimal(1).scaleb(-DIGITS)
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Number:
    """A number as shown; `pad` digits are missing to the full width, which the style sheet fills so that points line up."""

    text: str
    pad: int
    exact: str
    direction: str = ""
    """`up`, `down` or `even`, where the sign has a meaning."""


def number(value: Decimal) -> Number:
    """Show at most two digits behind the point."""
    rounded = value.quantize(_STEP, rounding=ROUND_HALF_UP)
    text = plain(rounded)
    return Number(_grouped(text), _pad(text), plain(value))


def signed(value: Decimal) -> Number:
    """Show with its sign; what rounds to nothing but is not nothing keeps it."""
    shown = number(abs(value))
    if value == 0:
        return Number("0", shown.pad, "0", "even")
    sign, direction = ("+", "up") if value > 0 else ("-", "down")
    text, pad = (shown.text, shown.pad) if shown.text != "0" else ("<0.01", 0)
    return Number(sign + text, pad, plain(value), direction)


def money(value: Decimal) -> Number:
    """Show euros and cents with their sign."""
    shown = signed(value)
    if shown.text.endswith("<0.01"):
        return shown
    text = f"{abs(value).quantize(_STEP, rounding=ROUND_HALF_UP):f}"
    return Number({"up": "+", "down": "-"}.get(shown.direction, "") + _grouped(text), 0, shown.exact, shown.direction)


def amount(value: Decimal) -> str:
    """Show an amount in running text."""
    return number(value).text


def clock(time_ns: int, *, seconds: bool = True) -> str:
    """Return the local time of day."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, tz=BERLIN)
    return moment.strftime("%H:%M:%S" if seconds else "%H:%M")


def day_name(day: str) -> str:
    """Return a day like `Thu 9 Oct 2025`, whatever the locale."""
    parsed = date.fromisoformat(day)
    return f"{_WEEKDAYS[parsed.weekday()]} {parsed.day} {_MONTHS[parsed.month - 1]} {parsed.year}"


def _grouped(text: str) -> str:
    whole, point, rest = text.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    if len(digits) < 5:
        return text
    return f"{sign}{int(digits):,}{point}{rest}".replace(",", "\u2009")


def _pad(text: str) -> int:
    """0 for two digits behind the point, 1 for one, 2 for none (and no point)."""
    return DIGITS - len(text.partition(".")[2])

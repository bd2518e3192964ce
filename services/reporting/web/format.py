"""Numbers and times as people read them. Every number has two digits behind the point, so that points stand below each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from clients.power.calendar import BERLIN
from services.reporting.engine.figures import plain

__all__ = ["Number", "amount", "clock", "counted", "day_name", "number", "signed", "unrounded"]

DIGITS: Final = 2
_STEP: Final = Decimal(1).scaleb(-DIGITS)
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Number:
    """A number as shown."""

    text: str
    exact: str
    direction: str = ""
    """`up`, `down` or `even`, where the sign has a meaning."""

    @property
    def rounded(self) -> bool:
        """Whether there is more to it than is shown."""
        return Decimal(self.exact) != Decimal(self.exact).quantize(_STEP)


def number(value: Decimal) -> Number:
    """Show two digits behind the point."""
    return Number(amount(value), plain(value))


def signed(value: Decimal) -> Number:
    """Show with its sign; what rounds to nothing but is not nothing keeps it."""
    if value == 0:
        return Number("0.00", "0", "even")
    sign, direction = ("+", "up") if value > 0 else ("-", "down")
    text = amount(abs(value))
    return Number(sign + (text if text != "0.00" else "<0.01"), plain(value), direction)


def amount(value: Decimal) -> str:
    """Show an amount in running text."""
    return _grouped(f"{value.quantize(_STEP, rounding=ROUND_HALF_UP):f}")


def unrounded(value: Decimal) -> str:
    """Show all digits, at least two of them."""
    whole, _, rest = plain(value).partition(".")
    return f"{_grouped(whole)}.{rest:0<2}"


def counted(count: int, thing: str) -> str:
    """Return `1 deal`, `2 deals`; nothing for none."""
    return "" if not count else f"{_grouped(str(count))} {thing}{'' if count == 1 else 's'}"


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
    return f"{sign}{int(digits):,}{point}{rest}".replace(",", "\u2009")

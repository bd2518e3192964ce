"""Single values of a deal: strict about type and range, liberal about spelling. Each function raises ValueError with the reason."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from clients.power.deals.model import MARKET_CHARACTERS_MAX

__all__ = [
    "PRICE_E4_MAX",
    "QUANTITY_E4_MAX",
    "NumberText",
    "is_rounded",
    "read_choice",
    "read_id",
    "read_market",
    "read_price_e4",
    "read_quantity_e4",
    "read_revision",
    "read_time_ns",
    "read_trader",
]

PRICE_E4_MAX: Final = 1_000_000 * 10_000
"""Power exchanges stop at about 10,000 EUR/MWh either way; a hundred times that is a broken feed."""
QUANTITY_E4_MAX: Final = 1_000_000 * 10_000
"""MW: more than any country uses."""
NUMBER_CHARACTERS_MAX: Final = 40
NOISE_MAX: Final = Decimal("1e-9")
"""What sums and products of binary floats are off by: 0.1 + 0.2 is written 0.30000000000000004. A ten-thousandth is 100,000 times that."""
ID_CHARACTERS_MAX: Final = 128
TRADER_CHARACTERS_MAX: Final = 128
SHOWN_MAX: Final = 40

_E4: Final = Decimal("0.0001")
_PLAIN: Final = re.compile(r"(-?)([0-9]{1,9})(?:\.([0-9]{1,4}))?")
_ID: Final = re.compile(r"[!-~]+")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,9}))?[ ]?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?"
)
_FIRST_SECOND: Final = 946_684_800
_LAST_SECOND: Final = 4_102_444_799
"""The years 2000 to 2099: what is outside is a typing error, and 64 bits hold what is inside."""


class NumberText(str):
    """A JSON number as it was written, so that it stays exact and a string in its place is noticed."""

    __slots__ = ()


def read_price_e4(value: object) -> int:
    """Return EUR/MWh times 10,000; negative prices are ordinary."""
    scaled = _scaled(value)
    if not -PRICE_E4_MAX <= scaled <= PRICE_E4_MAX:
        raise ValueError(f"{value!s:.{SHOWN_MAX}} is not between -1,000,000 and 1,000,000")
    return scaled


def read_quantity_e4(value: object) -> int:
    """Return MW times 10,000. The direction carries the sign, so it has to be above zero."""
    scaled = _scaled(value)
    if not 0 < scaled <= QUANTITY_E4_MAX:
        raise ValueError(f"{value!s:.{SHOWN_MAX}} is not above 0 and up to 1,000,000")
    return scaled


def is_rounded(value: object) -> bool:
    """Tell whether a number that was read is not exactly what was written."""
    if type(value) is not NumberText or _PLAIN.fullmatch(value):
        return False
    number = Decimal(value)
    return number != number.quantize(_E4)


def read_revision(value: object) -> int:
    """Return which revision of a deal a message is: 1 is the confirmation."""
    if type(value) not in (NumberText, str):
        raise ValueError(f"is {_kind(value)}, not a whole number")
    if not (str(value).isascii() and str(value).isdecimal() and len(str(value)) <= 9) or not int(str(value)):
        raise ValueError(f"{value!s:.{SHOWN_MAX}} is not a whole number from 1 up")
    return int(str(value))


def read_market(value: object) -> str:
    """Return the name of a market; empty for what is none: it is no reason to lose a deal."""
    text = value.strip() if type(value) is str else ""
    return text if text.isprintable() and len(text) <= MARKET_CHARACTERS_MAX else ""


def read_id(value: object) -> str:
    """Return an identifier: visible ASCII, whatever the exchange makes of it."""
    text = _text(value, ID_CHARACTERS_MAX)
    if not _ID.fullmatch(text):
        raise ValueError("is not made of visible ASCII characters")
    return text


@lru_cache(maxsize=4096)
def _checked_trader(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    # Control characters, NUL and lone surrogates cannot be stored or shown.
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


def read_trader(value: object) -> str:
    """Return a trader's name: any printable text."""
    return _checked_trader(_text(value, TRADER_CHARACTERS_MAX))


def read_choice(value: object, choices: tuple[str, ...]) -> str:
    """Return the one of `choices` that is meant, whatever its case."""
    if value in choices:
        return str(value)
    text = _text(value, SHOWN_MAX).strip().lower()
    if text not in choices:
        raise ValueError(f"{text!a} is not {' or '.join(choices)}")
    return text


def read_time_ns(value: object) -> tuple[int, bool]:
    """Return UTC nanoseconds and whether the text named its zone; without one it counts as UTC."""
    match = _TIME.fullmatch(_text(value, SHOWN_MAX).strip())
    if match is None:
        raise ValueError(f"{value!a:.{SHOWN_MAX}} is no time; write it like 2023-02-21T06:13:43+00:00")
    day, clock, fraction, zulu, sign, hours, minutes = match.groups()
    seconds = _seconds(day, clock)
    if sign:
        if int(hours) > 15 or int(minutes or 0) > 59:
            raise ValueError(f"{value!a:.{SHOWN_MAX}} is further from UTC than any zone")
        offset = int(hours) * 3600 + int(minutes or 0) * 60
        seconds += offset if sign == "-" else -offset
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise ValueError(f"{value!a:.{SHOWN_MAX}} is not in this century")
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0")), zulu is not None or sign is not None


@lru_cache(maxsize=4096)
def _seconds(day: str, clock: str) -> int:
    try:
        return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC).timestamp())
    except ValueError as exc:
        raise ValueError(f"{day} {clock} is not in the calendar or not on the clock") from exc


def _text(value: object, characters_max: int) -> str:
    if type(value) is not str:
        raise ValueError(f"is {_kind(value)}, not text")
    if not value:
        raise ValueError("is empty")
    if len(value) > characters_max:
        raise ValueError(f"is longer than {characters_max} characters")
    return value


def _scaled(value: object) -> int:
    if type(value) is not NumberText:
        raise ValueError(f"is {_kind(value)}, not a number")
    match = _PLAIN.fullmatch(value)
    if match is not None:
        sign, whole, fraction = match.groups()
        scaled = int(whole + (fraction or "").ljust(4, "0"))
        return -scaled if sign else scaled
    return _scaled_slowly(value)


def _scaled_slowly(value: NumberText) -> int:
    """Take exponents, trailing zeros and the noise of binary floats; refuse what would really have to be rounded."""
    if len(value) > NUMBER_CHARACTERS_MAX:
        raise ValueError(f"{value[:SHOWN_MAX]}... has more than {NUMBER_CHARACTERS_MAX} characters")
    try:
        number = Decimal(value)
    except InvalidOperation as exc:
        raise ValueError(f"{value} is no number") from exc
    # Looked at before anything is computed: 1e999999999 as an integer would fill the memory.
    if number and not -40 <= number.adjusted() <= 12:
        raise ValueError(f"{value} is out of range")
    rounded = number.quantize(_E4)
    if abs(number - rounded) > NOISE_MAX:
        raise ValueError(f"{value} has more than 4 decimals")
    return int(rounded * 10_000)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, NumberText):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "an array" if isinstance(value, list) else "an object"

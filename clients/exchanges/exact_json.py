"""JSON of exchanges, strictly and exactly: numbers with a fraction become Decimal, and nothing ambiguous gets through."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

NUMBER_CHARACTERS_MAX: Final = 64
EXPONENT_MAX: Final = 64
"""Beyond it, one innocent-looking number could fill the memory as soon as somebody formats it."""

_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


class MalformedAnswer(ValueError):
    """The text is not what its sender promised. Says what and where, with at most a few characters of the text."""


def parse_json(body: bytes) -> Any:
    """Return the document with Decimal for every number that has a fraction or exponent.

    Refused with MalformedAnswer: invalid UTF-8, NaN and Infinity, a key twice in one object, numbers beyond any price, nesting beyond
    the interpreter's limit. The size is bounded by whoever read the body.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise MalformedAnswer(f"not UTF-8 at byte {exc.start}") from None
    except RecursionError:
        raise MalformedAnswer("nested too deeply") from None
    except MalformedAnswer:
        raise
    except ValueError as exc:
        raise MalformedAnswer(f"not JSON: {str(exc)[:80]}") from None


def to_decimal(value: object, name: str) -> Decimal:
    """Return a number of a document (text, int or Decimal) exactly; refuse everything else, naming the field."""
    if isinstance(value, bool):
        raise MalformedAnswer(f"`{name}` is not a number: {value}")
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= NUMBER_CHARACTERS_MAX and _NUMBER.fullmatch(value):
        return _bounded(Decimal(value))
    raise MalformedAnswer(f"`{name}` is not a number: {str(value)[:32]!r}")


def to_int(value: object, name: str) -> int:
    """Return a whole number of a document, also where it comes as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value, re.ASCII):
        return int(value)
    raise MalformedAnswer(f"`{name}` is not a whole number: {str(value)[:32]!r}")


def to_word(row: Mapping[str, Any], name: str) -> str:
    """Return a text that has to be there; raise MalformedAnswer naming the field."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedAnswer(f"`{name}` is missing")
    return value


def plain(value: Decimal) -> str:
    """Return the number as exchanges read it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _fraction(text: str) -> Decimal:
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise MalformedAnswer("a number has too many digits")
    return _bounded(Decimal(text))


def _whole(text: str) -> int:
    if len(text) > NUMBER_CHARACTERS_MAX:
        raise MalformedAnswer("a number has too many digits")
    return int(text)


def _bounded(value: Decimal) -> Decimal:
    if value and abs(value.adjusted()) > EXPONENT_MAX:
        raise MalformedAnswer("a number is beyond any price or quantity")
    return value


def _constant(text: str) -> Any:
    raise MalformedAnswer(f"{text} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise MalformedAnswer("a key stands twice in one object")
    return made


_DECODER: Final = json.JSONDecoder(
    parse_float=_fraction, parse_int=_whole, parse_constant=_constant, object_pairs_hook=_unique, strict=True
)

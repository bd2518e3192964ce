"""Fields of Bybit's rows. Everything is text, and an empty text means that the row does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_int

MILLISECOND_NS: Final = 1_000_000

Row = Mapping[str, Any]


def result_of(payload: Any) -> Row:
    """Return the `result` of an answer."""
    found = payload.get("result") if isinstance(payload, Mapping) else None
    if not isinstance(found, Mapping):
        raise MalformedAnswer("`result` is not an object")
    return found


def rows_of(payload: Any) -> Sequence[Row]:
    """Return the rows of an answer that is a list."""
    rows = result_of(payload).get("list")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise MalformedAnswer("`list` is not a list of rows")
    return rows


def row_about(payload: Any, exchange_symbol: str) -> Row:
    """Return the one row that is about an instrument."""
    found = [row for row in rows_of(payload) if row.get("symbol") == exchange_symbol]
    if len(found) != 1:
        raise MalformedAnswer(f"the answer has {len(found)} rows about {exchange_symbol}")
    return found[0]


def number(row: Row, name: str) -> Decimal | None:
    """Return a number; None where the row does not say. Empty is never zero."""
    value = row.get(name)
    return None if value is None or value == "" else to_decimal(value, name)


def positive(row: Row, name: str) -> Decimal | None:
    """Return a number; None where the row does not say, or says zero."""
    return number(row, name) or None


def word(row: Row, name: str) -> str:
    """Return a text; empty where the row does not say."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def time_ns(row: Row, name: str) -> int | None:
    """Return a time that stands there in milliseconds; None where the row does not say."""
    value = row.get(name)
    return None if value in (None, "", "0", 0) else to_int(value, name) * MILLISECOND_NS

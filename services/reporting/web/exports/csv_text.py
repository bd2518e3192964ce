"""CSV: one dialect for programs, which stays as it is, and one that a German spreadsheet opens with a double click."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeVar

from services.reporting.engine.figures import plain
from services.reporting.web.exports.columns import Column, Kind, Value, safe
from services.reporting.web.exports.periods import clock_times, local

__all__ = ["GERMAN", "MACHINE", "Dialect", "csv_header", "csv_lines"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class Dialect:
    """How values are spelt and put side by side."""

    separator: str
    point: str
    quotes: re.Pattern[str]
    """What a cell must not hold unquoted."""
    begins: str
    """What stands before the first line."""
    moment: Callable[[int], str]
    period: Callable[[str], str]


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, tz=UTC).isoformat().replace("+00:00", "Z")


MACHINE: Final = Dialect(",", ".", re.compile(r"""[,;\r\n '"]"""), "", _utc, lambda label: label)
"""Exact, UTC, the same everywhere."""

GERMAN: Final = Dialect(
    ";", ",", re.compile(r"""[;\r\n '"]"""), "\ufeff", lambda time_ns: local(time_ns).isoformat(), clock_times
)
"""Without the mark at the beginning a spreadsheet guesses the encoding, and `J\u00fcrgen` becomes something else. Times carry their
offset, which keeps a spreadsheet from changing them."""


def csv_header(columns: Sequence[Column[Row]], dialect: Dialect) -> str:
    """Return the first line, with what has to stand before it."""
    return dialect.begins + _line((column.name for column in columns), dialect)


def csv_lines(rows: Iterable[Row], columns: Sequence[Column[Row]], dialect: Dialect) -> str:
    """Return rows as lines; numbers are exact."""
    return "".join(
        _line((_spelt(column.value(row), column.kind, dialect) for column in columns), dialect) for row in rows
    )


def _spelt(value: Value, kind: Kind, dialect: Dialect) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value).replace(".", dialect.point)
    if isinstance(value, int):
        return dialect.moment(value) if kind is Kind.MOMENT else str(value)
    if kind is Kind.PERIOD:
        return dialect.period(value)
    return safe(value) if kind is Kind.TEXT else value


def _line(cells: Iterable[str], dialect: Dialect) -> str:
    return dialect.separator.join(_quoted(cell, dialect.quotes) for cell in cells) + "\r\n"


def _quoted(cell: str, quotes: re.Pattern[str]) -> str:
    return '"' + cell.replace('"', '""') + '"' if quotes.search(cell) else cell

"""Workbooks with real numbers and dates. Rows go to disk as they come: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from xlsxwriter import Workbook

from services.reporting.web.exports.columns import Column, Kind, Value, printable
from services.reporting.web.exports.periods import clock_times, local

__all__ = ["SHEET_ROWS_MAX", "Book"]

Row = TypeVar("Row")

SHEET_ROWS_MAX: Final = 1_048_575
"""Below the header: what a sheet of this format can hold. What is more goes on in another sheet."""
TEXT_MAX: Final = 32_767
"""Characters in a cell."""

_WIDTHS: Final = {
    Kind.TEXT: 24, Kind.WORD: 12, Kind.DAY: 12, Kind.PERIOD: 13, Kind.COUNT: 8, Kind.NUMBER: 14, Kind.MOMENT: 20,
}  # fmt: skip
_FORMATS: Final = {
    Kind.DAY: "yyyy-mm-dd",
    Kind.MOMENT: "yyyy-mm-dd hh:mm:ss",
    Kind.NUMBER: "#,##0.00##",
    Kind.COUNT: "0",
}


class Book(Generic[Row]):
    """A workbook being written. Texts are written as texts, whatever they begin with: none becomes a formula.

    Dates of this format know no zone: moments are the market's local time, and each has its offset from UTC in the column behind.
    Blocks; use it from a thread.
    """

    def __init__(
        self, path: Path, columns: Sequence[Column[Row]], *, name: str, sheet_rows_max: int = SHEET_ROWS_MAX
    ) -> None:
        self._columns = columns
        self._name = name
        self._sheet_rows_max = sheet_rows_max
        # The folder of the file is the caller's, who also clears away what lies beside it.
        self._book = Workbook(path, {"constant_memory": True, "tmpdir": str(path.parent), "strings_to_formulas": False})
        self._bold = self._book.add_format({"bold": True, "bottom": 1})
        self._formats = {kind: self._book.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
        self._sheets = 0
        self._at = 0
        self._sheet: Any = None
        self._next_sheet()

    def add(self, rows: Iterable[Row]) -> None:
        """Write rows behind those that are there."""
        for row in rows:
            if self._at > self._sheet_rows_max:
                self._next_sheet()
            at = 0
            for column in self._columns:
                at += self._write(at, column.value(row), column.kind)
            self._at += 1

    def close(self) -> None:
        """Finish the file."""
        # Of the last sheet the number of rows is known only now; of the others it is the most there can be.
        self._sheet.autofilter(0, 0, max(self._at - 1, 0), self._width - 1)
        self._book.close()

    def _next_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._book.add_worksheet(self._name if self._sheets == 1 else f"{self._name} {self._sheets}")
        self._sheet.freeze_panes(1, 0)
        at = 0
        for column in self._columns:
            self._sheet.set_column(at, at, _WIDTHS[column.kind])
            self._sheet.write_string(0, at, column.name, self._bold)
            at += 1
            if column.kind is Kind.MOMENT:
                self._sheet.write_string(0, at, f"{column.name}_utc_offset", self._bold)
                at += 1
        self._width = at
        self._at = 1

    def _write(self, at: int, value: Value, kind: Kind) -> int:
        """Write one value; return how many cells it takes."""
        sheet, row, shape = self._sheet, self._at, self._formats.get(kind)
        if kind is Kind.MOMENT:
            if isinstance(value, int):
                moment = local(value)
                sheet.write_datetime(row, at, moment.replace(tzinfo=None), shape)
                sheet.write_string(row, at + 1, moment.isoformat()[-6:])
            return 2
        if isinstance(value, (Decimal, int)):
            sheet.write_number(row, at, float(value), shape)
        elif isinstance(value, str) and kind is Kind.DAY:
            sheet.write_datetime(row, at, datetime.fromisoformat(value), shape)
        elif isinstance(value, str) and value:
            text = clock_times(value) if kind is Kind.PERIOD else printable(value)
            sheet.write_string(row, at, text[:TEXT_MAX])
        return 1

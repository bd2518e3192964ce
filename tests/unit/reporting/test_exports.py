"""Workbooks: what does not fit on a sheet is not lost; spellings that spreadsheets leave alone."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest

from services.reporting.web.exports.columns import Column, Kind
from services.reporting.web.exports.csv_text import GERMAN, MACHINE, csv_header, csv_lines
from services.reporting.web.exports.periods import clock_times
from services.reporting.web.exports.xlsx import SHEET_ROWS_MAX, Book

COLUMNS = (
    Column[str]("name", Kind.TEXT, lambda row: row),
    Column[str]("length", Kind.NUMBER, lambda row: Decimal(len(row))),
)


def test_what_a_sheet_cannot_hold_goes_on_in_the_next(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="no openpyxl (pip install -r tests/third_parties.txt)")
    book = Book(tmp_path / "book.xlsx", COLUMNS, name="Deals", sheet_rows_max=2)

    book.add(["a", "bb"])
    book.add(["=1+1", "dddd", "eeeee"])
    book.close()

    sheets = openpyxl.load_workbook(tmp_path / "book.xlsx").worksheets
    assert [sheet.title for sheet in sheets] == ["Deals", "Deals 2", "Deals 3"]
    assert [[*sheet.iter_rows(values_only=True)] for sheet in sheets] == [
        [("name", "length"), ("a", 1), ("bb", 2)],
        [("name", "length"), ("=1+1", 4), ("dddd", 4)],
        [("name", "length"), ("eeeee", 5)],
    ]
    assert SHEET_ROWS_MAX + 1 == 2**20, "the format's own bound"


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        book = Book(tmp_path / f"{rows}.xlsx", COLUMNS, name="Deals")
        for _ in range(rows // 100):
            book.add(["text"] * 100)
        book.close()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(10_000) < 1.5 * peak(1_000)


def test_the_dialects_differ_in_marks_only() -> None:
    rows = ["a,b", "c;d"]

    assert csv_header(COLUMNS, MACHINE) + csv_lines(rows, COLUMNS, MACHINE) == 'name,length\r\n"a,b",3\r\n"c;d",3\r\n'
    assert csv_header(COLUMNS, GERMAN) == "\ufeffname;length\r\n"
    assert csv_lines(["x"], (Column[str]("", Kind.NUMBER, lambda _: Decimal("-0.50")),), GERMAN) == "-0,5\r\n"


def test_periods_are_spelt_as_clock_times() -> None:
    assert [clock_times(label) for label in ("11-12", "23-24", "22:00-22:15")] == [
        "11:00-12:00", "23:00-24:00", "22:00-22:15",
    ]  # fmt: skip

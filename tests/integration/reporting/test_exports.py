"""Exports, read back by what people open them with: a CSV reader of either dialect, and a workbook reader."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from clients.database import writing
from tests.support.reporting_app import DeskApp
from tests.support.reporting_desk import Desk, MadeDeal, berlin_ns

openpyxl = pytest.importorskip("openpyxl", reason="no openpyxl (pip install -r tests/third_parties.txt)")

NOW_NS = berlin_ns("2025-10-09 10:53")
TODAY, TOMORROW = "2025-10-09", "2025-10-10"
SECOND_NS = 1_000_000_000
FORMULA = '=HYPERLINK("http://evil.example")'


@pytest.fixture
async def app(sqlite_desk: Desk) -> DeskApp:
    await sqlite_desk.add_deals(
        [
            MadeDeal("-1234.5", "0.3", "buy", TODAY, "11-12", "J\u00fcrgen", "1", NOW_NS, "clock-skew,late"),
            MadeDeal("10.25", "5", "sell", TODAY, "11-12", FORMULA, "-2", NOW_NS + SECOND_NS),
            MadeDeal("7", "1", "sell", TOMORROW, "01-02", "flex;trader,2", "3", NOW_NS + 2 * SECOND_NS),
        ]
    )
    await sqlite_desk.set_reference(TODAY, "11-12", "9.8", update_ns=NOW_NS - 60 * SECOND_NS)
    made = DeskApp(sqlite_desk, now_ns=NOW_NS)
    await made.model.look()
    return made


at = datetime.fromisoformat


def sheet_of(body: bytes) -> list[dict[str, Any]]:
    """The rows of a workbook's only sheet, by column."""
    book = openpyxl.load_workbook(io.BytesIO(body))
    assert len(book.worksheets) == 1
    header, *rows = book.worksheets[0].iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


async def test_csv_for_programs_is_exact_and_in_utc(app: DeskApp) -> None:
    got = await app.get(f"/deals.csv?day={TODAY}")

    newest, oldest = csv.DictReader(io.StringIO(got.text))
    assert list(oldest.items()) == [
        ("id", "1"), ("delivery_day", TODAY), ("delivery_hour", "11-12"), ("trader", "J\u00fcrgen"), ("direction", "buy"),
        ("price_eur_mwh", "-1234.5"), ("quantity_mw", "0.3"), ("executed", "2025-10-09T08:53:00Z"),
        ("received", "2025-10-09T08:53:00Z"), ("flags", "clock-skew late"),
        ("delivery_start", "2025-10-09T09:00:00Z"), ("delivery_end", "2025-10-09T10:00:00Z"),
        ("period_minutes", "60"), ("energy_mwh", "0.3"), ("market", ""), ("status", "active"), ("revision", "1"),
    ]  # fmt: skip
    assert (newest["id"], newest["trader"]) == ("'-2", "'" + FORMULA)
    assert got.headers["content-disposition"] == 'attachment; filename="deals_2025-10-09.csv"'


async def test_german_csv_opens_in_a_german_spreadsheet_with_a_double_click(app: DeskApp) -> None:
    got = await app.get("/deals.de.csv")

    assert got.body.startswith(b"\xef\xbb\xbf"), "without it the encoding is guessed"
    rows = list(csv.DictReader(io.StringIO(got.body.decode("utf-8-sig")), delimiter=";"))
    assert [row["trader"] for row in rows] == ["flex;trader,2", "'" + FORMULA, "J\u00fcrgen"]
    assert [row["price_eur_mwh"] for row in rows] == ["7", "10,25", "-1234,5"]
    assert [row["delivery_hour"] for row in rows] == ["01:00-02:00", "11:00-12:00", "11:00-12:00"]
    assert rows[0]["delivery_start"] == "2025-10-10T01:00:00+02:00"
    assert rows[0]["executed"] == "2025-10-09T10:53:02+02:00"
    for row in rows:
        for name, cell in row.items():
            # What a spreadsheet takes for a date: two short numbers with a mark between.
            assert not re.fullmatch(r"\d{1,2}[-/.]\d{1,2}", cell), name


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["3", "-2", "1"]),
        (f"?day={TODAY}", ["-2", "1"]),
        (f"?open={TODAY}.11-12", ["-2", "1"]),
        (f"?open={TODAY}.11-12&trader=J%C3%BCrgen", ["1"]),
        ("?trader=nobody", []),
    ],
    ids=["all", "day", "hour", "hour-and-trader", "nothing"],
)
async def test_every_format_holds_what_was_chosen(app: DeskApp, query: str, ids: list[str]) -> None:
    plain = csv.DictReader(io.StringIO((await app.get(f"/deals.csv{query}")).text))
    german = csv.DictReader(io.StringIO((await app.get(f"/deals.de.csv{query}")).text[1:]), delimiter=";")
    workbook = sheet_of((await app.get(f"/deals.xlsx{query}")).body)

    assert [row["id"].removeprefix("'") for row in plain] == ids
    assert [row["id"].removeprefix("'") for row in german] == ids
    assert [row["id"] for row in workbook] == ids


async def test_a_workbook_holds_numbers_dates_and_texts_that_are_no_formulas(app: DeskApp) -> None:
    got = await app.get(f"/deals.xlsx?day={TODAY}")

    book = openpyxl.load_workbook(io.BytesIO(got.body))
    sheet = book.worksheets[0]
    newest, oldest = sheet_of(got.body)
    assert oldest["price_eur_mwh"] == -1234.5
    assert oldest["delivery_day"] == at("2025-10-09")
    assert (oldest["delivery_start"], oldest["delivery_start_utc_offset"]) == (at("2025-10-09 11:00"), "+02:00")
    assert oldest["executed"] == at("2025-10-09 10:53")
    assert oldest["delivery_hour"] == "11:00-12:00"
    assert newest["trader"] == FORMULA
    assert {cell.data_type for row in sheet.iter_rows(min_row=2) for cell in row} <= {"n", "d", "s"}, "no formula"
    assert sheet.freeze_panes == "A2"
    assert got.headers["content-disposition"] == 'attachment; filename="deals_2025-10-09.xlsx"'


async def test_the_table_is_exported_in_every_format(app: DeskApp) -> None:
    (plain,) = csv.DictReader(io.StringIO((await app.get(f"/performance.csv?day={TODAY}")).text))
    german = (await app.get(f"/performance.de.csv?day={TODAY}")).body.decode("utf-8-sig")
    (workbook,) = sheet_of((await app.get(f"/performance.xlsx?day={TODAY}")).body)

    assert (plain["performance_eur"], plain["delivery_hour"]) == ("375.54", "11-12")
    assert next(csv.DictReader(io.StringIO(german), delimiter=";"))["performance_eur"] == "375,54"
    assert (workbook["performance_eur"], workbook["reference_state"]) == (375.54, "current")


async def test_a_head_is_answered_without_a_body(app: DeskApp) -> None:
    got = await app.get("/deals.xlsx", method="HEAD")

    assert (got.status, got.body) == (200, b"")


@pytest.mark.nightly
@pytest.mark.timeout(400)
async def test_a_workbook_holds_every_deal_however_many_there_are(app: DeskApp, sqlite_desk: Desk) -> None:
    deals = 200_500
    async with writing(sqlite_desk.engine) as connection:
        columns = [row.name for row in await connection.execute(text("PRAGMA table_info(deals)"))]
        made = ", ".join({"id": "'made-' || i", "position": "i"}.get(name, name) for name in columns)
        await connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1000 + :deals - 1) "
                f"INSERT INTO deals ({', '.join(columns)}) SELECT {made} FROM n, (SELECT * FROM deals WHERE position = 1)"
            ),
            {"deals": deals},
        )

    body = (await app.get(f"/deals.xlsx?day={TODAY}")).body

    # A reader of workbooks would take minutes for what a look at the text tells.
    sheet = zipfile.ZipFile(io.BytesIO(body)).read("xl/worksheets/sheet1.xml")
    ids = re.findall(rb'<c r="A\d+" t="inlineStr"><is><t>([^<]*)', sheet)
    assert len(ids) == len(set(ids)) == deals + 2, "what was made, and the two that were there"


async def test_an_hour_that_happens_twice_lasts_two_hours(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals([MadeDeal("1", "1", "sell", "2025-10-26", "02-03")])

    (row,) = sheet_of((await app.get("/deals.xlsx?day=2025-10-26")).body)

    assert row["delivery_end"] - row["delivery_start"] == timedelta(hours=1), "on the clock"
    assert (row["delivery_start_utc_offset"], row["delivery_end_utc_offset"]) == ("+02:00", "+01:00")


@pytest.mark.parametrize(
    "path", ["/deals.csv", "/deals.de.csv", "/deals.xlsx", "/performance.csv", "/performance.xlsx"]
)
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("dya=2025-10-09", "did you mean `day`?"),
        ("Trader=x", "did you mean `trader`?"),
        ("day=2025-10-09&day=2025-10-10", "`day` is given 2 times"),
        ("hours=al", "legal is `all`"),
        ("show=position", "legal is `positions`"),
    ],
)
async def test_what_is_misspelled_does_not_export_everything(app: DeskApp, path: str, query: str, says: str) -> None:
    got = await app.get(f"{path}?{query}")

    assert got.status == 400
    assert says in got.text

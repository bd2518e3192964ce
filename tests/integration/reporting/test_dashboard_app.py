"""The dashboard's answers: figures, states, caching, refusals."""

from __future__ import annotations

import asyncio
import csv
import io
import re

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from clients.database import DatabaseUnavailable, writing
from services.reporting.engine.snapshot import DeliveryDay
from tests.support.reporting_app import DeskApp
from tests.support.reporting_desk import Desk, MadeDeal, berlin_ns
from tests.support.reporting_page import row_cells, rows_of, seen_text

NOW_NS = berlin_ns("2025-10-09 10:53")
TODAY, TOMORROW = "2025-10-09", "2025-10-10"
SECOND_NS = 1_000_000_000
XSS = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


@pytest.fixture
async def app(sqlite_desk: Desk) -> DeskApp:
    return DeskApp(sqlite_desk, now_ns=NOW_NS)


async def filled(app: DeskApp, desk: Desk) -> None:
    await desk.add_deals(
        [
            MadeDeal("10.2", "5", "sell", TODAY, "15-16"),
            MadeDeal("5.7", "2", "sell", TODAY, "16-17", trader_id="flex_trader_2"),
            MadeDeal("120", "1", "sell", TODAY, "17-18"),
            MadeDeal("80", "1", "buy", TODAY, "17-18", trader_id="flex_trader_2"),
            MadeDeal("50", "1", "sell", TOMORROW, "08-09"),
        ]
    )
    for hour, value in (("15-16", "9.8"), ("16-17", "8.9"), ("17-18", "100")):
        await desk.set_reference(TODAY, hour, value, update_ns=NOW_NS - 60 * SECOND_NS)
    await app.model.look()


async def test_the_table_says_how_we_are_doing(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)

    html = (await app.get("/")).text

    headings = ["Delivery period", "Our average price per MWh", "Reference price", "How are we doing so far?"]
    assert re.findall(r'<th scope="col">([^<]*)<', html)[:4] == headings
    assert row_cells(html, f"{TODAY}.15-16") == [
        "15-16", "", "5.00", "-5.00", "10.20", "9.80 10:52:00", "+0.40 +2.00", "15:00",
    ]  # fmt: skip
    assert row_cells(html, f"{TODAY}.16-17") == [
        "16-17", "", "2.00", "-2.00", "5.70", "8.90 10:52:00", "-3.20 -6.40", "16:00",
    ]  # fmt: skip
    assert row_cells(html, f"{TOMORROW}.08-09") == [
        "08-09", "", "1.00", "-1.00", "50.00", "none yet", "\u2013", "08:00",
    ]  # fmt: skip
    assert 'class="verdict up"' in html
    assert 'class="verdict down"' in html


async def test_a_mixed_row_is_marked_and_explained_and_shows_both_sides(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)

    html = (await app.get("/")).text
    drill = (await app.get(f"/deals?open={TODAY}.17-18")).text

    assert row_cells(html, f"{TODAY}.17-18") == [
        "17-18 b+s", "1.00", "1.00", "0.00", "100.00", "100.00 10:52:00", "+20.00 +40.00", "17:00",
    ]  # fmt: skip
    assert "not average minus reference" in html
    assert "Sold 1.00 MWh at 120.00 +20.00 EUR Bought 1.00 MWh at 80.00 +20.00 EUR" in seen_text(drill)


async def test_a_trader_sees_only_their_own_deals(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)

    html = (await app.get("/?trader=flex_trader_2")).text

    assert re.findall(r'<tr id="row-([^"]*)"', html) == [f"{TODAY}.16-17", f"{TODAY}.17-18"]
    assert "No deals of flex_trader_2 for this day yet." in html


async def test_hours_without_deals_are_shown_when_asked_for(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)

    html = (await app.get("/?hours=all&past=shown")).text

    assert html.count('<tr id="row-') == 48
    assert row_cells(html, f"{TODAY}.03-04") == [
        "03-04", "", "", "\u2013", "\u2013", "no price", "\u2013", "closed",
    ]  # fmt: skip


@pytest.mark.parametrize(("day", "hours"), [("2025-03-30", 23), ("2025-10-26", 24)], ids=["spring", "autumn"])
async def test_days_that_change_the_clock_have_their_hours(
    app: DeskApp, sqlite_desk: Desk, day: str, hours: int
) -> None:
    await sqlite_desk.add_deals([MadeDeal("1", "1", "sell", "2025-10-26", "02-03")])
    await app.model.look()

    html = (await app.get(f"/?day={day}&hours=all")).text

    assert html.count('<tr id="row-') == hours
    assert ("both hours" in html) == (day == "2025-10-26")


async def test_totals_leave_hours_without_a_reference_out_and_say_so(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)

    html = (await app.get(f"/?day={TOMORROW}")).text

    assert rows_of(html)["day-line"][5] == "1 deal, 1 unpriced"
    assert "has no reference price yet are left out" in html


async def test_texts_of_others_never_become_markup(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals([MadeDeal("1", "1", "sell", TODAY, "15-16", trader_id=XSS, id=XSS, flags=XSS)])
    await app.model.look()

    for target in ("/", f"/board?open={TODAY}.15-16", f"/deals?open={TODAY}.15-16", "/?trader=%3Cscript%3Ealert(3)"):
        html = (await app.get(target)).text
        assert "<img src=x" not in html
        assert "<script>" not in html


@pytest.mark.parametrize(
    ("due_s", "trouble", "words"),
    [
        (240, "", "Next reference prices due by"),
        (-60, "", "The next reference prices are late"),
        (240, "the provider answers 503", "the provider answers 503"),
    ],
    ids=["due", "late", "down"],
)
async def test_the_page_says_when_the_next_price_is_due(
    app: DeskApp, sqlite_desk: Desk, due_s: int, trouble: str, words: str
) -> None:
    await sqlite_desk.set_status(next_due_ns=NOW_NS + due_s * SECOND_NS, last_answer_ns=NOW_NS, trouble=trouble)
    await app.model.look()

    assert words in (await app.get("/")).text


async def test_a_hole_in_the_feed_is_told(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_gap(NOW_NS - 100 * SECOND_NS, NOW_NS - 50 * SECOND_NS)
    await app.model.look()

    assert "deals of that time may be missing" in (await app.get("/")).text


async def test_an_unchanged_page_costs_nothing_to_ask_for_again(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    reads = app.reader.reads
    first = await app.get("/board?trader=flex_trader_1")

    again = await app.get("/board?trader=flex_trader_1", headers={"if-none-match": first.headers["etag"]})

    assert (again.status, again.body) == (304, b"")
    assert app.reader.reads == reads


async def test_a_change_of_what_is_shown_changes_the_tag(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    first = await app.get("/board")
    await sqlite_desk.add_deals([MadeDeal("99", "1", "sell", TODAY, "20-21")])
    await app.model.look()

    again = await app.get("/board", headers={"if-none-match": first.headers["etag"]})

    assert again.status == 200
    assert "20-21" in again.text


async def test_every_answer_carries_the_policy(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    targets = [
        "/",
        "/?show=positions",
        f"/history.json?open={TODAY}.15-16",
        "/deals.xlsx",
        "/deals.de.csv",
        "/performance.xlsx",
        "/board",
        f"/deals?open={TODAY}.15-16",
        "/chart.json",
        "/performance.csv",
        "/deals.csv",
        "/nowhere",
        "/?day=x",
    ]

    for target in targets:
        got = await app.get(target)
        assert "default-src 'none'" in got.headers["content-security-policy"], target
        assert "unsafe" not in got.headers["content-security-policy"]
        assert got.headers["x-content-type-options"] == "nosniff"
    assert (await app.get("/", method="POST")).status == 405
    assert (await app.get("/", headers={"host": "evil.example"})).status == 421
    assert (await app.get("/?day=x")).status == 400
    assert (await app.get("/nowhere")).status == 404
    assert (await app.get("/docs")).status == 404


async def test_pages_have_no_inline_code_and_no_foreign_address(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)

    html = (await app.get(f"/?open={TODAY}.15-16")).text

    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"\son\w+=|\sstyle=|<style|https?://", html)
    for path in re.findall(r'(?:src|href|data-worker)="(/assets/[^"]+)"', html):
        got = await app.get(path)
        assert got.status == 200
        assert "immutable" in got.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/assets/../app.py", "/assets/x/dashboard.js", "/assets/%2e%2e/app.py", "/assets/LICENSES/htmx.org.txt"]
)
async def test_assets_are_a_fixed_list(app: DeskApp, sqlite_desk: Desk, path: str) -> None:
    await filled(app, sqlite_desk)

    assert (await app.get(path)).status == 404


async def test_exports_hold_exact_figures_and_no_formulas(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    await sqlite_desk.add_deals([MadeDeal("-1.5", "1", "buy", TODAY, "15-16", trader_id='=HYPERLINK("x")', id="@1")])
    await app.model.look()

    performance = list(csv.DictReader(io.StringIO((await app.get(f"/performance.csv?day={TODAY}")).text)))
    deals = list(csv.DictReader(io.StringIO((await app.get(f"/deals.csv?open={TODAY}.15-16")).text)))

    assert performance[1]["performance_eur_mwh"] == "-3.2"
    assert performance[1]["reference_updated"] == "2025-10-09T08:52:00Z"
    assert [(row["id"], row["trader"], row["price_eur_mwh"]) for row in deals] == [
        ("'@1", "'=HYPERLINK(\"x\")", "-1.5"), ("0" * 31 + "1", "flex_trader_1", "10.2"),
    ]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.timeout(400)
async def test_an_export_holds_every_deal_however_many_there_are(app: DeskApp, sqlite_desk: Desk) -> None:
    deals = 200_500
    await filled(app, sqlite_desk)
    async with writing(sqlite_desk.engine) as connection:
        await connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1000 + :deals - 1) "
                "INSERT INTO deals (id, price_e4, quantity_e4, direction, delivery_day, delivery_hour, "
                "trader_id, execution_time_ns, received_time_ns, flags, position, raw_kind) "
                "SELECT 'made-' || i, price_e4, quantity_e4, direction, delivery_day, delivery_hour, "
                "trader_id, execution_time_ns, received_time_ns, flags, i, raw_kind FROM n, "
                "(SELECT * FROM deals WHERE position = 1)"
            ),
            {"deals": deals},
        )

    rows = (await app.get(f"/deals.csv?open={TODAY}.15-16")).text.splitlines()

    assert len(rows) == 1 + deals + 1, "the header, what was made, and the one that was there"
    assert len(set(rows)) == len(rows)


async def test_a_change_is_signalled_to_every_stream(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    async with app.events() as one, app.events() as two:
        for stream in (one, two):
            assert await stream.get() == "http.response.start"
            assert await stream.get() == f"retry: 1500\n\nevent: here\ndata: {NOW_NS // 1_000_000} 10000\n\n"
            assert (await stream.get()).startswith("event: changed\n")
        assert app.app.pages_open == 2

        await sqlite_desk.add_deals([MadeDeal("99", "1", "sell", TODAY, "20-21")])
        await app.model.look()

        for stream in (one, two):
            assert (await asyncio.wait_for(stream.get(), 5)).startswith("event: changed\n")
    assert app.app.pages_open == 0


async def test_quiet_stream_gives_signs_of_life_by_the_servers_clock(sqlite_desk: Desk) -> None:
    app = DeskApp(sqlite_desk, now_ns=NOW_NS, heartbeat_s=0.1)
    await filled(app, sqlite_desk)
    async with app.events() as stream:
        for _ in range(3):
            await stream.get()

        app.advance(60)

        assert await asyncio.wait_for(stream.get(), 5) == f"event: here\ndata: {NOW_NS // 1_000_000 + 60_000} 100\n\n"
        assert await asyncio.wait_for(stream.get(), 5) == f"event: here\ndata: {NOW_NS // 1_000_000 + 60_000} 100\n\n"


async def test_proxies_are_asked_not_to_keep_events_back(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    async with app.events() as stream:
        await stream.get()

    assert app.event_headers[b"x-accel-buffering"] == b"no"
    assert app.event_headers[b"cache-control"] == b"no-store"


async def test_streams_end_with_the_server(app: DeskApp, sqlite_desk: Desk) -> None:
    await filled(app, sqlite_desk)
    async with app.events() as stream:
        for _ in range(3):
            await stream.get()
        app.model.close()
        assert await asyncio.wait_for(stream.get(), 5) == ""


async def test_without_a_database_the_last_figures_are_shown_marked_then_no_longer(
    app: DeskApp, sqlite_desk: Desk
) -> None:
    await filled(app, sqlite_desk)

    async def away(days: object) -> None:
        raise DatabaseUnavailable(ConnectionRefusedError())

    app.reader.refresh = away  # type: ignore[assignment]
    app.advance(10)
    await app.model.look()
    marked = await app.get("/")
    app.advance(3_600)
    await app.model.look()
    gone = await app.get("/")

    assert "The database does not answer. Everything here is as it was at" in marked.text
    assert "+0.40" in marked.text
    assert gone.status == 503
    assert gone.headers["retry-after"] == "5"
    assert "+0.4" not in gone.text


async def test_before_the_first_read_the_page_says_so(app: DeskApp) -> None:
    got = await app.get("/")

    assert got.status == 503
    assert "the database has not answered yet" in got.text


async def test_a_past_day_says_of_an_outage_that_it_is_one_and_of_a_mistake_that_it_is_none(
    app: DeskApp, sqlite_desk: Desk
) -> None:
    await filled(app, sqlite_desk)
    load = app.reader.day

    async def away(day: str) -> DeliveryDay:
        raise DatabaseUnavailable(ConnectionRefusedError())

    app.model._past._load = away
    outage = await app.get("/?day=2025-10-01")
    app.model._past._load = load
    async with writing(sqlite_desk.engine) as connection:
        await connection.execute(text("ALTER TABLE deals RENAME COLUMN price_e4 TO price"))

    assert outage.status == 503
    assert "the database does not answer" in outage.text
    with pytest.raises(OperationalError, match="no such column"):
        await app.get("/?day=2025-10-02")

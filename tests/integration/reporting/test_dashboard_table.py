"""What the table, the drill-down, the charts and the notices say in each situation of a desk's day."""

from __future__ import annotations

import re

import orjson
import pytest
from sqlalchemy import insert, update

from clients.database import writing
from clients.power.store.schema import CANCELED, deals
from tests.support.reporting_app import DeskApp
from tests.support.reporting_desk import Desk, MadeDeal, berlin_ns, e4
from tests.support.reporting_page import row_cells, rows_of, seen_text

NOW_NS = berlin_ns("2025-10-09 10:53")
TODAY, TOMORROW = "2025-10-09", "2025-10-10"
SECOND_NS = 1_000_000_000


@pytest.fixture
async def app(sqlite_desk: Desk) -> DeskApp:
    return DeskApp(sqlite_desk, now_ns=NOW_NS)


async def revise(desk: Desk, position: int, *, price: str | None) -> None:
    """Correct the price of a deal, or cancel it, as the listener does."""
    async with writing(desk.engine) as connection:
        old = dict((await connection.execute(deals.select().where(deals.c.position == position))).one()._mapping)
        new = old | {"position": position + 100, "revision": int(old["revision"]) + 1}
        new |= {"status": CANCELED} if price is None else {"price_e4": e4(price)}
        replaced = {"superseded_by": new["position"], "superseded_time_ns": NOW_NS}
        await connection.execute(update(deals).where(deals.c.position == position).values(**replaced))
        await connection.execute(insert(deals), [new])


async def test_hours_that_are_over_are_one_line_until_it_is_opened(app: DeskApp, sqlite_desk: Desk) -> None:
    hours = ("07-08", "08-09", "09-10", "10-11", "15-16")
    await sqlite_desk.add_deals([MadeDeal("10", "2", "sell", TODAY, hour) for hour in hours])
    await sqlite_desk.set_reference(TODAY, "08-09", "9", update_ns=NOW_NS - 10_000 * SECOND_NS)
    await app.model.look()

    folded = (await app.get("/")).text
    opened = (await app.get("/?past=shown")).text

    assert rows_of(folded)["past-line"][0] == "\u25b8 07-10 3 hours over"
    assert rows_of(folded)["past-line"][2:7] == ["6.00", "-6.00", "10.00", "3 deals", "+1.00 +2.00"]
    assert re.findall(r'<tr id="row-[^"]*\.([^".]*)"', folded) == ["10-11", "15-16"]
    assert re.findall(r'<tr id="row-[^"]*\.([^".]*)"', opened) == list(hours)


async def test_now_stands_between_what_has_closed_and_what_is_traded_and_moves(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals([MadeDeal("10", "2", "sell", TODAY, hour) for hour in ("10-11", "11-12", "12-13")])
    await app.model.look()
    before = await app.get("/board")

    app.advance(8 * 60)
    await app.model.look()
    after = await app.get("/board", headers={"if-none-match": before.headers["etag"]})

    order = r'class="now"|<tr id="row-[^"]*\.([^".]*)"'
    assert re.findall(order, before.text) == ["10-11", "", "11-12", "12-13"]
    assert re.findall(order, after.text) == ["10-11", "11-12", "", "12-13"]
    assert "now 11:01:00 \u00b7 12-13 closes 12:00" in seen_text(after.text)


async def test_of_an_hour_that_has_closed_the_next_quarter_is_what_can_be_traded(
    app: DeskApp, sqlite_desk: Desk
) -> None:
    await sqlite_desk.add_deals(
        [
            MadeDeal("100", "2", "sell", TODAY, "10-11"),
            MadeDeal("80", "4", "buy", TODAY, "10:45-11:00"),
            MadeDeal("80", "4", "buy", TODAY, "11:15-11:30"),
        ]
    )
    app.advance(10 * 60)
    await app.model.look()

    html = (await app.get("/")).text

    assert "now 11:03:00 \u00b7 11:15-11:30 closes 11:15" in seen_text(html)
    assert row_cells(html, f"{TODAY}.11-12")[7] == "11:15"


async def test_quarters_stand_below_their_hour_whose_row_is_their_sum(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [
            MadeDeal("100", "2", "sell", TODAY, "15-16"),
            MadeDeal("80", "4", "buy", TODAY, "15:00-15:15"),
            MadeDeal("90", "4", "buy", TODAY, "15:15-15:30"),
        ]
    )
    await sqlite_desk.set_reference(TODAY, "15-16", "95", update_ns=NOW_NS - 60 * SECOND_NS)
    await sqlite_desk.set_reference(TODAY, "15:00-15:15", "85", update_ns=NOW_NS - 60 * SECOND_NS)
    await app.model.look()

    html = (await app.get("/")).text

    assert row_cells(html, f"{TODAY}.15-16")[1:5] == ["2.00", "2.00", "0.00", "92.50"]
    assert row_cells(html, f"{TODAY}.15-16")[6] == "+5.00 +20.00"
    assert row_cells(html, f"{TODAY}.15-16.hour")[:4] == ["whole hour", "", "2.00", "-2.00"]
    quarter = row_cells(html, f"{TODAY}.15:00-15:15")
    assert quarter[:4] == ["15:00-15:15 +2.00 MW", "1.00", "", "+1.00"], "the hour's MW flow in it, too"
    assert quarter[5].startswith("85.00")
    assert row_cells(html, f"{TODAY}.15:15-15:30")[5].startswith("95.00 hour's,")
    assert len(re.findall(r"<tr [^>]*\bhidden\b", html)) == 3
    assert 'aria-expanded="false"' in html
    for query in ("?quarters=all", f"?open={TODAY}.15:00-15:15"):
        unfolded = (await app.get(f"/{query}")).text
        assert not re.findall(r"<tr [^>]*\bhidden\b", unfolded)


async def test_an_hour_that_only_its_quarters_trade_does_not_deny_their_prices(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [MadeDeal("80", "4", "buy", TODAY, "15:00-15:15"), MadeDeal("80", "4", "buy", TODAY, "16:00-16:15")]
    )
    await sqlite_desk.set_reference(TODAY, "15:00-15:15", "85", update_ns=NOW_NS - 60 * SECOND_NS)
    await sqlite_desk.set_reference(TODAY, "16-17", "95", update_ns=NOW_NS - 60 * SECOND_NS)
    await app.model.look()

    html = (await app.get("/")).text

    assert row_cells(html, f"{TODAY}.15-16")[5:7] == ["by quarter", "+5.00 +5.00"]
    assert row_cells(html, f"{TODAY}.16-17")[5:7] == ["95.00 10:52:00", "+15.00 +15.00"]


async def test_the_state_of_a_price_is_said_in_words(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [MadeDeal("1", "1", "sell", TODAY, hour) for hour in ("09-10", "10-11", "15-16", "16-17", "17-18")]
    )
    for hour, age_s in (("09-10", 1_800), ("10-11", 1_800), ("15-16", 1_800), ("16-17", 60)):
        await sqlite_desk.set_reference(TODAY, hour, "5", update_ns=NOW_NS - age_s * SECOND_NS, final=hour == "09-10")
    await app.model.look()

    html = (await app.get("/?past=shown")).text
    drill = (await app.get(f"/deals?open={TODAY}.10-11")).text

    assert row_cells(html, f"{TODAY}.09-10")[5] == "5.00 final"
    assert row_cells(html, f"{TODAY}.10-11")[5] == "5.00 10:23 not final"
    assert row_cells(html, f"{TODAY}.15-16")[5] == "5.00 stale 10:23:00"
    assert row_cells(html, f"{TODAY}.16-17")[5] == "5.00 10:52:00"
    assert row_cells(html, f"{TODAY}.17-18")[5] == "none yet"
    assert "last seen 10:23, final not confirmed" in html
    assert "last seen 10:23, final not confirmed" in seen_text(drill)


async def test_corrected_and_canceled_deals_are_struck_through_and_say_so(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [
            MadeDeal("10", "1", "sell", TODAY, "15-16", id="a", market="EPEX"),
            MadeDeal("20", "1", "sell", TODAY, "15-16", id="b"),
            MadeDeal("30.1234", "1", "sell", TODAY, "15-16", id="c"),
        ]
    )
    await revise(sqlite_desk, 1, price="11")
    await revise(sqlite_desk, 2, price=None)
    await app.model.look()

    html = (await app.get("/")).text
    drill = (await app.get(f"/deals?open={TODAY}.15-16")).text

    assert row_cells(html, f"{TODAY}.15-16")[0].startswith("15-16 2 rev.")
    assert len(re.findall(r'<tr class="dead">', drill)) == 3, "the canceled one, and the revisions before"
    words = re.findall(r'<span class="tag[^"]*">([^<]*)</span>', drill)
    assert sorted(words) == [
        "canceled, revision 2", "corrected, revision 2", "superseded at 10:53:00", "superseded at 10:53:00",
    ]  # fmt: skip
    assert re.findall(r"<del><span[^>]*>([^<]*)", drill) == ["1.00", "20.00", "1.00", "20.00", "1.00", "10.00"]
    assert "30.1234" in drill, "with all digits"
    assert "EPEX" in drill


async def test_every_digit_can_be_reached_without_a_mouse(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [MadeDeal("10", "1", "sell", TODAY, "15-16"), MadeDeal("10.01", "2", "sell", TODAY, "15-16")]
    )
    await app.model.look()

    drill = (await app.get(f"/deals?open={TODAY}.15-16")).text

    assert "title=" not in drill + (await app.get("/")).text
    assert "<summary>All digits</summary>" in drill
    assert "Our average, EUR/MWh 10.00666667" in seen_text(drill)


async def test_positions_stand_by_period_and_trader(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [
            MadeDeal("10", "5", "sell", TODAY, "15-16", "one"),
            MadeDeal("10", "3", "buy", TODAY, "15-16", "two"),
            MadeDeal("10", "4", "buy", TODAY, "16:00-16:15", "two", market="EPEX"),
        ]
    )
    await app.model.look()

    rows = rows_of((await app.get("/?show=positions&quarters=all")).text)
    folded = rows_of((await app.get("/?show=positions")).text)
    epex = rows_of((await app.get("/?show=positions&market=EPEX")).text)

    assert rows[f"net-{TODAY}.15-16"] == ["15-16", "-2.00", "-5.00", "+3.00"]
    assert rows[f"net-{TODAY}.16-17"][1:] == ["+1.00", "\u2013", "+1.00"], "the sum of its quarters"
    assert rows[f"net-{TODAY}.16:00-16:15"] == ["16:00-16:15 +4.00 MW", "+1.00", "\u2013", "+1.00"]
    assert f"net-{TODAY}.16-17" in folded
    assert f"net-{TODAY}.16:00-16:15" not in folded
    assert f"net-{TODAY}.15-16" not in epex


async def test_any_day_is_one_step_away_and_its_deals_are_linked(app: DeskApp) -> None:
    await app.model.look()

    html = (await app.get("/?day=2025-03-01&trader=a&hours=all")).text

    assert '<input id="day" type="date" name="day" value="2025-03-01"' in html
    assert '<input type="hidden" name="trader" value="a">' in html
    assert 'id="day-before" class="step" href="/?trader=a&amp;day=2025-02-28&amp;hours=all"' in html
    assert 'id="day-now" class="chip" href="/?trader=a&amp;hours=all"' in html
    for ending in ("csv", "de.csv", "xlsx"):
        assert f'href="/deals.{ending}?trader=a&amp;day=2025-03-01&amp;hours=all"' in html


@pytest.mark.parametrize(
    ("standing", "sign", "notice"),
    [
        (None, "no deals listener", "No deals listener has run on this database yet"),
        ({"age_s": 120}, "listener away", "No sign of life from the deals listener"),
        ({"connected": 0, "trouble": "connection refused"}, "exchange not connected", "not connected to the exchange"),
        ({"silent_s": 300}, "no deals coming", "although the listener is connected"),
        ({"spooled": 12}, "live", "12 messages of the exchange wait"),
        ({"unusable_today": 13}, "live", "13 messages of the exchange could not be used today"),
        ({}, "live", ""),
    ],
    ids=["never", "away", "disconnected", "silent", "spooled", "unusable", "well"],
)
async def test_the_sign_says_live_only_while_deals_can_come(
    app: DeskApp, sqlite_desk: Desk, standing: dict[str, int | str] | None, sign: str, notice: str
) -> None:
    if standing is not None:
        values = dict(standing)
        age_s, silent_s = int(values.pop("age_s", 0)), int(values.pop("silent_s", 0))
        heard_ns = NOW_NS - (silent_s + 1) * SECOND_NS
        await sqlite_desk.set_listener(
            updated_ns=NOW_NS - age_s * SECOND_NS, **{"last_message_ns": heard_ns, "since_ns": heard_ns} | values
        )
    await app.model.look()

    html = (await app.get("/")).text

    (live, text) = re.findall(r'data-live="(\w+)" data-text="([^"]*)"', html)[0]
    assert (live, text) == ("yes" if sign == "live" else "no", sign)
    assert notice in seen_text(html)
    assert bool(re.search(r'class="notice', html)) == bool(notice)
    assert re.search(r'<div id="alerts"[^>]*role="alert"', html)


async def test_the_charts_hold_every_period_with_its_time(app: DeskApp, sqlite_desk: Desk) -> None:
    await sqlite_desk.add_deals(
        [
            MadeDeal("10.2", "5", "sell", TODAY, "15-16"),
            MadeDeal("7", "4", "buy", TODAY, "18:15-18:30"),
            MadeDeal("50", "1", "sell", TOMORROW, "08-09"),
        ]
    )
    await sqlite_desk.set_reference(TODAY, "15-16", "9.8", update_ns=NOW_NS - 600 * SECOND_NS)
    await sqlite_desk.set_reference(TODAY, "15-16", "9.9", update_ns=NOW_NS - 60 * SECOND_NS)
    await app.model.look()

    series = orjson.loads((await app.get("/chart.json")).body)
    history = orjson.loads((await app.get(f"/history.json?open={TODAY}.15-16")).body)

    at_15, at_1815 = (berlin_ns(f"{TODAY} {time}") // SECOND_NS for time in ("15:00", "18:15"))
    assert series["days"][0]["rows"] == [
        [at_15, at_15 + 3600, "15-16", "10.2", "9.9", "1.5"], [at_1815, at_1815 + 900, "18:15-18:30", "7", None, "1.5"],
    ]  # fmt: skip
    assert [row[2:] for row in series["days"][1]["rows"]] == [["08-09", "50", None, None]]
    assert [price for _, price in history["prices"]] == ["9.8", "9.9"]
    assert [deal[1:] for deal in history["deals"]] == [["10.2", "sell"]]
    assert (await app.get("/history.json")).status == 400

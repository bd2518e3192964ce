"""What a moment looks like: states of prices by table and clock, the listener's standing, alerts and when they are signalled."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from protos.reporting.v1 import reporting_pb2 as pb
from services.reporting.engine.alerts import AlertKind, AlertLimits
from services.reporting.engine.listener_standing import ListenerState
from services.reporting.engine.read_model import ReadModel, View
from services.reporting.engine.report import ReferenceState, Selection
from services.reporting.engine.snapshot import SnapshotReader
from services.reporting.messages import performance_message
from tests.support.reporting_desk import Desk, MadeDeal, berlin_ns

TODAY = "2026-11-29"
SECOND_NS = 10**9
NOW_NS = berlin_ns(f"{TODAY} 12:00")
HOUR_NS = 3_600 * SECOND_NS


class Moment:
    """A read model whose clock the test moves."""

    def __init__(self, desk: Desk, *, lead_ns: int = 0, limits: AlertLimits | None = None) -> None:
        self.now_ns = NOW_NS
        reader = SnapshotReader(desk.engine, wall_ns=lambda: self.now_ns, monotonic_ns=lambda: self.now_ns)
        self.model = ReadModel(
            reader,
            wall_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
            sleep=asyncio.sleep,
            lead_ns=lead_ns,
            limits=limits,
        )

    async def look(self, after_s: float = 0) -> View:
        self.now_ns += round(after_s * 1e9)
        await self.model.look()
        return self.model.view

    async def states(self, day: str = "") -> dict[str, ReferenceState]:
        _, report = await self.model.report(Selection(day=day))
        return {row.hour.label: row.state for found in report.days for row in found.rows}

    async def message(self, **chosen: str) -> pb.Performance:
        return performance_message(*await self.model.report(Selection(**chosen)))  # type: ignore[arg-type]


@pytest.fixture
async def priced(sqlite_desk: Desk) -> Desk:
    """Deals and prices of two closed hours, of which one is confirmed, and of one that is traded."""
    await sqlite_desk.add_deals(
        [MadeDeal("1", "1", "sell", TODAY, hour) for hour in ("09-10", "10-11", "15-16", "10:00-10:15")]
    )
    for hour in ("09-10", "10-11", "15-16"):
        await sqlite_desk.set_reference(TODAY, hour, "5", update_ns=NOW_NS - 60 * SECOND_NS)
    await sqlite_desk.confirm_reference(TODAY, "09-10")
    return sqlite_desk


async def test_a_closed_hour_is_final_only_where_the_table_says_so(priced: Desk) -> None:
    moment = Moment(priced)
    await moment.look()

    assert await moment.states() == {
        "09-10": ReferenceState.FINAL,
        "10-11": ReferenceState.CLOSED,
        "10:00-10:15": ReferenceState.CLOSED,
        "15-16": ReferenceState.CURRENT,
    }
    before = moment.model.view.revision
    await priced.confirm_reference(TODAY, "10-11")
    assert (await moment.look()).revision > before, "pages are told"
    assert (await moment.states())["10-11"] is ReferenceState.FINAL


async def test_a_past_day_is_judged_by_the_table_too(priced: Desk) -> None:
    moment = Moment(priced)
    await moment.look(5 * 24 * 3_600)

    assert await moment.states(TODAY) == {
        "09-10": ReferenceState.FINAL,
        "10-11": ReferenceState.CLOSED,
        "10:00-10:15": ReferenceState.CLOSED,
        "15-16": ReferenceState.CLOSED,
    }


async def test_an_hour_closes_earlier_by_the_lead(priced: Desk) -> None:
    moment = Moment(priced, lead_ns=4 * HOUR_NS)
    await moment.look()

    assert (await moment.states())["15-16"] is ReferenceState.CLOSED
    row = (await moment.message()).hours[-1]
    assert (row.delivery_hour, row.gate_closure_time_ns) == ("15-16", NOW_NS - HOUR_NS)
    assert (row.reference_state, row.reference_confirmed) == (pb.REFERENCE_STATE_CLOSED, False)


async def test_rows_carry_times_lengths_and_what_they_are_compared_with(priced: Desk) -> None:
    moment = Moment(priced)
    await moment.look()

    hour, quarter = (row for row in (await moment.message()).hours if row.delivery_hour.startswith("10"))

    assert (hour.period_minutes, quarter.period_minutes) == (60, 15)
    assert (hour.reference_of_hour, quarter.reference_of_hour) == (False, True)
    assert quarter.delivery_end_time_ns - quarter.delivery_start_time_ns == HOUR_NS // 4
    assert (quarter.net_energy, quarter.net_power, quarter.net_power_with_hour) == ("-0.25", "-1", "-2")
    assert (quarter.figures.sold, quarter.figures.performance) == ("0.25", "-1")
    assert (hour.cumulated_performance, quarter.cumulated_performance) == ("-8", "-9")


async def test_a_listener_that_falls_silent_or_goes_is_told_without_any_deal(sqlite_desk: Desk) -> None:
    moment = Moment(sqlite_desk)
    await sqlite_desk.set_listener(updated_ns=NOW_NS, since_ns=NOW_NS, last_message_ns=NOW_NS)
    first = await moment.look()
    for second in range(2, 61, 2):
        await sqlite_desk.set_listener(updated_ns=NOW_NS + second * SECOND_NS, since_ns=NOW_NS, last_message_ns=NOW_NS)
        quiet = await moment.look(2)
    silent = await moment.look(1)
    away = await moment.look(10)

    assert quiet.revision == first.revision, "signs of life alone are no news"
    assert [view.listener for view in (first, quiet, silent, away)] == [
        ListenerState.RECEIVING,
        ListenerState.RECEIVING,
        ListenerState.SILENT,
        ListenerState.AWAY,
    ]
    assert first.revision < silent.revision < away.revision
    assert [alert.kind for alert in away.alerts] == [AlertKind.SILENT_FEED]
    message = await moment.message()
    assert message.listener.state == pb.LISTENER_STATE_AWAY
    assert message.alerts[0].since_time_ns == NOW_NS + 60 * SECOND_NS


async def test_a_loss_limit_is_told_since_it_was_broken(priced: Desk) -> None:
    await priced.set_listener(updated_ns=NOW_NS, since_ns=NOW_NS)
    moment = Moment(priced, limits=AlertLimits(HOUR_NS, desk_loss=Decimal(13), trader_loss=Decimal(12)))

    first = await moment.look()
    later = await moment.look(1)

    assert [(alert.trader, alert.since_ns) for alert in later.alerts] == [("flex_trader_1", NOW_NS)]
    assert "13.00 EUR below zero; the limit is 12 EUR" in first.alerts[0].text
    assert later.revision == first.revision

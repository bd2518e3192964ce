"""The simulated market's hours against the product's, which they share nothing with."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from clients.power import calendar as product
from services.simulators import power_hours
from services.simulators.power_hours import NoSuchHour, hours_of_day, named_hour, open_hours
from tests.support.imports import ROOT, import_graph

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS

DAYS = pytest.mark.parametrize(
    ("day", "names", "true_hours"),
    [(date(2026, 6, 1), 24, 24), (date(2026, 3, 29), 23, 23), (date(2026, 10, 25), 24, 25)],
    ids=["24 hours", "23 hours", "25 hours"],
)


@DAYS
def test_both_calendars_count_the_same_hours(day: date, names: int, true_hours: int) -> None:
    hours = hours_of_day(day)

    starts_ns = {(one.day_text, one.label): tuple(at * SECOND_NS for at in one.starts_s) for one in hours}
    assert starts_ns == {(one.day_text, one.label): one.starts_ns for one in product.hours_of_day(day)}
    assert len(hours) == names
    assert sum(len(one.starts_s) for one in hours) == true_hours


def test_both_calendars_agree_on_every_day_of_thirty_years() -> None:
    day = date(2005, 1, 1)
    while day < date(2035, 1, 1):
        ours = [(one.hour, one.closes_ns()) for one in hours_of_day(day)]

        assert ours == [(one.hour, one.gate_closure_ns()) for one in product.hours_of_day(day)], day

        day += timedelta(days=1)


@DAYS
@pytest.mark.parametrize("lead_ns", [0, 300 * SECOND_NS])
def test_both_calendars_offer_the_same_hours_around_the_day(
    day: date, names: int, true_hours: int, lead_ns: int
) -> None:
    before_ns = product.hours_of_day(day)[0].start_ns - 12 * HOUR_NS
    for now_ns in range(before_ns, before_ns + 60 * HOUR_NS, HOUR_NS // 4):
        ours = [(one.day, one.hour) for one in open_hours(now_ns, lead_ns)]

        assert ours == [(one.day, one.hour) for one in product.tradable_hours(now_ns, lead_ns)], now_ns


@pytest.mark.parametrize(
    ("day", "label", "why"),
    [
        ("01.06.2026", "08-09", "is no day"),
        ("2026-6-1", "08-09", "is no day"),
        ("2026-02-30", "08-09", "is no day"),
        ("1999-12-31", "08-09", "2000 to 2099"),
        ("2026-06-01", "8-9", "write it like 08-09"),
        ("2026-06-01", "23-00", "write it like 08-09"),
        ("2026-03-29", "02-03", "skips it"),
    ],
)
def test_a_name_without_an_hour_is_refused_with_the_reason(day: str, label: str, why: str) -> None:
    with pytest.raises(NoSuchHour, match=why):
        named_hour(day, label)


def test_the_simulated_world_and_the_product_share_no_code_about_hours() -> None:
    graph = import_graph(ROOT, ("services", "clients"))
    simulated = {name for name in graph if name.startswith("services.simulators")}

    assert simulated >= {power_hours.__name__, "services.simulators.market_data.schedule"}
    for name in simulated:
        assert not [other for other in graph[name] if other.startswith("clients.power")], name
    assert graph[power_hours.__name__] == set()
    assert not [other for other in graph[product.__name__] if other.startswith("services")]


@DAYS
def test_both_calendars_know_the_same_quarters(day: date, names: int, true_hours: int) -> None:
    quarters = [replace(hour, minute=minute) for hour in hours_of_day(day) for minute in (0, 15, 30, 45)]

    ours = [(one.label, tuple(at * SECOND_NS for at in one.starts_s), one.closes_ns()) for one in quarters]
    assert ours == [(one.label, one.starts_ns, one.gate_closure_ns()) for one in product.quarters_of_day(day)]
    assert len(quarters) == 4 * names
    assert sum(len(one.starts_s) for one in quarters) == 4 * true_hours


def test_the_provider_prices_whole_hours() -> None:
    with pytest.raises(NoSuchHour, match="write it like 08-09"):
        named_hour("2026-06-01", "08:00-08:15")

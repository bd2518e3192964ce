"""Delivery hours: labels, true hours, what is tradable."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from clients.power.calendar import (
    BERLIN,
    HOUR_NS,
    DeliveryHour,
    InvalidDelivery,
    delivery_hour,
    hours_of_day,
    local_day,
    quarters_of_day,
    tradable_hours,
)

MARCH = date(2026, 3, 29)
OCTOBER = date(2026, 10, 25)


def ns(text: str) -> int:
    """Return an instant that is written as local time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()) * 1_000_000_000


@pytest.mark.quick
@pytest.mark.parametrize(
    ("day", "rows", "true_hours"),
    [(date(2026, 6, 1), 24, 24), (MARCH, 23, 23), (OCTOBER, 24, 25)],
    ids=["ordinary", "summer time begins", "summer time ends"],
)
def test_a_day_has_its_true_hours(day: date, rows: int, true_hours: int) -> None:
    hours = hours_of_day(day)

    starts = [start for hour in hours for start in hour.starts_ns]

    assert len(hours) == rows
    assert len(starts) == true_hours
    assert [later - earlier for earlier, later in pairwise(starts)] == [HOUR_NS] * (true_hours - 1)


def test_days_follow_each_other_without_a_hole_for_years() -> None:
    day, end_ns = date(2024, 1, 1), hours_of_day(date(2023, 12, 31))[-1].end_ns
    for _ in range(4 * 366):
        hours = hours_of_day(day)

        assert hours[0].start_ns == end_ns, day

        end_ns = hours[-1].end_ns
        day += timedelta(days=1)


def test_the_hour_that_happens_twice_is_one_row_and_says_so() -> None:
    hour = delivery_hour("2026-10-25", "02-03")

    assert hour.ambiguous
    assert hour.starts_ns == (1_792_886_400_000_000_000, 1_792_890_000_000_000_000)
    assert hour.end_ns == ns("2026-10-25T03:00")
    assert not delivery_hour("2026-10-25", "03-04").ambiguous


def test_the_hour_that_happens_twice_is_tradable_until_its_second_gate_closes() -> None:
    hour = delivery_hour("2026-10-25", "02-03")
    first_ns, second_ns = hour.starts_ns

    assert hour.tradable(first_ns)
    assert hour.tradable(second_ns - 1)
    assert not hour.tradable(second_ns)


@pytest.mark.parametrize("label", ["02-03"])
def test_the_hour_that_summer_time_skips_is_refused(label: str) -> None:
    with pytest.raises(InvalidDelivery, match="summer time begins and skips it"):
        delivery_hour("2026-03-29", label)


@pytest.mark.parametrize(
    ("text", "label"),
    [("00-01", "00-01"), ("23-24", "23-24"), ("8-9", "08-09"), (" 08 - 09 ", "08-09"), ("23-00", "23-24")],
)
def test_styles_of_hours_are_understood(text: str, label: str) -> None:
    assert delivery_hour("2026-06-01", text).label == label


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        ("2026-06-01", "24-25"),
        ("2026-06-01", "08-10"),
        ("2026-06-01", "09-08"),
        ("2026-06-01", "08"),
        ("2026-06-01", ""),
        ("2026-06-01", "٠٨-٠٩"),
        ("2026-06-31", "08-09"),
        ("2026-6-1", "08-09"),
        ("1999-12-31", "08-09"),
        ("2100-01-01", "08-09"),
        ("01.06.2026", "08-09"),
    ],
)
def test_what_is_no_hour_is_refused(day: str, hour: str) -> None:
    with pytest.raises(InvalidDelivery):
        delivery_hour(day, hour)


@pytest.mark.quick
def test_at_half_past_ten_the_next_full_hour_to_the_end_of_tomorrow_is_tradable() -> None:
    hours = tradable_hours(ns("2023-02-21T10:31"))

    assert (hours[0].day_text, hours[0].label) == ("2023-02-21", "11-12")
    assert (hours[-1].day_text, hours[-1].label) == ("2023-02-22", "23-24")
    assert len(hours) == 13 + 24


def test_an_hour_closes_at_the_instant_it_begins_and_earlier_by_its_lead() -> None:
    start_ns = delivery_hour("2023-02-21", "11-12").start_ns

    assert tradable_hours(start_ns - 1)[0].label == "11-12"
    assert tradable_hours(start_ns)[0].label == "12-13"
    assert tradable_hours(start_ns - 30 * 60 * 10**9, lead_ns=30 * 60 * 10**9)[0].label == "12-13"


@pytest.mark.parametrize(
    ("moment", "count"),
    [("2026-03-28T00:00", 23 + 23), ("2026-10-24T00:00", 23 + 24), ("2026-06-01T23:30", 24)],
    ids=["before the short day", "before the long day", "late in the evening"],
)
def test_tradable_hours_reach_into_odd_days(moment: str, count: int) -> None:
    assert len(tradable_hours(ns(moment))) == count


def test_the_local_day_is_the_markets_and_not_that_of_utc() -> None:
    late_ns = int(datetime(2026, 6, 1, 22, 30, tzinfo=UTC).timestamp()) * 10**9

    assert local_day(late_ns) == date(2026, 6, 2)


def test_hours_sort_by_day_and_hour() -> None:
    assert DeliveryHour(MARCH, 23) < DeliveryHour(OCTOBER, 0)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("22:00-22:15", "22:00-22:15"),
        ("22:15-22:30", "22:15-22:30"),
        (" 22:00 - 22:15 ", "22:00-22:15"),
        ("8:30-8:45", "08:30-08:45"),
        ("00:00-00:15", "00:00-00:15"),
        ("23:45-24:00", "23:45-24:00"),
        ("23:45-00:00", "23:45-24:00"),
        ("22:00-23:00", "22-23"),
        ("23:00-24:00", "23-24"),
    ],
)
def test_styles_of_quarters_are_understood(text: str, label: str) -> None:
    found = delivery_hour("2026-06-01", text)

    assert found.label == label
    assert delivery_hour("2026-06-01", found.label) == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("22:00-22:30", "half an hour"),
        ("22:30-23:00", "half an hour"),
        ("20:00-24:00", "a block of 4 hours"),
        ("08-20", "a block of 12 hours"),
        ("00-24", "a block of 24 hours"),
        ("22:05-22:20", "15 minutes"),
        ("22:15-23:15", "60 minutes"),
        ("22:00-22:05", "5 minutes"),
        ("22:15-22:00", "they are 00-01"),
        ("24:00-24:15", "they are 00-01"),
        ("23:45-24:15", "they are 00-01"),
        ("22:60-23:15", "they are 00-01"),
        ("22:00-22:15Z", "write it like"),
        ("22:00", "write it like"),
    ],
)
def test_what_is_neither_hour_nor_quarter_is_refused_by_its_name(text: str, reason: str) -> None:
    with pytest.raises(InvalidDelivery, match=reason):
        delivery_hour("2026-06-01", text)


@pytest.mark.parametrize(
    ("day", "rows", "true_quarters"),
    [(date(2026, 6, 1), 96, 96), (MARCH, 92, 92), (OCTOBER, 96, 100)],
    ids=["ordinary", "summer time begins", "summer time ends"],
)
def test_quarters_fill_a_day_without_hole_or_overlap(day: date, rows: int, true_quarters: int) -> None:
    quarters = quarters_of_day(day)
    starts = sorted(start for quarter in quarters for start in quarter.starts_ns)

    assert len(quarters) == rows
    assert len(starts) == true_quarters
    assert {later - earlier for earlier, later in pairwise(starts)} == {HOUR_NS // 4}
    assert starts[0] == hours_of_day(day)[0].start_ns
    assert starts[-1] + HOUR_NS // 4 == hours_of_day(day)[-1].end_ns


def test_quarters_of_the_hour_that_happens_twice_are_as_ambiguous_as_it_is() -> None:
    quarter = delivery_hour("2026-10-25", "02:45-03:00")
    hour = quarter.whole_hour

    assert quarter.ambiguous
    assert quarter.starts_ns == tuple(start + 3 * HOUR_NS // 4 for start in hour.starts_ns)
    assert quarter.end_ns == hour.end_ns
    with pytest.raises(InvalidDelivery, match="skips it"):
        delivery_hour("2026-03-29", "02:15-02:30")


def test_an_hour_comes_before_its_quarters_and_they_before_the_next_hour_by_value_and_by_name() -> None:
    periods = [DeliveryHour(MARCH, 22), *DeliveryHour(MARCH, 22).quarters, DeliveryHour(MARCH, 23)]

    assert sorted(periods) == periods
    assert sorted(period.label for period in periods) == [period.label for period in periods]

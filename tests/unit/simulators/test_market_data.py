"""The provider of reference prices, without a port: what it says at a moment, and how it counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from clients.power.calendar import DeliveryHour, delivery_hour, tradable_hours
from services.simulators.market_data import (
    Fault,
    ProviderAnswer,
    ProviderFaults,
    ReferencePriceProvider,
    RequestCount,
    ScheduleOptions,
)
from services.simulators.market_data.faults import FaultKind, parse_faults
from services.simulators.power_hours import MarketHour

SECOND_NS = 10**9
SLOT_NS = 600 * SECOND_NS
NOW_NS = int(datetime(2026, 6, 1, 8, 30, tzinfo=UTC).timestamp()) * SECOND_NS
HOUR = delivery_hour("2026-06-01", "15-16")


def provider(*faults: Fault, enforce: bool = False, **options: Any) -> ReferencePriceProvider:
    no_value = options.pop("no_value", "null")
    return ReferencePriceProvider(
        ScheduleOptions(**options),
        faults=ProviderFaults(faults),
        quota=RequestCount(enforce=enforce),
        no_value=no_value,
    )


def ask(source: ReferencePriceProvider, now_ns: int, hour: DeliveryHour = HOUR) -> ProviderAnswer:
    return source.answer({"delivery_day": hour.day_text, "delivery_hour": hour.label}, now_ns)


def stamp_ns(answer: ProviderAnswer) -> int:
    return int(datetime.fromisoformat(answer.body["last_update"]).timestamp()) * SECOND_NS


@pytest.mark.quick
def test_a_price_has_the_documented_fields() -> None:
    answer = ask(provider(), NOW_NS)

    assert answer.status == 200
    assert answer.body.keys() == {"delivery_day", "delivery_hour", "last_update", "unit", "value"}
    assert (answer.body["delivery_day"], answer.body["delivery_hour"]) == ("2026-06-01", "15-16")
    assert answer.body["unit"] == "euro/mwh"
    assert round(answer.body["value"], 2) == answer.body["value"]
    assert answer.body["last_update"].endswith("+00:00")


@pytest.mark.quick
def test_a_price_is_constant_for_ten_minutes_and_then_comes_up_to_thirty_seconds_late() -> None:
    source = provider()
    delays_s, changes = [], 0
    before = ask(source, NOW_NS).body
    for second in range(0, 4 * 3600, 2):
        now_ns = NOW_NS + second * SECOND_NS
        body = ask(source, now_ns).body
        if body["last_update"] != before["last_update"]:
            delays_s.append(stamp_ns(ProviderAnswer(200, body)) % SLOT_NS / 1e9)
            assert 0 <= now_ns - stamp_ns(ProviderAnswer(200, body)) <= 2 * SECOND_NS
            changes += 1
        else:
            assert body == before
        before = body

    assert changes in (23, 24, 25)
    assert all(0 <= delay_s <= 30 for delay_s in delays_s)
    assert len(set(delays_s)) > 10


def test_a_new_price_comes_for_all_remaining_hours_at_once() -> None:
    source = provider(first_value_max_s=0)

    stamps = {ask(source, NOW_NS, hour).body["last_update"] for hour in tradable_hours(NOW_NS)}

    assert len(stamps) == 1


@pytest.mark.parametrize(("scope", "least"), [("day", 2), ("hour", 10)])
def test_days_or_hours_may_have_schedules_of_their_own(scope: str, least: int) -> None:
    source = provider(scope=scope, first_value_max_s=0)

    stamps = {ask(source, NOW_NS, hour).body["last_update"] for hour in tradable_hours(NOW_NS)}

    assert least <= len(stamps) <= (2 if scope == "day" else 40)


def test_a_phase_moves_the_schedule_away_from_the_full_ten_minutes() -> None:
    source = provider(phase_s=200, delay_max_s=0)

    assert stamp_ns(ask(source, NOW_NS)) % SLOT_NS == 200 * SECOND_NS


def test_the_last_price_before_gate_closure_is_final() -> None:
    source = provider()
    final = ask(source, HOUR.gate_closure_ns() - 1).body

    assert stamp_ns(ProviderAnswer(200, final)) < HOUR.gate_closure_ns()
    assert ask(source, HOUR.gate_closure_ns() + 3 * 3600 * SECOND_NS).body == final


@pytest.mark.parametrize(
    ("no_value", "status", "body"),
    [
        ("null", 200, {"unit": "euro/mwh", "value": None, "last_update": None}),
        ("missing", 200, {"unit": "euro/mwh"}),
        ("404", 404, None),
    ],
)
def test_an_hour_without_any_deal_has_no_value(no_value: str, status: int, body: dict[str, object] | None) -> None:
    source = provider(no_value=no_value)
    tomorrow = delivery_hour("2026-06-02", "15-16")
    first_ns = source.schedule.first_deal_ns(MarketHour(tomorrow.day, tomorrow.hour))

    answer = ask(source, first_ns - 1, tomorrow)

    assert answer.status == status
    if body is None:
        assert "no deals yet" in answer.body["error_message"]
    else:
        assert answer.body == {"delivery_day": "2026-06-02", "delivery_hour": "15-16", **body}
    assert ask(source, first_ns + 2 * SLOT_NS, tomorrow).body["value"] is not None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing parameter: delivery_day, delivery_hour"),
        ({"delivery_day": "2026-06-01"}, "missing parameter: delivery_hour"),
        ({"delivery_day": "", "delivery_hour": "08-09"}, "missing parameter: delivery_day"),
        ({"delivery_day": "01.06.2026", "delivery_hour": "08-09"}, "is no day"),
        ({"delivery_day": "2026-06-01", "delivery_hour": "8-9"}, "write it like 08-09"),
        ({"delivery_day": "2026-06-01", "delivery_hour": "08-10"}, "no delivery hour"),
        ({"delivery_day": "2026-03-29", "delivery_hour": "02-03"}, "skips it"),
    ],
)
def test_what_is_malformed_is_refused_with_a_message(params: dict[str, str], message: str) -> None:
    answer = provider().answer(params, NOW_NS)

    assert answer.status == 400
    assert message in answer.body["error_message"]


def test_the_hour_that_happens_twice_has_one_price() -> None:
    hour = delivery_hour("2026-10-25", "02-03")

    assert ask(provider(), hour.starts_ns[1] - 1, hour).status == 200


@pytest.mark.quick
def test_the_quota_is_enforced_in_rolling_windows_with_a_hint() -> None:
    source = provider(enforce=True)
    start_ns = NOW_NS + 30 * SECOND_NS
    statuses = [ask(source, start_ns + number * SECOND_NS // 10).status for number in range(51)]

    refused = ask(source, start_ns + 10 * SECOND_NS)
    allowed = ask(source, start_ns + 60 * SECOND_NS)

    assert statuses == [200] * 50 + [429]
    assert refused.headers == {"Retry-After": "50"}
    assert allowed.status == 200
    assert source.quota.minute.rolling_peak == 50
    assert source.quota.refused == 2


def test_the_quota_is_enforced_over_the_hour() -> None:
    source = provider(enforce=True)
    for number in range(1_000):
        assert ask(source, NOW_NS + number * 2 * SECOND_NS).status == 200

    answer = ask(source, NOW_NS + 2_000 * SECOND_NS)

    assert answer.status == 429
    assert answer.headers == {"Retry-After": "1600"}
    assert source.quota.hour.rolling_peak == 1_000


def test_fixed_windows_are_counted_as_well() -> None:
    count = RequestCount(per_minute=3, per_hour=100)
    on_the_minute_ns = NOW_NS // (60 * SECOND_NS) * 60 * SECOND_NS
    for second in (0, 1, 2):
        count.admit(on_the_minute_ns + second * SECOND_NS)

    assert count.admit(on_the_minute_ns + 59 * SECOND_NS) == 1
    assert count.minute.fixed_peak == 3


def test_a_quota_that_is_not_enforced_still_tells_its_peaks() -> None:
    source = provider()
    for _ in range(70):
        assert ask(source, NOW_NS).status == 200

    assert (source.quota.minute.rolling_peak, source.quota.refused) == (70, 0)


def fault(kind: FaultKind, amount: float = 0.0, *, since_s: float = -3600, until_s: float = 3600) -> Fault:
    return Fault(kind, NOW_NS + round(since_s * 1e9), NOW_NS + round(until_s * 1e9), amount)


def test_a_provider_that_is_down_says_so_and_comes_back() -> None:
    source = provider(fault("down", since_s=0, until_s=10))

    assert [ask(source, NOW_NS + second * SECOND_NS).status for second in (-1, 0, 9, 10)] == [200, 503, 503, 200]


def test_a_slow_provider_takes_its_time() -> None:
    assert ask(provider(fault("slow", 7.5)), NOW_NS).delay_s == 7.5


def test_late_publications_come_later_by_their_amount() -> None:
    usual, late = provider(), provider(fault("late", 60))
    stamps = [stamp_ns(ask(source, NOW_NS + 300 * SECOND_NS)) for source in (usual, late)]

    assert stamps[1] - stamps[0] == 60 * SECOND_NS


def test_unchanged_publications_repeat_the_value_under_a_new_stamp() -> None:
    source = provider(fault("unchanged", since_s=-60, until_s=1200))
    before = ask(source, NOW_NS - 120 * SECOND_NS).body
    after = ask(source, NOW_NS + 300 * SECOND_NS).body

    assert after["value"] == before["value"]
    assert after["last_update"] > before["last_update"]


def test_missing_publications_leave_the_old_price() -> None:
    source = provider(fault("missing", since_s=-60, until_s=60))
    before = ask(source, NOW_NS - 120 * SECOND_NS).body

    assert ask(source, NOW_NS + 300 * SECOND_NS).body == before
    assert ask(source, NOW_NS + 900 * SECOND_NS).body != before


def test_stamps_out_of_order_alternate_with_right_ones() -> None:
    source = provider(fault("out_of_order"))

    stamps = [stamp_ns(ask(source, NOW_NS + 300 * SECOND_NS)) for _ in range(4)]

    assert stamps[0] == stamps[2] > stamps[1] == stamps[3]


def test_fault_plans_are_read() -> None:
    plan = parse_faults("down@10-20, slow@0-5:2.5", NOW_NS)

    assert plan.down(NOW_NS + 10 * SECOND_NS)
    assert not plan.down(NOW_NS + 20 * SECOND_NS)
    assert plan.slow_s(NOW_NS) == 2.5
    for wrong in ("explode@1-2", "down", "down@1", "down@x-2", "slow@1-2:x"):
        with pytest.raises(ValueError, match="must be kind@from-until"):
            parse_faults(wrong, NOW_NS)

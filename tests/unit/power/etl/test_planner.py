"""The order in which hours are asked for, and the pauses between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from clients.power.calendar import DeliveryHour, tradable_hours
from clients.power.reference.observation import Observation
from services.power.etl.planner import NONE_AGAIN_NS, PROBE_NS, Ask, Planner, Urgency, Wait
from services.power.etl.schedule import SECOND_NS, Schedule
from tests.support.reporting_desk import berlin_ns

NOW_NS = berlin_ns("2025-10-09 10:53")
FULL_NS = berlin_ns("2025-10-09 11:00")


class Desk:
    """A planner with a clock and a provider that answers at once."""

    def __init__(self, now_ns: int = NOW_NS, *, stamp_ns: int | None = NOW_NS - 160 * SECOND_NS) -> None:
        self.planner = Planner(Schedule())
        self.now_ns = now_ns
        self.stamp_ns = stamp_ns

    def next(self) -> Ask | Wait:
        return self.planner.next(self.now_ns, tradable_hours(self.now_ns))

    def answer(self, ask: Ask, stamp_ns: int | None) -> None:
        value = None if stamp_ns is None else 10_000
        self.planner.answered(Observation(ask.hour, value, "", stamp_ns, self.now_ns), asked_ns=self.now_ns)

    def drain(self) -> list[Ask]:
        """Ask and answer until there is nothing to do now."""
        asked: list[Ask] = []
        while isinstance(step := self.next(), Ask):
            asked.append(step)
            self.answer(step, self.stamp_ns)
            assert len(asked) < 500
        return asked


def hours(asked: Sequence[Ask]) -> list[DeliveryHour]:
    return [ask.hour for ask in asked]


def test_at_first_every_hour_is_asked_soonest_first() -> None:
    desk = Desk()

    asked = desk.drain()

    assert hours(asked) == list(tradable_hours(NOW_NS))
    assert len(asked) == 37


def test_a_late_publication_is_looked_for_at_half_the_rate() -> None:
    desk = Desk()
    desk.drain()
    probes: list[float] = []

    desk.now_ns = FULL_NS + 31 * SECOND_NS
    while desk.now_ns < FULL_NS + 90 * SECOND_NS:
        step = desk.next()
        if isinstance(step, Ask):
            probes.append((desk.now_ns - FULL_NS) / 1e9)
            desk.answer(step, desk.stamp_ns)
        else:
            desk.now_ns = step.until_ns

    # With 34 hours to fetch, the minute has room for sixteen of them.
    assert probes == [float(second) for second in range(31, 90, 4)]


def test_in_the_window_one_hour_is_probed_every_two_seconds() -> None:
    desk = Desk()
    desk.drain()
    probes: list[tuple[float, Ask]] = []

    desk.now_ns = FULL_NS
    while desk.now_ns < FULL_NS + 30 * SECOND_NS:
        step = desk.next()
        if isinstance(step, Ask):
            probes.append(((desk.now_ns - FULL_NS) / 1e9, step))
            desk.answer(step, desk.stamp_ns)
        else:
            desk.now_ns = step.until_ns

    assert [at for at, _ in probes] == list(range(0, 30, 2))
    assert {ask.urgency for _, ask in probes} == {Urgency.PROBE}
    assert len({ask.hour for _, ask in probes}) == 1


@pytest.mark.quick
def test_a_new_price_makes_all_others_due_today_first() -> None:
    desk = Desk()
    desk.drain()
    desk.now_ns, desk.stamp_ns = FULL_NS + PROBE_NS, FULL_NS + SECOND_NS

    asked = desk.drain()

    assert asked[0].urgency is Urgency.PROBE
    assert hours(asked) == sorted(tradable_hours(desk.now_ns))
    assert [ask.urgency for ask in asked[1:]] == sorted(ask.urgency for ask in asked[1:])


def test_an_old_stamp_is_no_news() -> None:
    desk = Desk()
    desk.drain()
    desk.now_ns, desk.stamp_ns = FULL_NS, NOW_NS - 3_600 * SECOND_NS

    assert len(desk.drain()) == 1


def test_what_the_quota_kept_back_stays_due() -> None:
    desk = Desk()
    first = desk.next()
    assert isinstance(first, Ask)
    desk.planner.failed(first.hour, desk.now_ns, sent=False)
    desk.planner.pause(desk.now_ns + SECOND_NS)

    waiting = desk.next()
    desk.now_ns += SECOND_NS

    assert waiting == Wait(NOW_NS + SECOND_NS)
    assert desk.next() == first


def test_an_hour_whose_answers_are_unusable_does_not_hold_up_the_others() -> None:
    desk = Desk()
    bad = tradable_hours(NOW_NS)[0]
    asked = 0
    while isinstance(step := desk.next(), Ask):
        if step.hour == bad:
            desk.planner.failed(step.hour, desk.now_ns, sent=True, own_fault=True)
        else:
            desk.answer(step, desk.stamp_ns)
        asked += 1

    desk.now_ns, desk.stamp_ns = FULL_NS, FULL_NS
    after = desk.drain()

    assert asked == 37
    assert bad not in hours(after[:1])
    assert set(hours(after)) >= set(tradable_hours(FULL_NS))


def test_hours_without_a_price_are_asked_after_each_publication_and_not_before() -> None:
    desk = Desk(stamp_ns=None)
    first = desk.next()
    assert isinstance(first, Ask)
    desk.answer(first, NOW_NS - 160 * SECOND_NS)
    others = desk.drain()
    desk.now_ns += NONE_AGAIN_NS
    quiet = desk.next()
    if isinstance(quiet, Ask):
        assert quiet.urgency is Urgency.PROBE
        desk.answer(quiet, NOW_NS - 160 * SECOND_NS)
    desk.now_ns, desk.stamp_ns = FULL_NS, FULL_NS

    asked = desk.drain()

    assert len(others) == 36
    assert len(asked) == len(tradable_hours(FULL_NS))


def test_while_nothing_has_a_price_hours_are_asked_now_and_then() -> None:
    desk = Desk(stamp_ns=None)
    desk.drain()

    step = desk.next()
    desk.now_ns += NONE_AGAIN_NS

    assert isinstance(step, Wait)
    assert len(desk.drain()) == 37


def test_a_closed_hour_is_asked_once_more() -> None:
    desk = Desk()
    closing = tradable_hours(NOW_NS)[0]
    desk.drain()
    desk.now_ns, desk.stamp_ns = FULL_NS + 5 * SECOND_NS, FULL_NS
    at_once = desk.drain()
    desk.now_ns = FULL_NS + 130 * SECOND_NS

    later = desk.drain()
    desk.now_ns += 100 * SECOND_NS

    assert closing not in hours(at_once)
    assert [(ask.hour, ask.urgency) for ask in later] == [(closing, Urgency.FINAL)]
    assert closing not in desk.planner.hours
    assert desk.drain() == []


def test_a_stuck_hour_does_not_speak_for_the_others_for_ever() -> None:
    desk = Desk()
    desk.drain()
    stuck = tradable_hours(FULL_NS)[0]
    asked: list[DeliveryHour] = []

    desk.now_ns = FULL_NS
    while desk.now_ns < FULL_NS + 120 * SECOND_NS:
        step = desk.next()
        if isinstance(step, Ask):
            asked.append(step.hour)
            desk.answer(step, desk.stamp_ns if step.hour == stuck else FULL_NS)
        else:
            desk.now_ns = step.until_ns

    assert set(asked) >= set(tradable_hours(FULL_NS))


def test_after_a_restart_known_hours_are_not_asked_again_before_the_next_publication() -> None:
    desk = Desk()
    for hour in tradable_hours(NOW_NS):
        desk.planner.restore(hour, NOW_NS - 160 * SECOND_NS)
    closed = DeliveryHour(tradable_hours(NOW_NS)[0].day, 9)
    desk.planner.restore(closed, NOW_NS - 3_600 * SECOND_NS)

    now = desk.drain()
    desk.now_ns += 125 * SECOND_NS
    later = desk.drain()

    assert all(ask.urgency is Urgency.PROBE for ask in now)
    assert len(now) <= 1
    assert [ask.hour for ask in later if ask.urgency is Urgency.FINAL] == [closed]


def test_the_next_price_is_due_at_the_end_of_its_window_and_late_after_it() -> None:
    desk = Desk()

    before = desk.planner.next_due_ns(NOW_NS)
    desk.drain()

    assert before == 0
    assert desk.planner.next_due_ns(NOW_NS) == FULL_NS + 30 * SECOND_NS
    assert desk.planner.next_due_ns(FULL_NS + 60 * SECOND_NS) == FULL_NS + 30 * SECOND_NS


@pytest.mark.parametrize("ahead_s", [121, 3_600, 24 * 365 * 3_600], ids=["two minutes", "an hour", "a year"])
def test_a_stamp_from_the_future_hides_no_later_price_and_teaches_nothing(ahead_s: int) -> None:
    desk = Desk()
    desk.drain()
    period_ns = desk.planner.schedule.period_ns
    hour = tradable_hours(NOW_NS)[0]

    def answer(update_ns: int) -> bool:
        return desk.planner.answered(Observation(hour, 10_000, "", update_ns, desk.now_ns), asked_ns=desk.now_ns)

    desk.now_ns += 600 * SECOND_NS
    assert answer(desk.now_ns + ahead_s * SECOND_NS)
    for _ in range(3):
        desk.now_ns += 600 * SECOND_NS
        assert answer(desk.now_ns - 10 * SECOND_NS)

    assert desk.planner.schedule.period_ns == period_ns
    assert desk.planner.next_due_ns(desk.now_ns) < desk.now_ns + 1_200 * SECOND_NS


def test_a_stamp_a_little_ahead_is_a_stamp() -> None:
    desk = Desk()
    desk.drain()
    hour = tradable_hours(NOW_NS)[0]

    desk.planner.answered(Observation(hour, 1, "", desk.now_ns + 119 * SECOND_NS, desk.now_ns), asked_ns=desk.now_ns)

    assert desk.planner.hours[hour] == desk.now_ns + 119 * SECOND_NS


@pytest.mark.parametrize("own_fault", [False, True], ids=["outage", "own fault"])
def test_a_closed_hour_is_asked_for_until_it_is_answered(own_fault: bool) -> None:
    desk = Desk(FULL_NS - 60 * SECOND_NS)
    desk.drain()
    hour = tradable_hours(desk.now_ns)[0]
    desk.now_ns = FULL_NS + 300 * SECOND_NS
    times: list[int] = []
    for _ in range(20_000):
        step = desk.next()
        if isinstance(step, Wait):
            desk.now_ns = step.until_ns
        elif step.hour == hour:
            times.append(desk.now_ns)
            desk.planner.failed(hour, desk.now_ns, sent=True, own_fault=own_fault)
        else:
            desk.answer(step, desk.now_ns - 10 * SECOND_NS)
        if len(times) == 20:
            break

    assert len(times) == 20
    pauses = [after - before for before, after in pairwise(times)]
    assert max(pauses[10:]) <= 330 * SECOND_NS
    assert min(pauses[10:]) >= 300 * SECOND_NS

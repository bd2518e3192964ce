"""Learning when prices are published."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from clients.power.calendar import delivery_hour
from clients.power.store.pace import WINDOW_NS, Pace
from services.power.etl.schedule import SECOND_NS, PublicationWindow, Schedule

HOUR = delivery_hour("2025-10-09", "15-16")
OTHER = delivery_hour("2025-10-10", "15-16")
START_S = 1_760_000_400
"""A full ten minutes."""


def taught(*stamps_s: float, hour: object = HOUR) -> Schedule:
    schedule = Schedule()
    before = None
    for stamp_s in stamps_s:
        schedule.learn(HOUR, round(stamp_s) * SECOND_NS, before_ns=before)
        before = round(stamp_s) * SECOND_NS
    return schedule


def in_seconds(window: PublicationWindow) -> tuple[float, float]:
    return (window.begin_ns / 1e9 - START_S, window.end_ns / 1e9 - START_S)


@pytest.mark.parametrize("phase_s", [0, 197, 300, 555])
def test_after_a_few_stamps_the_window_holds_every_publication_and_is_hardly_longer(phase_s: int) -> None:
    rng = random.Random(phase_s)
    stamps = [START_S + phase_s + 600 * number + rng.uniform(0, 30) for number in range(40)]

    schedule = taught(*stamps[:20])

    for before_s, next_s in pairwise(stamps[19:]):
        window = schedule.next_window(HOUR, round(before_s) * SECOND_NS)
        assert window.begin_ns - 2 * SECOND_NS <= next_s * 1e9 <= window.end_ns + 2 * SECOND_NS
        assert window.end_ns - window.begin_ns <= 1.5 * WINDOW_NS


@pytest.mark.parametrize("period_s", [5, 60, 300, 600, 900, 3_600])
def test_the_pace_is_learned(period_s: int) -> None:
    rng = random.Random(period_s)
    late_s = min(30.0, period_s / 10)

    schedule = taught(*(START_S + period_s * number + rng.uniform(0, late_s) for number in range(12)))

    assert schedule.period_ns == pytest.approx(period_s * SECOND_NS, rel=0.2)
    assert period_s < 60 or schedule.period_ns == period_s * SECOND_NS


def test_missing_publications_do_not_change_the_pace() -> None:
    schedule = taught(START_S, START_S + 600, START_S + 1_800, START_S + 2_400, START_S + 3_600)

    assert schedule.period_ns == 600 * SECOND_NS


def test_a_late_publication_among_others_does_not_move_the_window() -> None:
    stamps = [START_S + 600 * number + delay for number, delay in enumerate([5, 20, 90, 11, 29, 3])]

    window = taught(*stamps).next_window(HOUR, stamps[-1] * SECOND_NS)

    assert in_seconds(window) == (3_600, 3_630)


def test_after_a_late_publication_the_next_one_is_expected_in_time() -> None:
    stamps = [START_S + 5, START_S + 620, START_S + 1_217, START_S + 1_875]

    window = taught(*stamps).next_window(HOUR, stamps[-1] * SECOND_NS)

    assert in_seconds(window) == (2_400, 2_430)


def test_hours_that_publish_apart_have_windows_of_their_own() -> None:
    schedule = Schedule()
    for number in range(6):
        for hour, phase_s in ((HOUR, 0), (OTHER, 300)):
            stamp = (START_S + phase_s + 600 * number + 10 * (number % 3)) * SECOND_NS
            schedule.learn(hour, stamp, before_ns=None)

    first = schedule.next_window(HOUR, (START_S + 3_000) * SECOND_NS)
    second = schedule.next_window(OTHER, (START_S + 3_300) * SECOND_NS)

    assert in_seconds(first) == (3_600, 3_630)
    assert in_seconds(second) == (3_900, 3_930)


@pytest.mark.parametrize("ahead_s", [-20, 7, 20])
def test_a_clock_that_runs_apart_is_noticed(ahead_s: int) -> None:
    schedule = Schedule()
    for number in range(8):
        published_s = START_S + 600 * number + 3 * number
        stamp_ns = (published_s + ahead_s) * SECOND_NS
        schedule.learn_clock(
            stamp_ns, not_yet_ns=round((published_s - 1.5) * 1e9), seen_ns=round((published_s + 0.5) * 1e9)
        )

    assert schedule.clock_difference_ns == pytest.approx(-ahead_s * SECOND_NS, abs=2.5 * SECOND_NS)


def test_stamps_that_are_no_publication_times_are_no_clock() -> None:
    schedule = Schedule()
    for number in range(8):
        stamp_s = START_S + 600 * number
        published_s = stamp_s + 4 * number
        schedule.learn_clock(
            stamp_s * SECOND_NS, not_yet_ns=(published_s - 2) * SECOND_NS, seen_ns=published_s * SECOND_NS
        )

    assert schedule.clock_difference_ns == 0


def test_a_restart_remembers() -> None:
    schedule = taught(*(START_S + 600 * number + 197 + 7 * (number % 4) for number in range(10)))

    again = Schedule.from_json(schedule.to_json())

    stamp_ns = (START_S + 6_000 + 200) * SECOND_NS
    assert again.period_known
    assert again.next_window(HOUR, stamp_ns) == schedule.next_window(HOUR, stamp_ns)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", '{"stamps": 5}', '{"stamps": {"": ["x"]}}', '{"differences": [null]}']
)
def test_what_cannot_be_read_is_learned_again(text: str) -> None:
    assert not Schedule.from_json(text).period_known


def test_readers_of_the_row_learn_the_same_pace() -> None:
    saved = taught(*(START_S + 300 * number for number in range(12))).to_json()

    assert Pace.read(saved) == Pace(300 * SECOND_NS, WINDOW_NS)


def test_memory_is_bounded() -> None:
    schedule = Schedule()
    for number in range(3_000):
        hour = (
            delivery_hour(
                f"2025-{number % 12 + 1:02d}-{number % 28 + 1:02d}", f"{number % 24:02d}-{number % 24 + 1:02d}"
            )
            if number % 24 != 2
            else HOUR
        )
        schedule.learn(hour, (START_S + 600 * number) * SECOND_NS, before_ns=(START_S + 600 * (number - 1)) * SECOND_NS)

    assert len(schedule._seen) <= 256
    assert len(schedule.to_json()) < 100_000


@pytest.mark.parametrize(
    "stamps_s",
    [(0, 1_200), (0, 1_800), (0, 3_600), (0, 900), (0, 690), (0, 1_200, 2_400), (0, 900, 1_200)],
    ids=[
        "one missed",
        "two missed",
        "an hour",
        "five minutes late",
        "a minute late",
        "two in turn",
        "late, then in time",
    ],
)
def test_what_was_missed_or_late_in_the_beginning_is_not_the_pace(stamps_s: tuple[int, ...]) -> None:
    schedule = taught(*(START_S + stamp_s for stamp_s in stamps_s))

    assert schedule.period_ns == Pace().period_ns
    assert not schedule.period_known, "looks go on often until it is"
    window = schedule.next_window(HOUR, (START_S + stamps_s[-1]) * SECOND_NS)
    assert window.end_ns / 1e9 <= START_S + stamps_s[-1] + 600 + 30
    restored = Schedule.from_json(schedule.to_json())
    assert (restored.period_ns, restored.period_known) == (Pace().period_ns, False)


def test_one_missed_publication_counts_once_however_many_hours_tell_of_it() -> None:
    schedule = Schedule()
    for number in range(24):
        hour = delivery_hour("2025-10-09", f"{number:02d}-{number + 1:02d}")
        stamp_ns = (START_S + 20 * number) * SECOND_NS
        schedule.learn(hour, stamp_ns, before_ns=None)
        schedule.learn(hour, stamp_ns + 1_200 * SECOND_NS, before_ns=stamp_ns)

    assert schedule.period_ns == Pace().period_ns


@pytest.mark.parametrize("period_s", [300, 1_200, 3_600])
def test_another_pace_is_believed_after_three_distances_and_survives_a_restart(period_s: int) -> None:
    schedule = taught(*(START_S + period_s * number for number in range(4)))

    assert schedule.period_ns == period_s * SECOND_NS
    assert Schedule.from_json(schedule.to_json()).period_ns == period_s * SECOND_NS


def test_a_provider_that_comes_back_to_the_documented_pace_is_followed() -> None:
    stamps = [START_S + 1_200 * number for number in range(6)]
    stamps += [stamps[-1] + 600 * number for number in range(1, 4)]

    assert taught(*stamps).period_ns == 600 * SECOND_NS

"""Other paces than the gaps of the data, and what becomes of records that are late; in virtual time."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from fastpath.frame import BATCH_ROWS_MAX
from services.replay.engine.pace import AS_RECORDED, Pace
from services.replay.engine.time_debt import TimeDebtExceeded
from services.runtime.session.report import EngineState
from tests.support.engine import Row, Stage, rows_every
from tests.unit.replay.engine.test_engine_pacing import departures

US = 1_000
MS = 1_000_000
SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


def rows_at(*times_ns: int) -> list[Row]:
    return [Row(1_000 * HOUR_NS + time_ns, price=float(number)) for number, time_ns in enumerate(times_ns, 1)]


def rows_apart(*gaps_ns: int) -> list[Row]:
    return rows_at(*itertools.accumulate(gaps_ns, initial=0))


def play(stage: Stage) -> list[int]:
    began_ns = stage.clock.monotonic_ns()
    stage.play()
    return departures(stage, began_ns)


@pytest.mark.parametrize("speed", [0.01, 1.0, 100.0])
def test_a_gap_that_is_longer_than_the_cap_takes_only_the_cap(speed: float) -> None:
    rows = rows_apart(3 * SECOND_NS, HOUR_NS, 5 * SECOND_NS, 8 * HOUR_NS, 24 * HOUR_NS, 123_457)

    stage = Stage(rows, speed=speed, pace=Pace(gap_cap_ns=5 * SECOND_NS))
    stage.waiter.idle_max = 10_000

    left = play(stage)

    planned = itertools.accumulate((3, 5, 5, 5, 5, 0.000123457), initial=0.0)
    assert left == pytest.approx([second * SECOND_NS / speed for second in planned], abs=2)


def test_many_capped_gaps_at_once_leave_in_one_batch_and_the_clock_does_not_drift() -> None:
    random = Random(5)
    gaps = [random.choice((200, 40 * US, HOUR_NS)) for _ in range(5000)]
    rows, cap_ns = rows_apart(*gaps), 100 * US
    stage = Stage(rows, speed=1.0, pace=Pace(gap_cap_ns=cap_ns), rows_per_poll=50)

    left = play(stage)

    planned = list(itertools.accumulate((min(gap, cap_ns) for gap in gaps), initial=0))
    late = [at - plan for at, plan in zip(left, planned, strict=True)]
    assert 0 <= min(late) <= max(late) <= MS
    assert max(stage.publisher.batch_sizes) > 10


def test_a_pause_a_change_of_speed_and_a_seek_within_a_long_gap_do_not_make_it_longer_or_jump() -> None:
    rows = rows_apart(SECOND_NS, HOUR_NS, SECOND_NS)
    stage = Stage(rows, speed=1.0, pace=Pace(gap_cap_ns=10 * SECOND_NS))
    stage.at(3.0, lambda: stage.journal.add("pause"))
    stage.at(103.0, lambda: stage.journal.add("resume"))
    stage.at(105.0, lambda: stage.journal.add("speed", speed=2.0))

    left = play(stage)

    # Of the ten seconds behind 1 s: 2 before the pause, 2 behind it, 6 at twice the speed.
    assert left == [0, SECOND_NS, 108 * SECOND_NS, 108 * SECOND_NS + SECOND_NS // 2]


def test_a_seek_into_a_long_gap_waits_for_the_cap_at_most() -> None:
    rows = rows_apart(SECOND_NS, HOUR_NS, SECOND_NS)
    stage = Stage(rows, speed=1.0, pace=Pace(gap_cap_ns=10 * SECOND_NS))
    began_ns = stage.clock.monotonic_ns()
    stage.at(2.0, lambda: stage.journal.add("seek", to="time", at=rows[1].arrival_time_ns + 60 * SECOND_NS))

    queue = stage.play()

    assert queue.prices() == [1.0, 2.0, 3.0, 4.0]
    assert [at - began_ns for at in stage.publisher.published_at][-2:] == [12 * SECOND_NS, 13 * SECOND_NS]


@pytest.mark.parametrize(
    ("pace", "expected"),
    [
        (Pace(gap_cap_ns=10 * SECOND_NS), [0, 1, 11, 12]),
        (Pace(rate=0.1), [0, 10, 20, 30]),
        (Pace(delay_ns=10 * SECOND_NS), [0, 10, 20, 30]),
    ],
    ids=["gap cap", "rate", "delay"],
)
def test_a_scheduled_command_in_a_long_gap_comes_with_the_record_behind_it(pace: Pace, expected: list[int]) -> None:
    rows = rows_apart(SECOND_NS, HOUR_NS, SECOND_NS)
    stage = Stage(rows, speed=1.0, pace=pace)
    stage.journal.add("pause", when={"arrival_time_ns": rows[1].arrival_time_ns + HOUR_NS // 2})
    began_ns = stage.clock.monotonic_ns()
    paused: list[bool] = []
    for seconds in (expected[2] - 1, expected[2] + 1):
        stage.at(seconds, lambda: paused.append(stage.report.effective.paused))
    stage.at(100.0, lambda: stage.journal.add("resume"))

    queue = stage.play()

    assert queue.prices() == [1.0, 2.0, 3.0, 4.0]
    assert paused == [False, True]
    # What was waited for when it was paused has been waited for.
    left = [(at - began_ns) // SECOND_NS for at in stage.publisher.published_at]
    assert left == [*expected[:2], 100, 100 + expected[3] - expected[2]]


@pytest.mark.parametrize("rate", [3.0, 400.0])
def test_at_a_fixed_rate_record_n_leaves_n_periods_after_the_first(rate: float) -> None:
    rows = rows_apart(*(Random(3).choice((0, US, HOUR_NS)) for _ in range(1000)))

    left = play(Stage(rows, speed=1.0, pace=Pace(rate=rate)))

    late = [at - number * 1e9 / rate for number, at in enumerate(left)]
    assert -2 <= min(late) <= max(late) <= MS


def test_a_fast_rate_leaves_in_batches_and_the_speed_is_a_factor_of_it() -> None:
    stage = Stage(rows_every(HOUR_NS, 20_000), speed=2.0, pace=Pace(rate=100_000.0), rows_per_poll=3000)

    left = play(stage)

    late = [at - number * 5 * US for number, at in enumerate(left)]
    assert -1 <= min(late) <= max(late) <= MS
    assert max(stage.publisher.batch_sizes) <= BATCH_ROWS_MAX
    assert len(stage.publisher.batch_sizes) < 200


def test_a_fixed_rate_goes_on_where_a_pause_and_a_change_of_speed_left_it() -> None:
    stage = Stage(rows_every(HOUR_NS, 5), speed=1.0, pace=Pace(rate=0.1))
    stage.at(14.0, lambda: stage.journal.add("pause"))
    stage.at(100.0, lambda: stage.journal.add("resume"))
    stage.at(101.0, lambda: stage.journal.add("speed", speed=5.0))

    assert play(stage) == [at * SECOND_NS for at in (0, 10, 102, 104, 106)]


def test_a_fixed_delay_begins_when_the_record_before_has_left() -> None:
    rows = rows_apart(0, HOUR_NS, US, 0)
    stage = Stage(rows, speed=1.0, pace=Pace(delay_ns=10 * MS))
    stage.publisher.room = 1

    def wait_long() -> None:
        stage.clock.advance(1.0)
        stage.publisher.room = None

    stage.publisher.when_full = wait_long

    assert play(stage) == [0, 1010 * MS, 1020 * MS, 1030 * MS, 1040 * MS]


def test_a_fixed_delay_is_halved_at_twice_the_speed() -> None:
    assert play(Stage(rows_apart(0, HOUR_NS), speed=2.0, pace=Pace(delay_ns=10 * MS))) == [0, 5 * MS, 10 * MS]


def stalled(pace: Pace, stall_s: float, *, speed: float = 1.0) -> tuple[Stage, list[int]]:
    """Play a row per second, with a queue that has no room for a while behind the third."""
    stage = Stage(rows_every(SECOND_NS, 20), speed=speed, pace=pace)
    stage.publisher.room = 3

    def wait_long() -> None:
        stage.clock.advance(stall_s)
        stage.publisher.room = None

    stage.publisher.when_full = wait_long
    return stage, play(stage)


def test_stretch_moves_the_plan_by_the_debt_for_everything_behind_it() -> None:
    stage, left = stalled(Pace(debt="stretch"), 10.0)

    late_ns = 10 * SECOND_NS - 2 * MS  # two milliseconds are jitter, which is caught up with
    assert left[3] == 13 * SECOND_NS
    assert left[4:] == [number * SECOND_NS + late_ns for number in range(4, 20)]
    debt = stage.report.debt.report(stage.clock.monotonic_ns())
    assert (debt.stretched_ns, debt.behind_max_ns, debt.behind_ns) == (late_ns, 10 * SECOND_NS, 0)


def test_stretch_is_for_debts_alone_and_lets_jitter_be_caught_up_with() -> None:
    _, left = stalled(Pace(debt="stretch"), 0.0015)

    assert left[4:] == [number * SECOND_NS for number in range(4, 20)]


def test_catch_up_shows_the_debt_and_owes_nothing_in_the_end() -> None:
    stage, left = stalled(AS_RECORDED, 10.0)

    assert left[14:] == [number * SECOND_NS for number in range(14, 20)]
    debt = stage.report.debt.report(stage.clock.monotonic_ns())
    assert (debt.policy, debt.stretched_ns, debt.behind_max_ns, debt.behind_ns) == ("catch-up", 0, 10 * SECOND_NS, 0)


def test_fail_ends_the_session_and_says_how_far_behind_it_was() -> None:
    with pytest.raises(TimeDebtExceeded, match=r"10 s behind its clock, which may be 9 s.*speed 1;"):
        stalled(Pace(debt="fail", debt_limit_ns=9 * SECOND_NS), 10.0)


def test_fail_leaves_a_session_alone_that_is_less_behind() -> None:
    _, left = stalled(Pace(debt="fail", debt_limit_ns=10 * SECOND_NS), 10.0)

    assert len(left) == 20


def test_fail_is_told_while_the_queue_has_no_room() -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0, pace=Pace(debt="fail", debt_limit_ns=5 * SECOND_NS))
    stage.publisher.room = 3

    def wait() -> None:
        stage.clock.advance(1.0)
        # What the reporter's thread does.
        if stage.report.debt.exceeded(stage.clock.monotonic_ns()):
            stage.disturb()

    stage.publisher.when_full = wait

    with pytest.raises(TimeDebtExceeded, match="6 s behind"):
        stage.play()
    assert stage.report.state is EngineState.FAILED
    assert "MIDSTREAM_TIME_DEBT_LIMIT" in stage.report.error


def test_nothing_is_owed_while_the_session_is_paused_or_at_full_speed() -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0, pace=Pace(debt="fail"))
    owed: list[int] = []
    stage.at(2.5, lambda: stage.journal.add("pause"))
    stage.at(100.0, lambda: owed.append(stage.report.debt.behind_ns(stage.clock.monotonic_ns())))
    stage.at(101.0, lambda: stage.journal.add("speed", speed=0.0))
    stage.at(102.0, lambda: stage.journal.add("resume"))
    stage.at(200.0, lambda: owed.append(stage.report.debt.behind_ns(stage.clock.monotonic_ns())))

    queue = stage.play()

    assert len(queue.prices()) == 20
    assert owed == [0, 0]


PACES = {
    "recorded": AS_RECORDED,
    "gap cap": Pace(gap_cap_ns=MS),
    "rate": Pace(rate=777.0),
    "delay": Pace(delay_ns=MS),
    "stretch": Pace(debt="stretch"),
    "fail": Pace(debt="fail"),
}


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
def test_records_and_their_order_are_the_same_at_any_pace(pace: Pace) -> None:
    random = Random(11)
    rows = [
        Row(row.arrival_time_ns, price=row.price, reason="bad" if random.random() < 0.1 else "")
        for row in rows_apart(*(random.choice((0, US, MS, SECOND_NS)) for _ in range(700)))
    ]
    stage = Stage(rows, speed=50.0, pace=pace)
    for number in range(20):
        stage.at(0.01 + number * 0.02, lambda: stage.journal.add("pause"))
        stage.at(0.02 + number * 0.02, lambda: stage.journal.add("resume"))

    queue = stage.play()

    assert queue.prices() == [row.price for row in rows if not row.reason]
    assert stage.report.last_sequence == len(rows)


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
def test_a_restarted_engine_goes_on_at_its_pace(pace: Pace) -> None:
    rows = rows_every(10 * MS, 40)
    first = Stage(rows, speed=1.0, pace=pace)
    assert first.play_until_killed(15)

    second = Stage(rows, speed=1.0, pace=pace, queue=first.queue)
    second.play()

    assert first.queue.prices() == [float(number) for number in range(1, 41)]


def test_an_hour_of_replay_time_at_60x_ends_when_it_should_whatever_the_wall_clock_does() -> None:
    random = Random(60)
    rows, at_ns = [], 0
    while at_ns < HOUR_NS:
        rows.append(Row(1_000 * HOUR_NS + at_ns))
        at_ns += round(random.expovariate(1.0) * 2 * SECOND_NS)
    rows.append(Row(1_001 * HOUR_NS))
    stage = Stage(rows, speed=60.0)
    began_ns = stage.clock.monotonic_ns()
    waits = itertools.count()
    original = stage.waiter.wait_until

    def wait_until(deadline_ns: int) -> None:
        # Woken late each time, and the system's time is put right (or wrong) now and then.
        original(deadline_ns)
        stage.clock.advance_ns(random.randint(0, 60 * US))
        if next(waits) % 100 == 0:
            stage.clock.jump_wall_ns(random.choice((-1, 1)) * HOUR_NS)

    stage.waiter.wait_until = wait_until  # type: ignore[method-assign]

    stage.play()

    assert 0 <= stage.publisher.published_at[-1] - began_ns - 60 * SECOND_NS <= MS
    assert stage.report.report(0, 0).pacing.achieved_speed == pytest.approx(60.0, rel=1e-4)

"""When rows leave, in virtual time."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from fastpath.columns import BEFORE_EVERYTHING
from tests.support.engine import Row, Stage, rows_every

MS = 1_000_000
SECOND_NS = 1_000_000_000


def departures(stage: Stage, began_ns: int) -> list[int]:
    """Return when each row left, one entry per row."""
    times: list[int] = []
    for at, size in zip(stage.publisher.published_at, stage.publisher.batch_sizes, strict=True):
        times += [at - began_ns] * size
    return times


@pytest.mark.quick
@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0, 50.0])
def test_rare_rows_leave_exactly_when_they_are_due_without_drift(speed: float) -> None:
    rows = rows_every(10_000_000_007, 50)
    stage = Stage(rows, speed=speed)
    began_ns = stage.clock.monotonic_ns()

    stage.play()

    assert departures(stage, began_ns) == [round(index * 10_000_000_007 / speed) for index in range(50)]


def test_a_row_never_leaves_before_it_is_due_and_at_most_one_linger_after() -> None:
    random = Random(7)
    arrival, rows = 1_000 * SECOND_NS, []
    for _ in range(3000):
        arrival += round(random.expovariate(1 / (0.1 * MS)))
        rows.append(Row(arrival))
    stage = Stage(rows, speed=1.0)
    began_ns = stage.clock.monotonic_ns()

    stage.play()

    late = [
        at - (row.arrival_time_ns - rows[0].arrival_time_ns)
        for at, row in zip(departures(stage, began_ns), rows, strict=True)
    ]
    assert min(late) == 0
    assert max(late) <= 1 * MS
    assert len(stage.publisher.batch_sizes) < 1.3 * (rows[-1].arrival_time_ns - rows[0].arrival_time_ns) / MS


def test_rejections_in_front_of_everything_are_due_at_once_and_do_not_anchor() -> None:
    rows = [Row(BEFORE_EVERYTHING, reason="bad"), *rows_every(SECOND_NS, 2)]
    stage = Stage(rows, speed=1.0)
    began_ns = stage.clock.monotonic_ns()

    stage.play()

    assert departures(stage, began_ns) == [0, 0, SECOND_NS]
    assert stage.report.rejected == 1


def test_a_change_of_speed_does_not_make_data_time_jump() -> None:
    stage = Stage(rows_every(SECOND_NS, 4), speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.at(1.5, lambda: stage.journal.add("speed", speed=0.5))

    stage.play()

    assert departures(stage, began_ns) == [0, 1 * SECOND_NS, 2_500_000_000, 4_500_000_000]
    assert stage.report.effective.speed == 0.5


def test_full_speed_waits_for_nothing() -> None:
    stage = Stage(rows_every(3600 * SECOND_NS, 50), speed=0.0)
    began_ns = stage.clock.monotonic_ns()

    stage.play()

    assert set(departures(stage, began_ns)) == {0}


def test_from_full_speed_to_a_pace_the_next_row_is_the_anchor() -> None:
    stage = Stage(rows_every(SECOND_NS, 9000), speed=0.0, rows_per_poll=100)
    stage.publisher.room = 1

    def slow_down() -> None:
        stage.publisher.room = None
        stage.publisher.when_full = lambda: None
        stage.journal.add("speed", speed=1000.0)

    stage.publisher.when_full = slow_down

    queue = stage.play()

    assert queue.prices() == [float(number) for number in range(1, 9001)]
    paced = stage.publisher.published_at[2:]
    assert [later - earlier for earlier, later in itertools.pairwise(paced)][:5] == [MS] * 5


def test_after_backpressure_the_backlog_goes_out_in_order_and_the_pace_is_what_it_was() -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.publisher.room = 3

    def wait_long() -> None:
        stage.clock.advance(10.0)
        stage.publisher.room = None

    stage.publisher.when_full = wait_long

    queue = stage.play()

    assert queue.prices() == [float(number) for number in range(1, 21)]
    times = departures(stage, began_ns)
    assert times[:3] == [0, 1 * SECOND_NS, 2 * SECOND_NS]
    assert times[3:14] == [13 * SECOND_NS] * 11
    assert times[14:] == [number * SECOND_NS for number in range(14, 20)]


def test_the_queue_is_tended_while_nothing_is_due() -> None:
    stage = Stage(rows_every(60 * SECOND_NS, 2), speed=1.0)
    tended: list[int] = []
    original = stage.publisher.tend

    def tend() -> None:
        tended.append(stage.clock.monotonic_ns())
        original()

    stage.publisher.tend = tend  # type: ignore[method-assign]

    stage.play()

    assert max(later - earlier for earlier, later in itertools.pairwise(tended)) <= 500 * MS


def test_lateness_is_from_when_the_first_row_was_due_to_when_it_was_taken() -> None:
    stage = Stage(rows_every(SECOND_NS, 3), speed=1.0)
    stage.publisher.room = 1

    def wait_long() -> None:
        stage.clock.advance(2.0)
        stage.publisher.room = None

    stage.publisher.when_full = wait_long

    stage.play()

    late = stage.report.lateness.take()
    assert late is not None
    assert late.max_ns == 2 * SECOND_NS
    pacing = stage.report.report(0, 0).pacing
    assert (pacing.batches, pacing.late_batches, pacing.late_max_ns) == (3, 2, 2 * SECOND_NS)
    assert SECOND_NS <= pacing.late_p50_ns <= SECOND_NS * 9 // 8

"""Steps, ranges and scheduled commands: exact at any speed, and once whatever is killed when."""

from __future__ import annotations

import pytest

from fastpath.frame import MARKER_DISCONTINUITY, MODE_LIVE
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage, rows_every

SECOND_NS = 1_000_000_000
START_NS = 1_000_000_000_000
SPEEDS = [0.0, 1.0, 1000.0]


def at_s(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def moves(queue: FakeQueue) -> list[int]:
    """The replay times that were moved to."""
    return [marker.position_arrival_time_ns for marker in queue.markers() if marker.kind == MARKER_DISCONTINUITY]


# Steps


def stepping(rows: list[Row], **step: object) -> Stage:
    stage = Stage(rows, speed=1.0)
    stage.journal.add("step", **step)
    return stage


@pytest.mark.quick
def test_a_step_publishes_its_ticks_at_once_and_leaves_the_session_paused() -> None:
    stage = stepping(rows_every(SECOND_NS, 10), ticks=3)
    began_ns = stage.clock.monotonic_ns()

    queue = stage.play()

    assert queue.prices() == [1, 2, 3]
    assert stage.publisher.published_at[-1] == began_ns
    assert stage.report.state == "PAUSED"
    (effect,) = queue.effects
    assert (effect.steps, effect.sequence, effect.position_arrival_time_ns) == (3, 0, at_s(2))


def test_rejected_rows_are_no_steps_and_go_out_before_their_tick() -> None:
    rows = [Row(at_s(0), reason="bad"), Row(at_s(1), 1), Row(at_s(2), reason="bad"), Row(at_s(3), 2), Row(at_s(4), 3)]

    queue = stepping(rows, ticks=2).play()

    assert queue.prices() == [1, 2]
    assert queue.frames()[-1].last_sequence == 4


@pytest.mark.parametrize(("ticker", "played"), [("A", [1]), ("B", [1, 2, 3]), ("nobody", [1, 2, 3, 4])])
def test_a_step_goes_on_to_the_next_tick_of_a_ticker(ticker: str, played: list[float]) -> None:
    rows = [Row(at_s(number), number + 1, ticker=name) for number, name in enumerate("AABA")]

    queue = stepping(rows, ticker=ticker).play()

    assert queue.prices() == played
    assert queue.effects[0].steps == len(played)


def test_a_step_that_finds_fewer_ticks_says_how_many() -> None:
    queue = stepping(rows_every(SECOND_NS, 4), ticks=10).play()

    assert queue.prices() == [1, 2, 3, 4]
    assert queue.effects[0].steps == 4


def test_steps_one_after_the_other_play_everything_once() -> None:
    stage = Stage(rows_every(SECOND_NS, 20))
    for _ in range(25):
        stage.journal.add("step", ticks=1)

    queue = stage.play()

    assert queue.prices() == [float(price) for price in range(1, 21)]
    assert [effect.steps for effect in queue.effects] == [1] * 20 + [0] * 5
    assert [effect.sequence for effect in queue.effects[:20]] == list(range(20))


def test_a_kill_in_the_midst_of_a_step_steps_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.replay.engine.boundaries.STEP_ROWS_MAX", 3)
    rows = rows_every(SECOND_NS, 30)
    kills = 0
    for call in range(1, 100):
        queue = FakeQueue()
        stage = Stage(rows, queue=queue)
        stage.journal.add("step", ticks=10)
        if not stage.play_until_killed(call):
            break
        kills += 1
        Stage(rows, queue=queue).play()
        assert queue.prices() == [float(price) for price in range(1, 11)], f"killed at call {call}"
        assert [effect.steps for effect in queue.effects] == [10]
    assert kills > 5


def test_whoever_goes_on_ends_the_step() -> None:
    stage = Stage(rows_every(SECOND_NS, 6))
    stage.publisher.room = 0
    stage.journal.add("step", ticks=2)
    stage.at(1, lambda: None)

    def go_on() -> None:
        stage.journal.add("resume")
        stage.publisher.room = None

    stage.publisher.when_full = go_on

    queue = stage.play()

    assert queue.prices() == [1, 2, 3, 4, 5, 6]
    step, resume = queue.effects
    assert (step.intent is not None, resume.intent is not None) == (True, True)
    assert step.steps in (0, 2)


# Scheduled commands


@pytest.mark.quick
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("at_ns", [at_s(3), at_s(3) - 1, at_s(3) + 1, at_s(-5), at_s(50)], ids=str)
def test_a_pause_at_a_time_publishes_what_arrives_before_it_and_nothing_else(speed: float, at_ns: int) -> None:
    rows = [Row(at_s(number // 3), float(number)) for number in range(30)]
    stage = Stage(rows, speed=speed, rows_per_poll=30)
    stage.journal.add("pause", when={"arrival_time_ns": at_ns})

    queue = stage.play()

    expected = [row.price for row in rows if row.arrival_time_ns < at_ns]
    assert queue.prices() == expected
    assert stage.report.state == ("COMPLETED" if len(expected) == 30 else "PAUSED")


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("after", [0, 1, 7, 29])
def test_a_pause_after_a_sequence_is_exact(speed: float, after: int) -> None:
    stage = Stage(rows_every(SECOND_NS, 30), speed=speed, rows_per_poll=30)
    stage.journal.add("pause", when={"after_sequence": after})

    queue = stage.play()

    assert queue.prices() == [float(price) for price in range(1, after + 1)]
    assert stage.report.state == "PAUSED"
    assert queue.effects[-1].sequence == after


def test_a_command_between_two_records_happens_at_its_time() -> None:
    stage = Stage([Row(at_s(0), 1), Row(at_s(20), 2)], speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.journal.add("speed", speed=10.0, when={"arrival_time_ns": at_s(10)})

    stage.play()

    assert [round((at_ns - began_ns) / 1e9, 2) for at_ns in stage.publisher.published_at] == [0, 11]


def test_commands_of_one_place_happen_in_the_order_in_which_they_were_asked_for() -> None:
    stage = Stage(rows_every(SECOND_NS, 10))
    place = {"arrival_time_ns": at_s(5)}
    stage.journal.add("speed", speed=2.0, when=place)
    stage.journal.add("seek", to="time", at=at_s(1), when={"arrival_time_ns": at_s(7)})
    stage.journal.add("speed", speed=0.0, when=place)

    queue = stage.play()

    applied = [effect.revision for effect in queue.effects if not effect.scheduled]
    assert applied == [1, 3, 2]
    assert queue.prices() == [1, 2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert stage.report.scheduled == ()


def test_live_begins_when_history_reaches_its_end() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 3), feed=feed, speed=1.0)
    stage.journal.add("mode", mode=MODE_LIVE, when={"at_end": True})
    stage.at(5, lambda: feed.put(Row(9_000_000_000_000, 99.0)))

    queue = stage.play()

    assert queue.prices() == [1, 2, 3, 99]


@pytest.mark.parametrize(
    ("when", "reason"),
    [({"arrival_time_ns": at_s(1)}, "is over"), ({"after_sequence": 1}, "is published already")],
)
def test_a_place_that_is_over_is_refused(when: dict[str, int], reason: str) -> None:
    stage = Stage(rows_every(SECOND_NS, 5))
    stage.at(1, lambda: stage.journal.add("pause", when=when))

    queue = stage.play()

    assert reason in queue.effects[0].refused
    assert stage.report.scheduled == ()


def test_a_cancelled_command_does_not_happen() -> None:
    stage = Stage(rows_every(SECOND_NS, 5), speed=1.0)
    stage.journal.add("pause", when={"arrival_time_ns": at_s(2)})
    stage.journal.add("cancel", revision=1)
    stage.journal.add("cancel", revision=1)

    queue = stage.play()

    assert queue.prices() == [1, 2, 3, 4, 5]
    assert "no command with revision 1" in queue.effects[2].refused


def test_a_command_that_cannot_be_done_then_says_so_and_the_replay_goes_on() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 4), feed=feed, mode=MODE_LIVE)
    stage.journal.add("seek", to="begin", when={"after_sequence": 2})
    stage.at(1, lambda: feed.put(Row(1, 7.0), Row(2, 8.0), Row(3, 9.0)))

    queue = stage.play()

    assert queue.prices() == [7, 8, 9]
    assert [bool(effect.refused) for effect in queue.effects] == [False, True]


def test_a_kill_at_any_call_leaves_a_schedule_as_exact_as_it_was() -> None:
    rows = rows_every(SECOND_NS, 12)

    def script(queue: FakeQueue) -> Stage:
        stage = Stage(rows, queue=queue)
        if not queue.journal:
            stage.journal.add("seek", to="time", at=at_s(2), when={"arrival_time_ns": at_s(5)})
            stage.journal.add("pause", when={"after_sequence": 9})
        return stage

    undisturbed = script(FakeQueue()).play()
    assert undisturbed.prices() == [1, 2, 3, 4, 5, 3, 4, 5]
    kills = 0
    for call in range(1, 100):
        queue = FakeQueue()
        if not script(queue).play_until_killed(call):
            break
        kills += 1
        script(queue).play()
        assert queue.prices() == undisturbed.prices(), f"killed at call {call}"
        assert [effect.revision for effect in queue.effects if not effect.scheduled] == [1, 2]
    assert kills > 8


# Ranges


def set_range(stage: Stage, start: int | None, end: int | None, then: str = "stop") -> None:
    bounds = ("" if bound is None else str(bound) for bound in (start, end))
    stage.journal.add("range", range=f"{':'.join(bounds)}:{then}")


@pytest.mark.quick
@pytest.mark.parametrize("speed", SPEEDS)
def test_a_range_is_played_from_its_start_and_stops_before_its_end(speed: float) -> None:
    stage = Stage(rows_every(SECOND_NS, 10), speed=speed)
    set_range(stage, at_s(3), at_s(7))

    queue = stage.play()

    assert queue.prices() == [4, 5, 6, 7]
    assert moves(queue) == [at_s(3)]
    assert stage.report.state == "COMPLETED"


def test_a_wider_range_goes_on_where_the_narrow_one_stopped() -> None:
    stage = Stage(rows_every(SECOND_NS, 10))
    set_range(stage, None, at_s(4))
    stage.at(1, lambda: set_range(stage, None, None))

    queue = stage.play()

    assert queue.prices() == [float(price) for price in range(1, 11)]
    assert moves(queue) == []


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_a_loop_begins_again_and_says_so(speed: float) -> None:
    stage = Stage(rows_every(SECOND_NS, 10), speed=speed)
    set_range(stage, at_s(2), at_s(5), "loop")
    stage.journal.add("pause", when={"after_sequence": 10})

    queue = stage.play()

    assert queue.prices() == [3, 4, 5, 3, 4, 5, 3]
    assert moves(queue) == [at_s(2)] * 3


def test_a_loop_keeps_time_over_its_seam() -> None:
    stage = Stage(rows_every(SECOND_NS, 10), speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    set_range(stage, at_s(2), at_s(4), "loop")
    stage.at(4.5, stage.stop)

    stage.play()

    # A marker and a record at once, a record after a second, and again at the end of the range.
    assert [round((at_ns - began_ns) / 1e9) for at_ns in stage.publisher.published_at] == [0, 0, 1, 2, 2, 3, 4, 4]


def test_a_loop_of_everything_begins_again_at_the_end_of_the_files() -> None:
    stage = Stage(rows_every(SECOND_NS, 3))
    set_range(stage, None, None, "loop")
    stage.journal.add("pause", when={"after_sequence": 9})

    assert stage.play().prices() == [1, 2, 3, 1, 2, 3, 1]


def test_a_loop_with_nothing_in_it_ends() -> None:
    stage = Stage(rows_every(SECOND_NS, 10))
    set_range(stage, at_s(4) + 1, at_s(5), "loop")

    queue = stage.play()

    assert queue.prices() == []
    assert stage.report.state == "COMPLETED"
    assert len(moves(queue)) <= 2


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    stage = Stage(rows_every(SECOND_NS, 3))
    set_range(stage, at_s(2), at_s(1))

    queue = stage.play()

    assert "ends before it begins" in queue.effects[0].refused
    assert queue.prices() == [1, 2, 3]


def test_the_end_of_a_range_is_an_end_for_what_waits_for_it() -> None:
    stage = Stage(rows_every(SECOND_NS, 10))
    set_range(stage, None, at_s(4))
    stage.journal.add("seek", to="begin", when={"at_end": True})

    assert stage.play().prices() == [1, 2, 3, 4, 1, 2, 3, 4]

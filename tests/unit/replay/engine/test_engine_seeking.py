"""Moving replay time: where the session goes on, what is told in-band, and what a kill leaves behind."""

from __future__ import annotations

from random import Random

import pytest

from fastpath.frame import MARKER_DISCONTINUITY, MARKER_GAP, MODE_LIVE
from fastpath.quotes import read_quotes
from services.runtime.session.announcement import SinkPosition
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage, rows_every

SECOND_NS = 1_000_000_000
START_NS = 1_000_000_000_000


def at_s(seconds: float) -> int:
    return START_NS + round(seconds * SECOND_NS)


def prices_by_segment(queue: FakeQueue) -> list[list[float]]:
    """The prices between discontinuities."""
    segments: list[list[float]] = [[]]
    for frame in queue.frames():
        if any(marker.kind == MARKER_DISCONTINUITY for marker in frame.markers):
            assert frame.tick_count == 0
            segments.append([])
        segments[-1] += [tick[4] for tick in frame.ticks()]
    return segments


def sequences(queue: FakeQueue) -> list[int]:
    return [number for frame in queue.frames() for number in range(frame.first_sequence, frame.last_sequence + 1)]


def paused_at_start(rows: list[Row], **options: object) -> Stage:
    queue = FakeQueue()
    stage = Stage(rows, queue=queue, **options)  # type: ignore[arg-type]
    stage.journal.add("pause")
    return stage


@pytest.mark.quick
def test_a_time_puts_the_position_before_the_first_record_that_arrives_then() -> None:
    stage = paused_at_start(rows_every(SECOND_NS, 10))
    stage.journal.add("seek", to="time", at=at_s(4))
    stage.at(1, lambda: stage.journal.add("resume"))

    queue = stage.play()

    assert prices_by_segment(queue) == [[], [5, 6, 7, 8, 9, 10]]
    (marker,) = queue.markers()
    assert (marker.kind, marker.revision, marker.sequence) == (MARKER_DISCONTINUITY, 2, 1)
    assert (marker.last_key, marker.first_key) == (None, (at_s(4), 0, 6))
    assert marker.position_arrival_time_ns == at_s(4)
    assert sequences(queue) == [1, *range(2, 8)]
    assert stage.report.state == "COMPLETED"


@pytest.mark.quick
def test_the_state_is_the_last_quote_per_ticker_as_it_had_arrived() -> None:
    rows = [
        Row(at_s(0), 1, ticker="B"),
        Row(at_s(1), 2, ticker="A"),
        Row(at_s(1), 3, ticker="B"),
        Row(at_s(2), reason="broken"),
        Row(at_s(3), 4, ticker="A"),
        Row(at_s(3), 5, ticker="C"),
    ]
    stage = paused_at_start(rows)
    stage.journal.add("seek", to="time", at=at_s(3))

    (marker,) = stage.play().markers()

    assert [(quote.ticker, quote.bid_price) for quote in read_quotes(marker.state)] == [("A", 2), ("B", 3)]
    assert read_quotes(marker.state)[0].arrival_time_ns == at_s(1)


@pytest.mark.parametrize(
    ("seek", "following"),
    [
        ({"to": "begin"}, 1),
        ({"to": "end"}, 11),
        ({"to": "time", "at": at_s(-100)}, 1),
        ({"to": "time", "at": at_s(3.5)}, 5),
        ({"to": "time", "at": at_s(100)}, 11),
        ({"to": "by", "at": -2 * SECOND_NS}, 3),
        ({"to": "by", "at": 3 * SECOND_NS}, 8),
        ({"to": "by", "at": 0}, 5),
        ({"to": "sequence", "at": 1}, 1),
        ({"to": "sequence", "at": 5}, 5),
        ({"to": "key", "key": [at_s(6), 0, 8]}, 8),
    ],
    ids=str,
)
def test_every_kind_of_place_is_found_while_paused(seek: dict[str, object], following: int) -> None:
    stage = Stage(rows_every(SECOND_NS, 10), speed=1.0)
    stage.at(4.5, lambda: stage.journal.add("pause"))
    stage.at(5, lambda: stage.journal.add("seek", **seek))
    stage.at(6, lambda: stage.journal.add("resume"))

    queue = stage.play()

    before, after = prices_by_segment(queue)
    # Half a second of replay time had passed behind the fifth record.
    shift = 1 if seek["to"] == "by" else 0
    assert before == [1, 2, 3, 4, 5]
    assert after == [float(price) for price in range(following + shift, 11)]


def test_a_seek_takes_effect_while_complete_and_the_rest_is_played_again() -> None:
    stage = Stage(rows_every(SECOND_NS, 5))
    stage.at(3, lambda: stage.journal.add("seek", to="time", at=at_s(3)))

    queue = stage.play()

    assert prices_by_segment(queue) == [[1, 2, 3, 4, 5], [4, 5]]
    assert stage.report.state == "COMPLETED"
    assert queue.markers()[0].last_key == (at_s(4), 0, 6)


def test_pacing_goes_on_from_the_time_that_was_sought() -> None:
    stage = Stage(rows_every(10 * SECOND_NS, 10), speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.at(1, lambda: stage.journal.add("seek", to="time", at=at_s(47)))
    stage.at(30, stage.stop)

    queue = stage.play()

    assert prices_by_segment(queue) == [[1], [6, 7, 8]]
    assert [round((at_ns - began_ns) / 1e9, 1) for at_ns in stage.publisher.published_at] == [0, 1, 4, 14, 24]


def test_nothing_that_was_read_ahead_is_played_after_a_seek() -> None:
    stage = Stage(rows_every(SECOND_NS, 100), speed=1.0, rows_per_poll=50)
    stage.at(2.5, lambda: stage.journal.add("seek", to="time", at=at_s(98)))

    assert prices_by_segment(stage.play()) == [[1, 2, 3], [99, 100]]


def test_live_replay_time_is_not_moved_and_the_reason_is_told() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 5), feed=feed, mode=MODE_LIVE)
    stage.at(1, lambda: stage.journal.add("seek", to="begin"))

    queue = stage.play()

    assert queue.markers() == []
    assert stage.report.effective.refused is not None
    assert "switch to historical first" in stage.report.effective.refused.reason
    assert queue.effects[0].refused == stage.report.effective.refused.reason


@pytest.mark.parametrize(
    ("sequence", "reason"),
    [(0, "the first record has 1"), (99, "not published yet")],
)
def test_a_sequence_that_is_no_record_is_refused(sequence: int, reason: str) -> None:
    stage = Stage(rows_every(SECOND_NS, 3))
    stage.at(1, lambda: stage.journal.add("seek", to="begin"))
    stage.at(2, lambda: stage.journal.add("seek", to="sequence", at=sequence))

    queue = stage.play()

    assert reason in queue.effects[1].refused
    assert len(queue.markers()) == 1


def test_a_sequence_that_is_not_retained_is_found_by_counting_until_time_was_moved() -> None:
    stage = Stage(rows_every(SECOND_NS, 30), rows_per_poll=3)
    stage.at(1, lambda: stage.queue.trimmed.extend(stage.queue.entries))
    stage.at(2, lambda: stage.journal.add("seek", to="sequence", at=21))
    stage.at(3, lambda: stage.queue.trimmed.extend(stage.queue.entries))
    stage.at(4, lambda: stage.journal.add("seek", to="sequence", at=21))

    queue = stage.play()

    assert prices_by_segment(queue)[1] == [float(price) for price in range(21, 31)]
    assert len(prices_by_segment(queue)) == 2
    assert "is not known any more" in queue.effects[1].refused


def test_sought_away_and_back_plays_every_record_once() -> None:
    rows = [Row(at_s(second // 3), float(second)) for second in range(30)]
    stage = Stage(rows, speed=1.0)
    # In the middle of three records that arrive together: only a number names the place.
    stage.journal.add("pause", when={"after_sequence": 13})
    stage.at(5, lambda: stage.journal.add("seek", to="begin"))
    stage.at(6, lambda: stage.journal.add("seek", to="end"))
    stage.at(7, lambda: stage.journal.add("seek", to="sequence", at=14))
    stage.at(8, lambda: stage.journal.add("resume"))

    queue = stage.play()

    assert prices_by_segment(queue) == [[row.price for row in rows[:13]], [], [], [row.price for row in rows[13:]]]
    assert sequences(queue) == list(range(1, 34))


def test_the_effects_say_where_each_intent_took_effect() -> None:
    stage = Stage(rows_every(SECOND_NS, 6), speed=1.0)
    stage.at(2.5, lambda: stage.journal.add("pause"))
    stage.at(3, lambda: stage.journal.add("seek", to="time", at=at_s(1)))
    stage.at(4, lambda: stage.journal.add("resume"))

    queue = stage.play()

    pause, seek, resume = queue.effects
    assert [effect.number for effect in queue.effects] == [1, 2, 3]
    assert (pause.revision, pause.sequence, pause.last_key) == (1, 3, (at_s(2), 0, 4))
    assert (seek.sequence, seek.marker_sequence) == (3, 4)
    assert (seek.position, seek.position_arrival_time_ns) == ((at_s(1), 0, 0), at_s(1))
    assert (resume.sequence, resume.epoch) == (4, queue.epoch)


def brute_force_state(rows: list[Row], before: int) -> list[tuple[str, float]]:
    last = {row.ticker: row.price for row in rows[:before] if not row.reason}
    return sorted(last.items())


@pytest.mark.parametrize("seed", range(5))
def test_states_are_those_of_brute_force_wherever_one_seeks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    monkeypatch.setattr("services.replay.engine.history.ANCHOR_ROWS", 10)
    time_ns, rows = START_NS, []
    for number in range(300):
        time_ns += random.choice([0, 0, 1, 1000])
        reason = "bad" if random.random() < 0.05 else ""
        rows.append(Row(time_ns, float(number), reason, random.choice("ABCDEFGH")))
    stage = paused_at_start(rows, rows_per_poll=random.randrange(1, 30))
    times = [random.choice(rows).arrival_time_ns + random.choice([-1, 0, 1]) for _ in range(40)]
    for second, sought_ns in enumerate(times):
        stage.at(second + 1, lambda sought_ns=sought_ns: stage.journal.add("seek", to="time", at=sought_ns))  # type: ignore[misc]

    queue = stage.play()

    for sought_ns, marker in zip(times, queue.markers(), strict=True):
        before = sum(row.arrival_time_ns < sought_ns for row in rows)
        found = [(quote.ticker, quote.bid_price) for quote in read_quotes(marker.state)]
        assert found == brute_force_state(rows, before)
        assert marker.first_key == ((rows[before].arrival_time_ns, 0, before + 2) if before < 300 else None)


def script(queue: FakeQueue, rows: list[Row]) -> Stage:
    stage = Stage(rows, queue=queue, speed=1.0)
    if not queue.journal:
        for kind, fields in (
            ("pause", {}),
            ("seek", {"to": "time", "at": at_s(4)}),
            ("seek", {"to": "by", "at": -SECOND_NS}),
            ("resume", {}),
        ):
            stage.journal.add(kind, **fields)
    return stage


def test_a_kill_at_any_call_leaves_what_an_undisturbed_run_does() -> None:
    rows = rows_every(SECOND_NS, 8)
    undisturbed = script(FakeQueue(), rows).play()
    assert prices_by_segment(undisturbed) == [[], [], [4, 5, 6, 7, 8]]

    kills = 0
    for call in range(1, 200):
        queue = FakeQueue()
        if not script(queue, rows).play_until_killed(call):
            break
        kills += 1
        script(queue, rows).play()
        assert prices_by_segment(queue) == prices_by_segment(undisturbed), f"killed at call {call}"
        assert [marker.revision for marker in queue.markers()] == [2, 3]
        assert sequences(queue) == sequences(undisturbed)
        assert [effect.revision for effect in queue.effects] == [1, 2, 3, 4]
    assert kills > 10


@pytest.mark.parametrize("lost", [1, 3, 4, 5])
def test_a_queue_that_forgot_the_move_is_told_a_gap_and_the_move_again(lost: int) -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0)
    stage.at(2.5, lambda: stage.journal.add("seek", to="time", at=at_s(12)))

    def lose() -> None:
        stage.queue.lose(lost)
        stage.publisher.lost = True

    stage.at(4.6, lose)

    queue = stage.play()

    # Records 1-3, the marker 4, then 5 and so on: what is lost has a number that nobody uses again for something else.
    seen: dict[int, object] = {}
    for frame in queue.frames():
        for tick in frame.ticks():
            assert tick[0] not in seen
            seen[tick[0]] = tick[4]
    played = [tick[4] for frame in queue.frames() for tick in frame.ticks()]
    assert played[-5:] == [16, 17, 18, 19, 20]
    assert len(played) == len(set(played))
    kinds = [marker.kind for marker in queue.markers()]
    assert (MARKER_GAP in kinds) == (lost >= 4)
    assert kinds[-1] == MARKER_DISCONTINUITY


def test_a_new_producer_does_not_number_anew_what_a_sink_has_behind_a_move() -> None:
    stage = Stage(rows_every(SECOND_NS, 8), speed=1.0)
    stage.at(2.5, lambda: stage.journal.add("seek", to="time", at=at_s(5)))
    queue = stage.play()
    assert prices_by_segment(queue) == [[1, 2, 3], [6, 7, 8]]
    cursor = queue.frames()[4].cursor
    queue.sinks.append(SinkPosition("price", queue.epoch, 5, 4, cursor, "run"))
    queue.entries.clear()

    Stage(rows_every(SECOND_NS, 8), queue=queue, speed=0.0).play()

    # Sequence 5 was the first record behind the move.
    assert queue.prices() == [7, 8]
    assert sequences(queue) == [6, 7]


def test_a_sink_that_is_not_up_finds_no_other_records_under_the_numbers_that_it_has() -> None:
    stage = Stage(rows_every(SECOND_NS, 8), speed=1.0)
    stage.at(2.5, lambda: stage.journal.add("seek", to="time", at=at_s(5)))
    queue = stage.play()
    assert prices_by_segment(queue) == [[1, 2, 3], [6, 7, 8]]
    # One sink was slower and has not got to the move; the other one has everything, and is not up when the queue is gone.
    has = {(queue.epoch, tick[0]): tick[4] for frame in queue.frames() for tick in frame.ticks()}
    queue.sinks.append(SinkPosition("slow", queue.epoch, 2, 0, queue.frames()[1].cursor, "run"))
    queue.silent = ("price",)
    queue.entries.clear()

    Stage(rows_every(SECOND_NS, 8), queue=queue, speed=0.0).play()

    for frame in queue.frames():
        for tick in frame.ticks():
            assert has.get((frame.epoch, tick[0]), tick[4]) == tick[4]
    assert queue.prices() == [3, 4, 5, 6, 7, 8]
    assert [marker.kind for marker in queue.markers()] == [MARKER_GAP]


def test_a_state_of_very_many_tickers_comes_in_markers_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.replay.engine.seeking.STATE_BYTES_MAX", 100)
    rows = [Row(at_s(number), float(number), ticker=f"T{number:02}") for number in range(10)]
    stage = paused_at_start(rows)
    stage.journal.add("seek", to="time", at=at_s(8))

    markers = stage.play().markers()

    assert len(markers) > 2
    assert [marker.sequence for marker in markers] == list(range(1, len(markers) + 1))
    assert {(marker.revision, marker.time_ns) for marker in markers} == {(2, markers[0].time_ns)}
    told = [quote.ticker for marker in markers for quote in read_quotes(marker.state)]
    assert told == [f"T{number:02}" for number in range(8)]


def test_a_kill_between_the_markers_of_a_move_has_the_state_told_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.replay.engine.seeking.STATE_BYTES_MAX", 100)
    rows = [Row(at_s(number), float(number), ticker=f"T{number:02}") for number in range(10)]

    def script(queue: FakeQueue) -> Stage:
        stage = Stage(rows, queue=queue)
        if not queue.journal:
            stage.journal.add("pause", when={"after_sequence": 9})
            stage.journal.add("seek", to="by", at=-2 * SECOND_NS, when={"after_sequence": 9})
            stage.journal.add("resume", when={"after_sequence": 9})
        return stage

    wanted = script(FakeQueue()).play()
    kills = 0
    for call in range(1, 60):
        queue = FakeQueue()
        if not script(queue).play_until_killed(call):
            break
        kills += 1
        script(queue).play()
        assert queue.prices() == wanted.prices(), f"killed at call {call}"
        told: list[str] = []
        for marker in queue.markers():
            quotes = [quote.ticker for quote in read_quotes(marker.state)]
            told = quotes if quotes[:1] == ["T00"] else told + quotes
        assert told == [f"T{number:02}" for number in range(6)]
    assert kills > 6

"""Lost queues, bad sources, stopping."""

from __future__ import annotations

import pytest

from fastpath.frame import MARKER_GAP, MARKER_SEAM, MODE_HISTORICAL, MODE_LIVE
from services.replay.sources import UnusableInput
from services.runtime.errors import StartRefused
from services.runtime.session.announcement import SinkPosition
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage, rows_every

SECOND_NS = 1_000_000_000


def sequences(queue: FakeQueue) -> list[int]:
    return [number for frame in queue.frames() for number in range(frame.first_sequence, frame.last_sequence + 1)]


@pytest.mark.quick
def test_a_queue_that_lost_its_end_gets_the_same_records_under_the_same_numbers() -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0)
    before: list[bytes] = []

    def lose() -> None:
        before.extend(stage.queue.entries)
        stage.queue.lose(5)
        stage.publisher.lost = True

    stage.at(10.5, lose)

    queue = stage.play()

    assert queue.prices() == [float(number) for number in range(1, 21)]
    assert sequences(queue) == list(range(1, 21))
    assert len(before) == 11


def test_a_queue_that_vanished_is_filled_again_from_the_beginning() -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0)

    def lose() -> None:
        stage.queue.entries.clear()
        stage.queue.checkpoint = None
        stage.publisher.lost = True

    stage.at(10.5, lose)

    queue = stage.play()

    assert queue.prices() == [float(number) for number in range(1, 21)]
    assert queue.epochs == 1


def test_records_numbered_already_go_out_again_although_the_session_is_live_now() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 20), feed=feed, speed=1.0)
    stage.at(5.5, lambda: stage.journal.add("mode", mode=MODE_LIVE))

    def lose() -> None:
        stage.queue.lose(3)
        stage.publisher.lost = True

    stage.at(6.5, lose)
    stage.at(8.0, lambda: feed.put(Row(9_000_000_000_000, price=1001)))

    queue = stage.play()

    assert queue.prices() == [1, 2, 3, 4, 5, 6, 1001]
    assert queue.frames()[-1].mode == MODE_LIVE
    assert queue.frames()[-2].mode == MODE_HISTORICAL
    assert [marker.kind for marker in queue.frames()[-1].markers] == [MARKER_SEAM]


def test_a_seam_that_was_lost_with_the_queue_returns_at_its_number() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 20), feed=feed, speed=1.0)
    stage.at(2.5, lambda: stage.journal.add("mode", mode=MODE_LIVE))
    stage.at(3.0, lambda: stage.journal.add("mode", mode=MODE_HISTORICAL))
    numbered: list[tuple[int, int]] = []

    def lose() -> None:
        numbered.extend((marker.sequence, marker.revision) for marker in stage.queue.markers())
        stage.queue.lose(4)
        stage.publisher.lost = True

    stage.at(5.7, lose)

    queue = stage.play()

    assert numbered == [(4, 1), (5, 2)]
    assert [(marker.sequence, marker.revision) for marker in queue.markers()] == numbered
    assert queue.prices() == [float(number) for number in range(1, 21)]
    assert sequences(queue) == list(range(1, 23))


@pytest.mark.quick
def test_live_records_that_were_lost_leave_a_gap_of_its_own_and_the_numbers_jump() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 3), feed=feed, mode=MODE_LIVE)
    for moment in (1, 2, 3):
        stage.at(moment, lambda moment=moment: feed.put(Row(9_000_000_000_000 + moment, price=1000.0 + moment)))

    def lose() -> None:
        stage.queue.lose(2)
        stage.publisher.lost = True

    stage.at(4.0, lose)
    stage.at(5.0, lambda: feed.put(Row(9_000_000_000_009, price=1009)))

    queue = stage.play()

    assert queue.prices() == [1001, 1009]
    assert sequences(queue) == [1, 2, 4]
    gap = queue.frames()[1].markers[0]
    assert (gap.kind, gap.next_sequence) == (MARKER_GAP, 4)


def test_the_gap_marker_in_front_of_a_jump_is_published_at_a_start_too() -> None:
    queue = FakeQueue()
    feed = FakeFeed()
    first = Stage(rows_every(SECOND_NS, 3), queue=queue, feed=feed, mode=MODE_LIVE)
    for moment in (1, 2, 3):
        first.at(moment, lambda moment=moment: feed.put(Row(9_000_000_000_000 + moment, price=1000.0 + moment)))
    first.play()
    queue.sinks.append(SinkPosition("price", queue.epoch, 3, 3, queue.frames()[-1].cursor, "run"))
    queue.lose(2)
    other = FakeFeed()
    second = Stage(rows_every(SECOND_NS, 3), queue=queue, feed=other, mode=MODE_LIVE)
    second.at(1.0, lambda: other.put(Row(9_000_000_000_009, price=1009)))

    second.play()

    assert sequences(queue) == [1, 2, 4]
    assert queue.prices() == [1001, 1009]


def test_an_intent_is_not_lost_when_the_queue_vanishes_while_it_is_saved() -> None:
    stage = Stage(rows_every(SECOND_NS, 5), speed=1.0)

    def pause_and_lose() -> None:
        stage.journal.add("pause")
        stage.publisher.lost = True

    stage.at(1.5, pause_and_lose)
    stage.at(3.0, lambda: stage.journal.add("resume"))

    queue = stage.play()

    assert queue.checkpoint is not None
    assert queue.checkpoint.effective.revision == 2
    assert queue.prices() == [1, 2, 3, 4, 5]


def test_a_switch_is_not_lost_when_the_queue_vanishes_while_the_rest_of_the_feed_goes_out() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(1000, 3), feed=feed, mode=MODE_LIVE)

    def leave_and_lose() -> None:
        feed.put(Row(9_000_000_000_000, price=1001), Row(9_000_000_000_001, price=1002))
        stage.journal.add("mode", mode=MODE_HISTORICAL)
        stage.publisher.lost = True

    stage.at(1.0, leave_and_lose)

    queue = stage.play()

    assert queue.prices() == [1001, 1002, 1, 2, 3]
    assert queue.checkpoint is not None
    assert (queue.checkpoint.effective.revision, queue.checkpoint.effective.mode) == (1, MODE_HISTORICAL)


def test_a_failing_source_ends_the_session_after_everything_before_it_left() -> None:
    stage = Stage(rows_every(SECOND_NS, 30), speed=10.0, failure=UnusableInput("rows.csv: line 99 is not sorted"))

    with pytest.raises(UnusableInput, match="line 99"):
        stage.play()

    assert stage.queue.prices() == [float(number) for number in range(1, 31)]
    assert stage.publisher.flushed == len(stage.queue.entries)
    assert stage.report.state == "FAILED"
    assert "line 99" in stage.report.problems()
    assert stage.states[-1] == "FAILED"


def test_changed_inputs_under_a_position_are_refused_before_anything_is_published() -> None:
    queue = FakeQueue()
    Stage(rows_every(1000, 10), queue=queue).play()
    entries = len(queue.entries)
    changed = Stage(rows_every(1000, 10), queue=queue, fingerprint="files:2 options:1")

    with pytest.raises(UnusableInput, match="the input files changed"):
        changed.play()

    assert len(queue.entries) == entries


def test_changed_inputs_do_not_matter_when_nothing_was_published() -> None:
    queue = FakeQueue()
    Stage((), queue=queue).play()
    changed = Stage(rows_every(1000, 10), queue=queue, fingerprint="files:2 options:1")

    changed.play()

    assert len(queue.prices()) == 10


@pytest.mark.quick
def test_stopping_drains_and_saves() -> None:
    stage = Stage(rows_every(SECOND_NS, 5), speed=1.0)
    stage.at(2.5, stage.stop)

    queue = stage.play()

    assert queue.prices() == [1, 2, 3]
    assert stage.publisher.flushed == 3
    assert queue.checkpoint is not None
    assert queue.checkpoint.sequence == 3
    assert stage.publisher.closed
    assert stage.sources[-1].stopped


def test_stopping_ends_a_wait_for_room() -> None:
    stage = Stage(rows_every(1, 9000), rows_per_poll=9000)
    stage.publisher.room = 1
    stage.publisher.when_full = stage.stop

    queue = stage.play()

    assert len(queue.entries) == 1
    assert stage.publisher.closed


def test_completed_waits_for_everything_to_be_acknowledged() -> None:
    stage = Stage(rows_every(1000, 10))
    seen: list[tuple[str, int]] = []
    original = stage.engine._changed

    def note() -> None:
        seen.append((stage.report.state, stage.publisher.flushed))
        original()

    stage.engine._changed = note

    queue = stage.play()

    assert ("COMPLETED", len(queue.entries)) in seen


def test_a_session_without_any_source_is_refused() -> None:
    from services.replay.engine.ports import Beginning, check_sources

    with pytest.raises(StartRefused, match="MIDSTREAM_HISTORICAL"):
        check_sources(Beginning(MODE_HISTORICAL, 0.0), historical=False, live=False)
    with pytest.raises(StartRefused, match="MIDSTREAM_LIVE_URL"):
        check_sources(Beginning(MODE_LIVE, 0.0), historical=True, live=False)

"""Modes, pauses, seams and restarts of the main loop."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from fastpath.frame import (
    MARKER_DISCONNECTED,
    MARKER_GAP,
    MARKER_RECONNECTED,
    MARKER_SEAM,
    MODE_HISTORICAL,
    MODE_LIVE,
    TickFrame,
)
from fastpath.records import Marker
from services.replay.engine.journal import JournalEntry
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage, rows_every

SECOND_NS = 1_000_000_000
DISCONNECTED = Marker(kind=MARKER_DISCONNECTED, time_ns=5, reason="broken")
RECONNECTED = Marker(kind=MARKER_RECONNECTED, time_ns=6)


class Noting(list[bytes]):
    """Entries whose arrival has something happen."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        super().__init__()
        self._arrived = arrived

    def append(self, entry: bytes) -> None:
        super().append(entry)
        self._arrived()


def live_rows(*prices: float) -> list[Row]:
    return [Row(9_000_000_000_000 + round(price), price=price) for price in prices]


def sequences(queue: FakeQueue) -> list[int]:
    return [number for frame in queue.frames() for number in range(frame.first_sequence, frame.last_sequence + 1)]


@pytest.mark.quick
def test_historical_rows_leave_in_order_and_the_session_completes() -> None:
    stage = Stage(rows_every(1000, 100))

    queue = stage.play()

    assert queue.prices() == [float(number) for number in range(1, 101)]
    assert sequences(queue) == list(range(1, 101))
    assert stage.report.state == "COMPLETED"
    assert stage.publisher.flushed == len(queue.entries)
    assert stage.publisher.closed


@pytest.mark.quick
def test_live_in_between_resumes_the_history_behind_the_last_row_published() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 10), feed=feed, speed=1.0)
    stage.at(3.5, lambda: stage.journal.add("mode", mode=MODE_LIVE))
    stage.at(4.5, lambda: feed.put(*live_rows(1001, 1002)))
    stage.at(8.5, lambda: stage.journal.add("mode", mode=MODE_HISTORICAL))

    queue = stage.play()

    assert queue.prices() == [1, 2, 3, 4, 1001, 1002, 5, 6, 7, 8, 9, 10]
    assert [frame.mode for frame in queue.frames()] == [MODE_HISTORICAL] * 4 + [MODE_LIVE] + [MODE_HISTORICAL] * 6
    to_live, to_history = queue.markers()
    assert (to_live.kind, to_live.previous_mode, to_live.mode, to_live.revision) == (MARKER_SEAM, 1, 2, 1)
    assert to_live.last_key == (1_000_000_000_000 + 3 * SECOND_NS, 0, 5)
    assert to_live.first_key == (9_000_000_001_001, 0, 1)
    assert (to_history.previous_mode, to_history.mode, to_history.revision) == (2, 1, 2)
    assert to_history.last_key == (9_000_000_001_002, 0, 2)
    assert to_history.first_key == (1_000_000_000_000 + 4 * SECOND_NS, 0, 6)


def test_history_goes_on_with_what_was_left_of_its_gap_to_the_next_row() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 3), feed=feed, speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.at(0.75, lambda: stage.journal.add("mode", mode=MODE_LIVE))
    stage.at(10.0, lambda: stage.journal.add("mode", mode=MODE_HISTORICAL))

    stage.play()

    assert [at - began_ns for at in stage.publisher.published_at] == [0, 10_250_000_000, 11_250_000_000]


def test_every_live_batch_carries_the_cursor_of_the_history() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 4), feed=feed, speed=1.0)
    stage.at(1.5, lambda: stage.journal.add("mode", mode=MODE_LIVE))
    stage.at(2.0, lambda: feed.put(*live_rows(1001)))
    stage.at(3.0, lambda: feed.put(*live_rows(1002)))

    queue = stage.play()

    cursors = [frame.cursor for frame in queue.frames()]
    assert cursors[0] != cursors[1]
    assert cursors[1] == cursors[2] == cursors[3] != b""


@pytest.mark.quick
def test_switch_while_the_publisher_waits_for_room_loses_and_repeats_nothing() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(1, 9000), feed=feed, rows_per_poll=9000)
    stage.publisher.room = 1

    def switch() -> None:
        stage.publisher.when_full = lambda: None
        stage.journal.add("mode", mode=MODE_LIVE)
        stage.at(1.0, make_room)

    def make_room() -> None:
        stage.publisher.room = None
        feed.put(*live_rows(100_001))
        stage.at(2.0, lambda: stage.journal.add("mode", mode=MODE_HISTORICAL))

    stage.publisher.when_full = switch

    queue = stage.play()

    assert queue.prices(MODE_HISTORICAL) == [float(number) for number in range(1, 9001)]
    assert queue.prices(MODE_LIVE) == [100_001]
    assert sequences(queue) == list(range(1, 9001 + 1 + 2))


def test_several_switches_without_records_leave_as_many_seams_in_the_next_batch() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(SECOND_NS, 3), feed=feed, speed=1.0)
    for moment, mode in ((1.1, MODE_LIVE), (1.2, MODE_HISTORICAL), (1.3, MODE_LIVE), (1.4, MODE_HISTORICAL)):
        stage.at(moment, lambda mode=mode: stage.journal.add("mode", mode=mode))

    queue = stage.play()

    assert [len(frame.markers) for frame in queue.frames()] == [0, 0, 4]
    assert [marker.mode for marker in queue.markers()] == [MODE_LIVE, MODE_HISTORICAL, MODE_LIVE, MODE_HISTORICAL]
    assert {marker.last_key for marker in queue.markers()} == {(1_000_000_000_000 + SECOND_NS, 0, 3)}
    assert {marker.first_key for marker in queue.markers()} == {(1_000_000_000_000 + 2 * SECOND_NS, 0, 4)}


def test_the_same_mode_again_counts_as_applied_and_leaves_no_seam() -> None:
    stage = Stage(rows_every(1000, 10))
    stage.journal.add("mode", mode=MODE_HISTORICAL)

    queue = stage.play()

    assert queue.markers() == []
    assert stage.report.effective.revision == 1


def test_pause_keeps_the_position_and_the_data_time() -> None:
    stage = Stage(rows_every(SECOND_NS, 4), speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.at(1.5, lambda: stage.journal.add("pause"))
    stage.at(5.5, lambda: stage.journal.add("resume"))

    queue = stage.play()

    assert queue.prices() == [1, 2, 3, 4]
    assert [at - began_ns for at in stage.publisher.published_at] == [0, 1 * SECOND_NS, 6 * SECOND_NS, 7 * SECOND_NS]


@pytest.mark.parametrize("kind", ["pause", "stop"])
def test_batches_that_were_polled_together_do_not_leave_over_an_intent(kind: str) -> None:
    stage = Stage(rows_every(1, 20_000), rows_per_poll=20_000)

    def disturb() -> None:
        if len(stage.queue.entries) == 2:
            stage.stop() if kind == "stop" else stage.journal.add("pause")

    stage.queue.entries = Noting(disturb)

    queue = stage.play()

    assert queue.prices() == [float(number) for number in range(1, 2 * 4096 + 1)]


def test_batches_that_were_polled_together_leave_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(rows_every(1, 4 * 4096), rows_per_poll=4 * 4096)
    looks: list[int] = []
    take = stage.journal.take

    def noted() -> list[JournalEntry]:
        looks.append(len(stage.queue.entries))
        return take()

    monkeypatch.setattr(stage.journal, "take", noted)

    stage.play()

    assert stage.publisher.batch_sizes == [4096] * 4
    assert {1, 2, 3}.isdisjoint(looks)


def test_a_turn_of_several_batches_does_not_look_like_standing_still() -> None:
    stage = Stage(rows_every(1, 3 * 4096), rows_per_poll=3 * 4096)
    standing: list[float] = []

    def slowly() -> None:
        standing.append(stage.report.standing_s(stage.clock.monotonic_ns()))
        stage.clock.advance(2.0)

    stage.queue.entries = Noting(slowly)

    stage.play()

    assert standing == [0.0, 0.0, 0.0]


def test_pause_while_the_publisher_waits_publishes_nothing_until_resumed() -> None:
    stage = Stage(rows_every(1, 5000), rows_per_poll=5000)
    stage.publisher.room = 1
    counts: list[int] = []

    def pause() -> None:
        stage.publisher.when_full = lambda: None
        stage.journal.add("pause")
        stage.at(0.5, make_room)
        stage.at(1.0, lambda: counts.append(len(stage.queue.entries)))
        stage.at(2.0, lambda: stage.journal.add("resume"))

    def make_room() -> None:
        stage.publisher.room = None

    stage.publisher.when_full = pause

    queue = stage.play()

    assert counts == [1]
    assert queue.prices() == [float(number) for number in range(1, 5001)]


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        pytest.param("mode", {"mode": MODE_LIVE}, "MIDSTREAM_LIVE_URL", id="live is not configured"),
        pytest.param("mode", {"mode": 7}, "mode 7", id="unknown mode"),
        pytest.param("speed", {"speed": -1.0}, "speed -1.0", id="negative speed"),
        pytest.param("speed", {"speed": float("nan")}, "speed nan", id="no speed"),
        pytest.param("dance", {}, "'dance'", id="unknown intent"),
    ],
)
def test_an_intent_that_cannot_be_applied_is_answered_and_counts(
    kind: str, options: dict[str, float], problem: str
) -> None:
    stage = Stage(rows_every(1000, 10))
    stage.journal.add(kind, **options)  # type: ignore[arg-type]
    stage.journal.add("pause")

    stage.play()

    effective = stage.report.effective
    assert effective.refused is not None
    assert effective.refused.revision == 1
    assert problem in effective.refused.reason
    assert (effective.revision, effective.paused, effective.mode) == (2, True, MODE_HISTORICAL)


def test_intents_are_saved_before_they_are_reported() -> None:
    stage = Stage(rows_every(SECOND_NS, 3), speed=1.0)
    stage.at(0.5, lambda: stage.journal.add("pause"))
    reported: list[tuple[int, int]] = []
    original = stage.engine._changed

    def compare() -> None:
        checkpoint = stage.queue.checkpoint
        reported.append((stage.report.effective.revision, checkpoint.effective.revision if checkpoint else -1))
        original()

    stage.engine._changed = compare

    stage.play()

    assert reported
    assert all(shown <= saved for shown, saved in reported)


@pytest.mark.quick
def test_killed_at_any_call_a_restarted_engine_leaves_the_same_records() -> None:
    rows = rows_every(SECOND_NS, 12)
    seed = Random().randrange(1 << 30)
    print("seed", seed)  # noqa: T201
    random = Random(seed)

    def direct(stage: Stage) -> None:
        """Intents at fixed data positions, as an operator who watches the stream would give them."""
        known = {entry.intent.change.kind for entry in stage.queue.journal if entry.intent is not None}
        for moment, kind, speed in ((0.6, "speed", 4.0), (1.1, "pause", 0.0), (1.6, "resume", 0.0)):
            if kind not in known:
                stage.at(moment, lambda kind=kind, speed=speed: stage.journal.add(kind, speed=speed))

    for first in range(1, 60):
        queue = FakeQueue()
        stage = Stage(rows, queue=queue, speed=2.0)
        direct(stage)
        killed = stage.play_until_killed(first)
        if killed:
            again = Stage(rows, queue=queue, speed=2.0)
            direct(again)
            if again.play_until_killed(random.randrange(1, 40)):
                last = Stage(rows, queue=queue, speed=2.0)
                direct(last)
                last.play()
        assert queue.prices() == [float(number) for number in range(1, 13)], first
        assert sequences(queue) == list(range(1, 13)), first
        asked = [entry.intent.change.kind for entry in queue.journal if entry.intent is not None]
        assert asked == ["speed", "pause", "resume"], first
        assert queue.checkpoint is not None
        effective = queue.checkpoint.effective
        assert (effective.revision, effective.paused, effective.speed) == (3, False, 4.0), first


@pytest.mark.quick
def test_killed_around_a_switch_the_seam_appears_exactly_once() -> None:
    rows = rows_every(SECOND_NS, 6)
    for call in range(1, 60):
        queue = FakeQueue()
        queue.journal.clear()
        feed = FakeFeed()
        stage = Stage(rows, queue=queue, feed=feed, speed=1.0)
        stage.at(2.5, lambda stage=stage: stage.journal.add("mode", mode=MODE_LIVE))
        stage.at(3.0, lambda feed=feed: feed.put(*live_rows(1001)))
        stage.at(4.0, lambda stage=stage: stage.journal.add("mode", mode=MODE_HISTORICAL))
        if stage.play_until_killed(call):
            again = Stage(rows, queue=queue, feed=FakeFeed(), speed=1.0)
            wanted = [MODE_LIVE, MODE_HISTORICAL][len(queue.journal) :]
            for offset, mode in enumerate(wanted):
                again.at(0.1 + offset / 2, lambda again=again, mode=mode: again.journal.add("mode", mode=mode))
            again.play()

        assert queue.prices(MODE_HISTORICAL) == [1, 2, 3, 4, 5, 6], call
        assert sequences(queue) == list(range(1, queue.frames()[-1].last_sequence + 1)), call
        assert [marker.revision for marker in queue.markers() if marker.kind == MARKER_SEAM] == [1, 2], call


def test_a_lost_feed_is_told_at_once_and_its_return_with_the_next_record() -> None:
    feed = FakeFeed()
    stage = Stage(None, feed=feed, mode=MODE_LIVE)
    stage.at(1.0, lambda: feed.put(*live_rows(1)))
    stage.at(2.0, lambda: feed.put(DISCONNECTED))
    stage.at(3.0, lambda: feed.put(RECONNECTED, *live_rows(2)))

    queue = stage.play()

    first, lost, back = queue.frames()
    assert (first.tick_count, first.markers) == (1, [])
    assert (lost.tick_count, [marker.kind for marker in lost.markers]) == (0, [MARKER_DISCONNECTED])
    assert lost.markers[0].reason == "broken"
    assert lost.markers[0].first_key is None
    assert lost.markers[0].last_key == (9_000_000_000_001, 0, 1)
    assert (back.tick_count, [marker.kind for marker in back.markers]) == (1, [MARKER_RECONNECTED])
    assert back.markers[0].first_key == (9_000_000_000_002, 0, 2)


def test_leaving_live_publishes_what_was_received_before_the_seam() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(1000, 2), feed=feed, mode=MODE_LIVE)

    def leave() -> None:
        feed.put(*live_rows(1001, 1002))
        stage.journal.add("mode", mode=MODE_HISTORICAL)

    stage.at(1.0, leave)

    queue = stage.play()

    assert queue.prices() == [1001, 1002, 1, 2]
    assert [marker.kind for marker in queue.markers()] == [MARKER_SEAM]
    assert queue.markers()[0].last_key == (9_000_000_001_002, 0, 2)


def test_leaving_live_without_room_leaves_one_gap_that_counts_the_frames() -> None:
    feed = FakeFeed()
    stage = Stage(rows_every(1000, 2), feed=feed, mode=MODE_LIVE)
    stage.publisher.room = 0
    stage.at(1.0, lambda: feed.put(*live_rows(1001, 1002)))

    def leave() -> None:
        feed.put(*live_rows(1003))
        stage.journal.add("mode", mode=MODE_HISTORICAL)
        stage.publisher.when_full = make_room

    def make_room() -> None:
        stage.publisher.room = None

    stage.publisher.when_full = leave

    queue = stage.play()

    assert queue.prices() == [1, 2]
    gap, seam = queue.markers()
    assert (gap.kind, gap.lost_frames) == (MARKER_GAP, 3)
    assert seam.kind == MARKER_SEAM


def test_a_producer_restarted_in_live_mode_says_so_with_the_next_record() -> None:
    queue = FakeQueue()
    feed = FakeFeed()
    first = Stage(rows_every(1000, 2), queue=queue, feed=feed, mode=MODE_LIVE)
    first.at(1.0, lambda: feed.put(*live_rows(1001)))
    first.play()
    other = FakeFeed()
    second = Stage(rows_every(1000, 2), queue=queue, feed=other, mode=MODE_LIVE)
    second.at(1.0, lambda: other.put(*live_rows(1002)))

    second.play()

    assert queue.prices() == [1001, 1002]
    assert [(marker.kind, marker.reason) for marker in queue.frames()[-1].markers] == [
        (MARKER_GAP, "the producer was restarted")
    ]


def test_settings_rule_until_an_operator_has_spoken() -> None:
    queue = FakeQueue()
    Stage(rows_every(1000, 3), queue=queue, speed=2.0).play()

    restarted = Stage(rows_every(1000, 3), queue=queue, speed=5.0)
    restarted.play()
    assert restarted.report.effective.speed == 5.0

    restarted.journal.add("speed", speed=7.0)
    third = Stage(rows_every(1000, 3), queue=queue, speed=5.0)
    third.play()
    fourth = Stage(rows_every(1000, 3), queue=queue, speed=5.0)
    fourth.play()
    assert fourth.report.effective.speed == 7.0


def test_a_batch_holds_at_most_4096_records() -> None:
    stage = Stage(rows_every(0, 10_000), rows_per_poll=3000)

    queue = stage.play()

    assert stage.publisher.batch_sizes == [4096, 4096, 1808]
    assert all(TickFrame(entry).tick_count <= 4096 for entry in queue.entries)

"""From history to live data: at its end, and joined without gap or repeat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP, MARKER_RECONNECTED, MARKER_SEAM, MODE_HISTORICAL, MODE_LIVE
from fastpath.records import Marker
from services.runtime.session.hand_over import HandOverKind, HandOverPhase
from tests.support.engine import FakeFeed, FakeQueue, Row, Stage

BASE_NS = 1_000_000_000_000
LATER_NS = 5_000_000


def recorded(*numbers: int) -> list[Row]:
    """What a recorder wrote of the source's records with these numbers."""
    return [Row(BASE_NS + number * 1_000_000, price=float(number)) for number in numbers]


def received(*numbers: int) -> list[Row]:
    """The same records as the feed sends them to us: they arrive at another time."""
    return [
        Row(BASE_NS + number * 1_000_000 + LATER_NS, price=float(number), event_time_ns=BASE_NS + number * 1_000_000)
        for number in numbers
    ]


def ask(stage: Stage, kind: HandOverKind) -> None:
    stage.journal.add("mode", mode=MODE_LIVE, hand_over=int(kind))


def prices(queue: FakeQueue, mode: int | None = None) -> list[int]:
    return [int(price) for price in queue.prices(mode)]


def seams(queue: FakeQueue) -> list[Marker]:
    return [marker for marker in queue.markers() if marker.kind == MARKER_SEAM]


def gaps(queue: FakeQueue) -> list[Marker]:
    return [marker for marker in queue.markers() if marker.kind == MARKER_GAP]


def joining(history: list[Row], feed: FakeFeed, **options: Any) -> Stage:
    stage = Stage(history, feed=feed, **options)
    stage.waiter.idle_max = 400
    ask(stage, HandOverKind.JOIN)
    return stage


def test_at_end_plays_history_to_its_end_and_then_what_the_feed_sent_meanwhile() -> None:
    feed = FakeFeed()
    stage = Stage(recorded(*range(1, 31)), feed=feed, speed=1.0)
    ask(stage, HandOverKind.AT_END)
    stage.at(0.001, lambda: feed.put(*received(100, 101)))

    queue = stage.play()

    assert prices(queue, MODE_HISTORICAL) == list(range(1, 31))
    assert prices(queue, MODE_LIVE) == [100, 101]
    seam = seams(queue)[0]
    assert (seam.previous_mode, seam.mode, seam.revision) == (MODE_HISTORICAL, MODE_LIVE, 1)
    assert seam.gap_ns == 70_000_000 + LATER_NS
    assert not gaps(queue)


def test_a_join_sends_what_both_have_once() -> None:
    feed = FakeFeed()
    feed.put(*received(8, 9, 10, 11, 12))

    queue = joining(recorded(*range(1, 11)), feed).play()

    assert prices(queue) == list(range(1, 13))
    assert prices(queue, MODE_LIVE) == [11, 12]
    seam = seams(queue)[0]
    assert (seam.overlap_removed, seam.gap_ns) == (3, 0)
    assert seam.last_key is not None
    assert seam.last_key[0] == BASE_NS + 10 * 1_000_000
    assert seam.first_key is not None
    assert seam.first_key[0] == BASE_NS + 11 * 1_000_000 + LATER_NS
    assert not gaps(queue)


def test_a_join_counts_equal_records_instead_of_taking_them_for_one() -> None:
    feed = FakeFeed()
    feed.put(*received(9, 10, 10, 10, 11))

    queue = joining(recorded(8, 9, 10, 10), feed).play()

    assert prices(queue) == [8, 9, 10, 10, 10, 11]


def test_a_join_leaves_out_what_comes_late_behind_the_seam() -> None:
    feed = FakeFeed()
    feed.put(*received(9, 11))
    stage = joining(recorded(8, 9, 10), feed)
    stage.at(5.0, lambda: feed.put(*received(10, 12)))

    queue = stage.play()

    assert prices(queue) == [8, 9, 10, 11, 12]
    assert stage.report.hand_over.overlap_removed == 2
    assert stage.report.hand_over.phase is HandOverPhase.JOINED


def test_a_join_follows_a_file_that_grows_until_both_have_met() -> None:
    feed, history = FakeFeed(), recorded(1, 2, 3)
    feed.put(*received(6, 7))
    stage = joining(history, feed)
    stage.at(3.0, lambda: history.extend(recorded(4, 5)))
    stage.at(9.0, lambda: history.extend(recorded(6)))

    queue = stage.play()

    assert prices(queue, MODE_HISTORICAL) == [1, 2, 3, 4, 5, 6]
    assert prices(queue, MODE_LIVE) == [7]
    assert seams(queue)[0].gap_ns == 0


def test_a_join_that_never_meets_says_what_may_be_missing() -> None:
    feed = FakeFeed()
    feed.put(*received(20, 21))

    queue = joining(recorded(1, 2, 3), feed).play()

    assert prices(queue) == [1, 2, 3, 20, 21]
    assert seams(queue)[0].gap_ns == 17_000_000 + LATER_NS
    assert [gap.reason for gap in gaps(queue)] == [seams(queue)[0].reason]


def test_a_loss_of_the_feed_is_told_unless_history_has_what_is_behind_it() -> None:
    lost = Marker(kind=MARKER_GAP, lost_frames=2, reason="the buffer for live frames was full")
    covered, uncovered = FakeFeed(), FakeFeed()
    covered.put(*received(2), lost, *received(5, 6))
    uncovered.put(*received(2), lost, *received(8, 9))
    history = recorded(1, 2, 3, 4, 5)

    filled = joining(history, covered).play()
    open_ = joining(history, uncovered).play()

    assert prices(filled) == [1, 2, 3, 4, 5, 6]
    assert not gaps(filled)
    assert prices(open_) == [1, 2, 3, 4, 5, 8, 9]
    assert [gap.lost_frames for gap in gaps(open_)] == [2]
    assert seams(open_)[0].gap_ns > 0


def test_a_connection_that_was_lost_while_history_played_proves_nothing_for_the_next_one() -> None:
    feed = FakeFeed()
    feed.put(
        *received(2),
        Marker(kind=MARKER_DISCONNECTED, reason="gone"),
        Marker(kind=MARKER_RECONNECTED),
        *received(8),
    )

    queue = joining(recorded(1, 2, 3), feed).play()

    assert prices(queue) == [1, 2, 3, 8]
    assert seams(queue)[0].gap_ns > 0
    assert [marker.kind for marker in queue.markers()] == [MARKER_SEAM, MARKER_DISCONNECTED, MARKER_RECONNECTED]


def test_a_settings_join_begins_with_the_session() -> None:
    feed = FakeFeed()
    feed.put(*received(2, 3, 4))
    stage = Stage(recorded(1, 2, 3), feed=feed, hand_over=HandOverKind.JOIN)

    queue = stage.play()

    assert prices(queue) == [1, 2, 3, 4]
    assert stage.report.effective.hand_over is HandOverKind.JOIN


def test_a_hand_over_is_cancelled_as_what_is_scheduled() -> None:
    feed = FakeFeed()
    stage = Stage(recorded(*range(1, 31)), feed=feed, speed=1.0)
    ask(stage, HandOverKind.JOIN)
    stage.at(0.005, lambda: stage.journal.add("cancel", revision=1))
    stage.at(0.006, lambda: feed.put(*received(30, 31)))

    queue = stage.play()

    assert prices(queue) == list(range(1, 31))
    assert not feed.connected
    assert stage.report.hand_over.phase is HandOverPhase.NONE


def drop(feed: FakeFeed) -> None:
    feed.put(Marker(kind=MARKER_DISCONNECTED, reason="gone"))


def back(feed: FakeFeed, *rows: Row) -> None:
    feed.put(Marker(kind=MARKER_RECONNECTED), *rows)


def test_a_feed_that_is_lost_three_times_is_filled_from_the_files_and_joined_again_each_time() -> None:
    feed, history = FakeFeed(), recorded(1, 2, 3)
    feed.put(*received(3, 4))
    stage = joining(history, feed)
    for round_, first in enumerate((5, 8, 11)):
        at = 20.0 * (round_ + 1)
        stage.at(at, lambda: drop(feed))
        stage.at(at + 1, lambda first=first: history.extend(recorded(*range(first - 1, first + 2))))  # type: ignore[misc]
        stage.at(at + 2, lambda first=first: back(feed, *received(first + 1, first + 2)))  # type: ignore[misc]

    queue = stage.play()

    assert prices(queue) == list(range(1, 14))
    assert [marker.kind for marker in queue.markers()] == [MARKER_SEAM] + [
        MARKER_DISCONNECTED,
        MARKER_RECONNECTED,
        MARKER_SEAM,
        MARKER_SEAM,
    ] * 3
    assert [seam.gap_ns for seam in seams(queue)] == [0] * 7
    assert stage.report.hand_over.rejoins == 3
    assert stage.report.effective.mode == MODE_LIVE


def test_a_feed_that_sends_again_what_was_published_needs_no_files() -> None:
    feed = FakeFeed()
    feed.put(*received(3, 4, 5))
    stage = joining(recorded(1, 2, 3), feed)
    stage.at(20.0, lambda: drop(feed))
    stage.at(21.0, lambda: back(feed, *received(4, 5, 6)))

    queue = stage.play()

    assert prices(queue) == [1, 2, 3, 4, 5, 6]
    assert len(seams(queue)) == 1


def test_what_neither_the_feed_nor_the_files_have_again_stays_told_as_missing() -> None:
    feed = FakeFeed()
    feed.put(*received(3, 4))
    stage = joining(recorded(1, 2, 3), feed)
    stage.at(20.0, lambda: drop(feed))
    stage.at(21.0, lambda: back(feed, *received(9)))

    queue = stage.play()

    assert prices(queue) == [1, 2, 3, 4, 9]
    assert [marker.kind for marker in queue.markers()] == [MARKER_SEAM, MARKER_DISCONNECTED, MARKER_RECONNECTED]


def test_a_join_catches_up_whatever_the_speed() -> None:
    feed = FakeFeed()
    feed.put(*received(3, 4))
    stage = joining([*recorded(1), *recorded(3_600_000)], feed, speed=1.0)
    began_ns = stage.clock.monotonic_ns()
    stage.at(1.0, stage.stop)

    queue = stage.play()

    assert prices(queue, MODE_HISTORICAL) == [1, 3_600_000]
    assert stage.clock.monotonic_ns() - began_ns < 2_000_000_000


def test_killed_at_every_step_of_a_hand_over_at_the_end_history_is_whole() -> None:
    for call in killed_calls(HandOverKind.AT_END, received(8, 9), received(8, 9, 13)):
        queue = call
        assert prices(queue, MODE_HISTORICAL) == list(range(1, 11))


@pytest.mark.parametrize("grown", [(), (11, 12, 13)], ids=["the feed sends again", "the files grow"])
def test_killed_at_every_step_of_a_join_a_session_goes_on_without_gap_or_repeat(grown: tuple[int, ...]) -> None:
    again = received(13, 14) if grown else received(8, 9, 10, 11, 12, 13, 14)

    for queue in killed_calls(HandOverKind.JOIN, received(8, 9, 10, 11, 12), again, grown=grown):
        assert prices(queue) == list(range(1, 15))
        assert not gaps(queue)


def killed_calls(
    kind: HandOverKind, first: list[Row], again: list[Row], *, grown: tuple[int, ...] = ()
) -> Iterator[FakeQueue]:
    """Kill an engine at every call of its publisher, and yield what the one after it leaves behind."""
    for call in range(1, 200):
        queue = FakeQueue()
        before, after = FakeFeed(), FakeFeed()
        before.put(*first)
        after.put(*again)
        stage = Stage(recorded(*range(1, 11)), feed=before, queue=queue)
        ask(stage, kind)
        killed = stage.play_until_killed(call)
        Stage(recorded(*range(1, 11), *grown), feed=after, queue=queue).play()
        yield queue
        if not killed:
            return
    raise AssertionError("it never ends")


def test_a_session_that_joined_by_its_settings_is_live_when_it_starts_again() -> None:
    queue, first, second = FakeQueue(), FakeFeed(), FakeFeed()
    first.put(*received(3, 4))
    second.put(*received(4, 5))

    for feed in (first, second):
        Stage(recorded(1, 2, 3), feed=feed, queue=queue, hand_over=HandOverKind.JOIN).play()

    assert prices(queue) == [1, 2, 3, 4, 5]
    assert len(seams(queue)) == 1


def test_a_new_connection_may_send_again_what_the_one_before_had_sent() -> None:
    feed = FakeFeed()
    feed.put(*received(3))
    drop(feed)
    back(feed, *received(3, 4))

    queue = joining(recorded(1, 2, 3), feed).play()

    assert prices(queue) == [1, 2, 3, 4]


def test_a_seam_behind_a_restart_knows_the_live_record_before_it() -> None:
    queue, first, second = FakeQueue(), FakeFeed(), FakeFeed()
    first.put(*received(3, 4), Marker(kind=MARKER_DISCONNECTED, reason="gone"))
    second.put(*received(6, 7))

    joining(recorded(1, 2, 3), first, queue=queue).play()
    Stage(recorded(1, 2, 3, 4, 5, 6), feed=second, queue=queue).play()

    assert prices(queue) == [1, 2, 3, 4, 5, 6, 7]
    _, to_files, to_feed = seams(queue)
    # The number of a frame is not in the queue.
    assert to_files.last_key == (received(4)[0].arrival_time_ns, 0, 0)
    assert to_feed.last_key == (recorded(6)[0].arrival_time_ns, 0, 7)

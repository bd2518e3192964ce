"""What a partition tells whoever merges it with others: what can still come, and never something that is not so."""

from __future__ import annotations

from random import Random

import pytest

from fastpath.columns import AFTER_EVERYTHING
from fastpath.frame import MARKER_DISCONTINUITY, MODE_LIVE, TickFrame
from services.replay.engine.watermarks import LIVE_SLACK_NS
from tests.support.engine import FakeFeed, Row, Stage, rows_every

SECOND_NS = 1_000_000_000
START_NS = 1_000_000_000_000


def arrivals(stage: Stage) -> dict[int, int]:
    """Every record that has an arrival time, by its number; a move of replay time is told by None being absent and checked apart."""
    found = {tick[0]: tick[3] for frame in stage.queue.frames() for tick in frame.ticks()}
    return found | {item.sequence: item.arrival_time_ns for frame in stage.queue.frames() for item in frame.rejections}


def check(stage: Stage) -> None:
    """Hold every watermark against all that came behind it, up to the next move."""
    moves = [marker.sequence for marker in stage.queue.markers() if marker.kind == MARKER_DISCONTINUITY]
    came = arrivals(stage)
    for sequence, arrival_time_ns in stage.publisher.watermarks:
        until = min((move for move in moves if move > sequence), default=max(came) + 1)
        behind = [came[number] for number in came if sequence < number < until]
        assert all(arrival >= arrival_time_ns for arrival in behind), (sequence, arrival_time_ns)


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_no_record_comes_before_what_was_told_and_at_the_end_nothing_does(speed: float) -> None:
    random = Random(5)
    time_ns, rows = START_NS, []
    for number in range(200):
        time_ns += random.choice([0, 1, 1_000_000, SECOND_NS, 30 * SECOND_NS])
        rows.append(Row(time_ns, price=number + 1.0, reason=random.choice(["", "", "", "bad"])))
    stage = Stage(rows, speed=speed, partitioned=True)
    stage.waiter.idle_max = 20_000

    stage.play()

    assert len(arrivals(stage)) == 200
    check(stage)
    assert stage.publisher.watermarks[-1] == (200, AFTER_EVERYTHING)


def test_a_paced_record_is_announced_as_soon_as_the_one_before_it_leaves() -> None:
    stage = Stage(rows_every(10 * SECOND_NS, 3), speed=1.0, partitioned=True)
    told_at: list[int] = []
    stage.at(0.5, lambda: told_at.extend(stage.publisher.watermarks[-1]))

    stage.play()

    assert told_at == [1, START_NS + 10 * SECOND_NS]
    check(stage)


def test_a_move_back_tells_the_lower_time_behind_its_marker() -> None:
    stage = Stage(rows_every(SECOND_NS, 20), speed=1.0, partitioned=True)
    stage.at(10.2, lambda: stage.journal.add("pause"))
    stage.at(10.3, lambda: stage.journal.add("seek", to="time", at=START_NS + 4 * SECOND_NS))
    stage.at(12.0, lambda: stage.journal.add("resume"))

    stage.play()

    moves = [marker.sequence for marker in stage.queue.markers()]
    assert len(moves) == 1
    assert (moves[0], START_NS + 4 * SECOND_NS) in stage.publisher.watermarks
    check(stage)


def test_an_idle_feed_tells_the_time_and_a_busy_one_does_not() -> None:
    feed = FakeFeed()
    stage = Stage(None, feed=feed, mode=MODE_LIVE, partitioned=True)
    stage.at(3.0, lambda: feed.put(Row(stage.clock.time_ns(), price=1.0)))

    stage.play()

    told = stage.publisher.watermarks
    assert len(told) > 5
    assert [arrival for _, arrival in told] == sorted(arrival for _, arrival in told)
    assert {sequence for sequence, _ in told} == {0, 1}
    assert told[-1][1] <= stage.clock.time_ns() - LIVE_SLACK_NS
    check(stage)


def test_a_session_of_one_partition_tells_nothing_and_its_batches_have_no_tie_order() -> None:
    stage = Stage(rows_every(SECOND_NS, 5), speed=1.0)

    stage.play()

    assert stage.publisher.watermarks == []
    assert [len(TickFrame(entry).tie_order) for entry in stage.queue.entries] == [0] * len(stage.queue.entries)


def test_batches_of_a_partition_have_a_tie_order() -> None:
    stage = Stage(rows_every(SECOND_NS, 5), partitioned=True)

    stage.play()

    assert [tie for frame in stage.queue.frames() for tie in frame.tie_order] == [2, 3, 4, 5, 6]

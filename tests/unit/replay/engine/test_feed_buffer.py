"""The bounded buffer between a feed and the engine."""

from __future__ import annotations

from fastpath.frame import MARKER_DISCONNECTED, MARKER_GAP, MARKER_RECONNECTED
from fastpath.records import Marker
from services.replay.engine.feed_buffer import FRAME_OVERHEAD_BYTES, FeedBuffer, FeedLimits, Frame

LOST = Marker(kind=MARKER_DISCONNECTED)
BACK = Marker(kind=MARKER_RECONNECTED)


def frame(number: int, size: int = 10) -> Frame:
    return Frame(number, number, b"x" * size)


def make(frames: int = 16, size: int = 1 << 20) -> tuple[FeedBuffer, list[int]]:
    woken: list[int] = []
    return FeedBuffer(FeedLimits(frames=frames, size=size), wake=lambda: woken.append(1), time_ns=lambda: 99), woken


def numbers(frames: list[Frame]) -> list[int]:
    return [item.number for item in frames]


def test_frames_leave_in_order_and_a_marker_ends_a_run() -> None:
    buffer, _ = make()
    buffer.put_frames([frame(1), frame(2)])
    buffer.put(LOST)
    buffer.put(BACK)
    buffer.put_frames([frame(3)])

    first, second = buffer.take(10), buffer.take(10)

    assert (first.markers, numbers(first.frames)) == ([], [1, 2])
    assert (second.markers, numbers(second.frames)) == ([LOST, BACK], [3])
    assert len(buffer) == 0


def test_the_reader_is_woken_by_the_first_frame_and_by_every_marker() -> None:
    buffer, woken = make()

    buffer.put_frames([frame(1)])
    buffer.put_frames([frame(2)])
    buffer.put(LOST)
    buffer.put_frames([frame(3)])

    assert len(woken) == 2


def test_a_full_buffer_drops_its_oldest_frames_as_one_run_with_one_gap_in_its_place() -> None:
    buffer, _ = make(frames=16)
    for number in range(1, 101):
        buffer.put_frames([frame(number)])

    taken = buffer.take(1000)

    (gap,) = taken.markers
    assert gap.kind == MARKER_GAP
    assert gap.lost_frames + len(taken.frames) == 100
    assert numbers(taken.frames) == list(range(gap.lost_frames + 1, 101))
    assert 14 <= len(taken.frames) <= 16
    assert buffer.lost_frames == gap.lost_frames


def test_frames_taken_before_the_overflow_stay_in_front_of_the_gap() -> None:
    buffer, _ = make(frames=16)
    for number in range(1, 11):
        buffer.put_frames([frame(number)])
    before = buffer.take(4)
    for number in range(11, 31):
        buffer.put_frames([frame(number)])

    behind = buffer.take(1000)

    assert numbers(before.frames) == [1, 2, 3, 4]
    assert numbers(behind.frames)[0] == 4 + behind.markers[0].lost_frames + 1


def test_bytes_are_bounded_too() -> None:
    buffer, _ = make(frames=1000, size=10 * (1000 + FRAME_OVERHEAD_BYTES))
    for number in range(1, 101):
        buffer.put_frames([frame(number, size=1000)])

    assert len(buffer) <= 10


def test_one_frame_larger_than_the_bound_is_kept() -> None:
    buffer, _ = make(size=100)

    buffer.put_frames([frame(1, size=5000)])

    assert numbers(buffer.take(10).frames) == [1]


def test_markers_inside_of_the_lost_run_are_told_by_its_gap() -> None:
    buffer, _ = make(frames=16)
    for number in range(1, 6):
        buffer.put_frames([frame(number)])
    buffer.put(LOST)
    buffer.put(BACK)
    for number in range(6, 101):
        buffer.put_frames([frame(number)])

    taken = buffer.take(1000)

    assert len(taken.markers) == 1
    assert "lost 1 times" in taken.markers[0].reason
    assert taken.markers[0].lost_frames + len(taken.frames) == 100


def test_discarding_counts_frames_and_those_of_a_gap() -> None:
    buffer, _ = make(frames=16)
    for number in range(1, 101):
        buffer.put_frames([frame(number)])

    assert buffer.discard() == 100
    assert buffer.take(10) == ([], [])
    assert buffer.lost_frames == 100

"""The line of placements: its length, what it takes to its end, and what is said of both."""

from __future__ import annotations

from contextvars import copy_context

import pytest

from services.orders.errors import reason_of
from services.orders.guards.line import COMING_NS_MAX, LINE_MIN, RECENT_NS, PlacementLine
from services.runtime.errors import MidstreamError, ResourceExhausted
from services.runtime.room import on_its_way

MS = 1_000_000


class Clock:
    now_ns = 7

    def __call__(self) -> int:
        return self.now_ns


def full(clock: Clock, places: int, *, turn_ms: int = 0) -> PlacementLine:
    line = PlacementLine(monotonic_ns=clock, places=places)
    for _ in range(places):
        turn = line.enter()
        clock.now_ns += turn_ms * MS
        turn()
    return line


def test_a_full_line_says_how_long_it_is_and_when_to_come_again() -> None:
    clock = Clock()
    line = full(clock, 4)
    for _ in range(4):
        clock.now_ns += 100 * MS
        line.leave()
        line.enter()

    refusal = line.refusal()

    assert isinstance(refusal, ResourceExhausted)
    assert reason_of(refusal) == "overloaded"
    assert refusal.message == "4 placements are in flight; try again in 0.40 s"
    assert dict(refusal.metadata)["retry-after"] == "1"
    assert dict(refusal.metadata)["grpc-retry-pushback-ms"] == "400"
    with pytest.raises(ResourceExhausted, match="4 placements are in flight"):
        line.enter()
    line.leave()
    assert line.refusal() is None


def test_the_time_in_which_nobody_was_in_the_line_is_no_measure_of_it() -> None:
    clock = Clock()
    line = PlacementLine(monotonic_ns=clock, places=1)
    for _ in range(3):
        clock.now_ns += 3600 * 1000 * MS
        line.enter()
        clock.now_ns += 200 * MS
        line.leave()
    line.enter()

    refusal = line.refusal()

    assert refusal is not None
    assert refusal.message.endswith("try again in 0.20 s")


def test_who_is_refused_early_is_told_of() -> None:
    told: list[MidstreamError] = []
    line = PlacementLine(monotonic_ns=Clock(), places=0, on_refused=told.append)
    refusal = line.refusal()
    assert refusal is not None

    line.refused(refusal)

    assert told == [refusal]


def test_an_order_whose_turn_comes_after_its_deadline_is_refused_at_once() -> None:
    clock = Clock()
    line = full(clock, 2 * LINE_MIN, turn_ms=10)
    for _ in range(LINE_MIN):
        line.leave()
    length = line.length

    with pytest.raises(ResourceExhausted, match="after its deadline, so nothing was done"):
        line.enter(clock.now_ns + 5 * MS)

    assert line.length == length
    line.enter(clock.now_ns + 10_000 * MS)
    line.enter()


def test_a_short_line_and_an_old_measurement_refuse_nobody_for_their_deadline() -> None:
    clock = Clock()
    line = full(clock, 2 * LINE_MIN, turn_ms=10)
    for _ in range(LINE_MIN):
        line.leave()
    clock.now_ns += RECENT_NS + 1
    line.enter(clock.now_ns + 1)
    line.leave()
    line.leave()

    line.enter(clock.now_ns + 1)


def test_whoever_is_on_the_way_has_a_place_kept_until_it_is_taken_or_too_late() -> None:
    clock = Clock()
    line = PlacementLine(monotonic_ns=clock, places=2)
    arrive = line.coming()
    line.coming()

    assert line.refusal() is not None
    arrive()
    arrive()
    assert line.refusal() is None
    line.coming()
    assert line.refusal() is not None
    clock.now_ns += COMING_NS_MAX + 1
    assert line.refusal() is None


def test_a_call_that_enters_is_not_on_its_way_any_more() -> None:
    line = PlacementLine(monotonic_ns=Clock(), places=2)

    def call() -> None:
        on_its_way(line)
        line.enter()

    copy_context().run(call)

    assert line.length == 1
    assert line.refusal() is None

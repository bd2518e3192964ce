"""Reports of several partitions as one: what a reader is told of the session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastpath.records import OrderProof
from services.control.journal import effect_of
from services.runtime.session.aggregate import combine
from services.runtime.session.intents import Effective, Pause, RefusedIntent, Resume, SetSpeed
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.report import (
    BacklogReport,
    EngineReport,
    EngineState,
    HistoricalReport,
    LiveReport,
    PacingReport,
)

COUNTS = LineCounts(first_line=1, lines_read=11, ticks=3, rejected=1, skipped=0, blank=1, reported=0, elsewhere=5)


def report(partition: int, **changes: Any) -> EngineReport:
    return EngineReport("s", partition=partition, partitions=2, state=EngineState.RUNNING, **changes)


def combined(*reports: EngineReport | None) -> EngineReport:
    found = combine("s", reports)
    assert found is not None
    return found


def test_no_report_of_any_partition_is_none() -> None:
    assert combine("s", [None, None]) is None


def test_no_proof_of_one_partition_is_told_as_that_of_all() -> None:
    proof = OrderProof(1, 2, 2, "digest", 1, "digest")

    assert combined(report(0, proof=proof), report(1, proof=proof)).proof is None


def test_what_is_counted_is_added_up() -> None:
    both = combined(
        report(0, last_sequence=7, backlog=BacklogReport(3, 300, 1, "r"), historical=HistoricalReport(skipped=2)),
        report(1, last_sequence=5, backlog=BacklogReport(4, 400, 2, "r"), historical=HistoricalReport(skipped=1)),
    )

    assert (both.last_sequence, both.backlog.records, both.backlog.bytes, both.historical.skipped) == (12, 7, 700, 3)
    assert (both.partition, both.partitions, both.epoch) == (0, 2, "")


@pytest.mark.parametrize(
    ("oldest", "first"),
    [((1, 1), 1), ((1, 401), 401), ((301, 401), 701), ((301, 0), 301), ((0, 0), 0)],
    ids=str,
)
def test_the_oldest_number_is_that_which_a_reader_of_all_gets_first(oldest: tuple[int, int], first: int) -> None:
    """A reader begins behind `oldest - 1` of each partition, and numbers by the sum of these."""
    both = combined(*(report(at, backlog=BacklogReport(3, 300, each, "r")) for at, each in enumerate(oldest)))

    assert both.backlog.oldest_sequence == first


def test_each_partition_is_told_by_itself_too() -> None:
    one = report(1, last_sequence=5)

    assert combined(None, one).parts == (None, one)


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ("COMPLETED COMPLETED", "COMPLETED"),
        ("COMPLETED RUNNING", "RUNNING"),
        ("PAUSED COMPLETED", "PAUSED"),
        ("RUNNING BACKPRESSURED", "BACKPRESSURED"),
        ("STARTING BACKPRESSURED", "STARTING"),
        ("RUNNING FAILED", "FAILED"),
    ],
    ids=str,
)
def test_the_state_is_the_worst(states: str, worst: str) -> None:
    first, second = (EngineState(state) for state in states.split())

    both = combined(replace(report(0), state=first), replace(report(1), state=second))

    assert both.state == worst


def test_the_position_is_that_of_the_partition_that_is_furthest_behind() -> None:
    ahead, behind = report(0, position_arrival_time_ns=20), report(1, position_arrival_time_ns=10)

    assert combined(ahead, behind).position_arrival_time_ns == 10
    # What is at its end, or has nothing, holds nobody back.
    assert combined(ahead, replace(behind, state=EngineState.COMPLETED)).position_arrival_time_ns == 20
    assert combined(ahead, report(1)).position_arrival_time_ns == 20


def test_a_command_is_applied_once_every_partition_has() -> None:
    first = report(0, effective=Effective(mode=1, revision=5, paused=True, refused=RefusedIntent(5, "no")))
    second = report(1, effective=Effective(mode=1, revision=4))

    both = combined(first, second).effective
    assert (both.revision, both.paused, both.refused) == (4, False, None)
    caught_up = combined(first, replace(second, effective=Effective(mode=1, revision=5, paused=True))).effective
    assert (caught_up.revision, caught_up.paused, caught_up.refused) == (5, True, RefusedIntent(5, "no"))
    assert combined(first, None).effective.revision == 0


@pytest.mark.parametrize("first", [0, 1])
def test_what_one_partition_alone_has_come_to_is_not_in_effect_and_can_be_asked_for_or_undone(first: int) -> None:
    paused = Effective(mode=1, revision=3, paused=True, speed=2.0)
    reports = [report(0, effective=paused), report(1, effective=replace(paused, paused=False))]

    both = combined(*reports[first:], *reports[:first])

    assert (both.effective.paused, both.differing) == (False, {"paused"})
    for asked in (Pause(), Resume()):
        told = effect_of(asked, both)
        assert (told.value == asked.value, bool(told.value), told.revision) == (False, True, 3)
    assert effect_of(SetSpeed(2.0), both).value == SetSpeed(2.0).value
    assert combined(reports[0], reports[0]).differing == frozenset()


def test_the_error_names_the_partition() -> None:
    assert combined(report(0), report(1, error="the disk is full")).error == "partition 1: the disk is full"
    assert combined(report(0, error="lost"), report(1, error="lost")).error == "all 2 partitions: lost"
    without = combined(report(0), None)
    assert (without.error, without.state) == ("partition 1: nobody has reported yet", "STARTING")


def test_lines_of_a_file_add_up_to_those_of_one_partition() -> None:
    other = replace(COUNTS, ticks=4, rejected=1, elsewhere=4)
    parts = [
        report(0, historical=HistoricalReport(lines=(COUNTS,))),
        report(1, historical=HistoricalReport(lines=(other,))),
    ]

    (counts,) = combined(*parts).historical.lines

    assert counts == replace(COUNTS, ticks=7, rejected=2, elsewhere=0)
    assert [each.unaccounted for each in (COUNTS, other, counts)] == [0, 0, 0]
    # One that is still reading, or has read a file that has grown, tells nothing of the whole.
    assert combined(parts[0], report(1)).historical.lines == ()


def test_the_feed_is_connected_when_every_partition_is() -> None:
    on, off = LiveReport(configured=True, connected=True), LiveReport(configured=True)

    assert combined(report(0, live=on), report(1, live=off)).live == off
    assert combined(report(0, live=on), report(1, live=on)).live == on


def test_the_pace_is_the_slowest_and_the_records_are_those_of_all() -> None:
    both = combined(
        report(0, pacing=PacingReport(records=5, records_per_second=2.0, achieved_speed=1.0, late_p99_ns=3)),
        report(1, pacing=PacingReport(records=6, records_per_second=3.0, achieved_speed=0.5, late_p99_ns=9)),
    ).pacing

    assert (both.records, both.records_per_second, both.achieved_speed, both.late_p99_ns) == (11, 5.0, 0.5, 9)

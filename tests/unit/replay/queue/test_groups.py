"""How far the groups are, and which of them count."""

from __future__ import annotations

import logging

import pytest

from services.replay.queue.backlog import EVERYTHING
from services.replay.queue.groups import Group, GroupTracker, parse_group, parse_id
from services.runtime.session.keys import READER_GROUP_PREFIX
from tests.support.log_records import said

SECOND_NS = 1_000_000_000
LEASE_S = 60.0


def info(name: bytes, *, pending: int, last: bytes, consumers: int = 1) -> list[object]:
    return [b"name", name, b"consumers", consumers, b"pending", pending, b"last-delivered-id", last, b"lag", None]


def group(name: str, delivered: int, *, consumers: int = 1) -> Group:
    return Group(name=name, consumers=consumers, pending=0, delivered=delivered, oldest_pending=None)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("pending", "summary", "committed"),
    [
        (0, None, 50),
        (2, [2, b"0-31", b"0-50", [[b"c", b"2"]]], 30),
        # Everything was acknowledged between the two answers.
        (2, [0, None, None, None], 50),
        # XINFO is older: 0-61 was delivered since, what XINFO said is still true.
        (1, [1, b"0-61", b"0-61", [[b"c", b"1"]]], 50),
    ],
    ids=["nothing pending", "pending", "acknowledged since", "delivered since"],
)
def test_committed_is_just_below_what_is_pending(pending: int, summary: list[object] | None, committed: int) -> None:
    assert parse_group(info(b"g", pending=pending, last=b"0-50"), summary).committed == committed


def test_an_id_that_is_not_ours_is_beyond_everything() -> None:
    assert parse_id(b"0-12") == 12
    assert parse_id(b"1700000000000-0") == EVERYTHING


def test_the_slowest_group_decides() -> None:
    tracker = GroupTracker(expected=(), lease_s=LEASE_S)

    tracker.update([group("a", 70), group("b", 30)], 0)

    assert tracker.committed() == 30
    assert "`b`" in tracker.holding


def test_without_groups_everything_is_committed_unless_a_sink_is_expected() -> None:
    assert GroupTracker(expected=(), lease_s=LEASE_S).committed() == EVERYTHING
    expecting = GroupTracker(expected=("price",), lease_s=LEASE_S)
    assert expecting.committed() == 0
    expecting.update([group("other", 70)], 0)
    assert expecting.committed() == 0
    assert "`price`" in expecting.holding
    expecting.update([group("other", 70), group("price", 20)], 0)
    assert expecting.committed() == 20


def test_a_group_without_a_call_for_the_lease_stops_counting_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    tracker = GroupTracker(expected=(), lease_s=LEASE_S)
    groups = [group("quick", 90), group("dead", 10)]
    tracker.update(groups, 0)

    for second in (59, 61, 67, 73):
        now_ns = second * SECOND_NS
        for name in tracker.update([group("quick", 90 + second), groups[1]], now_ns):
            tracker.idle(name, [{b"idle": second * 1000}], now_ns)

    assert tracker.committed() == 90 + 73
    assert tracker.ignored == [b"dead"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert said(caplog.records)[0][1]["group"] == "dead"


def test_a_group_that_reads_without_getting_anything_keeps_counting() -> None:
    tracker = GroupTracker(expected=(), lease_s=LEASE_S)
    tracker.update([group("waiting", 10)], 0)

    asked = tracker.update([group("waiting", 10)], 100 * SECOND_NS)
    tracker.idle("waiting", [{b"idle": 90_000_000}, {b"idle": 2_000}], 100 * SECOND_NS)

    assert asked == ["waiting"]
    assert tracker.committed() == 10


def test_a_subscriber_s_group_is_given_up_sooner_than_others_and_not_while_its_server_is_there() -> None:
    tracker = GroupTracker(expected=(), lease_s=3600.0)
    alive, dead = f"{READER_GROUP_PREFIX}a", f"{READER_GROUP_PREFIX}b"
    groups = [group("slow", 30), group(alive, 20), group(dead, 10)]
    tracker.update(groups, 0)

    asked = tracker.update(groups, 31 * SECOND_NS)
    tracker.idle(alive, [{b"idle": 5_000}], 31 * SECOND_NS)
    tracker.idle(dead, [{b"idle": 31_000}], 31 * SECOND_NS)

    assert asked == [alive, dead]
    assert tracker.ignored == [dead.encode()]
    assert tracker.committed() == 20


def test_a_group_that_was_given_up_counts_again_when_it_comes_back() -> None:
    tracker = GroupTracker(expected=(), lease_s=LEASE_S)
    tracker.update([group("late", 10)], 0)
    tracker.update([group("late", 10)], 61 * SECOND_NS)
    tracker.idle("late", [{b"idle": 61_000}], 61 * SECOND_NS)
    assert tracker.committed() == EVERYTHING

    tracker.update([group("late", 20)], 62 * SECOND_NS)

    assert tracker.committed() == 20


def test_a_group_without_consumers_is_given_up_when_it_does_not_change() -> None:
    tracker = GroupTracker(expected=(), lease_s=LEASE_S)
    tracker.update([group("empty", 0, consumers=0)], 0)

    for name in tracker.update([group("empty", 0, consumers=0)], 61 * SECOND_NS):
        tracker.idle(name, [], 61 * SECOND_NS)

    assert tracker.ignored == [b"empty"]

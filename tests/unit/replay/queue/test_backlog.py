"""Room and trimming, against a list that knows everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.replay.queue.backlog import EVERYTHING, Backlog, BacklogEntry
from services.replay.queue.model import QueueLimits

MIB = 1 << 20


def entry(first: int, *, records: int = 10, size: int = 100, arrival_time_ns: int = 0) -> BacklogEntry:
    return BacklogEntry(first, first + records - 1, size, arrival_time_ns)


@pytest.mark.quick
def test_one_entry_always_fits() -> None:
    backlog = Backlog(QueueLimits(high_bytes=10, high_records=1))

    assert backlog.has_room(entry(1))


@pytest.mark.parametrize(
    "limits",
    [
        QueueLimits(high_bytes=250),
        QueueLimits(high_records=25),
        QueueLimits(high_data_time_ns=15),
    ],
    ids=["bytes", "records", "data time"],
)
def test_each_limit_ends_the_room(limits: QueueLimits) -> None:
    backlog = Backlog(limits)
    backlog.append(entry(1, arrival_time_ns=0))
    assert backlog.has_room(entry(11, arrival_time_ns=10))
    backlog.append(entry(11, arrival_time_ns=10))

    assert not backlog.has_room(entry(21, arrival_time_ns=20))
    backlog.commit(1)
    assert backlog.has_room(entry(21, arrival_time_ns=20))


def test_a_group_that_starts_over_makes_everything_unread_again() -> None:
    backlog = Backlog(QueueLimits())
    for first in (1, 11, 21):
        backlog.append(entry(first))

    backlog.commit(21)
    assert (backlog.records, backlog.size) == (0, 0)
    backlog.commit(0)

    assert (backlog.records, backlog.size, backlog.oldest_sequence) == (30, 300, 1)


def test_the_newest_entry_is_never_trimmed_even_when_nothing_is_to_be_retained() -> None:
    backlog = Backlog(QueueLimits(retain_bytes=0))
    for first in (1, 11, 21):
        backlog.append(entry(first, size=MIB))
    backlog.commit(EVERYTHING)

    assert backlog.trim_floor() == 21


def test_trimming_waits_until_it_is_worth_it_unless_memory_is_short() -> None:
    backlog = Backlog(QueueLimits(retain_bytes=8 * MIB))
    for index in range(9):
        backlog.append(entry(1 + 10 * index, size=MIB))
    backlog.append(entry(91, size=100))
    backlog.commit(81)

    assert backlog.trim_floor() == 11
    backlog.trimmed(11)
    backlog.commit(91)
    assert backlog.trim_floor() == 0
    assert backlog.trim_floor(thrifty=True) == 21


@given(
    sizes=st.lists(st.integers(1, 3 * MIB), min_size=1, max_size=40),
    positions=st.lists(st.integers(0, 500), min_size=1, max_size=20),
    retain=st.integers(0, 20 * MIB),
    thrifty=st.booleans(),
)
def test_what_is_trimmed_was_committed_and_what_is_kept_fits(
    sizes: list[int], positions: list[int], retain: int, thrifty: bool
) -> None:
    backlog = Backlog(QueueLimits(retain_bytes=retain))
    held: list[BacklogEntry] = []
    for index, size in enumerate(sizes):
        held.append(entry(1 + 10 * index, size=size))
        backlog.append(held[-1])
        position = positions[index % len(positions)]
        backlog.commit(position)

        floor = backlog.trim_floor(thrifty=thrifty)
        if floor:
            gone = [e for e in held if e.first < floor]
            assert gone
            assert all(e.first <= position for e in gone)
            held = held[len(gone) :]
            backlog.trimmed(floor)
            kept = [e for e in held if e.first <= position]
            unread = len(held) - len(kept)
            # Not more than needed: with one entry more, what is retained would be too large.
            assert sum(e.size for e in kept) <= retain or (not unread and len(kept) == 1)
            assert sum(e.size for e in kept) + gone[-1].size > retain

        assert held
        unread_entries = [e for e in held if e.first > position]
        assert backlog.size == sum(e.size for e in unread_entries)
        assert backlog.records == (unread_entries[-1].last - unread_entries[0].first + 1 if unread_entries else 0)
        assert backlog.oldest_sequence == held[0].first

"""The decision where to go on: the four cases of the contract, and what they become with several sinks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastpath.frame import MARKER_GAP, MODE_HISTORICAL, MODE_LIVE
from services.replay.queue.adoption import Evidence, decide
from services.replay.queue.model import Adopted, Checkpoint, Memory, StoredCheckpoint, Tail
from services.runtime.session.announcement import SinkPosition
from services.runtime.session.intents import Effective

EPOCH = "e1"
NEW = "e2"
CHECKPOINT = Checkpoint(
    Effective(MODE_HISTORICAL, revision=4, paused=True, speed=0.0), seams=({"a": 1},), inputs="i", sequence=90
)
STORED = StoredCheckpoint(epoch=EPOCH, run_id="r", checkpoint=CHECKPOINT)
STORED_LIVE = replace(STORED, checkpoint=replace(CHECKPOINT, effective=replace(CHECKPOINT.effective, mode=MODE_LIVE)))
TAIL = Tail(epoch=EPOCH, mode=MODE_HISTORICAL, first=91, last=100, cursor=b"tail", arrival_time_ns=1)
TAIL_LIVE = replace(TAIL, mode=MODE_LIVE)


def sink(sequence: int, *, name: str = "price", live: int = 0, epoch: str = EPOCH) -> SinkPosition:
    return SinkPosition(
        name=name, epoch=epoch, sequence=sequence, live_sequence=live, cursor=b"%s" % name.encode(), run_id="r"
    )


def adopt(
    tail: Tail | None = None,
    *sinks: SinkPosition,
    stored: StoredCheckpoint | None = None,
    memory: Memory | None = None,
    silent: tuple[str, ...] = (),
    changed: bool = False,
    may_turn: bool = False,
) -> Adopted:
    evidence = Evidence(
        tail=tail,
        stored=stored,
        sinks=sinks,
        silent=silent,
        memory=memory,
        time_ns=77,
        changed=changed,
        may_turn=may_turn,
    )
    return decide(evidence, lambda: NEW)


def place(adopted: Adopted) -> tuple[str, int, bytes]:
    return (adopted.epoch, adopted.next_sequence, adopted.cursor)


@pytest.mark.quick
def test_a_session_that_never_was_starts_a_new_epoch() -> None:
    adopted = adopt()

    assert place(adopted) == (NEW, 1, b"")
    assert adopted.fresh
    assert adopted.gap is None
    assert adopted.checkpoint is None


def test_a_tail_that_no_sink_is_beyond_is_continued() -> None:
    adopted = adopt(TAIL, sink(60), sink(100, name="other"), stored=STORED)

    assert place(adopted) == (EPOCH, 101, b"tail")
    assert adopted.checkpoint == CHECKPOINT
    assert not adopted.fresh
    assert adopted.gap is None


@pytest.mark.parametrize("memory", [None, Memory(EPOCH, 140, 0)], ids=["sink", "own memory"])
def test_a_historical_span_lost_behind_a_sink_is_published_again_from_the_tail(memory: Memory | None) -> None:
    adopted = adopt(TAIL, sink(130, live=50), stored=STORED, memory=memory)

    assert place(adopted) == (EPOCH, 101, b"tail")
    assert adopted.gap is None


def test_a_live_span_lost_behind_a_sink_becomes_a_gap_that_jumps_over_it() -> None:
    adopted = adopt(TAIL_LIVE, sink(130, live=130), stored=STORED_LIVE)

    assert place(adopted) == (EPOCH, 101, b"price")
    assert adopted.gap is not None
    assert (adopted.gap.kind, adopted.gap.next_sequence, adopted.gap.time_ns) == (MARKER_GAP, 131, 77)


def test_live_records_that_only_this_process_remembers_become_a_gap() -> None:
    adopted = adopt(TAIL_LIVE, sink(95, live=95), stored=STORED_LIVE, memory=Memory(EPOCH, 140, 139))

    # No sink is beyond the tail, so historical records after it are still to be read: its cursor.
    assert place(adopted) == (EPOCH, 101, b"tail")
    assert adopted.gap is not None
    assert adopted.gap.next_sequence == 141


def test_a_restart_in_live_mode_owes_a_gap_marker() -> None:
    adopted = adopt(TAIL_LIVE, sink(100, live=100), stored=STORED_LIVE)

    assert place(adopted) == (EPOCH, 101, b"tail")
    assert adopted.gap is not None
    assert (adopted.gap.next_sequence, adopted.gap.reason) == (0, "the producer was restarted")


def test_adopting_again_in_live_mode_with_everything_in_place_owes_nothing() -> None:
    adopted = adopt(TAIL_LIVE, sink(100, live=100), stored=STORED_LIVE, memory=Memory(EPOCH, 100, 100))

    assert adopted.gap is None


def test_a_missing_stream_is_continued_from_the_slowest_sink() -> None:
    adopted = adopt(None, sink(60), sink(80, name="fast"), stored=STORED)

    assert place(adopted) == (EPOCH, 61, b"price")
    assert adopted.checkpoint == CHECKPOINT
    assert adopted.gap is None


def test_a_missing_stream_whose_only_sink_had_every_live_record_goes_on_with_a_gap() -> None:
    adopted = adopt(None, sink(80, live=80), stored=STORED_LIVE)

    assert place(adopted) == (EPOCH, 81, b"price")
    assert adopted.gap is not None


def test_live_records_beyond_the_slowest_sink_start_a_new_epoch_with_a_gap() -> None:
    adopted = adopt(None, sink(60), sink(80, name="fast", live=75), stored=STORED_LIVE)

    # The faster sink must not get its historical records again: its cursor.
    assert place(adopted) == (NEW, 1, b"fast")
    assert adopted.gap is not None
    assert not adopted.fresh
    assert adopted.checkpoint == replace(STORED_LIVE.checkpoint, seams=(), sequence=0)


def test_live_records_that_no_sink_had_are_a_gap_in_the_same_epoch() -> None:
    adopted = adopt(None, sink(60, live=50), stored=STORED_LIVE, memory=Memory(EPOCH, 90, 90))

    assert place(adopted) == (EPOCH, 61, b"price")
    assert adopted.gap is not None
    assert adopted.gap.next_sequence == 91


def test_sinks_of_different_epochs_cannot_be_continued() -> None:
    adopted = adopt(None, sink(60), sink(80, name="other", epoch="e0"))

    assert place(adopted) == (NEW, 1, b"")


def test_own_memory_decides_between_sinks_of_different_epochs() -> None:
    adopted = adopt(None, sink(60), sink(80, name="other", epoch="e0"), memory=Memory(EPOCH, 90, 0))

    assert place(adopted) == (EPOCH, 61, b"price")


def test_without_sinks_a_historical_epoch_that_we_remember_is_published_again_from_its_beginning() -> None:
    adopted = adopt(None, memory=Memory(EPOCH, 90, 0))

    assert place(adopted) == (EPOCH, 1, b"")
    assert not adopted.fresh


def test_without_sinks_an_epoch_with_live_records_is_never_published_again_under_the_same_numbers() -> None:
    adopted = adopt(None, stored=STORED_LIVE, memory=Memory(EPOCH, 90, 50))

    assert place(adopted) == (NEW, 1, b"")
    assert adopted.gap is not None


def test_an_expected_sink_that_stays_silent_gets_everything_again() -> None:
    adopted = adopt(None, sink(60), silent=("other",))

    assert place(adopted) == (EPOCH, 1, b"")


@pytest.mark.parametrize(
    "stored",
    [replace(STORED, checkpoint=replace(CHECKPOINT, unrepeatable=70)), STORED_LIVE],
    ids=["replay time was moved", "live"],
)
@pytest.mark.parametrize("announced", [60, 0], ids=["one sink has less", "one sink has nothing"])
def test_a_silent_sink_that_may_have_what_is_not_numbered_again_gets_another_epoch(
    stored: StoredCheckpoint, announced: int
) -> None:
    adopted = adopt(None, sink(60), sink(announced, name="slow"), stored=stored, silent=("other",))

    assert place(adopted) == (NEW, 1, b"price")
    assert adopted.gap is not None
    assert adopted.gap.next_sequence == 0


def test_a_silent_sink_has_nothing_more_than_this_process_remembers() -> None:
    moved = replace(STORED, checkpoint=replace(CHECKPOINT, unrepeatable=70))

    adopted = adopt(None, sink(60), stored=moved, memory=Memory(EPOCH, 90, 70), silent=("other",))

    assert place(adopted) == (EPOCH, 61, b"price")
    assert adopted.gap is not None
    assert adopted.gap.next_sequence == 91


def test_a_move_that_every_known_sink_has_leaves_the_numbers_as_they_are() -> None:
    moved = replace(STORED, checkpoint=replace(CHECKPOINT, unrepeatable=40))

    adopted = adopt(None, sink(60, live=40), stored=moved, silent=("other",))

    assert place(adopted) == (EPOCH, 61, b"price")
    assert adopted.gap is None


def test_a_sink_that_has_nothing_yet_is_the_slowest() -> None:
    adopted = adopt(None, sink(60), replace(sink(0, name="new", epoch=""), cursor=b""))

    assert place(adopted) == (EPOCH, 1, b"")


def test_sinks_that_have_nothing_yet_are_no_evidence() -> None:
    adopted = adopt(None, sink(0, epoch=""))

    assert place(adopted) == (NEW, 1, b"")
    assert adopted.fresh


def test_a_checkpoint_of_another_epoch_keeps_its_mode_and_loses_its_seams() -> None:
    adopted = adopt(TAIL, stored=replace(STORED, epoch="e0"))

    assert adopted.checkpoint is not None
    assert (adopted.checkpoint.effective.revision, adopted.checkpoint.effective.paused) == (4, True)
    assert adopted.checkpoint.seams == ()


@pytest.mark.parametrize(
    ("tail", "stored", "sinks", "cursor"),
    [
        pytest.param(TAIL_LIVE, STORED_LIVE, (sink(100, live=100),), b"tail", id="live, no sink ahead"),
        pytest.param(
            TAIL_LIVE, STORED_LIVE, (sink(60), sink(130, name="ahead", live=130)), b"ahead", id="a sink ahead"
        ),
        pytest.param(TAIL_LIVE, STORED, (), b"tail", id="live by its newest entry"),
        pytest.param(TAIL, STORED, (sink(130, live=120),), b"price", id="live by what a sink has"),
        pytest.param(None, STORED_LIVE, (sink(80, live=80),), b"price", id="nothing left but a sink"),
        pytest.param(None, None, (sink(80, live=80),), b"price", id="no checkpoint either"),
    ],
)
@pytest.mark.parametrize("memory", [None, Memory("before", 140, 139)], ids=["new", "of another epoch"])
def test_a_changed_primary_begins_a_numbering_where_somebody_may_know_live_records(
    tail: Tail | None,
    stored: StoredCheckpoint | None,
    sinks: tuple[SinkPosition, ...],
    cursor: bytes,
    memory: Memory | None,
) -> None:
    adopted = adopt(tail, *sinks, stored=stored, memory=memory, changed=True)

    assert place(adopted) == (NEW, 1, cursor)
    assert adopted.gap is not None
    assert "another Redis took over" in adopted.gap.reason
    assert not adopted.fresh


def test_a_changed_primary_goes_on_where_memory_knows_everything() -> None:
    adopted = adopt(TAIL_LIVE, stored=STORED_LIVE, memory=Memory(EPOCH, 140, 139), changed=True)

    assert place(adopted) == (EPOCH, 101, b"tail")
    assert adopted.gap is not None
    assert adopted.gap.next_sequence == 141


@pytest.mark.parametrize("memory", [None, Memory(EPOCH, 140, 0)], ids=["new", "knows"])
def test_a_changed_primary_gets_history_again_under_the_same_numbers(memory: Memory | None) -> None:
    adopted = adopt(TAIL, sink(130, live=50), stored=STORED, memory=memory, changed=True)

    assert place(adopted) == (EPOCH, 101, b"tail")
    assert adopted.gap is None


@pytest.mark.parametrize(
    ("sinks", "silent", "wanted"),
    [
        pytest.param((), (), (NEW, 1, b"tail"), id="nobody ahead"),
        pytest.param((sink(130),), (), (NEW, 1, b"price"), id="one sink ahead"),
        pytest.param((sink(130), sink(60, name="other")), (), (EPOCH, 101, b"tail"), id="sinks apart"),
        pytest.param((), ("price",), (EPOCH, 101, b"tail"), id="a sink that is not up"),
    ],
)
def test_history_that_may_have_gone_live_begins_a_numbering_where_no_sink_loses_by_it(
    sinks: tuple[SinkPosition, ...], silent: tuple[str, ...], wanted: tuple[str, int, bytes]
) -> None:
    adopted = adopt(TAIL, *sinks, stored=STORED, silent=silent, changed=True, may_turn=True)

    assert place(adopted) == wanted

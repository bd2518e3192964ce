"""Weaver: the partitions of a session as one stream, against its twin and against the order of one partition."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import weave
from fastpath.frame import (
    BATCH_BYTES_MAX,
    BATCH_ROWS_MAX,
    MARKER_DISCONNECTED,
    MARKER_DISCONTINUITY,
    MARKER_GAP,
    MARKER_RECONNECTED,
    MARKER_SEAM,
    MODE_HISTORICAL,
    MODE_LIVE,
)
from fastpath.records import FrameError, Marker
from protos.common.v1 import market_pb2
from tests.reference import weave as reference
from tests.support.woven import (
    AT_LAST,
    WEAVERS,
    Record,
    Tick,
    Weaver,
    Woven,
    Writer,
    cut,
    expected,
    made_history,
    rejection,
    split,
)

SEEDS = st.integers(0, 2**32 - 1)
PARTITIONS = st.integers(1, 5)
both = pytest.mark.parametrize("kind", WEAVERS, ids=["kernel", "twin"])


def state_of(*tickers: str) -> bytes:
    quotes = [market_pb2.Quote(ticker=ticker, arrival_time_ns=5, bid_price=1.5) for ticker in tickers]
    return market_pb2.Marker(state=quotes).SerializeToString()


@both
@given(seed=SEEDS, partitions=PARTITIONS)
def test_partitions_come_out_in_the_order_of_one_whatever_is_fed_when(
    kind: type[Weaver], seed: int, partitions: int
) -> None:
    rng = random.Random(seed)
    made = made_history(rng, 60, partitions)
    writers = [Writer(f"e{partition}") for partition in range(partitions)]
    unread = [cut(rng, part) for part in split(made, partitions)]
    weaver, woven = kind(partitions), Woven()
    ended: set[int] = set()

    while len(ended) < partitions:
        partition = rng.randrange(partitions)
        if unread[partition]:
            weaver.feed(partition, writers[partition].batch(unread[partition].pop(0)))
            if rng.random() < 0.3:
                rest = [record for records in unread[partition] for record in records]
                next_ns = getattr(rest[0], "arrival_time_ns", 0) if rest else AT_LAST
                weaver.promise(partition, f"e{partition}", writers[partition].next - 1, next_ns)
        else:
            weaver.promise(partition, f"e{partition}", writers[partition].next - 1, AT_LAST)
            ended.add(partition)
        if rng.random() < 0.5:
            woven.drain(weaver)
    woven.drain(weaver)

    assert woven.named == expected(record for _, record in made)
    assert [number for _, _, number, _ in woven.records] == list(range(1, len(made) + 1))
    assert weaver.lagging() == []


@pytest.mark.parametrize("partitions", [1, 2, 7, 64, 70])
def test_bursts_of_many_partitions_come_out_in_the_order_of_their_keys(partitions: int) -> None:
    """One partition may be first thousands of times in a row, and keys of live records may be equal: then the lower partition is first."""
    rng = random.Random(partitions)
    parts: list[list[Record]] = [[] for _ in range(partitions)]
    arrival = 0
    while sum(map(len, parts)) < 6_000:
        partition = rng.randrange(partitions)
        for _ in range(rng.choice((1, 1, 1, 5, 600, 1_500))):
            arrival += rng.choice((0, 0, 1))
            tie = len(parts[partition])
            made = rejection(arrival, tie) if rng.random() < 0.01 else Tick(arrival, tie, f"T{partition}.{tie % 3}")
            parts[partition].append(made)
    keyed = [((r.arrival_time_ns, r.tie_order, p), r) for p, part in enumerate(parts) for r in part]  # type: ignore[union-attr]
    weaver, woven = weave.Weaver(partitions), Woven()

    for partition, part in enumerate(parts):
        writer = Writer("e")
        for records in cut(rng, part, longest=2_000):
            weaver.feed(partition, writer.batch(records))
        weaver.promise(partition, "e" if part else "", writer.next - 1, AT_LAST)
    woven.drain(weaver)

    assert woven.named == expected(record for _, record in sorted(keyed, key=lambda each: each[0]))
    assert {batch.last_sequence + 1 - batch.first_sequence for batch in woven.batches[:-1]} <= {BATCH_ROWS_MAX}


@both
@given(seed=SEEDS)
def test_a_reader_goes_on_behind_the_positions_of_any_batch(kind: type[Weaver], seed: int) -> None:
    rng = random.Random(seed)
    made = made_history(rng, 60, 3)
    parts = split(made, 3)
    after = rng.randint(0, len(made))
    sequences = [sum(where == partition for where, _ in made[:after]) for partition in range(3)]
    weaver, woven = kind(3, after=[(p, "e", sequences[p]) for p in range(3)]), Woven()

    for partition, part in enumerate(parts):
        writer = Writer("e", sequences[partition] + 1)
        for records in cut(rng, part[sequences[partition] :]):
            weaver.feed(partition, writer.batch(records))
        weaver.promise(partition, "e", writer.next - 1, AT_LAST)
    woven.drain(weaver)

    assert woven.named == expected(record for _, record in made[after:])
    assert [number for _, _, number, _ in woven.records] == list(range(after + 1, len(made) + 1))


@given(seed=SEEDS, partitions=PARTITIONS)
def test_whatever_comes_the_kernel_does_what_its_twin_does(seed: int, partitions: int) -> None:
    rng = random.Random(seed)
    writers = [Writer(f"e{p}", rng.choice([1, 1, 50])) for p in range(partitions)]
    kernel, twin = weave.Weaver(partitions), reference.Weaver(partitions)
    woven, slowly = Woven(), Woven()
    revision = 0
    for _ in range(rng.randint(1, 40)):
        partition = rng.randrange(partitions)
        writer = writers[partition]
        match rng.randrange(8):
            case 0:
                promise = (
                    writer.epoch,
                    max(writer.next - rng.choice([0, 1, 1, 1, 3]), 0),
                    rng.choice([9, 20, AT_LAST]),
                )
                kernel.promise(partition, *promise)
                twin.promise(partition, *promise)
            case 1:
                kernel.excuse(partition)
                twin.excuse(partition)
            case 2 if rng.random() < 0.3:
                writer.epoch, writer.next = f"e{rng.random()}", rng.choice([1, 9])
            case _:
                revision += rng.randrange(2)
                records = [_anything(rng, writer.next + i, revision) for i in range(rng.randint(1, 6))]
                mode = rng.choice([MODE_HISTORICAL, MODE_HISTORICAL, MODE_LIVE])
                encoded = writer.batch(_without_inner_jumps(records), mode=mode, publish_time_ns=rng.randrange(9))
                kernel.feed(partition, encoded)
                twin.feed(partition, encoded)
        if rng.random() < 0.6:
            woven.drain(kernel)
            slowly.drain(twin)
            assert woven.records == slowly.records
            assert kernel.positions == twin.positions
        assert kernel.lagging() == twin.lagging()


def _anything(rng: random.Random, sequence: int, revision: int) -> Record:
    arrival, tie = rng.randrange(1, 30), rng.randrange(2) << 48 | rng.randrange(3)
    match rng.randrange(12):
        case 0:
            return rejection(arrival, tie)
        case 1:
            kind = rng.choice([MARKER_DISCONNECTED, MARKER_RECONNECTED, MARKER_GAP])
            jump = sequence + rng.randint(1, 9) if kind == MARKER_GAP and rng.random() < 0.7 else 0
            return Marker(kind, next_sequence=jump, reason=str(sequence))
        case 2:
            return Marker(
                rng.choice([MARKER_SEAM, MARKER_DISCONTINUITY]),
                mode=rng.choice([MODE_HISTORICAL, MODE_LIVE]),
                revision=revision,
                time_ns=rng.randrange(2),
                state=state_of(f"T{rng.randrange(9)}"),
                first_key=rng.choice([None, (arrival, 1, 2)]),
                last_key=rng.choice([None, (arrival, 1, 3)]),
                gap_ns=rng.randrange(5),
                overlap_removed=rng.randrange(3),
                position_arrival_time_ns=rng.randrange(4),
            )
        case _:
            return Tick(arrival, tie, f"T{rng.randrange(4)}")


def _without_inner_jumps(records: list[Record]) -> list[Record]:
    """Numbers of a gap lead beyond its own; a marker that jumps ends its batch."""
    for place, record in enumerate(records):
        if isinstance(record, Marker) and record.next_sequence:
            return records[: place + 1]
    return records


@both
def test_a_silent_partition_is_waited_for_until_its_watermark_lets_pass(kind: type[Weaver]) -> None:
    weaver, writer, woven = kind(2), Writer(), Woven()
    weaver.feed(0, writer.batch([Tick(10, 1), Tick(20, 2), Tick(20, 3)]))
    woven.drain(weaver)
    assert (woven.records, weaver.lagging()) == ([], [(1, False)])

    weaver.promise(1, "f", 0, 20)  # strict: what arrives at 20 may still come, and before these
    woven.drain(weaver)
    assert woven.named == expected([Tick(10, 1)])
    weaver.feed(1, Writer("f").batch([Tick(20, 2, "ETH")]))
    woven.drain(weaver)
    # Of two with one key that of the lower partition is first; behind its last one the other is settled as far as that.
    assert woven.named == expected([Tick(10, 1), Tick(20, 2), Tick(20, 2, "ETH")])
    weaver.promise(1, "f", 1, 21)
    woven.drain(weaver)
    assert woven.named[3:] == expected([Tick(20, 3)])


@both
@pytest.mark.parametrize(
    ("sequence", "epoch"), [(5, "f"), (1, "other")], ids=["it is not there yet", "it is of another epoch"]
)
def test_a_watermark_counts_behind_the_records_that_it_names(kind: type[Weaver], sequence: int, epoch: str) -> None:
    weaver, woven = kind(2), Woven()
    weaver.feed(0, Writer().batch([Tick(10, 1), Tick(20, 2)]))
    weaver.feed(1, Writer("f").batch([Tick(5, 1, "ETH")]))

    weaver.promise(1, epoch, sequence, AT_LAST)
    woven.drain(weaver)

    assert woven.named == expected([Tick(5, 1, "ETH")])


@both
def test_a_watermark_from_before_a_seek_is_over_behind_it(kind: type[Weaver]) -> None:
    weaver, woven = kind(2), Woven()
    writers = [Writer("a"), Writer("b")]
    for partition in range(2):
        weaver.feed(partition, writers[partition].batch([Tick(10, partition)]))
        weaver.promise(partition, writers[partition].epoch, 1, AT_LAST)
        weaver.feed(partition, writers[partition].batch([Marker(MARKER_DISCONTINUITY, revision=4)]))
    weaver.feed(0, writers[0].batch([Tick(3, 0)]))
    woven.drain(weaver)
    assert woven.named[2:] == [("marker", MARKER_DISCONTINUITY, 4, "")]
    assert weaver.lagging() == [(1, False)]

    weaver.promise(1, "b", 2, 4)
    woven.drain(weaver)

    assert woven.named[3:] == expected([Tick(3, 0)])


@both
def test_a_reader_that_begins_behind_a_watermark_does_not_believe_it(kind: type[Weaver]) -> None:
    weaver, woven = kind(2, after=[(0, "a", 0), (1, "b", 7)]), Woven()
    weaver.feed(0, Writer("a").batch([Tick(10, 1)]))

    weaver.promise(1, "b", 6, AT_LAST)  # record 7 may have been a seek
    woven.drain(weaver)

    assert woven.records == []


@both
def test_barriers_of_one_revision_come_out_once_with_the_states_of_all(kind: type[Weaver]) -> None:
    weaver, woven = kind(3), Woven()
    states = [state_of("A", "D"), state_of("C"), state_of("B", "E")]
    for partition in (2, 0, 1):
        writer = Writer()
        marker = Marker(
            MARKER_DISCONTINUITY, revision=7, time_ns=partition, last_key=(9, 1, partition), state=states[partition]
        )
        weaver.feed(partition, writer.batch([Tick(10 + partition, 1, f"T{partition}"), marker, Tick(2, partition)]))
        if partition != 1:
            woven.drain(weaver)
            assert woven.records == [] or partition == 0

    woven.drain(weaver)

    kinds = [record.kind if isinstance(record, Marker) else record[2] for _, _, _, record in woven.records]
    assert kinds == [10, 11, 12, MARKER_DISCONTINUITY, 2]
    number, marker = woven.records[3][2:]
    assert (number, woven.records[4][2]) == (4, 7)
    assert marker.state == state_of("A", "B", "C", "D", "E")
    assert (marker.last_key, marker.time_ns) == ((9, 1, 2), 2)


@both
def test_a_large_state_is_waited_for_and_goes_on_in_further_markers(kind: type[Weaver]) -> None:
    weaver, woven = kind(2), Woven()
    writers = [Writer(), Writer()]
    marker = Marker(MARKER_DISCONTINUITY, revision=7)
    large = [state_of(*(f"T{n:05}" for n in range(first, first + 20_000))) for first in (0, 20_000)]
    assert min(map(len, large)) > BATCH_BYTES_MAX // 2
    weaver.feed(0, writers[0].batch([replace(marker, state=large[1])]))
    weaver.feed(1, writers[1].batch([marker]))
    woven.drain(weaver)
    assert (woven.records, weaver.lagging()) == ([], [(0, False)])

    weaver.feed(0, writers[0].batch([replace(marker, state=large[0])]))
    weaver.feed(0, writers[0].batch([Tick(1, 1)]))
    weaver.promise(1, "e", 1, AT_LAST)
    woven.drain(weaver)

    *pieces, (_, _, last, _) = woven.records
    assert [number for _, _, number, _ in pieces] == [1, 2, 3]
    assert last == 4
    assert b"".join(piece[3].state for piece in pieces) == large[0] + large[1]


@both
def test_barriers_of_other_revisions_come_out_one_after_the_other(kind: type[Weaver]) -> None:
    weaver, woven = kind(2), Woven()
    loop, seek = Marker(MARKER_DISCONTINUITY, reason="loop"), Marker(MARKER_DISCONTINUITY, revision=5)
    weaver.feed(0, Writer().batch([Tick(1, 1), loop, seek, Tick(7, 1)]))
    weaver.feed(1, Writer().batch([Tick(2, 2), seek, Tick(6, 2)]))

    woven.drain(weaver)

    told = [("marker", MARKER_DISCONTINUITY, 0, "loop"), ("marker", MARKER_DISCONTINUITY, 5, "")]
    assert woven.named == [*expected([Tick(1, 1), Tick(2, 2)]), *told, *expected([Tick(6, 2)])]


@both
def test_markers_of_one_partition_stay_behind_what_they_follow(kind: type[Weaver]) -> None:
    weaver, woven = kind(2), Woven()
    lost, back = Marker(MARKER_DISCONNECTED, reason="gone"), Marker(MARKER_RECONNECTED, reason="back")
    gap = Marker(MARKER_GAP, next_sequence=100)
    writer = Writer()
    weaver.feed(0, writer.batch([Tick(10, 1), lost, back, Tick(20, 1), gap], mode=MODE_LIVE))
    weaver.feed(0, writer.batch([Tick(30, 1)], mode=MODE_LIVE))
    weaver.feed(1, Writer("f").batch([Tick(15, 1), Tick(25, 1), Tick(35, 1)], mode=MODE_LIVE))

    woven.drain(weaver)

    assert [number for _, _, number, _ in woven.records] == [1, 2, 3, 4, 5, 6, *range(101, 103)]
    assert [record.kind for _, _, _, record in woven.records if isinstance(record, Marker)] == [2, 3, 4]
    assert woven.records[5][3].next_sequence == 101
    assert weaver.positions == [("e", 100), ("f", 2)]


@both
def test_only_live_partitions_may_be_excused(kind: type[Weaver]) -> None:
    weaver, woven = kind(3), Woven()
    weaver.feed(0, Writer().batch([Tick(10, 1), Tick(20, 1)], mode=MODE_LIVE))
    weaver.feed(1, Writer().batch([Tick(11, 1)], mode=MODE_LIVE))
    weaver.feed(2, Writer().batch([Tick(12, 1)]))
    woven.drain(weaver)
    assert weaver.lagging() == [(1, True)]

    weaver.excuse(1)
    woven.drain(weaver)
    assert (woven.named[-1], weaver.lagging()) == (expected([Tick(12, 1)])[0], [(2, False)])
    weaver.feed(1, Writer("e", 2).batch([Tick(13, 2)], mode=MODE_LIVE))
    woven.drain(weaver)

    assert weaver.lagging() == [(2, False)]


@both
def test_a_seam_to_live_data_needs_nobody_whose_watermark_is_beyond_it(kind: type[Weaver]) -> None:
    weaver, woven = kind(2), Woven()
    seam = Marker(MARKER_SEAM, previous_mode=MODE_HISTORICAL, mode=MODE_LIVE, first_key=(1000, 0, 1), revision=3)
    weaver.feed(0, Writer().batch([seam, Tick(1000, 1)], mode=MODE_LIVE))
    weaver.promise(1, "f", 0, 500)
    woven.drain(weaver)
    assert (woven.records, weaver.lagging()) == ([], [(1, False)])

    weaver.promise(1, "f", 0, 1200)
    assert weaver.lagging() == [(1, True)]
    weaver.excuse(1)
    woven.drain(weaver)

    assert [number for _, _, number, _ in woven.records] == [1, 2]


@both
def test_another_epoch_of_one_partition_is_another_epoch_of_the_whole(kind: type[Weaver]) -> None:
    weaver, woven = kind(2), Woven()
    weaver.feed(0, Writer("a").batch([Tick(10, 1), Tick(20, 1), Tick(30, 1)]))
    weaver.feed(1, Writer("b").batch([Tick(15, 1)]))
    weaver.feed(1, Writer("c").batch([Tick(25, 1)]))
    weaver.promise(1, "c", 1, AT_LAST)

    woven.drain(weaver)

    assert [(number, record[2]) for _, _, number, record in woven.records] == [
        (1, 10),
        (2, 15),
        (3, 20),
        (3, 25),
        (4, 30),
    ]
    epochs = [epoch for epoch, _, _, _ in woven.records]
    before, behind = weave.joint_epoch([b"a", b"b"]), weave.joint_epoch([b"a", b"c"])
    assert epochs == [before] * 3 + [behind] * 2
    assert before == "7e18f737311b2dc3b2f269dd78396b03"


def test_batches_are_full_and_of_one_mode_and_keep_to_their_bytes() -> None:
    weaver, woven = weave.Weaver(2), Woven()
    many = [Tick(2 * number, 1, f"T{number % 50}") for number in range(6_000)]
    others = [Tick(2 * number + 1, 1, f"U{number % 50}") for number in range(6_000)]
    for partition, records in enumerate((many, others)):
        writer = Writer()
        for begin in range(0, 6_000, 4_000):
            weaver.feed(partition, writer.batch(records[begin : begin + 4_000], publish_time_ns=partition))
        weaver.feed(partition, writer.batch([replace(rejection(12_001, partition), raw=b"x" * 1024)] * 2_000))
        weaver.promise(partition, "e", writer.next - 1, AT_LAST)

    woven.drain(weaver)

    counts = [len(batch.ticker_index) + len(batch.rejections) for batch in woven.batches]
    assert counts[0] == BATCH_ROWS_MAX
    assert sum(counts) == 16_000
    assert max(batch.ByteSize() for batch in woven.batches) < BATCH_BYTES_MAX + 4096
    assert {batch.publish_time_ns for batch in woven.batches} == {1}


@both
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first_sequence": 9}, "record 9 does not follow 1"),
        ({"tie_order": ()}, "has no `tie_order`"),
        ({"tick_sequence": [2]}, "filtered"),
    ],
    ids=["a hole", "a session of one partition", "a filtered batch"],
)
def test_what_does_not_belong_is_refused_by_name(kind: type[Weaver], change: dict[str, Any], words: str) -> None:
    writer, weaver = Writer(), kind(2)
    weaver.feed(1, writer.batch([Tick(1, 1)]))
    batch = market_pb2.TickBatch.FromString(writer.batch([Tick(2, 1)]))
    for name, value in change.items():
        if isinstance(value, int):
            batch.first_sequence = batch.last_sequence = value
        else:
            del getattr(batch, name)[:]
            getattr(batch, name).extend(value)

    with pytest.raises(FrameError, match=words if kind is weave.Weaver else None):
        weaver.feed(1, batch.SerializeToString())


def test_partitions_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        weave.Weaver(0)
    with pytest.raises(IndexError, match="partition 2 is out of range; there are 2"):
        weave.Weaver(2).feed(2, Writer().batch([Tick(1, 1)]))
    with pytest.raises(FrameError):
        weave.Weaver(2).feed(0, b"\x00")


def test_what_waits_is_told() -> None:
    weaver = weave.Weaver(2)
    encoded = Writer().batch([Tick(1, 1)])
    weaver.feed(0, encoded)

    assert (weaver.waiting(0), weaver.waiting(1), weaver.held_bytes) == (1, 0, len(encoded))
    weaver.promise(1, "e", 0, AT_LAST)
    assert weaver.take() is not None
    assert (weaver.waiting(0), weaver.held_bytes) == (0, 0)

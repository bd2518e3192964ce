"""LatestTicks and LatestMids: the latest of each ticker since a sequence, as the brute force has it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath.columns import Block, Tickers
from fastpath.frame import (
    BATCH_ROWS_MAX,
    MARKER_DISCONTINUITY,
    MARKER_SEAM,
    MODE_HISTORICAL,
    MODE_LIVE,
    TickFrame,
    encode_batch,
)
from fastpath.latest import LatestMids, LatestTicks
from fastpath.mids import MidFrame
from fastpath.records import FrameError, Marker
from protos.common.v1 import market_pb2
from tests.reference import frame as reference_frame
from tests.reference.latest import Latest
from tests.unit.fastpath.frame_support import same

SEEDS = st.integers(0, 2**32 - 1)


def ticks_of(
    rng: random.Random, first: int, *, mode: int, epoch: str, tickers: int, rows: int, marked: bool = True
) -> tuple[bytes, int]:
    block = Block(Tickers())
    for i in range(rows):
        if rng.random() < 0.1:
            block.append_rejection(arrival_time_ns=first + i, reason="bad")
        else:
            name = f"T{rng.randrange(tickers)}"
            block.append_tick(
                name, arrival_time_ns=first + i, event_time_ns=i, bid_price=rng.random(), bid_amount=1, ask_price=2, ask_amount=3, row=i
            )  # fmt: skip
    kinds = rng.choice(
        [[], [], [MARKER_SEAM], [MARKER_DISCONTINUITY], [MARKER_DISCONTINUITY] * 2, [MARKER_DISCONTINUITY, MARKER_SEAM]]
    )
    markers = [Marker(kind=kind, mode=mode, revision=rng.randrange(2)) for kind in kinds if marked]
    encoded, _, last = encode_batch(
        block, 0, len(block), epoch=epoch, mode=mode, first_sequence=first, sources=["a"], markers=markers
    )
    return encoded, last


def mids_of(rng: random.Random, first: int, *, mode: int, epoch: str, tickers: int, rows: int) -> tuple[bytes, int]:
    names = [f"T{i}" for i in range(tickers)]
    batch = market_pb2.MidBatch(epoch=epoch, mode=mode, first_sequence=first, last_sequence=first + rows, tickers=names)
    for i in range(rows):
        if rng.random() < 0.2:
            continue
        batch.ticker_index.append(rng.randrange(tickers))
        batch.sequence.append(first + i)
        batch.event_time_ns.append(i)
        batch.arrival_time_ns.append(first + i)
        batch.mid_price.append(rng.random())
    return batch.SerializeToString(deterministic=True), first + rows


def run_of(rng: random.Random, make: object) -> list[bytes]:
    """Batches of a stream: modes and epochs change, tails are repeated."""
    batches: list[bytes] = []
    sequence, mode, epoch = 1, MODE_HISTORICAL, "e1"
    for _ in range(rng.randrange(1, 12)):
        if rng.random() < 0.2:
            mode = MODE_LIVE if mode == MODE_HISTORICAL else MODE_HISTORICAL
        if rng.random() < 0.1:
            sequence, epoch = 1, f"e{rng.random()}"
        encoded, last = make(
            rng, sequence, mode=mode, epoch=epoch, tickers=rng.randrange(1, 30), rows=rng.randrange(1, 40)
        )  # type: ignore[operator]
        batches.append(encoded)
        # A Redis that comes back with an older top is published to again, cut in another way.
        sequence = max(1, last + 1 - (rng.randrange(1, 10) if rng.random() < 0.2 else 0))
    return batches


@pytest.mark.quick
@given(seed=SEEDS)
def test_ticks_since_a_sequence_are_those_of_the_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    latest, expected = LatestTicks(), Latest()
    for encoded in run_of(rng, ticks_of):
        latest.take(encoded)
        expected.take_ticks(encoded)
        after = rng.randrange(0, expected.last_sequence + 2)

        parts = latest.since(after)

        assert (latest.epoch, latest.last_sequence, len(latest)) == (
            expected.epoch,
            expected.last_sequence,
            expected.tickers(),
        )
        wanted = expected.since(after)
        assert [(first, last) for first, last, _ in parts] == [(p.first_sequence, p.last_sequence) for p in wanted]
        for (_, _, payload), part in zip(parts, wanted, strict=True):
            frame = TickFrame(payload)
            assert (frame.epoch, frame.mode) == (expected.epoch, part.mode)
            assert (frame.first_sequence, frame.last_sequence) == (part.first_sequence, part.last_sequence)
            assert same(frame.ticks(), part.records)
            assert same(reference_frame.decode(payload).ticks, part.records)
            assert frame.markers == part.markers
            assert frame.rejections == []


@pytest.mark.quick
@given(seed=SEEDS)
def test_mids_since_a_sequence_are_those_of_the_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    latest, expected = LatestMids(), Latest()
    for encoded in run_of(rng, mids_of):
        latest.take(encoded)
        expected.take_mids(encoded)
        after = rng.randrange(0, expected.last_sequence + 2)

        parts = latest.since(after)

        wanted = expected.since(after)
        assert (latest.epoch, latest.last_sequence, len(latest)) == (
            expected.epoch,
            expected.last_sequence,
            expected.tickers(),
        )
        assert [(first, last) for first, last, _ in parts] == [(p.first_sequence, p.last_sequence) for p in wanted]
        for (_, _, payload), part in zip(parts, wanted, strict=True):
            frame = MidFrame(payload)
            assert (frame.epoch, frame.mode) == (expected.epoch, part.mode)
            assert same(frame.mids(), part.records)


def test_more_tickers_than_a_batch_holds_come_in_parts_without_a_hole() -> None:
    rng = random.Random(1)
    latest = LatestTicks()
    block = Block(Tickers())
    for i in range(BATCH_ROWS_MAX):
        prices = {"bid_price": i, "bid_amount": 1, "ask_price": i, "ask_amount": 1}
        block.append_tick(f"A{i}", arrival_time_ns=i, event_time_ns=i, row=i, **prices)
    encoded, _, last = encode_batch(block, 0, len(block), epoch="e", mode=1, first_sequence=1, sources=["a"])
    latest.take(encoded)
    latest.take(ticks_of(rng, last + 1, mode=1, epoch="e", tickers=3, rows=9, marked=False)[0])

    parts = latest.since(0)

    assert len(parts) == 2
    assert parts[0][0] == 1
    assert parts[1][0] == parts[0][1] + 1
    assert sum(TickFrame(payload).tick_count for _, _, payload in parts) == len(latest)


def test_what_is_known_from_elsewhere_is_replaced_by_what_comes() -> None:
    latest = LatestMids()
    latest.begin(
        "e", [("B", 9, 1, 2, 3.5, MODE_LIVE), ("A", 4, 5, 6, 7.5, MODE_LIVE)], mode=MODE_LIVE, last_sequence=10
    )
    encoded = market_pb2.MidBatch(
        epoch="e", mode=MODE_LIVE, first_sequence=11, last_sequence=12, tickers=["A"], ticker_index=[0], sequence=[12],
        event_time_ns=[1], arrival_time_ns=[2], mid_price=[8.5],
    ).SerializeToString()  # fmt: skip

    before = latest.since(0)
    latest.take(encoded)
    after = latest.since(0)

    assert [MidFrame(payload).mids() for _, _, payload in before] == [[(4, "A", 5, 6, 7.5), (9, "B", 1, 2, 3.5)]]
    assert [MidFrame(payload).mids() for _, _, payload in after] == [[(9, "B", 1, 2, 3.5), (12, "A", 1, 2, 8.5)]]
    with pytest.raises(ValueError, match="begun already"):
        latest.begin("e", [], mode=MODE_LIVE, last_sequence=1)


@pytest.mark.parametrize("latest", [LatestTicks(), LatestMids()], ids=["ticks", "mids"])
def test_bytes_that_are_no_batch_are_refused_and_change_nothing(latest: LatestTicks | LatestMids) -> None:
    with pytest.raises(FrameError):
        latest.take(b"\xff\xff")

    assert (len(latest), latest.last_sequence, latest.since(0)) == (0, 0, [])

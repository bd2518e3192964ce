"""select_tickers, MidFrame and select_mids."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import frame, mids, records
from fastpath.columns import Block, Tickers
from protos.common.v1 import market_pb2
from tests.reference import frame as reference
from tests.unit.fastpath.frame_support import INT64, PRICE, encode_differently, same, tick_batches

WANTED = st.sets(st.sampled_from(["A", "B", "absent"]))
RANDOMS = st.integers(0, 2**32 - 1).map(random.Random)


def five_ticks(*, rejections: int = 0) -> bytes:
    """Encode ticks of A, B, A, B, A and some rejections behind them."""
    block = Block(Tickers())
    for i in range(5):
        block.append_tick(
            "AB"[i % 2], arrival_time_ns=i, event_time_ns=i, bid_price=i, bid_amount=1, ask_price=i, ask_amount=1, row=i
        )
    for _ in range(rejections):
        block.append_rejection(arrival_time_ns=5, reason="bad")
    return frame.encode_batch(block, 0, len(block), epoch="e", mode=1, first_sequence=10, sources=["a"])[0]


@pytest.mark.quick
@given(batch=tick_batches(), wanted=WANTED, rng=RANDOMS)
def test_a_selection_keeps_numbers_rejections_markers_and_cursor(
    batch: market_pb2.TickBatch, wanted: set[str], rng: random.Random
) -> None:
    encoded = encode_differently(batch, rng)

    selected = frame.select_tickers(encoded, wanted)

    expected = reference.select_tickers(encoded, wanted)
    assert (selected is None) == (expected is None)
    if selected is None or expected is None:
        return
    whole, got = frame.TickFrame(encoded), frame.TickFrame(selected)
    assert same(got.ticks(), expected)
    assert same(reference.decode(selected).ticks, expected)
    assert (got.rejections, got.markers) == (whole.rejections, whole.markers)
    for name in ("epoch", "mode", "first_sequence", "last_sequence", "publish_time_ns"):
        assert getattr(got, name) == getattr(whole, name)
    assert frame.decode_cursor(got.cursor) == frame.decode_cursor(whole.cursor)
    ties = dict(zip((tick[0] for tick in whole.ticks()), whole.tie_order, strict=False))
    assert list(got.tie_order) == [ties[tick[0]] for tick in got.ticks() if ties]


def test_a_selection_of_a_selection_keeps_the_first_numbers() -> None:
    once = frame.select_tickers(five_ticks(), {"A"})
    assert once is not None

    twice = frame.select_tickers(once, {"A", "B"})

    assert twice == once
    assert [tick[:2] for tick in frame.TickFrame(once).ticks()] == [(10, "A"), (12, "A"), (14, "A")]
    assert frame.TickFrame(once).tickers == ["A"]


def test_a_selection_of_everything_is_the_batch_itself() -> None:
    encoded = five_ticks()

    assert frame.select_tickers(encoded, ["B", "A"]) == encoded
    assert frame.select_tickers(bytearray(encoded), ["B", "A"]) == encoded


def test_nothing_left_is_none_but_a_rejection_is_something() -> None:
    assert frame.select_tickers(five_ticks(), {"C"}) is None

    selected = frame.select_tickers(five_ticks(rejections=2), {"C"})

    assert selected is not None
    got = frame.TickFrame(selected)
    assert got.tick_count == 0
    assert [rejection.sequence for rejection in got.rejections] == [15, 16]
    # Read by the generated class, too.
    assert market_pb2.TickBatch.FromString(selected).last_sequence == 16


def test_a_selection_of_what_is_no_batch_is_refused() -> None:
    with pytest.raises(records.FrameError):
        frame.select_tickers(b"\x01", {"A"})


@st.composite
def mid_batches(draw: st.DrawFn) -> market_pb2.MidBatch:
    """Draw a valid MidBatch."""
    numbers = sorted(draw(st.sets(st.integers(5, 30), max_size=10)))
    count = len(numbers)
    return market_pb2.MidBatch(
        epoch="e",
        mode=market_pb2.MODE_LIVE,
        first_sequence=5,
        last_sequence=30,
        tickers=["A", "B", "A"],
        ticker_index=draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        sequence=numbers,
        event_time_ns=draw(st.lists(INT64, min_size=count, max_size=count)),
        arrival_time_ns=draw(st.lists(INT64, min_size=count, max_size=count)),
        mid_price=draw(st.lists(PRICE, min_size=count, max_size=count)),
    )


@given(batch=mid_batches(), rng=RANDOMS)
def test_mids_are_read_from_every_valid_encoding(batch: market_pb2.MidBatch, rng: random.Random) -> None:
    encoded = encode_differently(batch, rng)

    got = mids.MidFrame(encoded)

    expected = reference.decode_mids(encoded)
    assert same(got.mids(), expected)
    assert len(got) == len(expected)
    assert (got.epoch, got.mode, got.first_sequence, got.last_sequence) == ("e", 2, 5, 30)
    assert same(sorted(got.latest().items()), sorted({m[1]: (m[0], *m[2:]) for m in expected}.items()))


@given(batch=mid_batches(), wanted=WANTED)
def test_selected_mids_are_those_of_the_tickers(batch: market_pb2.MidBatch, wanted: set[str]) -> None:
    encoded = batch.SerializeToString()

    selected = mids.select_mids(encoded, wanted)

    expected = [mid for mid in reference.decode_mids(encoded) if mid[1] in wanted]
    assert (selected is None) == (not expected)
    if selected is not None:
        assert same(reference.decode_mids(selected), expected)
        assert same(mids.MidFrame(selected).mids(), expected)
        assert mids.MidFrame(selected).epoch == "e"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mode", 0, "mode 0"),
        ("first_sequence", 0, "first_sequence is 0"),
        ("last_sequence", 4, "last_sequence 4"),
        ("sequence", [5, 5], "sequence has sequence 5"),
        ("sequence", [5, 31], "sequence has sequence 31"),
        ("sequence", [5], "sequence has 1 values"),
        ("mid_price", [], "mid_price has 0 values"),
        ("ticker_index", [0, 1], "ticker_index 1 is outside the 1 tickers"),
    ],
)
def test_mids_that_do_not_add_up_are_refused(field: str, value: int | list[int], message: str) -> None:
    fields: dict[str, object] = {
        "mode": 1,
        "first_sequence": 5,
        "last_sequence": 30,
        "tickers": ["A"],
        "ticker_index": [0, 0],
        "sequence": [5, 6],
        "event_time_ns": [1, 2],
        "arrival_time_ns": [1, 2],
        "mid_price": [1.0, 2.0],
    }
    encoded = market_pb2.MidBatch(**(fields | {field: value})).SerializeToString()  # type: ignore[arg-type]

    with pytest.raises(records.FrameError, match=message):
        mids.MidFrame(encoded)


@given(batch=mid_batches(), rng=RANDOMS)
def test_damaged_mids_are_read_or_refused_as_the_twin_says(batch: market_pb2.MidBatch, rng: random.Random) -> None:
    for _ in range(20):
        encoded = bytearray(batch.SerializeToString())
        encoded[rng.randrange(len(encoded))] ^= 1 << rng.randrange(8)
        damaged = bytes(encoded[: rng.randrange(len(encoded))] if rng.random() < 0.3 else encoded)
        try:
            expected = reference.decode_mids(damaged)
        except records.FrameError:
            with pytest.raises(records.FrameError):
                mids.MidFrame(damaged)
        else:
            assert same(mids.MidFrame(damaged).mids(), expected)

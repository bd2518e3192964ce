"""encode_batch and encode_cursor, against the twin and the generated classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import frame, records
from fastpath.columns import Block, Tickers
from protos.common.v1 import market_pb2
from tests.reference import frame as reference
from tests.unit.fastpath.frame_support import CURSORS, INT64, KEYS, MARKERS, SOURCES, TEXT, blocks, same

if TYPE_CHECKING:
    from fastpath.columns import Key


def block_of(count: int, *, ticker: str = "T{}", every: int = 3) -> Block:
    """Build a block of `count` ticks over `every` tickers."""
    block = Block(Tickers())
    for i in range(count):
        block.append_tick(
            ticker.format(i % every),
            arrival_time_ns=1_000_000 + i,
            event_time_ns=1_000 + i,
            bid_price=1.5 + i,
            bid_amount=2.0,
            ask_price=1.75 + i,
            ask_amount=3.0,
            row=i + 1,
        )
    return block


@pytest.mark.quick
@given(
    block=blocks(),
    markers=st.lists(MARKERS, max_size=3),
    mode=st.integers(1, 2),
    first_sequence=st.integers(1, 2**63),
    cursor=CURSORS,
    last_key=st.none() | KEYS,
    epoch=TEXT,
    publish_time_ns=INT64,
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_encode_batch_writes_the_bytes_that_protobuf_writes(
    block: Block,
    markers: list[records.Marker],
    mode: int,
    first_sequence: int,
    cursor: records.Cursor,
    last_key: Key | None,
    epoch: str,
    publish_time_ns: int,
    cut: tuple[float, float],
) -> None:
    start, stop = sorted(int(part * len(block)) for part in cut)
    if start == stop and not markers:
        markers = [records.Marker(kind=frame.MARKER_SEAM)]
    cursor_sources = frame.encode_cursor(records.Cursor(None, cursor.sources))

    got = frame.encode_batch(
        block,
        start,
        stop,
        epoch=epoch,
        mode=mode,
        first_sequence=first_sequence,
        sources=SOURCES,
        markers=markers,
        cursor_sources=cursor_sources,
        last_key=last_key,
        publish_time_ns=publish_time_ns,
    )

    expected = reference.encode_batch(
        block.to_rows(),
        start,
        stop,
        epoch=epoch,
        mode=mode,
        first_sequence=first_sequence,
        sources=SOURCES,
        markers=markers,
        cursor_sources=cursor_sources,
        last_key=last_key,
        publish_time_ns=publish_time_ns,
    )
    assert market_pb2.TickBatch.FromString(got[0]) is not None
    assert got == expected
    decoded = frame.TickFrame(got[0])
    twin = reference.decode(got[0])
    assert same(decoded.ticks(), twin.ticks)
    assert decoded.rejections == twin.rejections
    assert decoded.markers == twin.markers


@pytest.mark.quick
@given(block=blocks(rows=st.integers(0, 2**46 - 1)), markers=st.integers(0, 2))
def test_rows_say_their_tie_order_where_it_is_asked_for_and_nothing_else_changes(block: Block, markers: int) -> None:
    asked: dict[str, Any] = {"epoch": "e", "mode": 1, "first_sequence": 7, "sources": SOURCES}
    asked["markers"] = [records.Marker(kind=frame.MARKER_SEAM)] * (markers if len(block) else 1)

    got = frame.encode_batch(block, 0, len(block), **asked, tie_order=True)

    assert got == reference.encode_batch(block.to_rows(), 0, len(block), **asked, tie_order=True)
    decoded = frame.TickFrame(got[0])
    keys = [(key[1] << 48 | key[2], len(rest) == 2) for key, *rest in block.to_rows()]
    assert list(decoded.tie_order) == [tie for tie, rejected in keys if not rejected]
    assert [rejection.tie_order for rejection in decoded.rejections] == [tie for tie, rejected in keys if rejected]
    without = market_pb2.TickBatch.FromString(got[0])
    without.ClearField("tie_order")
    for rejection in without.rejections:
        rejection.ClearField("tie_order")
    assert without.SerializeToString(deterministic=True) == frame.encode_batch(block, 0, len(block), **asked)[0]


@pytest.mark.parametrize("rejected", [False, True], ids=["tick", "rejection"])
@pytest.mark.parametrize(("rank", "row"), [(2**16, 1), (0, 2**46)], ids=["rank", "row"])
def test_a_row_without_a_tie_order_is_refused_by_name(rank: int, row: int, rejected: bool) -> None:
    block = Block(Tickers())
    if rejected:
        block.append_rejection(arrival_time_ns=1, source_rank=rank, row=row, reason="bad")
    else:
        block.append_tick(
            "A",
            arrival_time_ns=1,
            event_time_ns=1,
            bid_price=1,
            bid_amount=1,
            ask_price=1,
            ask_amount=1,
            source_rank=rank,
            row=row,
        )
    asked: dict[str, Any] = {"epoch": "e", "mode": 1, "first_sequence": 1, "sources": ["a"] * (rank + 1)}
    frame.encode_batch(block, 0, 1, **asked)

    with pytest.raises(ValueError, match=f"row {row} of source {rank} has no `tie_order`"):
        frame.encode_batch(block, 0, 1, **asked, tie_order=True)


@given(cursor=CURSORS)
def test_a_cursor_survives_and_is_encoded_as_protobuf_does(cursor: records.Cursor) -> None:
    encoded = frame.encode_cursor(cursor)

    assert encoded == reference.encode_cursor(cursor)
    assert frame.decode_cursor(encoded) == cursor


def test_tickers_stand_in_order_of_first_appearance() -> None:
    block = block_of(6)

    encoded, rows, last = frame.encode_batch(block, 2, 6, epoch="e", mode=1, first_sequence=1, sources=[])

    batch = market_pb2.TickBatch.FromString(encoded)
    assert list(batch.tickers) == ["T2", "T0", "T1"]
    assert list(batch.ticker_index) == [0, 1, 2, 0]
    assert (rows, last) == (4, 4)


def test_markers_take_the_first_numbers_and_a_gap_can_skip_some() -> None:
    gap = records.Marker(kind=frame.MARKER_GAP, next_sequence=100)

    encoded, rows, last = frame.encode_batch(
        block_of(3),
        0,
        3,
        epoch="e",
        mode=1,
        first_sequence=7,
        sources=[],
        markers=[records.Marker(kind=frame.MARKER_SEAM, sequence=999), gap],
    )

    decoded = frame.TickFrame(encoded)
    assert [marker.sequence for marker in decoded.markers] == [7, 8]
    assert [tick[0] for tick in decoded.ticks()] == [100, 101, 102]
    assert (rows, last) == (3, 102)


@pytest.mark.parametrize("count", [4095, 4096, 4097, 5000])
def test_a_batch_closes_at_4096_records(count: int) -> None:
    block = block_of(count)

    rows = frame.encode_batch(block, 0, count, epoch="e", mode=1, first_sequence=1, sources=[])[1]
    with_marker = frame.encode_batch(
        block, 0, count, epoch="e", mode=1, first_sequence=1, sources=[], markers=[records.Marker(kind=1)]
    )[1]

    assert rows == min(count, 4096)
    assert with_marker == min(count, 4095)


@pytest.mark.cases(4)
@pytest.mark.parametrize(("mode", "tie_order"), [(1, False), (2, False), (1, True)], ids=["1", "2", "tie order"])
@pytest.mark.parametrize("reason_size", [1, 600, 601, 602])
def test_a_batch_closes_at_the_last_record_that_fits_into_1_mib(mode: int, tie_order: bool, reason_size: int) -> None:
    block = Block(Tickers())
    for i in range(1500):
        if i % 3:
            block.append_tick(
                f"{i:0999d}" if i % 2 else "short",
                arrival_time_ns=i,
                event_time_ns=i,
                bid_price=1,
                bid_amount=1,
                ask_price=1,
                ask_amount=1,
                source_rank=i % 3,
                row=i * 1000 % 999,
            )
        else:
            block.append_rejection(arrival_time_ns=i, row=i, reason="r" * reason_size, raw=b"x" * 1024)
    asked: dict[str, Any] = {"epoch": "e", "mode": mode, "first_sequence": 1, "publish_time_ns": 1}
    asked |= {"sources": ("a.csv", "b.csv", "c.csv"), "tie_order": tie_order}

    got = frame.encode_batch(block, 5, 1500, **asked)

    expected = reference.encode_batch(block.to_rows(), 5, 1500, **asked)
    assert got[1:] == expected[1:]
    assert got[0] == expected[0]
    assert frame.BATCH_BYTES_MAX - 3000 < len(got[0]) <= frame.BATCH_BYTES_MAX


@pytest.mark.parametrize("long_one_last", [True, False], ids=["new ticker last", "known ticker last"])
@pytest.mark.parametrize("spare", [-1, 0, 1])
@pytest.mark.parametrize("tie_order", [False, True], ids=["plain", "tie order"])
def test_a_batch_of_ticks_closes_at_1_mib_to_the_byte(spare: int, long_one_last: bool, tie_order: bool) -> None:
    block = block_of(4000, every=4000, ticker="{:0190d}")
    asked: dict[str, Any] = {"epoch": "e", "mode": 2, "first_sequence": 1, "sources": [], "tie_order": tie_order}
    first = len(frame.encode_batch(block, 0, 4000, **asked)[0])
    size = 60 if tie_order else 52
    # Two more ticks, one with a ticker whose tag takes one byte and whose length takes three.
    long_one = "T" * (frame.BATCH_BYTES_MAX - first - 2 * size - 4 + spare)
    known = block.tickers.name(0)
    prices: dict[str, Any] = {"bid_price": 1.0, "bid_amount": 1.0, "ask_price": 1.0, "ask_amount": 1.0}
    for ticker in (known, long_one) if long_one_last else (long_one, known):
        block.append_tick(ticker, arrival_time_ns=1, event_time_ns=1, **prices)

    encoded, rows, _ = frame.encode_batch(block, 0, 4002, **asked)

    assert rows == (4002 if spare <= 0 else 4001)
    without_last = first + size if long_one_last else frame.BATCH_BYTES_MAX + spare - size
    assert len(encoded) == (frame.BATCH_BYTES_MAX + spare if rows == 4002 else without_last)


def test_a_single_record_is_encoded_however_large_it_is() -> None:
    block = Block(Tickers())
    block.append_rejection(arrival_time_ns=1, reason="r" * (2 << 20))
    block.append_rejection(arrival_time_ns=1, reason="next")

    encoded, rows, _ = frame.encode_batch(block, 0, 2, epoch="e", mode=1, first_sequence=1, sources=["a"])

    assert rows == 1
    assert len(frame.TickFrame(encoded).rejections[0].reason) == 2 << 20


def test_the_cursor_is_the_last_row_in_history_and_what_was_given_live() -> None:
    block = block_of(5)
    sources = frame.encode_cursor(records.Cursor(None, (records.SourceCursor(9, 8, 7, 6, 5, 4),)))
    given_key = (77, 1, 2)

    def cursor(mode: int, start: int, stop: int, *, markers: tuple[records.Marker, ...] = ()) -> records.Cursor:
        encoded = frame.encode_batch(
            block,
            start,
            stop,
            epoch="e",
            mode=mode,
            first_sequence=1,
            sources=[],
            markers=markers,
            cursor_sources=sources,
            last_key=given_key,
        )[0]
        return frame.decode_cursor(frame.TickFrame(encoded).cursor)

    assert cursor(frame.MODE_HISTORICAL, 1, 4).last_key == block.key(3)
    assert cursor(frame.MODE_LIVE, 1, 4).last_key == given_key
    assert cursor(frame.MODE_HISTORICAL, 1, 1, markers=(records.Marker(kind=2),)).last_key == given_key
    assert cursor(frame.MODE_LIVE, 1, 4).sources == (records.SourceCursor(9, 8, 7, 6, 5, 4),)


def test_a_source_with_undecodable_bytes_in_its_path_stays_readable() -> None:
    block = Block(Tickers())
    block.append_rejection(arrival_time_ns=1, reason="bad")

    encoded, _, _ = frame.encode_batch(block, 0, 1, epoch="e", mode=1, first_sequence=1, sources=["caf\udce9.csv"])

    assert frame.TickFrame(encoded).rejections[0].source == "caf\\udce9.csv"


def encode_three(**overrides: object) -> object:
    """Encode three rows with some arguments replaced."""
    arguments: dict[str, object] = {
        "epoch": "e",
        "mode": 1,
        "first_sequence": 1,
        "sources": ["a"],
        "start": 0,
        "stop": 3,
    }
    arguments |= overrides
    block = block_of(2)
    block.append_rejection(arrival_time_ns=3, source_rank=1 if overrides.get("sources") == ["a"] else 0, reason="bad")
    return frame.encode_batch(block, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"mode": 0}, "`mode` is 0"),
        ({"mode": 3}, "`mode` is 3"),
        ({"first_sequence": 0}, "start at 1"),
        ({"first_sequence": 2**64 - 2}, "leaves no numbers"),
        ({"start": 0, "stop": 0}, "nothing to encode"),
        ({"sources": ["a"]}, "from source 1"),
        ({"markers": [records.Marker(kind=0)]}, "kind 0"),
        ({"markers": [records.Marker(kind=6)]}, "kind 6"),
        ({"markers": [records.Marker(kind=1, next_sequence=9)]}, "next_sequence 9"),
        ({"markers": [records.Marker(kind=4, next_sequence=1)]}, "next_sequence 1"),
        ({"markers": [records.Marker(kind=1)] * 4096}, "4096 markers"),
        ({"markers": [records.Marker(kind=1)] * 2, "first_sequence": 2**64 - 1}, "no sequence left"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_its_value(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_three(**overrides)


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (2, 1), (4, 4)])
def test_rows_outside_the_block_are_refused(start: int, stop: int) -> None:
    with pytest.raises(IndexError, match="not within the 3 rows"):
        encode_three(start=start, stop=stop, sources=["x"])


def test_the_last_number_of_all_can_be_used() -> None:
    encoded, _, last = frame.encode_batch(block_of(3), 0, 3, epoch="e", mode=1, first_sequence=2**64 - 3, sources=[])

    assert last == 2**64 - 1
    assert frame.TickFrame(encoded).ticks()[-1][0] == 2**64 - 1

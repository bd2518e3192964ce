"""PriceKernel: filter, mid, lines, counts, digest and state, against the twin."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import frame, midprice, mids, records
from fastpath.columns import Block, Tickers
from protos.common.v1 import market_pb2
from tests.reference import frame as reference_frame
from tests.reference import midprice as reference
from tests.unit.fastpath.frame_support import MARKERS, tick_batches

MS = 1_000_000
THRESHOLD = 20 * MS
NEW_YEAR = 1_735_689_600 * 10**9  # 2025-01-01
BEFORE_EVERYTHING = -(2**63)

PRICES = st.sampled_from([0.0, -0.0, 1.0, 1.25, 200.5, 2.7315e-05, -3.5, 1e22, 1.7e308, math.nan, math.inf, 0.1, 0.2])
TIMES = st.integers(NEW_YEAR - 10**9, NEW_YEAR + 10**9) | st.integers(-(10**9), 10**9).map(lambda t: t // 1000 * 1000)
ROWS = st.integers(0, 2**46 - 1)
LATENCIES = st.sampled_from([0, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 120 * MS, -3_500_000, 24_435_913, 10**18])
NAMES = st.sampled_from(["BTC", "a,b", 'say "x"', "line\nend", "é\u2028"])


def tick(block: Block, **changes: Any) -> None:
    """Append a good tick of 2025-01-01 with a latency of 10 ms, changed."""
    fields: dict[str, Any] = {
        "ticker": "BTC",
        "event_time_ns": NEW_YEAR,
        "bid_price": 200.0,
        "bid_amount": 1.0,
        "ask_price": 201.0,
        "ask_amount": 1.0,
    }
    latency_ns = changes.pop("latency_ns", 10 * MS)
    fields |= changes
    fields.setdefault("arrival_time_ns", fields["event_time_ns"] + latency_ns)
    block.append_tick(fields.pop("ticker"), **fields)


def encode(block: Block, *, mode: int = frame.MODE_HISTORICAL, first_sequence: int = 1, **more: Any) -> bytes:
    """Encode all of a block."""
    arguments: dict[str, Any] = {"epoch": "e", "sources": ["a.csv", "b\n.csv"]} | more
    encoded, rows, _ = frame.encode_batch(block, 0, len(block), mode=mode, first_sequence=first_sequence, **arguments)
    assert rows == len(block)
    return encoded


def kernel_of(**options: Any) -> midprice.PriceKernel:
    """Make a kernel with a threshold of 20 ms."""
    return midprice.PriceKernel(latency_threshold_ns=THRESHOLD, **options)


def texts(block: Block, *, mode: int = frame.MODE_HISTORICAL, **options: Any) -> tuple[str, str]:
    """Return the mid and error lines of a block."""
    kernel = kernel_of(**options)
    kernel.process(frame.TickFrame(encode(block, mode=mode)))
    return kernel.take_mid_text().decode(), kernel.take_error_text().decode()


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """Draw a batch of plausible ticks, rejections and markers."""
    block = Block(Tickers())
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 5)) == 0:
            block.append_rejection(
                arrival_time_ns=draw(TIMES),
                source_rank=draw(st.integers(0, 1)),
                row=draw(ROWS),
                reason=draw(st.text(max_size=8)),
                raw=b"raw",
            )
        else:
            prices = {name: draw(PRICES) for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")}
            place = {"source_rank": draw(st.integers(0, 1)), "row": draw(ROWS)}
            tick(block, ticker=draw(NAMES), event_time_ns=draw(TIMES), latency_ns=draw(LATENCIES), **prices, **place)
    markers = draw(st.lists(MARKERS, max_size=2))
    if not len(block) and not markers:
        markers = [records.Marker(kind=frame.MARKER_SEAM)]
    more = {"markers": markers, "tie_order": draw(st.booleans())}
    return encode(block, mode=draw(st.integers(1, 2)), first_sequence=draw(st.integers(1, 100)), **more)


@pytest.mark.quick
@given(
    encoded=st.lists(batches(), max_size=3), log_arrival=st.booleans(), select=st.booleans(), after=st.integers(0, 120)
)
def test_the_kernel_writes_what_the_twin_writes(
    encoded: list[bytes], log_arrival: bool, select: bool, after: int
) -> None:
    kernel = kernel_of(log_arrival=log_arrival, with_csv=True, with_index=True)
    twin = reference.PriceKernel(latency_threshold_ns=THRESHOLD, log_arrival=log_arrival)

    for one in encoded:
        chosen = frame.select_tickers(one, {"BTC", "a,b"}) if select else one
        if chosen is None:
            continue
        done = kernel.process(frame.TickFrame(chosen), after_sequence=after)
        assert done == twin.process(reference_frame.decode(chosen), after_sequence=after)
        mids = twin.mid_batch if twin.mid_batch.ticker_index else market_pb2.MidBatch()
        assert kernel.take_mid_batch() == mids.SerializeToString(deterministic=True)

    assert kernel.take_mid_text().decode() == twin.mid_text
    assert kernel.take_error_text().decode() == twin.error_text
    assert kernel.take_csv_text().decode() == twin.csv_text
    assert bytes(kernel.index_text) == twin.index
    assert kernel.counts == twin.counts
    assert kernel.digest() == twin.digest()
    assert kernel.first_arrival_time_ns == twin.first_arrival_time_ns
    assert kernel.last_arrival_time_ns == twin.last_arrival_time_ns


@given(batch=tick_batches(), after=st.integers(0, 2**64 - 1))
def test_the_kernel_survives_every_valid_batch(batch: market_pb2.TickBatch, after: int) -> None:
    encoded = batch.SerializeToString()
    ties = [*batch.tie_order, *(rejection.tie_order for rejection in batch.rejections)]
    indexed = all(tie % 2**48 < 2**46 for tie in ties)
    if not indexed:
        with pytest.raises(ValueError, match="no place in the index"):
            kernel_of(with_index=True).process(frame.TickFrame(encoded))
    kernel = kernel_of(with_csv=True, with_index=indexed)
    twin = reference.PriceKernel(latency_threshold_ns=THRESHOLD)

    done = kernel.process(frame.TickFrame(encoded), after_sequence=after)

    assert done == twin.process(reference_frame.decode(encoded), after_sequence=after)
    assert kernel.take_mid_text().decode() == twin.mid_text
    assert kernel.take_error_text().decode() == twin.error_text
    assert bytes(kernel.index_text) == (twin.index if indexed else b"")
    assert kernel.digest() == twin.digest()


@pytest.mark.parametrize("rejected", [False, True], ids=["tick", "rejection"])
def test_the_index_refuses_rows_that_it_has_no_bits_for_and_takes_nothing(rejected: bool) -> None:
    def batch(row: int) -> frame.TickFrame:
        message = market_pb2.TickBatch(epoch="e", mode=1, first_sequence=1, last_sequence=2 if rejected else 1)
        message.tickers.append("A")
        for name in ("event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount"):
            getattr(message, name).append(1)
        message.ticker_index.append(0)
        message.tie_order.append(7 if rejected else row)
        if rejected:
            message.rejections.add(sequence=2, arrival_time_ns=1, source="f", reason="r", tie_order=row)
        return frame.TickFrame(message.SerializeToString())

    kernel, rank = kernel_of(with_index=True), (2**16 - 1) << 48

    with pytest.raises(ValueError, match=r"a row from 2\^46 on has no place in the index"):
        kernel.process(batch(rank | 2**46))

    assert (len(kernel.index_text), kernel.counts) == (0, kernel_of().counts)
    assert kernel.process(batch(rank | 2**46 - 1)) == 1 + rejected
    assert struct.unpack("<Q", bytes(kernel.index_text)[-8:]) == (2**64 - 4 + rejected,)
    assert kernel_of().process(batch(rank | 2**46)) == 1 + rejected


def test_lines_are_spelled_as_the_design_spells_them() -> None:
    block = Block(Tickers())
    tick(block, event_time_ns=NEW_YEAR + 120 * MS)
    tick(block, latency_ns=120 * MS)
    tick(block, bid_price=math.nan)
    tick(block, ask_price=0.0, ask_amount=0.0)
    tick(block, bid_price=0.0, bid_amount=0.0, ask_price=math.nan)
    block.append_rejection(arrival_time_ns=1, source_rank=0, row=7, reason="ask_price: 'x' is no number")

    mids, errors = texts(block)

    assert mids == "2025-01-01 00:00:00.120, 200.5\n"
    assert errors.splitlines() == [
        "No mid price at 2025-01-01 00:00:00.000 as latency 120ms is bigger than 20ms",
        "No mid price at 2025-01-01 00:00:00.000 as bid price is missing",
        "No mid price at 2025-01-01 00:00:00.000 as ask price is missing",
        "No mid price at 2025-01-01 00:00:00.000 as bid and ask price is missing",
        "Rejected a.csv:7: ask_price: 'x' is no number",
    ]


@pytest.mark.parametrize(
    ("latency_ns", "filtered"), [(THRESHOLD, False), (THRESHOLD + 1, True), (-THRESHOLD - 1, False)]
)
def test_the_threshold_itself_is_not_bigger(latency_ns: int, filtered: bool) -> None:
    block = Block(Tickers())
    tick(block, latency_ns=latency_ns)

    mids, errors = texts(block)

    assert (mids == "") is filtered
    assert ("as latency 20.000001ms is bigger than 20ms" in errors) is filtered


def test_live_ticks_are_not_filtered() -> None:
    block = Block(Tickers())
    tick(block, latency_ns=10**12)

    assert texts(block, mode=frame.MODE_LIVE) == ("2025-01-01 00:00:00.000, 200.5\n", "")


def test_the_latency_filter_comes_before_the_missing_side() -> None:
    block = Block(Tickers())
    tick(block, latency_ns=21 * MS, bid_price=math.nan)

    assert texts(block)[1] == "No mid price at 2025-01-01 00:00:00.000 as latency 21ms is bigger than 20ms\n"


@pytest.mark.parametrize(
    ("threshold_ns", "filtered"),
    [(0, False), (-5 * MS, True), (-10 * MS, False), (-10 * MS - 1, True), (-(2**63), True)],
)
def test_a_threshold_may_be_negative(threshold_ns: int, filtered: bool) -> None:
    block = Block(Tickers())
    tick(block, latency_ns=-4 * MS if threshold_ns == -5 * MS else -10 * MS)
    kernel = midprice.PriceKernel(latency_threshold_ns=threshold_ns)

    kernel.process(frame.TickFrame(encode(block)))

    assert kernel.counts.latency_filtered == filtered


def test_a_latency_of_65_bits_is_spelled_exactly() -> None:
    block = Block(Tickers())
    tick(block, event_time_ns=-(2**63), arrival_time_ns=2**63 - 1)
    tick(block, event_time_ns=2**63 - 1, arrival_time_ns=-(2**63))

    mids, errors = texts(block)

    assert (
        errors
        == "No mid price at 1677-09-21 00:12:43.145224192 as latency 18446744073709.551615ms is bigger than 20ms\n"
    )
    assert mids == "2262-04-11 23:47:16.854775807, 200.5\n"


@pytest.mark.parametrize(
    ("bid", "bid_amount", "missing"),
    [
        (math.nan, 1.0, True),
        (0.0, 0.0, True),
        (-0.0, 0.0, True),
        (0.0, math.nan, False),
        (0.0, 1.0, False),
        (1.0, 0.0, False),
        (-5.0, 1.0, False),
        (math.inf, 1.0, True),
    ],
)
def test_a_side_is_missing_without_a_price_or_when_both_are_zero(bid: float, bid_amount: float, missing: bool) -> None:
    block = Block(Tickers())
    tick(block, bid_price=bid, bid_amount=bid_amount)

    mids, errors = texts(block)

    assert (mids == "") is missing
    assert (errors == "No mid price at 2025-01-01 00:00:00.000 as bid price is missing\n") is missing


def test_a_sum_that_overflows_is_said_so_and_counted() -> None:
    block = Block(Tickers())
    tick(block, bid_price=1.7e308, ask_price=1.7e308)
    kernel = kernel_of()

    kernel.process(frame.TickFrame(encode(block)))

    assert kernel.take_mid_text() == b""
    assert kernel.take_error_text() == (
        b"No mid price at 2025-01-01 00:00:00.000 as bid + ask is beyond the range of a float64\n"
    )
    assert kernel.counts.missing_side == 1


def test_crossed_and_locked_quotes_are_computed_and_counted() -> None:
    block = Block(Tickers())
    tick(block, bid_price=202.0, ask_price=201.0)
    tick(block, bid_price=201.0, ask_price=201.0)
    tick(block, bid_price=202.0, ask_price=201.0, latency_ns=21 * MS)
    kernel = kernel_of()

    kernel.process(frame.TickFrame(encode(block)))

    assert kernel.counts == midprice.PriceCounts(2, 1, 0, 0, 1, 1, 0)
    assert kernel.take_mid_text().count(b"\n") == 2


@pytest.mark.parametrize(
    ("reason", "escaped"),
    [
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("\x00\x1f\x7f", "\\x00\\x1f\\x7f"),
        ("\x80\x85\x9f\xa0", "\\x80\\x85\\x9f\xa0"),
        ("\u2027\u2028\u2029\u202a", "\u2027\\u2028\\u2029\u202a"),
        ("é \\ 漢 😀", "é \\ 漢 😀"),
    ],
)
def test_a_rejection_stays_on_one_line(reason: str, escaped: str) -> None:
    block = Block(Tickers())
    block.append_rejection(arrival_time_ns=1, source_rank=1, row=2**64 - 1, reason=reason)

    assert texts(block)[1] == f"Rejected b\\x0a.csv:18446744073709551615: {escaped}\n"


def test_lines_stand_in_sequence_order_around_rejections() -> None:
    block = Block(Tickers())
    for i in range(4):
        tick(block, bid_price=math.nan, event_time_ns=NEW_YEAR + i * MS)
        block.append_rejection(arrival_time_ns=1, row=i, reason="bad")

    errors = texts(block)[1].splitlines()

    assert [line[:8] for line in errors] == ["No mid p", "Rejected"] * 4
    assert [line.split(" as ")[0][-3:] for line in errors[::2]] == ["000", "001", "002", "003"]


def test_text_collects_until_it_is_taken() -> None:
    block = Block(Tickers())
    tick(block)
    kernel = kernel_of(with_csv=True)

    for first_sequence in (1, 2, 3):
        kernel.process(frame.TickFrame(encode(block, first_sequence=first_sequence)))

    assert kernel.take_mid_text() == b"2025-01-01 00:00:00.000, 200.5\n" * 3
    assert kernel.take_mid_text() == b""
    assert kernel.take_csv_text().splitlines() == [
        b"2025-01-01 00:00:00.000,2025-01-01 00:00:00.010,BTC,%d,200.5" % number for number in (1, 2, 3)
    ]
    assert kernel.take_error_text() == b""


def test_the_log_can_show_arrival_times() -> None:
    block = Block(Tickers())
    tick(block)

    assert texts(block, log_arrival=True)[0] == "2025-01-01 00:00:00.010, 200.5\n"


@pytest.mark.parametrize("after", range(8))
def test_records_that_were_seen_are_not_accounted_again(after: int) -> None:
    block = Block(Tickers())
    for i in range(2):
        tick(block, event_time_ns=NEW_YEAR + 2 * i * MS)
        block.append_rejection(arrival_time_ns=1, row=i, reason="bad")
        tick(block, event_time_ns=NEW_YEAR + (2 * i + 1) * MS)
    encoded = encode(block, markers=[records.Marker(kind=frame.MARKER_SEAM)])  # 1: marker, then tick, bad, tick twice
    whole, rest = kernel_of(), kernel_of()
    whole.process(frame.TickFrame(encoded))

    done = rest.process(frame.TickFrame(encoded), after_sequence=after)

    assert done == max(7 - after, 0)
    counts = rest.counts
    assert counts.mids + counts.rejected + counts.markers == done
    assert whole.take_mid_text().endswith(rest.take_mid_text())
    assert whole.take_error_text().endswith(rest.take_error_text())


def test_the_mid_batch_is_that_of_the_last_frame_only() -> None:
    block = Block(Tickers())
    tick(block, ticker="late", latency_ns=21 * MS)
    tick(block, ticker="B")
    tick(block, ticker="A")
    tick(block, ticker="B", bid_price=201.0)
    kernel = kernel_of()
    kernel.process(frame.TickFrame(encode(block)))
    kernel.process(frame.TickFrame(encode(block, first_sequence=5)), after_sequence=6)

    batch = mids.MidFrame(kernel.take_mid_batch())

    assert [(mid[0], mid[1], mid[4]) for mid in batch.mids()] == [(7, "A", 200.5), (8, "B", 201.0)]
    assert (batch.epoch, batch.mode, batch.first_sequence, batch.last_sequence) == ("e", 1, 5, 8)
    assert kernel.take_mid_batch() == b""


def test_there_is_no_mid_batch_without_mids_or_when_it_is_off() -> None:
    late, good = Block(Tickers()), Block(Tickers())
    tick(late, latency_ns=21 * MS)
    tick(good)
    on, off = kernel_of(), kernel_of(with_mids=False)

    on.process(frame.TickFrame(encode(good)))
    on.process(frame.TickFrame(encode(late, first_sequence=2)))
    off.process(frame.TickFrame(encode(good)))

    assert on.take_mid_batch() == off.take_mid_batch() == b""


@given(before=st.lists(batches(), max_size=4), after=st.lists(batches(), max_size=3))
def test_a_state_lets_another_kernel_continue(before: list[bytes], after: list[bytes]) -> None:
    whole, first = kernel_of(), kernel_of()
    for encoded in before:
        whole.process(frame.TickFrame(encoded))
        first.process(frame.TickFrame(encoded))

    second = kernel_of(state=first.state())

    for encoded in after:
        whole.process(frame.TickFrame(encoded))
        second.process(frame.TickFrame(encoded))
    assert second.counts == whole.counts
    assert second.digest() == whole.digest()
    assert second.first_arrival_time_ns == whole.first_arrival_time_ns
    assert second.last_arrival_time_ns == whole.last_arrival_time_ns
    assert second.state() == whole.state()


def test_every_damaged_state_is_refused() -> None:
    block = Block(Tickers())
    tick(block)
    kernel = kernel_of()
    kernel.process(frame.TickFrame(encode(block)))
    state = kernel.state()

    for i in range(len(state)):
        damaged = bytearray(state)
        damaged[i] ^= 0x10
        with pytest.raises(ValueError, match="`state`"):
            kernel_of(state=bytes(damaged))
        if i:
            with pytest.raises(ValueError, match="`state`"):
                kernel_of(state=state[:i])
    with pytest.raises(ValueError, match="`state`"):
        kernel_of(state=state + b"\0")


def test_a_state_of_another_version_is_refused_by_its_number() -> None:
    packed = bytearray(kernel_of().state()[:-4])
    packed[4] = 9

    with pytest.raises(ValueError, match="version 9"):
        kernel_of(state=bytes(packed) + zlib.crc32(packed).to_bytes(4, "little"))


def test_a_new_kernel_has_seen_nothing() -> None:
    kernel = kernel_of()

    assert kernel.counts == (0, 0, 0, 0, 0, 0, 0)
    assert kernel.first_arrival_time_ns == kernel.last_arrival_time_ns == BEFORE_EVERYTHING
    assert (
        kernel.take_mid_text() == kernel.take_error_text() == kernel.take_csv_text() == kernel.take_mid_batch() == b""
    )


def test_a_text_is_lent_without_a_copy_and_left_alone_while_it_is_read() -> None:
    block = Block(Tickers())
    tick(block)
    kernel = kernel_of()
    assert bytes(kernel.mid_text) == b""
    kernel.process(frame.TickFrame(encode(block)))

    with memoryview(kernel.mid_text) as lent:
        assert lent.readonly
        assert bytes(lent) == b"2025-01-01 00:00:00.000, 200.5\n"
        with pytest.raises(BufferError, match="in use"):
            kernel.process(frame.TickFrame(encode(block, first_sequence=2)))
        with pytest.raises(BufferError, match="in use"):
            kernel.mid_text.clear()
    assert kernel.counts.mids == 1

    kernel.process(frame.TickFrame(encode(block, first_sequence=2)))
    assert len(kernel.mid_text) == 2 * len(b"2025-01-01 00:00:00.000, 200.5\n")
    kernel.mid_text.clear()
    assert kernel.take_mid_text() == b""

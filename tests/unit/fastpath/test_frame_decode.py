"""TickFrame, peek and decode_cursor: every valid encoding is read, and everything else raises FrameError."""

from __future__ import annotations

import contextlib
import os
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpath import frame, records
from protos.common.v1 import market_pb2
from tests.reference import frame as reference
from tests.unit.fastpath.frame_support import CURSORS, encode_differently, same, tick_batches, varint

RANDOMS = st.integers(0, 2**32 - 1).map(random.Random)


def assert_same_batch(got: frame.TickFrame, expected: reference.DecodedBatch) -> None:
    """Compare all that a frame shows."""
    for name in ("epoch", "mode", "first_sequence", "last_sequence", "publish_time_ns", "tick_count", "tickers"):
        assert getattr(got, name) == getattr(expected, name), name
    assert list(got.tie_order) == expected.tie_order
    assert got.rejections == expected.rejections
    assert got.markers == expected.markers
    assert frame.decode_cursor(got.cursor) == expected.cursor
    assert same(got.ticks(), expected.ticks)


def assert_same_verdict(encoded: bytes) -> bool:
    """Compare kernel and twin on bytes that may be anything; tell whether they were accepted."""
    try:
        expected = reference.decode(encoded)
    except records.FrameError:
        with pytest.raises(records.FrameError):
            frame.TickFrame(encoded)
        with contextlib.suppress(records.FrameError):
            frame.peek(encoded)  # reads less, so it may see nothing wrong; it must raise nothing else
        return False
    try:
        got = frame.TickFrame(encoded)
    except records.FrameError as refused:
        # There is no field 0. protobuf's own parser does not look at the numbers inside of a group that it skips; ours does.
        if "is no field number" not in str(refused):
            raise
        return False
    assert_same_batch(got, expected)
    head = frame.peek(encoded)
    assert head.tick_count == expected.tick_count
    assert head.epoch == expected.epoch
    return True


@pytest.mark.quick
@given(batch=tick_batches())
def test_what_protobuf_writes_is_read(batch: market_pb2.TickBatch) -> None:
    encoded = batch.SerializeToString()

    got = frame.TickFrame(encoded)

    assert_same_batch(got, reference.decode(encoded))


@pytest.mark.quick
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(batch=tick_batches(), rng=RANDOMS)
def test_every_other_valid_encoding_is_read_as_the_same_batch(batch: market_pb2.TickBatch, rng: random.Random) -> None:
    encoded = encode_differently(batch, rng)

    got = frame.TickFrame(encoded)

    expected = reference.decode(batch.SerializeToString())
    assert_same_batch(got, expected)
    assert market_pb2.TickBatch.FromString(encoded).epoch == got.epoch


@given(batch=tick_batches(), rng=RANDOMS)
def test_peek_reads_the_head_of_every_valid_encoding(batch: market_pb2.TickBatch, rng: random.Random) -> None:
    head = frame.peek(encode_differently(batch, rng))

    arrivals = list(batch.arrival_time_ns) or [-(2**63)]
    gaps = [each for each in batch.markers if each.kind == market_pb2.Marker.KIND_GAP and each.next_sequence]
    at_the_end = bool(gaps) and gaps[-1].sequence == batch.last_sequence
    assert head == (
        batch.epoch,
        batch.mode,
        batch.first_sequence,
        batch.last_sequence,
        len(batch.ticker_index),
        arrivals[-1],
        batch.publish_time_ns,
        gaps[-1].next_sequence if at_the_end else (batch.last_sequence + 1) % 2**64,
    )


@given(cursor=CURSORS, rng=RANDOMS)
def test_a_cursor_is_read_from_every_valid_encoding(cursor: records.Cursor, rng: random.Random) -> None:
    message = market_pb2.HistoricalCursor.FromString(frame.encode_cursor(cursor))

    assert frame.decode_cursor(encode_differently(message, rng)) == cursor


def mutate(encoded: bytes, rng: random.Random) -> bytes:
    """Damage some bytes in one of the ways in which bytes get damaged."""
    data = bytearray(encoded)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0 if data:
                data[place % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = rng.randbytes(rng.randrange(1, 4))
            case 3:
                del data[place : place + rng.randrange(1, 10)]
            case 4 if data:
                data[place % len(data)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
            case _:
                end = rng.randrange(len(data) + 1)
                data += data[min(place, end) : max(place, end)]
    return bytes(data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(batch=tick_batches(), rng=RANDOMS)
def test_damaged_bytes_are_read_or_refused_as_protobuf_and_the_rules_say(
    batch: market_pb2.TickBatch, rng: random.Random
) -> None:
    for encoded in (batch.SerializeToString(), encode_differently(batch, rng)):
        for _ in range(20):
            assert_same_verdict(mutate(encoded, rng))


@pytest.mark.nightly
def test_damaged_bytes_for_a_long_time() -> None:
    seed = int(os.environ.get("MIDSTREAM_SEED", random.randrange(2**32)))
    print(f"seed={seed}")  # noqa: T201
    rng = random.Random(seed)
    corpus = [full_batch().SerializeToString(), sample()]
    accepted = 0
    for _ in range(200_000):
        encoded = mutate(rng.choice(corpus), rng)
        if assert_same_verdict(encoded):
            accepted += 1
            if len(corpus) < 2000:
                corpus.append(encoded)
    assert accepted > 1000


def test_field_number_zero_is_refused_also_inside_of_what_is_skipped() -> None:
    group, zero, end = b"\x83\x02", b"\x00\x00", b"\x84\x02"
    encoded = full_batch().SerializeToString()

    assert assert_same_verdict(encoded + group + end)
    for damaged in (encoded + zero, encoded + group + zero + end):
        with pytest.raises(records.FrameError, match="is no field number"):
            frame.TickFrame(damaged)


def test_every_truncation_is_refused_or_a_shorter_batch() -> None:
    encoded = full_batch().SerializeToString()

    verdicts = [assert_same_verdict(encoded[:size]) for size in range(len(encoded))]

    assert not all(verdicts)


def test_every_flipped_bit_gets_the_twins_verdict() -> None:
    encoded = full_batch().SerializeToString()

    for bit in range(8 * len(encoded)):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_same_verdict(bytes(flipped))


def full_batch() -> market_pb2.TickBatch:
    """Build a batch with something in every field."""
    key = market_pb2.RecordKey(arrival_time_ns=1, source_rank=2, row=3)
    source = market_pb2.SourceCursor(
        offset=1,
        line=2,
        previous_arrival_time_ns=3,
        skipped=4,
        previous_event_time_ns=5,
        order=1,
        channel_arrival_time_ns=6,
    )
    return market_pb2.TickBatch(
        epoch="épo",
        mode=market_pb2.MODE_HISTORICAL,
        first_sequence=10,
        last_sequence=13,
        tickers=["A", "é"],
        ticker_index=[1, 0],
        event_time_ns=[1, -2],
        arrival_time_ns=[3, -4],
        bid_price=[1.5, float("nan")],
        bid_amount=[0.0, -0.0],
        ask_price=[1.75, float("inf")],
        ask_amount=[1, 2],
        rejections=[
            market_pb2.Rejection(
                sequence=11, arrival_time_ns=-5, source="f é", line=7, reason="bad", raw=b"\xff", tie_order=8
            )
        ],
        markers=[
            market_pb2.Marker(
                sequence=10,
                kind=market_pb2.Marker.KIND_SEAM,
                previous_mode=market_pb2.MODE_LIVE,
                mode=market_pb2.MODE_HISTORICAL,
                last_key=key,
                first_key=key,
                time_ns=9,
                reason="switch",
                lost_frames=3,
                revision=4,
                state=[
                    market_pb2.Quote(
                        ticker="é",
                        event_time_ns=1,
                        arrival_time_ns=2,
                        bid_price=1.5,
                        bid_amount=1,
                        ask_price=2,
                        ask_amount=3,
                    )
                ],
                position_arrival_time_ns=5,
            )
        ],
        cursor=market_pb2.HistoricalCursor(last_key=key, sources=[source, source]),
        publish_time_ns=99,
        tie_order=[1 << 48 | 5, 6],
        positions=[market_pb2.PartitionPosition(partition=1, epoch="é", sequence=9)],
    )


def sample(change: Callable[[market_pb2.TickBatch], object] = lambda batch: None, extra: bytes = b"") -> bytes:
    """Encode a small good batch (five ticks, 10..14) after a change, followed by extra bytes."""
    batch = market_pb2.TickBatch(
        epoch="e", mode=market_pb2.MODE_HISTORICAL, first_sequence=10, last_sequence=14, tickers=["A", "B"]
    )
    for i in range(5):
        batch.ticker_index.append(i % 2)
        for column in (batch.event_time_ns, batch.arrival_time_ns):
            column.append(i)
        for prices in (batch.bid_price, batch.bid_amount, batch.ask_price, batch.ask_amount):
            prices.append(i)
    change(batch)
    return batch.SerializeToString() + extra


def tag(number: int, kind: int) -> bytes:
    """Encode a tag."""
    return varint(number << 3 | kind)


def rejection(*sequences: int) -> Callable[[market_pb2.TickBatch], None]:
    """Add rejections, lengthening the batch as if all were in place."""

    def change(batch: market_pb2.TickBatch) -> None:
        batch.last_sequence += len(sequences)
        for sequence in sequences:
            batch.rejections.add(sequence=sequence)

    return change


def marker(**fields: int) -> Callable[[market_pb2.TickBatch], None]:
    """Add a marker, lengthening the batch by one."""

    def change(batch: market_pb2.TickBatch) -> None:
        batch.last_sequence += 1
        batch.markers.add(**fields)

    return change


def both(batch: market_pb2.TickBatch) -> None:
    """Give a rejection and a marker one number."""
    batch.last_sequence += 2
    batch.rejections.add(sequence=12)
    batch.markers.add(sequence=12)


def set_to(**fields: object) -> Callable[[market_pb2.TickBatch], None]:
    """Set scalar fields, or replace repeated ones."""

    def change(batch: market_pb2.TickBatch) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(batch, name)[:]
                getattr(batch, name).extend(value)
            else:
                setattr(batch, name, value)

    return change


HOSTILE = {
    "nothing": (b"", "mode 0"),
    "text": (b"definitely not protobuf", "TickBatch"),
    "tag cut off": (sample(extra=b"\x80"), "a tag at byte 303: is cut off"),
    "tag too long": (sample(extra=b"\xff" * 5 + b"\x01"), "does not end in time"),
    "tag too large": (sample(extra=b"\xff\xff\xff\xff\x7f"), "no field number"),
    "field 0": (sample(extra=b"\x00\x00"), "no field number"),
    "wire type 6": (sample(extra=tag(100, 6)), "wire type 6"),
    "wire type 7": (sample(extra=tag(100, 7)), "wire type 7"),
    "epoch cut off": (b"\x0a\x05abc", "epoch at byte 0: length 5 passes the end"),
    "huge length": (sample(extra=tag(13, 2) + b"\xff\xff\xff\xff\x0f"), "rejections at byte 303: length 4294967295"),
    "length of ten bytes": (sample(extra=tag(13, 2) + b"\xff" * 9 + b"\x01"), "does not end in time"),
    "varint of eleven bytes": (sample(extra=tag(2, 0) + b"\x81" * 10 + b"\x00"), "mode at byte .*does not end in time"),
    "varint cut off": (sample(extra=tag(2, 0) + b"\x81"), "mode at byte .*cut off"),
    "fixed64 cut off": (sample(extra=tag(3, 1) + b"\x00" * 7), "first_sequence at byte .*cut off"),
    "unpacked element cut off": (sample(extra=tag(7, 1) + b"\x00" * 7), "event_time_ns at byte .*cut off"),
    "unknown fixed32 cut off": (sample(extra=tag(99, 5) + b"\x00"), "cut off"),
    "packed column of odd length": (sample(extra=tag(9, 2) + b"\x09" + b"\x00" * 9), "bid_price at byte .*9 bytes"),
    "epoch as varint": (sample(extra=tag(1, 0) + b"\x01"), "epoch at byte .*wire type 0 where 2"),
    "mode as bytes": (sample(extra=tag(2, 2) + b"\x01\x01"), "mode at byte .*wire type 2 where 0"),
    "sequence as varint": (sample(extra=tag(3, 0) + b"\x01"), "first_sequence at byte .*wire type 0 where 1"),
    "column as varint": (sample(extra=tag(6, 0) + b"\x01"), "ticker_index at byte .*wire type 0"),
    "double column as fixed32": (sample(extra=tag(9, 5) + b"\x00" * 4), "bid_price at byte .*wire type 5"),
    "known field as group": (sample(extra=tag(13, 3) + tag(13, 4)), "rejections at byte .*wire type 3"),
    "group not closed": (sample(extra=tag(100, 3)), "not closed"),
    "group closed by another": (sample(extra=tag(100, 3) + tag(101, 4)), "another one's end"),
    "end of no group": (sample(extra=tag(100, 4)), "wire type 4"),
    "groups nested a million deep": (sample(extra=tag(100, 3) * 1_000_000), "too deeply"),
    "epoch not UTF-8": (sample(extra=tag(1, 2) + b"\x02\xc3\x28"), "epoch at byte .*UTF-8"),
    "ticker not UTF-8": (sample(extra=tag(5, 2) + b"\x01\xff"), "tickers at byte .*UTF-8"),
    "reason not UTF-8": (sample(extra=tag(13, 2) + b"\x03" + tag(5, 2) + b"\x01\x80"), "Rejection: reason at byte"),
    "rejection without number": (sample(extra=tag(13, 2) + b"\x00"), "Rejection: sequence"),
    "marker without number": (sample(extra=tag(14, 2) + b"\x00"), "Marker: sequence"),
    "cursor that is none": (sample(extra=tag(15, 2) + b"\x01\x0a"), "last_key at byte .*cut off"),
    "mode missing": (sample(set_to(mode=0)), "mode 0"),
    "mode unknown": (sample(set_to(mode=3)), "mode 3"),
    "first sequence 0": (sample(set_to(first_sequence=0)), "first_sequence is 0"),
    "last below first": (sample(set_to(last_sequence=9)), "last_sequence 9 is below"),
    "one number too many": (sample(set_to(last_sequence=15)), "do not match 5 ticks"),
    "one number too few": (sample(set_to(last_sequence=13)), "do not match 5 ticks"),
    "all numbers there are": (sample(set_to(first_sequence=1, last_sequence=2**64 - 1)), "do not match 5 ticks"),
    "no records": (sample(set_to(**{name: [] for name in ("ticker_index", *reference._COLUMNS)})), "do not match 0"),
    "short column": (sample(set_to(ask_price=[1.0] * 4)), "ask_price has 4 values where ticker_index has 5"),
    "missing column": (sample(set_to(bid_amount=[])), "bid_amount has 0 values"),
    "long column": (sample(set_to(event_time_ns=[1] * 6)), "event_time_ns has 6 values"),
    "index out of range": (sample(set_to(ticker_index=[0, 1, 2, 0, 0])), "ticker_index 2 is outside the 2 tickers"),
    "index far out of range": (sample(set_to(ticker_index=[2**32 - 1] * 5)), "ticker_index 4294967295"),
    "no tickers": (sample(set_to(tickers=[])), "outside the 0 tickers"),
    "rejection below": (sample(rejection(9)), "rejections has sequence 9"),
    "rejection above": (sample(rejection(16)), "rejections has sequence 16"),
    "rejection twice": (sample(rejection(12, 12)), "rejections has sequence 12"),
    "rejections out of order": (sample(rejection(13, 12)), "rejections has sequence 12"),
    "marker above": (sample(marker(sequence=16)), "markers has sequence 16"),
    "marker and rejection with one number": (sample(both), "sequence 12 belongs to no or to several"),
    "gap that leads back": (sample(marker(sequence=12, kind=4, next_sequence=12)), "next_sequence 12"),
    "gap beyond the batch": (sample(marker(sequence=12, kind=4, next_sequence=99)), "next_sequence 99"),
    "gap and too few ticks": (sample(marker(sequence=12, kind=4, next_sequence=15)), "do not match 5 ticks"),
    "tick sequence short": (sample(set_to(tick_sequence=[10, 11])), "tick_sequence has 2 values"),
    "tick sequence falling": (sample(set_to(tick_sequence=[10, 11, 13, 12, 14])), "tick_sequence has sequence 12"),
    "tick sequence twice": (sample(set_to(tick_sequence=[10, 11, 12, 12, 14])), "tick_sequence has sequence 12"),
    "tick sequence above": (sample(set_to(tick_sequence=[10, 11, 12, 13, 15])), "tick_sequence has sequence 15"),
    "tie order short": (sample(set_to(tie_order=[1, 2, 3, 4])), "tie_order has 4 values where ticker_index has 5"),
    "position that is none": (sample(extra=tag(22, 2) + b"\x01\x12"), "PartitionPosition: epoch at byte .*cut off"),
    "empty tick sequence": (sample(extra=tag(17, 2) + b"\x00"), "tick_sequence has 0 values"),
}


@pytest.mark.quick
@pytest.mark.parametrize(("encoded", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_refused_naming_field_and_place(encoded: bytes, message: str) -> None:
    with pytest.raises(records.FrameError, match=message):
        frame.TickFrame(encoded)

    assert not assert_same_verdict(encoded)


@pytest.mark.parametrize(
    "text",
    [
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xf0\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x92",
        b"\xe2\x28\xa1",
        b"\xf0\x9f\x28\xa1",
        b"a\xffb",
    ],
)
def test_every_kind_of_bad_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(records.FrameError, match="UTF-8"):
        frame.TickFrame(sample(extra=tag(1, 2) + bytes([len(text)]) + text))


@pytest.mark.parametrize(
    "text", ["\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"]
)
def test_every_kind_of_good_utf8_is_read(text: str) -> None:
    assert frame.TickFrame(sample(set_to(epoch=text))).epoch == text


def test_a_hundred_thousand_split_columns_are_read_in_linear_time() -> None:
    count = 100_000
    batch = market_pb2.TickBatch(mode=market_pb2.MODE_LIVE, first_sequence=1, last_sequence=count, tickers=["A"])
    columns = b"".join(
        tag(6, 5) + bytes(4) + b"".join(tag(number, 2) + b"\x08" + struct.pack("<q", i) for number in range(7, 13))
        for i in range(count)
    )

    got = frame.TickFrame(batch.SerializeToString() + columns)

    assert got.tick_count == count
    assert got.ticks()[-1][2] == count - 1


def test_a_gap_at_the_end_may_lead_beyond_the_batch() -> None:
    got = frame.TickFrame(sample(marker(sequence=15, kind=4, next_sequence=99)))

    assert got.markers[0].next_sequence == 99
    assert got.ticks()[-1][0] == 14


def test_the_frame_owns_its_columns() -> None:
    buffer = bytearray(sample())

    got = frame.TickFrame(memoryview(buffer))
    buffer[:] = bytes(len(buffer))

    assert [tick[2] for tick in got.ticks()] == [0, 1, 2, 3, 4]


def test_columns_are_read_from_any_alignment() -> None:
    expected = frame.TickFrame(sample()).ticks()

    for shift in range(1, 8):
        assert frame.TickFrame(memoryview(b"x" * shift + sample())[shift:]).ticks() == expected


def test_what_is_no_buffer_is_a_type_error() -> None:
    for wrong in ("text", None, 5):
        with pytest.raises(TypeError):
            frame.TickFrame(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            frame.peek(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoded", [b"\x0a", b"\x12\x05\x08", b"\x0a\x02\x08\x01", b"\x08\x01"], ids=repr)
def test_a_damaged_cursor_is_refused(encoded: bytes) -> None:
    with pytest.raises(records.FrameError, match="at byte"):
        frame.decode_cursor(encoded)

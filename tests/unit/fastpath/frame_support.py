"""Random batches and seeds, and other encodings of the same message that protobuf allows."""

from __future__ import annotations

import math
import os
import random
import struct
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from fastpath import frame, records
from fastpath.columns import Block, Tickers
from protos.common.v1 import market_pb2

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
UINT32 = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=12)
TICKER = st.sampled_from(["BTC", "ETH", "SOL-USDT-SWAP@BINANCE", "é", "", "X" * 130])
PRICE = st.floats(width=64)
SOURCES = ("a.csv", "b é.csv", "c.csv")
EMPTY_CURSOR = records.Cursor(None, ())


def same(a: Any, b: Any) -> bool:
    """Compare, with a NaN being equal to itself."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


@st.composite
def blocks(draw: st.DrawFn, size_max: int = 30, rows: st.SearchStrategy[int] = UINT64) -> Block:
    """Draw a block of ticks and rejections in no particular order."""
    block = Block(Tickers())
    for _ in range(draw(st.integers(0, size_max))):
        key: dict[str, Any] = {
            "arrival_time_ns": draw(INT64),
            "source_rank": draw(st.integers(0, len(SOURCES) - 1)),
            "row": draw(rows),
        }
        if draw(st.integers(0, 4)) == 0:
            block.append_rejection(**key, reason=draw(TEXT), raw=draw(st.binary(max_size=40)))
        else:
            prices: dict[str, Any] = {
                name: draw(PRICE) for name in ("bid_price", "bid_amount", "ask_price", "ask_amount")
            }
            block.append_tick(draw(TICKER), **key, event_time_ns=draw(INT64), **prices)
    return block


KEYS = st.tuples(INT64, UINT32, UINT64)
QUOTES = st.builds(
    market_pb2.Quote,
    ticker=TEXT,
    event_time_ns=INT64,
    arrival_time_ns=INT64,
    bid_price=st.floats(),
    ask_amount=st.floats(),
)
MARKERS = st.builds(
    records.Marker,
    kind=st.integers(1, 5),
    previous_mode=st.integers(0, 2),
    mode=st.integers(0, 2),
    last_key=st.none() | KEYS,
    first_key=st.none() | KEYS,
    time_ns=INT64,
    reason=TEXT,
    lost_frames=UINT64,
    revision=UINT64,
    state=st.lists(QUOTES, max_size=2).map(lambda quotes: market_pb2.Marker(state=quotes).SerializeToString()),
    position_arrival_time_ns=INT64,
    overlap_removed=UINT64,
    gap_ns=INT64,
)
SOURCE_CURSORS = st.builds(records.SourceCursor, UINT64, UINT64, INT64, UINT64, INT64, UINT32, INT64)
CURSORS = st.builds(records.Cursor, st.none() | KEYS, st.lists(SOURCE_CURSORS, max_size=3).map(tuple))


@st.composite
def tick_batches(draw: st.DrawFn, records_max: int = 12) -> market_pb2.TickBatch:
    """Draw a valid TickBatch, filtered or not, that another encoder may have made."""
    batch = market_pb2.TickBatch(
        epoch=draw(TEXT),
        mode=draw(st.sampled_from([market_pb2.MODE_HISTORICAL, market_pb2.MODE_LIVE])),
        publish_time_ns=draw(INT64),
        tickers=["A", "B", "A"],
    )
    records = draw(st.integers(1, records_max))
    gap = draw(st.integers(0, 1000))
    batch.first_sequence = draw(st.integers(1, 2**64 - 1 - records - gap * records))
    filtered = draw(st.booleans())
    sequence = batch.first_sequence - 1
    following = batch.first_sequence
    for i in range(records):
        sequence = following
        following = sequence + 1
        kind = draw(st.sampled_from(["tick", "tick", "tick", "rejection", "marker", "gap", "left out"]))
        if i == records - 1 and filtered:
            # Without any tick the generated class could not say that the batch is filtered.
            kind = "tick"
        if kind == "rejection":
            batch.rejections.add(
                sequence=sequence,
                arrival_time_ns=draw(INT64),
                source=draw(TEXT),
                line=draw(UINT64),
                reason=draw(TEXT),
                raw=draw(st.binary(max_size=8)),
                tie_order=draw(UINT64),
            )
        elif kind in ("marker", "gap"):
            marker = batch.markers.add(sequence=sequence, kind=draw(st.integers(1, 3)), reason=draw(TEXT))
            if kind == "gap":
                marker.kind = market_pb2.Marker.KIND_GAP
                marker.next_sequence = following = following + gap
            if draw(st.booleans()):
                marker.last_key.source_rank = draw(UINT32)
        elif kind == "tick" or not filtered:
            _add_tick(draw, batch)
            if filtered:
                batch.tick_sequence.append(sequence)
    batch.last_sequence = sequence
    if draw(st.booleans()):
        batch.tie_order.extend(draw(UINT64) for _ in batch.ticker_index)
    if draw(st.booleans()):
        batch.cursor.ParseFromString(frame.encode_cursor(draw(CURSORS)))
    return batch


def _add_tick(draw: st.DrawFn, batch: market_pb2.TickBatch) -> None:
    batch.ticker_index.append(draw(st.integers(0, 2)))
    batch.event_time_ns.append(draw(INT64))
    batch.arrival_time_ns.append(draw(INT64))
    for column in (batch.bid_price, batch.bid_amount, batch.ask_price, batch.ask_amount):
        column.append(draw(PRICE))


def encode_differently(message: Message, rng: random.Random, *, unknown: bool = True) -> bytes:
    """Encode a message in another way that every protobuf parser must read as the same message.

    Packed columns are left unpacked or split, fields shuffled, scalars written twice (the last one counts), singular messages
    cut in two that merge, varints padded, and unknown fields of every wire type strewn in.
    """
    queues: dict[int, list[bytes]] = {}
    for descriptor, value in message.ListFields():
        queues[descriptor.number] = _encodings(descriptor, value, rng)
    if unknown:
        for number in rng.sample(range(100, 2**29 - 1), rng.randrange(3)):
            queues[number] = [_unknown(number, rng) for _ in range(rng.randrange(1, 3))]
    out = []
    while queues:  # in any order, but in order within a field
        number = rng.choice(list(queues))
        out.append(queues[number].pop(0))
        if not queues[number]:
            del queues[number]
    return b"".join(out)


def _encodings(descriptor: FieldDescriptor, value: Any, rng: random.Random) -> list[bytes]:
    number = descriptor.number
    if descriptor.message_type is not None:
        if descriptor.is_repeated:
            return [_delimited(number, encode_differently(inner, rng), rng) for inner in value]
        return [_delimited(number, part, rng) for part in _cut(value, rng)]
    if descriptor.is_repeated and descriptor.type != FieldDescriptor.TYPE_STRING:
        return _column(descriptor, list(value), rng)
    values = list(value) if descriptor.is_repeated else [value]
    encoded = [_scalar(descriptor, one, rng) for one in values]
    if not descriptor.is_repeated and rng.random() < 0.3:
        other = _scalar(
            descriptor, "other" if isinstance(value, str) else b"other" if isinstance(value, bytes) else 1, rng
        )
        encoded.insert(0, other)
    return encoded


def _cut(message: Message, rng: random.Random) -> list[bytes]:
    """Cut a message into messages that merge into it."""
    encoded = [part for d, v in message.ListFields() for part in _encodings(d, v, rng)]
    place = rng.randrange(len(encoded) + 1)
    return [b"".join(encoded[:place]), b"".join(encoded[place:])]


def _column(descriptor: FieldDescriptor, values: list[Any], rng: random.Random) -> list[bytes]:
    code = {
        FieldDescriptor.TYPE_FIXED32: "I",
        FieldDescriptor.TYPE_FIXED64: "Q",
        FieldDescriptor.TYPE_SFIXED64: "q",
        FieldDescriptor.TYPE_DOUBLE: "d",
    }[descriptor.type]
    out = []
    while values:
        count = rng.randrange(len(values) + 1)
        part, values = values[:count], values[count:]
        if count == 1 and rng.random() < 0.5:
            out.append(_tag(descriptor.number, 5 if code == "I" else 1, rng) + struct.pack("<" + code, part[0]))
        else:
            out.append(_delimited(descriptor.number, struct.pack(f"<{count}{code}", *part), rng))
    return out


def _scalar(descriptor: FieldDescriptor, value: Any, rng: random.Random) -> bytes:
    if descriptor.type in (FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64):
        return _tag(descriptor.number, 1, rng) + struct.pack("<Q", value % 2**64)
    if descriptor.type == FieldDescriptor.TYPE_STRING:
        return _delimited(descriptor.number, value.encode(), rng)
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return _delimited(descriptor.number, value, rng)
    return _tag(descriptor.number, 0, rng) + varint(value % 2**64, rng, 10)


def _unknown(number: int, rng: random.Random, depth: int = 0) -> bytes:
    kind = rng.choice([0, 1, 2, 5] if depth == 3 else [0, 1, 2, 3, 5])
    if kind == 3:
        inner = b"".join(_unknown(rng.randrange(1, 40), rng, depth + 1) for _ in range(rng.randrange(3)))
        return _tag(number, 3, rng) + inner + _tag(number, 4, rng)
    if kind == 2:
        return _delimited(number, rng.randbytes(rng.randrange(5)), rng)
    return _tag(number, kind, rng) + (
        varint(rng.getrandbits(64), rng, 10) if kind == 0 else rng.randbytes(12 - kind * 4 if kind == 1 else 4)
    )


def _delimited(number: int, payload: bytes, rng: random.Random) -> bytes:
    return _tag(number, 2, rng) + varint(len(payload), rng, 5) + payload


def _tag(number: int, kind: int, rng: random.Random) -> bytes:
    return varint(number << 3 | kind, rng, 5)


def varint(value: int, rng: random.Random | None = None, length_max: int = 10) -> bytes:
    """Encode a varint, with a random generator sometimes padded with zeros up to `length_max` bytes."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if rng is not None and rng.random() < 0.2 and len(out) < length_max:
        padding = rng.randrange(1, length_max - len(out) + 1)
        out[-1] |= 0x80
        out += b"\x80" * (padding - 1) + b"\x00"
    return bytes(out)


def seed_of_this_run() -> int:
    """Choose a seed and print it."""
    seed = int(os.environ.get("MIDSTREAM_SEED", random.randrange(2**32)))
    print(f"seed={seed}")  # noqa: T201
    return seed

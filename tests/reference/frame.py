"""What fastpath.frame does, with the generated protobuf classes and no thought of speed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from fastpath.frame import BATCH_BYTES_MAX, BATCH_ROWS_MAX, MARKER_GAP, MODE_HISTORICAL, MODE_LIVE
from fastpath.records import Cursor, FrameError, Marker, Rejection, SourceCursor
from protos.common.v1 import market_pb2

if TYPE_CHECKING:
    from fastpath.columns import Key, RejectedRow, TickRow

Tick = tuple[int, str, int, int, float, float, float, float]
Mid = tuple[int, str, int, int, float]

_COLUMNS = ("event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount")
_TICK_SEQUENCE = 17
_M = TypeVar("_M", bound=Message)


@dataclass(frozen=True)
class DecodedBatch:
    """The attributes of a TickFrame."""

    epoch: str
    mode: int
    first_sequence: int
    last_sequence: int
    publish_time_ns: int
    tick_count: int
    cursor: Cursor
    tickers: list[str]
    rejections: list[Rejection]
    markers: list[Marker]
    ticks: list[Tick]
    filtered: bool
    tie_order: list[int]


def encode_batch(
    rows: Sequence[TickRow | RejectedRow],
    start: int,
    stop: int,
    *,
    epoch: str,
    mode: int,
    first_sequence: int,
    sources: Sequence[str],
    markers: Sequence[Marker] = (),
    cursor_sources: bytes = b"",
    last_key: Key | None = None,
    publish_time_ns: int = 0,
    tie_order: bool = False,
) -> tuple[bytes, int, int]:
    """Add one row after the other, until the next one would make the batch too large."""
    batch = market_pb2.TickBatch(
        epoch=epoch,
        mode=mode,  # type: ignore[arg-type]
        first_sequence=first_sequence,
        publish_time_ns=publish_time_ns,
    )
    sequence = first_sequence - 1
    following = first_sequence
    for marker in markers:
        sequence = following
        batch.markers.append(marker_message(marker, sequence))
        following = marker.next_sequence or sequence + 1
    if cursor_sources:
        batch.cursor.ParseFromString(cursor_sources)
    if last_key is not None and (mode == MODE_LIVE or start == stop):
        batch.cursor.last_key.CopyFrom(key_message(last_key))
    batch.last_sequence = sequence
    taken = 0
    for row in rows[start:stop]:
        if len(markers) + taken == BATCH_ROWS_MAX:
            break
        tickers_before = len(batch.tickers)
        _add_row(batch, row, following + taken, sources, tie_order=tie_order)
        _set_end(batch, following + taken, row[0])
        if taken and batch.ByteSize() > BATCH_BYTES_MAX:
            _remove_row(batch, row, tickers_before)
            _set_end(batch, following + taken - 1, rows[start + taken - 1][0])
            break
        taken += 1
    return batch.SerializeToString(deterministic=True), taken, batch.last_sequence


def _set_end(batch: market_pb2.TickBatch, sequence: int, key: Key) -> None:
    batch.last_sequence = sequence
    if batch.mode == MODE_HISTORICAL:
        batch.cursor.last_key.CopyFrom(key_message(key))


def _add_row(
    batch: market_pb2.TickBatch,
    row: TickRow | RejectedRow,
    sequence: int,
    sources: Sequence[str],
    *,
    tie_order: bool,
) -> None:
    (arrival, rank, line) = row[0]
    if len(row) == 3:
        batch.rejections.add(
            sequence=sequence,
            arrival_time_ns=arrival,
            source=sources[rank],
            line=line,
            reason=row[1],
            raw=row[2][:1024],
            tie_order=_tie_order(rank, line) if tie_order else 0,
        )
        return
    if tie_order:
        batch.tie_order.append(_tie_order(rank, line))
    ticker = row[2]
    if ticker not in batch.tickers:
        batch.tickers.append(ticker)
    batch.ticker_index.append(list(batch.tickers).index(ticker))
    for name, value in zip(_COLUMNS, (row[1], arrival, *row[3:]), strict=True):
        getattr(batch, name).append(value)


def _tie_order(rank: int, row: int) -> int:
    if rank >= 2**16 or row >= 2**46:
        raise ValueError(f"row {row} of source {rank} has no `tie_order`")
    return rank * 2**48 + row


def _remove_row(batch: market_pb2.TickBatch, row: TickRow | RejectedRow, tickers_before: int) -> None:
    if len(row) == 3:
        del batch.rejections[-1]
        return
    del batch.tickers[tickers_before:]
    for name in ("ticker_index", *_COLUMNS, *(["tie_order"] if batch.tie_order else [])):
        del getattr(batch, name)[-1]


def key_message(key: Key) -> market_pb2.RecordKey:
    """Translate a key."""
    return market_pb2.RecordKey(arrival_time_ns=key[0], source_rank=key[1], row=key[2])


def marker_message(marker: Marker, sequence: int) -> market_pb2.Marker:
    """Translate a marker that takes the number `sequence`."""
    return market_pb2.Marker(
        sequence=sequence,
        kind=marker.kind,  # type: ignore[arg-type]
        previous_mode=marker.previous_mode,  # type: ignore[arg-type]
        mode=marker.mode,  # type: ignore[arg-type]
        last_key=None if marker.last_key is None else key_message(marker.last_key),
        first_key=None if marker.first_key is None else key_message(marker.first_key),
        time_ns=marker.time_ns,
        reason=marker.reason,
        lost_frames=marker.lost_frames,
        next_sequence=marker.next_sequence,
        revision=marker.revision,
        state=market_pb2.Marker.FromString(marker.state).state,
        position_arrival_time_ns=marker.position_arrival_time_ns,
        overlap_removed=marker.overlap_removed,
        gap_ns=marker.gap_ns,
    )


def decode(buffer: bytes) -> DecodedBatch:
    """Parse and check a TickBatch; raise FrameError exactly where TickFrame does."""
    batch = parse(buffer, market_pb2.TickBatch)
    _check_head(batch.mode, batch.first_sequence, batch.last_sequence)
    filtered = _TICK_SEQUENCE in _unknown_fields(Empty.FromString(buffer))
    count = len(batch.ticker_index)
    for name in (*_COLUMNS, "tick_sequence") if filtered else _COLUMNS:
        _require(len(getattr(batch, name)) == count, f"{name} has another length")
    _require(len(batch.tie_order) in (0, count), "tie_order has another length")
    _require(all(index < len(batch.tickers) for index in batch.ticker_index), "ticker_index")
    spans = _spans(batch)
    if filtered:
        numbers = list(batch.tick_sequence)
        _require(all(a < b for a, b in pairwise(numbers)), "tick_sequence is not rising")
        _require(all(any(low <= n < high for low, high in spans) for n in numbers), "tick_sequence")
    else:
        _require(sum(high - low for low, high in spans) == count, "the numbers do not match the records")
        numbers = [number for low, high in spans for number in range(low, high)]
    columns = [getattr(batch, name) for name in _COLUMNS]
    tickers = [batch.tickers[index] for index in batch.ticker_index]
    return DecodedBatch(
        epoch=batch.epoch,
        mode=batch.mode,
        first_sequence=batch.first_sequence,
        last_sequence=batch.last_sequence,
        publish_time_ns=batch.publish_time_ns,
        tick_count=count,
        cursor=_cursor(batch.cursor),
        tickers=list(batch.tickers),
        rejections=[
            Rejection(r.sequence, r.arrival_time_ns, r.source, r.line, r.reason, r.raw, r.tie_order)
            for r in batch.rejections
        ],
        markers=[_marker(marker) for marker in batch.markers],
        ticks=list(zip(numbers, tickers, *columns, strict=True)),
        filtered=filtered,
        tie_order=list(batch.tie_order),
    )


def _spans(batch: market_pb2.TickBatch) -> list[tuple[int, int]]:
    """Find the runs of numbers that ticks may have: all but those of markers and rejections, and those that a gap skips."""
    for numbers in ([r.sequence for r in batch.rejections], [m.sequence for m in batch.markers]):
        _require(all(a < b for a, b in pairwise(numbers)), "the sequences are not rising")
        _require(all(batch.first_sequence <= n <= batch.last_sequence for n in numbers), "a sequence is out of range")
    spans = []
    low = batch.first_sequence
    records: list[market_pb2.Rejection | market_pb2.Marker] = [*batch.rejections, *batch.markers]
    for record in sorted(records, key=lambda record: record.sequence):
        _require(record.sequence >= low, "several records have one number")
        spans.append((low, record.sequence))
        low = record.sequence + 1
        if isinstance(record, market_pb2.Marker) and record.kind == MARKER_GAP and record.next_sequence:
            low = record.next_sequence
            _require(low > record.sequence, "next_sequence does not lead on")
            _require(low <= batch.last_sequence or record.sequence == batch.last_sequence, "next_sequence")
    spans.append((low, max(low, batch.last_sequence + 1)))
    return spans


def decode_cursor(encoded: bytes) -> Cursor:
    """Parse a HistoricalCursor."""
    return _cursor(parse(encoded, market_pb2.HistoricalCursor))


def encode_cursor(cursor: Cursor) -> bytes:
    """Serialise a HistoricalCursor."""
    return market_pb2.HistoricalCursor(
        last_key=None if cursor.last_key is None else key_message(cursor.last_key),
        sources=[
            market_pb2.SourceCursor(
                offset=source.offset,
                line=source.line,
                previous_arrival_time_ns=source.previous_arrival_time_ns,
                skipped=source.skipped,
                previous_event_time_ns=source.previous_event_time_ns,
                order=source.order,
                channel_arrival_time_ns=source.channel_arrival_time_ns,
            )
            for source in cursor.sources
        ],
    ).SerializeToString(deterministic=True)


def select_tickers(buffer: bytes, tickers: Collection[str]) -> list[Tick] | None:
    """Tell which ticks remain; None when the batch holds nothing else."""
    batch = decode(buffer)
    ticks = [tick for tick in batch.ticks if tick[1] in tickers]
    return ticks if ticks or batch.rejections or batch.markers else None


def decode_mids(buffer: bytes) -> list[Mid]:
    """Parse and check a MidBatch."""
    batch = parse(buffer, market_pb2.MidBatch)
    _check_head(batch.mode, batch.first_sequence, batch.last_sequence)
    columns = (batch.event_time_ns, batch.arrival_time_ns, batch.mid_price)
    _require({len(column) for column in (batch.sequence, *columns)} == {len(batch.ticker_index)}, "unequal columns")
    _require(all(index < len(batch.tickers) for index in batch.ticker_index), "ticker_index")
    numbers = list(batch.sequence)
    _require(all(a < b for a, b in pairwise(numbers)), "sequence is not rising")
    _require(all(batch.first_sequence <= n <= batch.last_sequence for n in numbers), "sequence is out of range")
    tickers = [batch.tickers[index] for index in batch.ticker_index]
    return list(zip(numbers, tickers, *columns, strict=True))


def parse(buffer: bytes, kind: type[_M]) -> _M:
    """Parse; a field of ours that has another wire type, which protobuf keeps as an unknown one, is an error."""
    try:
        message = kind.FromString(buffer)
    except DecodeError as error:
        raise FrameError(str(error)) from error
    _check_types(message)
    return message


def _check_types(message: Message) -> None:
    ours = message.DESCRIPTOR.fields_by_number
    for number in _unknown_fields(message):
        _require(number not in ours, f"field {number} has the wrong wire type")
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in [value] if isinstance(value, Message) else value:
                _check_types(inner)


def _unknown_fields(message: Message) -> set[int]:
    unknown = UnknownFieldSet(message)
    return {unknown[i].field_number for i in range(len(unknown))}


def _check_head(mode: int, first: int, last: int) -> None:
    _require(mode in (MODE_HISTORICAL, MODE_LIVE), "mode")
    _require(1 <= first <= last, "first_sequence or last_sequence")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise FrameError(problem)


def _key(message: market_pb2.RecordKey) -> Key:
    return (message.arrival_time_ns, message.source_rank, message.row)


def _cursor(message: market_pb2.HistoricalCursor) -> Cursor:
    sources = [
        SourceCursor(
            s.offset,
            s.line,
            s.previous_arrival_time_ns,
            s.skipped,
            s.previous_event_time_ns,
            s.order,
            s.channel_arrival_time_ns,
        )
        for s in message.sources
    ]
    return Cursor(_key(message.last_key) if message.HasField("last_key") else None, tuple(sources))


def _marker(message: market_pb2.Marker) -> Marker:
    return Marker(
        kind=message.kind,
        sequence=message.sequence,
        previous_mode=message.previous_mode,
        mode=message.mode,
        last_key=_key(message.last_key) if message.HasField("last_key") else None,
        first_key=_key(message.first_key) if message.HasField("first_key") else None,
        time_ns=message.time_ns,
        reason=message.reason,
        lost_frames=message.lost_frames,
        next_sequence=message.next_sequence,
        revision=message.revision,
        state=market_pb2.Marker(state=[_known(quote) for quote in message.state]).SerializeToString(),
        position_arrival_time_ns=message.position_arrival_time_ns,
        overlap_removed=message.overlap_removed,
        gap_ns=message.gap_ns,
    )


def _known(quote: market_pb2.Quote) -> market_pb2.Quote:
    """Return a quote without what is not known of it."""
    return market_pb2.Quote(**{field.name: getattr(quote, field.name) for field in market_pb2.Quote.DESCRIPTOR.fields})

"""Recorded files through the source and the kernels, without processes, for comparison with the reference."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastpath.columns import Block, Tickers
from fastpath.frame import MODE_HISTORICAL, TickFrame, decode_cursor, encode_batch
from fastpath.midprice import PriceCounts, PriceKernel
from fastpath.records import Cursor
from services.replay.sources import HistoricalOptions, HistoricalSource
from tests.reference.history import ExpectedRecord, ExpectedTick

if TYPE_CHECKING:  # names of types that only the stub has
    from fastpath.columns import RejectedRow, TickRow

Row = tuple[object, ...]


@dataclass
class Replayed:
    """What came out of a source."""

    rows: list[Row] = field(default_factory=list)
    cursors: list[tuple[int, bytes, tuple[int, int, int]]] = field(default_factory=list)
    """Per poll with rows: how many rows came before it, its cursor, and the key of its last row."""
    skipped: int = 0
    damaged: tuple[str, ...] = ()
    in_flight_max: int = 0
    spilled_rows: int = 0


def replay(
    paths: Sequence[str], options: HistoricalOptions | None = None, *, limit: int = 4096, **source_options: Any
) -> Replayed:
    """Poll a source until it ends."""
    source = HistoricalSource(paths, options or HistoricalOptions(), **source_options)
    block = Block(Tickers())
    replayed = Replayed()
    try:
        source.open()
        ended = False
        while not ended:
            polled = source.poll(block, limit)
            ended = polled.ended
            if polled.rows:
                last_key = block.key(polled.rows - 1)
                replayed.cursors.append((len(replayed.rows), source.cursor_sources(), last_key))
                replayed.in_flight_max = max(replayed.in_flight_max, source.in_flight)
            replayed.rows += comparable_rows(block.to_rows())
            block.clear()
    finally:
        source.stop()
    replayed.skipped, replayed.damaged, replayed.spilled_rows = source.skipped, source.damaged, source.spilled_rows
    return replayed


def resume_at(replayed: Replayed, poll: int, *, rows_of_poll: int) -> tuple[int, Cursor]:
    """Return how many rows were emitted when a run died in poll number `poll`, and the cursor it left behind."""
    before, sources, _ = replayed.cursors[poll]
    emitted = before + rows_of_poll
    key = replayed.rows[emitted - 1][0] if emitted else None
    assert key is None or isinstance(key, tuple)
    return emitted, Cursor(last_key=key, sources=decode_cursor(sources).sources)


def comparable_rows(rows: Iterable[TickRow | RejectedRow]) -> list[Row]:
    """Make rows comparable: floats as bytes, rejections without their raw text."""
    return [row[:2] if len(row) == 3 else (*row[:3], *map(comparable_float, row[3:])) for row in rows]


def comparable_records(records: Iterable[ExpectedRecord]) -> list[Row]:
    """Make the reference's records comparable with rows."""
    return [
        (
            record.key,
            record.event_time_ns,
            record.ticker,
            *map(comparable_float, (record.bid_price, record.bid_amount, record.ask_price, record.ask_amount)),
        )
        if isinstance(record, ExpectedTick)
        else (record.key, record.reason)
        for record in records
    ]


def comparable_float(value: float) -> bytes:
    """Return the bytes of a float; all NaNs are alike."""
    return struct.pack("<d", math.nan if math.isnan(value) else value)


@dataclass(frozen=True)
class Logs:
    """What the price stage made of a replay."""

    mid_log: bytes
    error_log: bytes
    counts: PriceCounts
    digest: str
    skipped: int


def write_logs(
    paths: Sequence[str],
    options: HistoricalOptions | None = None,
    *,
    threshold_ns: int = 20_000_000,
    log_arrival: bool = False,
    limit: int = 4096,
    **source_options: Any,
) -> Logs:
    """Take files through source, frames and price kernel."""
    source = HistoricalSource(paths, options or HistoricalOptions(), **source_options)
    kernel = PriceKernel(latency_threshold_ns=threshold_ns, log_arrival=log_arrival)
    block = Block(Tickers())
    mid_log, error_log = bytearray(), bytearray()
    sequence, ended = 1, False
    try:
        source.open()
        while not ended:
            polled = source.poll(block, limit)
            ended, done = polled.ended, 0
            while done < polled.rows:
                encoded, count, last = encode_batch(
                    block,
                    done,
                    polled.rows,
                    epoch="epoch",
                    mode=MODE_HISTORICAL,
                    first_sequence=sequence,
                    sources=source.names,
                    cursor_sources=source.cursor_sources(),
                )
                kernel.process(TickFrame(encoded))
                mid_log += kernel.take_mid_text()
                error_log += kernel.take_error_text()
                done, sequence = done + count, last + 1
            block.clear()
    finally:
        source.stop()
    return Logs(bytes(mid_log), bytes(error_log), kernel.counts, kernel.digest(), source.skipped)

"""Columns to and from the wire bytes of midstream.common.v1 messages. No protobuf runtime is needed to encode or decode here."""

from collections.abc import Collection, Sequence
from typing import Self, final

from typing_extensions import Buffer

from fastpath.columns import Block, Key
from fastpath.records import Cursor, FrameHead, Marker, Rejection

MODE_HISTORICAL: int
MODE_LIVE: int
MARKER_SEAM: int
MARKER_DISCONNECTED: int
MARKER_RECONNECTED: int
MARKER_GAP: int
MARKER_DISCONTINUITY: int
BATCH_ROWS_MAX: int
"""4,096 records."""
BATCH_BYTES_MAX: int
"""1 MiB."""

def encode_cursor(cursor: Cursor) -> bytes:
    """Encode a HistoricalCursor."""

def decode_cursor(encoded: Buffer) -> Cursor:
    """Decode a HistoricalCursor. Raises FrameError."""

def encode_batch(
    block: Block,
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
    """Encode `markers` (first) and then rows start..stop of `block`; return (bytes, rows encoded, last sequence).

    It stops early so that the batch stays within BATCH_ROWS_MAX records and BATCH_BYTES_MAX bytes; the markers and one row are
    always encoded. Markers' sequences are assigned here: one after the other, but a gap's `next_sequence` says which number follows it.
    The batch's cursor is `cursor_sources` (encoded SourceCursor list: encode_cursor of a cursor without last_key) plus a last_key:
    in MODE_HISTORICAL the key of the last row encoded (or `last_key` when no row was), in MODE_LIVE `last_key` as given.
    `sources[rank]` names the source of a rejection. start == stop encodes markers alone. With `tie_order` every row says its place among
    those of one arrival time, for whoever merges partitions; ranks from 65,536 and rows from 2**46 on are refused then.
    No other thread may touch the block or its tickers meanwhile: the GIL is released.
    """

def peek(buffer: Buffer) -> FrameHead:
    """Read the head, and the markers, without reading columns. Raises FrameError."""

@final
class TickFrame:
    """One decoded TickBatch. Columns are copied out of the buffer, so that it may go."""

    epoch: str
    mode: int
    first_sequence: int
    last_sequence: int
    publish_time_ns: int
    tick_count: int
    cursor: bytes
    """Encoded HistoricalCursor."""
    tickers: list[str]
    rejections: list[Rejection]
    markers: list[Marker]
    tie_order: memoryview
    """Of every tick, as unsigned numbers of 64 bits; empty where the batch has none."""
    def __new__(cls, buffer: Buffer) -> Self:
        """Raises FrameError on anything that is not well-formed.

        That includes columns of unequal length, an index out of range, and sequences that do not add up. A batch in which
        `tick_sequence` is present, if only as an empty field, is a filtered one, and may lack ticks.
        """
    def ticks(self) -> list[tuple[int, str, int, int, float, float, float, float]]:
        """Copy the ticks out, for tests and slow paths.

        Each is (sequence, ticker, event ns, arrival ns, bid price, bid amount, ask price, ask amount).
        """

def select_tickers(buffer: Buffer, tickers: Collection[str]) -> bytes | None:
    """Re-encode a batch with the ticks of these tickers, all rejections and all markers; None when nothing is left."""

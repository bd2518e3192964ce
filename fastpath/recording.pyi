"""Recorded frames to columns: each record of a recording is a frame as it was received, or a marker of what happened between two.

A record is a line: `F RECEIVE_NS NUMBER PAYLOAD`; `B` in place of `F` and the payload in base64, where it holds a line end; or
`M TIME_NS JSON`, a marker. A frame gives the rows and rejections that `fastpath.live` makes of it.
"""

from collections.abc import Sequence
from typing import final

from typing_extensions import Buffer

from fastpath.columns import Block, Tickers
from fastpath.latency import LatencyModel
from fastpath.rules import NegativeLatency

RECORD_BYTES_MAX: int
"""A longer line is not held; it becomes one rejection."""

@final
class RecordingDecoder:
    """Decodes the records of one recording, from `offset` on, into a Block.

    Rows are numbered from 1, those of one frame after each other; a rejection is called by the number of its frame. Arrival is the
    receive time, of rejections too. The attributes mean what they mean of `fastpath.decode.Decoder`.
    """

    line: int
    """Number of the next row."""
    offset: int
    """Offset of the next record in the (decompressed) bytes."""
    skipped: int
    previous_arrival_time_ns: int
    previous_event_time_ns: int
    channel_arrival_time_ns: int
    order: int
    bound_ns: int
    latency_ns_min: int
    negative_latencies: int
    rejected: int
    first_rejection: tuple[int, str] | None
    disconnects: int
    """How often the feed was lost, as the markers read so far tell; the next two likewise."""
    gaps: int
    lost_frames: int
    """Frames that are known to be missing. Of some gaps it is not known how many are."""
    blank: int
    """Records that became no row: markers, and frames without an object."""
    more_rows: int
    """Rows beyond the first one of their frame."""
    held_bytes: int
    """Of a record whose end was not seen yet, where more of it was used than is left in the last chunk."""

    def __init__(
        self,
        tickers: Tickers,
        *,
        source_rank: int,
        offset: int,
        line: int,
        previous_arrival_time_ns: int = ...,
        previous_event_time_ns: int = ...,
        skipped: int = 0,
        order: int = 0,
        start_time_ns: int = ...,
        end_time_ns: int = ...,
        only_tickers: Sequence[str] = (),
        negative_latency: NegativeLatency = ...,
        shift_ns: int = 0,
        check_order: bool = True,
        latency: LatencyModel | None = None,
        channel_arrival_time_ns: int = ...,
    ) -> None:
        """As those of `fastpath.decode.Decoder`."""

    def feed(self, chunk: Buffer, into: Block, *, row_limit: int, final: bool = False) -> int:
        """Decode whole records of `chunk` until `row_limit` rows (skipped and rejected ones too) were read; return the bytes used.

        A record without its line end is left, at the end too: it was being written. One that fills the chunk is held and used up.
        UnsortedSource leaves the rows before the frame in the block and the decoder standing at it.
        """

    def reject(self, into: Block, reason: str, raw: bytes = b"") -> None:
        """Append a rejection at the current place and count a row (a truncated compressed file, for example)."""

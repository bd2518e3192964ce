"""Recorded frames to columns: each record of a recording is a frame as it was received, or a marker of what happened between two.

A record is a line: `F RECEIVE_NS NUMBER PAYLOAD`; `B` in place of `F` and the payload in base64, where it holds a line end; or
`M TIME_NS JSON`, a marker. A frame gives the rows and rejections that `fastpath.live` makes of it.
"""

from typing import final

from typing_extensions import Buffer

from fastpath.columns import Block
from fastpath.row_decoder import RowDecoder

RECORD_BYTES_MAX: int
"""A longer line is not held; it becomes one rejection."""

@final
class RecordingDecoder(RowDecoder):
    """Decodes the records of one recording, from `offset` on, into a Block.

    `line` is the number of the next row, from 1, those of one frame after each other; a rejection is called by the number of its frame.
    Arrival is the receive time, of rejections too. `offset` is that of the next record; `blank` counts records that became no row: markers,
    and frames without an object.
    """

    disconnects: int
    """How often the feed was lost, as the markers read so far tell; the next two likewise."""
    gaps: int
    lost_frames: int
    """Frames that are known to be missing. Of some gaps it is not known how many are."""
    more_rows: int
    """Rows beyond the first one of their frame."""
    held_bytes: int
    """Of a record whose end was not seen yet, where more of it was used than is left in the last chunk."""

    def feed(self, chunk: Buffer, into: Block, *, row_limit: int, final: bool = False) -> int:
        """Decode whole records of `chunk` until `row_limit` rows (skipped and rejected ones too) were read; return the bytes used.

        A record without its line end is left, at the end too: it was being written. One that fills the chunk is held and used up.
        UnsortedSource leaves the rows before the frame in the block and the decoder standing at it.
        """

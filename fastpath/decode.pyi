"""Text to columns: delimited text lines become rows of a Block; what cannot be used becomes a rejection.

An empty or `nan` price or amount is NaN (missing, unknown); a negative amount is a rejection, a negative price is not. `fastpath.values`
says how numbers and times are read. Event and arrival lie in the years 1678 to 2261.
"""

from collections.abc import Callable, Sequence
from typing import final

from typing_extensions import Buffer

from fastpath.columns import Block, Tickers
from fastpath.header import Header
from fastpath.latency import LatencyModel
from fastpath.row_decoder import RowDecoder
from fastpath.rules import NegativeLatency

@final
class Decoder(RowDecoder):
    """Decodes the lines of one file, from `offset` on, into a Block.

    Every good row is counted, a row that filters leave out (`start_time_ns` inclusive and `end_time_ns` exclusive are arrival
    times) adds to `skipped`, a bad row becomes a rejection at the arrival time of the last good row before it.
    A line with fewer fields than the needed columns take, or with more fields than the header (unless these are empty), is bad; so is one
    with a quote that is not closed, a ticker that is empty, not UTF-8 or holds a NUL byte. Spaces around fields do not count. The ticker of
    the TARDIS layout is `<symbol>@<exchange>`, so that the files of several exchanges can be replayed together.
    With `rejections_elsewhere` and no latency model, lines whose ticker is in another partition are passed over, good or bad, as if they
    did not stand in the file (they count in `elsewhere`, not in `rejected`): what is wrong with them, and whether the file as a whole is
    sorted, whoever has the rejections finds out, who reads everything. Lines whose number is a multiple of 256 are read all the same, so
    that `bound_ns` goes on where nothing else is.
    It learns whether the rows are sorted by event time, by arrival time or both, and gives with `bound_ns` the lowest arrival
    time that a row still to come can have.
    """

    def __init__(
        self,
        header: Header,
        tickers: Tickers,
        *,
        source_rank: int,
        offset: int,
        line: int,
        previous_arrival_time_ns: int = ...,
        previous_event_time_ns: int = ...,
        skipped: int = 0,
        order: int = 0,
        fraction_unit_us: bool = False,
        start_time_ns: int = ...,
        end_time_ns: int = ...,
        only_tickers: Sequence[str] = (),
        negative_latency: NegativeLatency = ...,
        shift_ns: int = 0,
        latency_bound_ns: int = 0,
        check_order: bool = True,
        latency: LatencyModel | None = None,
        channel_arrival_time_ns: int = ...,
        in_partition: Callable[[str], bool] | None = None,
        rejections_elsewhere: bool = False,
    ) -> None:
        """`latency_bound_ns` is a lower bound of every latency after the policy; only the ASSIGNMENT layout needs it and is held to it.
        The rest is as RowDecoder has it."""

    def feed(self, chunk: Buffer, into: Block, *, row_limit: int, final: bool = False) -> int:
        """Decode whole lines of `chunk` until `row_limit` rows (skipped and rejected ones too) were read; return the number of bytes used.

        A line without its newline is left unless `final`. A line over 64 KiB is used up without being held; it becomes one rejection
        once its end is found. When nothing more can be decoded it returns what it used (maybe 0). UnsortedSource and LatencyBoundBroken
        leave the rows before the bad one in the block and the decoder standing at it. The GIL is released; `into` belongs to the call.
        """

def count_line_ends(chunk: Buffer) -> int:
    """Count the line ends of some bytes, whatever the lines hold. SIMD speed."""

def may_have_negative_field(chunk: Buffer, previous_byte: int) -> bool:
    """Tell whether a `-` stands at the start of a field: behind a delimiter, a quote, a space or a line end. SIMD speed.

    `previous_byte` is the byte in front of the chunk; below 0 there is none.
    """

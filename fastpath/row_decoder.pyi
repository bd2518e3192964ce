"""What decoders of lines and of recorded frames have in common: where they stand, and the rules by which rows become those of a Block."""

from collections.abc import Callable, Sequence

from typing_extensions import disjoint_base

from fastpath.columns import Block, Tickers
from fastpath.latency import LatencyModel
from fastpath.rules import NegativeLatency

@disjoint_base
class RowDecoder:
    """Decodes one source, from `offset` on, into a Block. What it reads is up to those that go by it.

    A row stands in a line of its own, unless they say otherwise.
    """

    line: int
    """Physical line number (from 1) of the next line to decode."""
    offset: int
    """Offset of that line in the (decompressed) bytes. Inside a line that is too long it stays at the line's begin, so that a decoder
    that continues from these attributes never starts in the middle of one."""
    skipped: int
    """Rows that filters left out. A rejection counts as skipped when its place lies outside the window, whatever its ticker."""
    elsewhere: int
    """Rows and rejections of other partitions, of those that this decoder read; whether a filter would leave them out does not matter."""
    previous_arrival_time_ns: int
    """Arrival of the last good row as the file has it, before clamping. BEFORE_EVERYTHING before the first row, like the next two."""
    previous_event_time_ns: int
    channel_arrival_time_ns: int
    """Arrival of the last good row under the latency model; BEFORE_EVERYTHING without one."""
    order: int
    """Bit 0: not sorted by event time. Bit 1: not sorted by arrival time. Both, or bit 1 where the source promises the order of arrival:
    UnsortedSource was raised (unless the order is not checked)."""
    bound_ns: int
    """Lowest arrival time that a row still to come can have. BEFORE_EVERYTHING before the first row."""
    latency_ns_min: int
    """Lowest latency seen so far (AFTER_EVERYTHING when no row was), before any policy."""
    negative_latencies: int
    """How many rows had a latency below zero (and were kept, clamped or shifted)."""
    rejected: int
    """How many rows were bad, those that the window left out included; what `reject` appends is one."""
    blank: int
    """How many lines became no row, of those that this decoder read."""
    first_rejection: tuple[int, str] | None
    """Line and reason of the first row that was bad."""

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
        in_partition: Callable[[str], bool] | None = None,
        rejections_elsewhere: bool = False,
    ) -> None:
        """`shift_ns` is added with SHIFT. `check_order=False` reads a source in any order (for an external sort): `bound_ns` stays
        BEFORE_EVERYTHING and no latency is too low. `latency` says when rows arrive in place of the source, whose own order is still
        checked; the policy for latencies below zero, the bound and the filters go by what the model says. `order`, `skipped`, `line`,
        `offset`, `previous_...` and `channel_...` of another decoder of the same source and options continue where it stands;
        `latency_ns_min` and `negative_latencies` start over.
        `in_partition` tells of a ticker whether its rows are to be read here, and is asked once per name and now and then again;
        `rejections_elsewhere` says that another partition has the rejections. Order, latencies and bounds are those of all rows that are
        read, which may be fewer then: see Decoder."""

    def reject(self, into: Block, reason: str, raw: bytes = b"") -> None:
        """Append a rejection at the current place and count a row (a truncated compressed file, for example)."""

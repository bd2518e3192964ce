"""From a frame to mids and log text."""

from typing import NamedTuple, Self, final

from typing_extensions import Buffer

from fastpath.frame import TickFrame

class PriceCounts(NamedTuple):
    """How many records were accounted for, by what became of them."""

    mids: int
    latency_filtered: int
    missing_side: int
    rejected: int
    crossed: int
    locked: int
    markers: int

@final
class PriceKernel:
    """Filters, computes and formats. Text collects in buffers that `take_...` hands over; counts and digest are cumulative.

    `state` makes a kernel continue where another one stopped (same options).
    """

    counts: PriceCounts
    first_arrival_time_ns: int
    last_arrival_time_ns: int
    """Arrival of the first and last tick so far; BEFORE_EVERYTHING when there was none. Rejections do not count."""

    def __new__(
        cls,
        *,
        latency_threshold_ns: int,
        log_arrival: bool = False,
        with_csv: bool = False,
        with_mids: bool = True,
        state: bytes = b"",
    ) -> Self: ...
    def process(self, frame: TickFrame, *, after_sequence: int = 0) -> int:
        """Account for the records of `frame` with a sequence above `after_sequence`; return how many there were.

        The latency filter (historical mode only) comes first, then the missing side. Two finite prices whose sum overflows have no
        mid either: they get an error line of their own and count as a missing side. Crossed and locked quotes are counted among the mids.
        """
    def take_mid_text(self) -> bytes:
        """Hand over the lines of mid_prices.log since the last time."""
    def take_error_text(self) -> bytes:
        """Hand over the lines of errors.log since the last time."""
    def take_csv_text(self) -> bytes:
        """`timestamp,arrival,ticker,sequence,mid` lines, quoted as RFC 4180 where needed (without a header)."""
    def take_mid_batch(self) -> bytes:
        """The MidBatch of the last processed frame; empty when it had no mid or `with_mids` is off."""
    def state(self) -> bytes:
        """Counts, arrivals and the digest's inner state, to store beside the logs. Versioned; a damaged state raises ValueError."""
    def digest(self) -> str:
        """SHA-256 (hex) over every tick and rejection so far, in sequence order.

        A tick counts as little-endian event, arrival, bid and ask (every NaN as the quiet one), then ticker and NUL; a rejection as
        arrival, row, reason (little-endian int64, uint64, UTF-8 and NUL).
        """

def sha256(payload: Buffer, *, portable: bool = False) -> str:
    """Hash (hex) with the kernel's own SHA-256; `portable` keeps it from using the processor's SHA instructions. For tests."""

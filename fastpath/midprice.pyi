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
class LogText:
    """Lines that wait to be written: a read-only buffer, so that no copy is needed. While it is read, the kernel cannot add to it."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def clear(self) -> None:
        """Let go of the lines; raises BufferError while they are read."""

@final
class PriceKernel:
    """Filters, computes and formats. Lines collect in texts until these are cleared; counts and digest are cumulative.

    `state` makes a kernel continue where another one stopped (same options).
    """

    mid_text: LogText
    """The lines of mid_prices.log since it was cleared."""
    error_text: LogText
    """The lines of errors.log since it was cleared."""
    csv_text: LogText
    """`timestamp,arrival,ticker,sequence,mid` lines, quoted as RFC 4180 where needed (without a header)."""
    index_text: LogText
    """With `with_index`, 16 bytes per record since it was cleared, little-endian: arrival time in ns (i64), and a u64 of source rank << 48,
    row << 2, and where its line is: 0 in `mid_text`, 1 in `error_text`. A marker has no line: its time (i64), kind << 2 | 2. The first
    record, and any whose sequence does not follow that of the record before, has an entry of the same size before it: sequence (u64), 3."""
    counts: PriceCounts
    first_arrival_time_ns: int
    last_arrival_time_ns: int
    """Arrival of the first and last tick so far; BEFORE_EVERYTHING when there was none. Rejections do not count."""
    digest_version: int
    """2, or 1 when it continues a state of the first version."""

    def __new__(
        cls,
        *,
        latency_threshold_ns: int,
        log_arrival: bool = False,
        with_csv: bool = False,
        with_mids: bool = True,
        with_index: bool = False,
        state: bytes = b"",
    ) -> Self: ...
    def process(self, frame: TickFrame, *, after_sequence: int = 0) -> int:
        """Account for the records of `frame` with a sequence above `after_sequence`; return how many there were.

        The latency filter (historical mode only) comes first, then the missing side. Two finite prices whose sum overflows have no
        mid either: they get an error line of their own and count as a missing side. Crossed and locked quotes are counted among the
        mids. Raises BufferError while a text is read, and with `with_index` ValueError for rows from 2**46 on, with nothing taken.
        """
    def take_mid_text(self) -> bytes:
        """Hand over a copy of `mid_text`, and clear it."""
    def take_error_text(self) -> bytes:
        """Hand over a copy of `error_text`, and clear it."""
    def take_csv_text(self) -> bytes:
        """Hand over a copy of `csv_text`, and clear it."""
    def take_mid_batch(self) -> bytes:
        """The MidBatch of the last processed frame; empty when it had no mid or `with_mids` is off."""
    def state(self) -> bytes:
        """Counts, arrivals and the digest's inner state, to store beside the logs. Versioned; a damaged state raises ValueError."""
    def digest(self) -> str:
        """SHA-256 (hex) that tells which ticks and rejections there were so far, in sequence order (docs/order_proof.md)."""
    def take_proofs(self) -> list[tuple[int, str]]:
        """Hand over the digests behind every 65,536 records that came since the last call, as (records, digest), and forget them."""

def sha256(payload: Buffer, *, portable: bool = False) -> str:
    """Hash (hex) with the kernel's own SHA-256; `portable` keeps it from using the processor's SHA instructions. For tests."""

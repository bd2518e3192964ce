"""Mid prices outside of the logs: the MidBatch on the wire, and the mids of columns that a caller has."""

from collections.abc import Collection
from typing import Self, final

from typing_extensions import Buffer

@final
class MidFrame:
    """One decoded MidBatch."""

    epoch: str
    mode: int
    first_sequence: int
    last_sequence: int
    last_arrival_time_ns: int | None
    """Of its last mid; None where it has none."""
    def __new__(cls, buffer: Buffer) -> Self: ...
    def __len__(self) -> int: ...
    def mids(self) -> list[tuple[int, str, int, int, float]]:
        """(sequence, ticker, event ns, arrival ns, mid) per mid."""
    def latest(self) -> dict[str, tuple[int, int, int, float]]:
        """Last (sequence, event ns, arrival ns, mid) per ticker in this batch."""

def select_mids(buffer: Buffer, tickers: Collection[str]) -> bytes | None:
    """Re-encode a MidBatch with these tickers only; None when nothing is left."""

def compute_mids(
    bid_price: Buffer, ask_price: Buffer, bid_amount: Buffer | None = None, ask_amount: Buffer | None = None
) -> tuple[bytes, list[int]]:
    """Mids of float64 columns as float64 bytes, and the positions at which there is none (NaN there).

    There is none where a side is missing, or where the sum overflows. Without amounts a price of 0 counts as a price.
    Columns are contiguous buffers of format `d` (array.array("d"), memoryview, numpy); TypeError and ValueError name the wrong one.
    """

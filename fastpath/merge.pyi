"""Arrival order: rows of many sources, each nearly sorted, into the one total order (arrival time, source rank, row)."""

from typing import final

from fastpath.columns import Block, Key, Tickers

class SpillRun:
    """A sorted run that was written out of memory; feed its bytes back with Merger.feed_run."""

@final
class Merger:
    """Merges any number of sources. Memory is what is in flight: rows read whose arrival is not yet below every source's bound.

    Protocol: decode rows of source `rank` straight into `pending(rank)`, tell the source's new bound with `advance`, and `take` what is
    settled. A row leaves once its arrival time is strictly below the bound of every unfinished source, so ties are exact.
    """

    in_flight: int
    """Rows held in memory."""
    in_flight_max: int

    def __init__(self, tickers: Tickers, source_count: int, *, resume_after: Key | None = None) -> None:
        """Rows up to and including `resume_after` are dropped when they are taken."""

    def pending(self, rank: int) -> Block:
        """The block into which the rows of this source are decoded, in row order. Only append to it."""

    def advance(self, rank: int, bound_ns: int, *, finished: bool = False) -> None: ...
    def laggard(self) -> int:
        """The unfinished source (a spilled run counts, with its own number) whose bound is lowest; -1 when all are finished."""

    def take(self, into: Block, limit: int) -> int:
        """Append at most about `limit` settled rows to `into` in total order; return how many rows were settled (0: feed the laggard)."""

    def oldest_row(self, rank: int) -> int:
        """Smallest row number of this source still held (in memory or spilled); -1 when none is."""

    def spill(self) -> bytes:
        """Take every row in flight out of memory as one serialised sorted run. The caller stores it and calls `add_run`."""

    def add_run(self, row_count: int, *, oldest_rows: dict[int, int]) -> int:
        """Register a run whose bytes will be fed back; returns its number, which counts like a source's (see laggard)."""

    def feed_run(self, number: int, serialised: bytes, *, final: bool) -> int:
        """Feed the next bytes of a run; returns the number of bytes used (whole rows only)."""

def sort_rows(block: Block, into: Block) -> None:
    """Append the rows of `block` to `into` in total order (for external sorting)."""

"""Arrival order: rows of many sources, each nearly sorted, into the one total order (arrival time, source rank, row)."""

from typing import final

from typing_extensions import Buffer

from fastpath.columns import Block, Key, Tickers

@final
class Merger:
    """Merges any number of sources.

    Memory is what is in flight: rows read whose arrival is not yet below every source's bound. Protocol: decode rows of
    source `rank` straight into `pending(rank)`, tell the source's new bound with `advance`, and `take` what is settled. A row
    leaves once its arrival time is strictly below the bound of every unfinished source, so ties are exact.

    Rows of a source come in row order, carry its rank and never arrive before a bound that was told earlier; a row that
    does raises ValueError naming it (in `advance`, `take` or `spill`), and the merger is of no further use.

    Feeding: `rank = laggard()`, decode up to n rows into `pending(rank)`, `advance`; after f such feeds `take` until it
    returns 0. One source: n 4096, f 1. Eight: n 512, f 16. 200: n 64, f 400. In general n = 4096 / sources within 64 to
    4096, f = 2 * sources (1 for one). About n * sources / 2 rows are read ahead.

    Not for several threads at once; `take`, `advance`, `spill` and `feed_run` release the GIL.
    """

    @property
    def lowest_ns(self) -> int:
        """No row that is still to be taken arrives before it: as of the last `take`, without reading on. BEFORE_EVERYTHING: not known."""
    @property
    def in_flight(self) -> int:
        """Rows held in memory."""
    @property
    def in_flight_max(self) -> int:
        """The most rows that were ever held, counted when rows are about to leave."""
    def __new__(cls, tickers: Tickers, source_count: int, *, resume_after: Key | None = None) -> Merger:
        """Rows up to and including `resume_after` are dropped when they are taken."""

    def pending(self, rank: int) -> Block:
        """The block into which the rows of this source are decoded, in row order. Only append to it; it empties itself."""

    def advance(self, rank: int, bound_ns: int, *, finished: bool = False) -> None:
        """Tell the lowest arrival time that a row still to come can have.

        A bound that falls is ignored; a source that was finished raises ValueError.
        """

    def laggard(self) -> int:
        """The unfinished source (a spilled run counts, with its own number) with the lowest bound; -1: all are finished."""

    def take(self, into: Block, limit: int) -> int:
        """Append at most `limit` settled rows to `into` in total order; return how many were settled (0: feed the laggard).

        Rows dropped because of `resume_after` count, so that 0 always means: feed. What is settled beyond `limit` comes
        with the next take. `into` needs the merger's Tickers.
        """

    def oldest_row(self, rank: int) -> int:
        """Smallest row number of this source still held (in memory or spilled); -1 when none is."""

    def spill(self) -> bytes:
        """Take every row in flight (`in_flight` of them) out of memory as one serialised sorted run.

        The caller asks `in_flight` and `oldest_row` before, stores the bytes and calls `add_run` after. Only the process
        that wrote a run can read it back.
        """

    def add_run(self, row_count: int, *, oldest_rows: dict[int, int]) -> int:
        """Register a run whose bytes will be fed back; returns its number, which counts like a source's (see laggard).

        `oldest_rows` holds what `oldest_row` answered for each rank before the spill (-1 is ignored).
        """

    def feed_run(self, number: int, serialised: Buffer, *, final: bool) -> int:
        """Feed the next bytes of a run; returns how many were used (whole rows only), the rest comes with the next feed.

        Raises ValueError, and takes nothing, when the bytes are not this run's, are out of order, or end too early.
        """

def sort_rows(block: Block, into: Block) -> None:
    """Append the rows of `block` to `into` in total order (for external sorting)."""

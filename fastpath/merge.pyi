"""Arrival order: rows of many sources, each nearly sorted, into the one total order (arrival time, source rank, row)."""

from typing import final

from typing_extensions import Buffer

from fastpath.columns import Block, Key, Tickers

@final
class Merger:
    """Merges any number of sources. Memory is what is in flight: rows read whose arrival is not yet below every source's bound.

    Protocol: decode rows of source `rank` straight into `pending(rank)`, tell the source's new bound with `advance`, and `take` what is
    settled. A row leaves once its arrival time is strictly below the bound of every unfinished source, so ties are exact.

    Rows of a source come in row order, carry its rank and never arrive before a bound that was told earlier; a row that does
    raises ValueError naming it (in `advance`, `take` or `spill`), and the merger is of no further use.

    Feeding: `rank = laggard()`, decode up to n rows into `pending(rank)`, `advance`; after about max(4096 / n, 2 * sources) such feeds
    `take` until it returns 0. Good n: 4096 for one source, 1024 for 8, 64 for 200 (n * sources / 2 rows are read ahead).

    Not for several threads at once; `take`, `advance`, `spill` and `feed_run` release the GIL.
    """

    @property
    def in_flight(self) -> int:
        """Rows held in memory."""
    @property
    def in_flight_max(self) -> int:
        """The most rows that were ever held, counted when rows are about to leave."""
    def __init__(self, tickers: Tickers, source_count: int, *, resume_after: Key | None = None) -> None:
        """Rows up to and including `resume_after` are dropped when they are taken."""

    def pending(self, rank: int) -> Block:
        """The block into which the rows of this source are decoded, in row order. Only append to it; it empties itself."""

    def advance(self, rank: int, bound_ns: int, *, finished: bool = False) -> None:
        """Tell the lowest arrival time that a row still to come can have. A bound never falls; a finished source advances no more."""

    def laggard(self) -> int:
        """The unfinished source (a spilled run counts, with its own number) whose bound is lowest; -1 when all are finished."""

    def take(self, into: Block, limit: int) -> int:
        """Append at most `limit` settled rows to `into` in total order; return how many rows were settled (0: feed the laggard).

        Rows dropped because of `resume_after` count, so that 0 always means: feed. What is settled beyond `limit` comes
        with the next take. `into` needs the merger's Tickers.
        """

    def oldest_row(self, rank: int) -> int:
        """Smallest row number of this source still held (in memory or spilled); -1 when none is."""

    def spill(self) -> bytes:
        """Take every row in flight (`in_flight` of them) out of memory as one serialised sorted run.

        The caller asks `in_flight` and `oldest_row` before, stores the bytes and calls `add_run` after. A run can only be read
        back by the process that wrote it.
        """

    def add_run(self, row_count: int, *, oldest_rows: dict[int, int]) -> int:
        """Register a run whose bytes will be fed back; returns its number, which counts like a source's (see laggard).

        `oldest_rows` holds what `oldest_row` answered for each rank before the spill (-1 is ignored).
        """

    def feed_run(self, number: int, serialised: Buffer, *, final: bool) -> int:
        """Feed the next bytes of a run; returns the number of bytes used (whole rows only), the rest comes again with the next feed.

        Raises ValueError, and takes nothing, when the bytes are not this run's, are out of order, or end too early with `final`.
        """

def sort_rows(block: Block, into: Block) -> None:
    """Append the rows of `block` to `into` in total order (for external sorting)."""

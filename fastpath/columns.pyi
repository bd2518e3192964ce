"""Rows in memory, and the table of ticker names that they point into."""

from typing import TypeAlias, final

BEFORE_EVERYTHING: int
AFTER_EVERYTHING: int

Key: TypeAlias = tuple[int, int, int]
"""(arrival time in ns, source rank, row)."""
TickRow: TypeAlias = tuple[Key, int, str, float, float, float, float]
"""(key, event time in ns, ticker, bid price, bid amount, ask price, ask amount)."""
RejectedRow: TypeAlias = tuple[Key, str, bytes]
"""(key, reason, raw text of at most 1,024 bytes)."""

@final
class Tickers:
    """Numbers for names; shared by everything that fills blocks of one session. Grows with the distinct names seen.

    Live feeds add none beyond `live_names_max` in all; 0 is no bound. Recorded files are not held to it: which of their names came first
    would depend on how far they are read ahead, and a replay has to end in the same bytes each time.
    """

    def __new__(cls, *, live_names_max: int = 0) -> Tickers: ...
    def intern(self, name: str) -> int:
        """Return the number of a name, a new one when it was not seen yet."""
    def name(self, number: int) -> str:
        """Return the name behind a number."""
    def __len__(self) -> int: ...

@final
class Block:
    """A growable run of rows. It owns its rows; kernels write into them and read from them without copies."""

    tickers: Tickers
    def __new__(cls, tickers: Tickers) -> Block: ...
    def __len__(self) -> int: ...
    @property
    def rejections(self) -> int:
        """How many of the rows are rejections."""
    def clear(self) -> None:
        """Drop all rows and keep the memory."""
    def drop(self, count: int) -> None:
        """Drop the first `count` rows."""
    def append_tick(
        self,
        ticker: str,
        *,
        arrival_time_ns: int,
        event_time_ns: int,
        bid_price: float,
        bid_amount: float,
        ask_price: float,
        ask_amount: float,
        source_rank: int = 0,
        row: int = 0,
    ) -> None:
        """Append one tick."""
    def append_rejection(
        self, *, arrival_time_ns: int, source_rank: int = 0, row: int = 0, reason: str, raw: bytes = b""
    ) -> None:
        """Append what could not be used; of `raw` the first 1,024 bytes are kept."""
    def key(self, index: int) -> Key:
        """Return what row `index` is ordered by."""
    def count_due(self, start: int, due_ns: int) -> int:
        """Count the rows from `start` on that arrive at or before `due_ns`; the block must be in arrival order."""
    def count_due_capped(self, start: int, due_ns: int, gap_ns: int) -> int:
        """Count the rows from `start` on that would arrive at or before `due_ns` if no gap behind the first were longer than `gap_ns`."""
    def beyond_gaps(self, start: int, stop: int, gap_ns: int) -> int:
        """Return by how much the gaps between rows start..stop are longer than `gap_ns`, together."""
    def behind_ticks(self, start: int, stop: int, count: int, *, ticker: str | None = None) -> tuple[int, int]:
        """Return the row behind the `count`-th tick of rows start..stop (of one ticker), or `stop`, and how many ticks are before it."""

    def to_rows(self) -> list[TickRow | RejectedRow]:
        """Copy the rows out, for tests and reports."""

"""Figures about rows, for reports that must not hold the rows in memory."""

from typing import TypeAlias, final

from fastpath.columns import Block

_Break: TypeAlias = tuple[int, int, int]
"""(row, time before it, its own earlier time)."""
_Span: TypeAlias = tuple[int, int]
"""(lowest, highest)."""

@final
class Survey:
    """Adds up the rows of one source, block by block in the order of the file. Ticker numbers must be of one table."""

    def __new__(cls, *, latency_threshold_ns: int) -> Survey: ...
    def add(self, block: Block) -> None:
        """Add the rows of the next block."""
    def absorb(self, other: Survey) -> None:
        """Add the figures of another survey; breaks stay those of this one."""

    def counts(self) -> dict[str, int]:
        """Counts by name.

        They are ticks, rejected, over_threshold, negative_latency, bid_missing, ask_missing, both_missing, crossed, locked, and
        event_ties: ticks that share their event time with the tick before."""

    def spans(self) -> tuple[_Span, _Span, _Span] | None:
        """Event times, arrival times and latencies; None when there is no tick."""

    def breaks(self) -> tuple[_Break | None, _Break | None, _Break | None]:
        """The first tick that goes back in event time, the first in arrival time, and the one after which neither order holds."""

    def latency_quantile(self, share: float) -> int:
        """Latency that `share` of the ticks do not exceed, within 0.1 % of itself; exact below 2,048 ns and at both ends."""

    def ticker_rows(self) -> dict[int, int]:
        """Ticks by ticker number."""

    def rejections(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """(reason without the offending text, count, first rows) per kind; at most 64 kinds, the rest as `other reasons`."""

@final
class ArrivalTies:
    """Counts ticks that share their arrival time with the tick before, in blocks that come in arrival order."""

    ties: int
    largest: int
    """Ticks in the largest group."""

    def __init__(self) -> None: ...
    def add(self, block: Block) -> None:
        """Add the rows of the next block."""

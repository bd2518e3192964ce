"""What two latency models make of the same rows."""

from collections.abc import Sequence
from typing import final

from fastpath.columns import Block
from fastpath.latency import LatencyModel

@final
class Comparison:
    """Rows of files under two latency models, the first with the number 0 and the second with 1.

    It holds 48 bytes a tick, and some 30 more once it is finished. Rejected rows are left out. A tick gives a mid unless a side is
    missing or it is later than the threshold.

    Filters leave out tickers, and what arrives before `start_time_ns` or from `end_time_ns` on, as recorded: so both models have the same
    ticks. What is left out holds its channel all the same.
    """

    def __new__(
        cls,
        *,
        latency_threshold_ns: int,
        start_time_ns: int = ...,
        end_time_ns: int = ...,
        only_tickers: Sequence[str] = (),
    ) -> Comparison: ...
    def __len__(self) -> int: ...
    def add_source(self, first: LatencyModel, second: LatencyModel) -> None:
        """Begin with the next file, under the models that it has."""

    def add(self, block: Block) -> None:
        """Add the rows of the next block, which come as they are recorded."""

    def finish(self) -> None:
        """Put all rows in order; nothing can be added any more, and everything else can be asked."""

    def left_out(self) -> tuple[int, int, int]:
        """Rows that were rejected when they were read, ticks that could not be used, and rows of either kind that the filters leave out."""

    def counts(self) -> tuple[tuple[int, int], int, tuple[int, int]]:
        """Ticks that came late under each model, under both, and that waited for the row before them."""

    def ticker_counts(self) -> dict[int, tuple[int, tuple[int, int], tuple[int, int]]]:
        """By ticker number: ticks, late ticks under each model, mids under each model."""

    def inversions(self, group_of_ticker: Sequence[int], groups: int) -> tuple[list[int], int]:
        """Pairs of ticks whose order differs, by the group of the one that was first and then of the other, and how many ticks moved.

        `groups` times `groups` counts; tickers beyond the sequence are in the last group."""

    def latency_quantile(self, model: int, share: float) -> int:
        """Latency that `share` of the ticks do not exceed, within 0.1 % of itself; both ends are exact."""

    def ages(
        self, ticker: int, model: int, shares: Sequence[tuple[int, int]]
    ) -> tuple[int, tuple[int, ...], int] | None:
        """How old the latest mid of a ticker was: for each (numerator, denominator) the age that this share of the time does not exceed.

        Age is the time since the mid's event. Looked at from the time when there is a mid under both models to the last arrival under the
        model that ends first; returns how long that is, the ages and the highest. None: that is no time at all."""

    def latest(self, ticker: int, model: int, times_ns: Sequence[int]) -> list[tuple[int, float] | None]:
        """(event time, mid) of the latest mid of a ticker at each of the times, which must not fall; None before the first."""

    def span_ns(self) -> tuple[int, int] | None:
        """First and last arrival under either model; None when there is no tick."""

    def order(self, model: int) -> list[int]:
        """Numbers of the ticks, from 0 in the order of files and rows, in the order in which they arrive (for tests)."""

    def arrivals_ns(self, model: int) -> list[int]:
        """Arrival of each tick, in the order of files and rows (for tests)."""

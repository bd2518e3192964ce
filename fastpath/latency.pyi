"""Latency models: when rows arrive in place of what their file says."""

from collections.abc import Sequence
from typing import final

QUANTILES: int
"""How many quantiles a drawn model is made of."""

@final
class LatencyModel:
    """How the latencies of one source are changed or replaced.

    `LatencyModel()` leaves them as they are. What a row gets is a function of the row alone: of its number, its latency in the file and
    the model. That it does not overtake the row before it is the decoder's part.
    """

    changes: bool
    """False: rows arrive as their file says."""
    follows_file: bool
    """A row that overtakes the row before it in the file may do so under the model."""

    @staticmethod
    def scaled(*, factor: float, offset_ns: int) -> LatencyModel:
        """Those of the file times `factor`, to the nearest nanosecond and half to even, plus `offset_ns`. The factor is not negative."""
    @staticmethod
    def constant(latency_ns: int) -> LatencyModel:
        """The same for every row."""
    @staticmethod
    def drawn(quantiles_ns: Sequence[int], *, seed: int, source_rank: int) -> LatencyModel:
        """Drawn anew for every row, from QUANTILES quantiles that do not fall.

        The first SIDE + 1 = 1,026 of them stand at the shares 0, then 2^(k-33) * (1 + m/32) for k in 0..31 and m in 0..31, and 1/2; the
        others mirror them. Between two of them the draw lies as its share does. The share is a hash of seed, rank and row.
        """

    def latency_ns(self, of_file_ns: int, *, row: int) -> int:
        """The latency of one row, before any policy and alone in its channel.

        Raises OverflowError when it does not fit 64 bits."""

    def lowest_ns(self, of_file_ns: int) -> int:
        """A lower bound of every latency when none of the file is below `of_file_ns`."""

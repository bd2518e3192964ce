"""The latest record of each ticker in a stream of batches, and what of it is new since a sequence."""

from collections.abc import Iterable
from typing import final

from typing_extensions import Buffer

@final
class LatestTicks:
    """The latest tick of each ticker of a stream of TickBatch, and its newest 1,024 markers."""

    epoch: str
    last_sequence: int
    """Up to where the stream was taken; 0 before the first batch."""
    def __len__(self) -> int:
        """How many tickers there are."""
    def take(self, buffer: Buffer) -> None:
        """Take one more batch; one of another epoch begins anew, and records that were taken are passed over. Raises FrameError."""
    def since(self, after: int) -> list[tuple[int, int, bytes]]:
        """What is new since a sequence, as (first sequence, last sequence, encoded batch).

        Each ticker that came since is there once, with its latest tick, in the order of the numbers; markers that came since are there, and
        rejections are not. Each batch is of one mode, has at most BATCH_ROWS_MAX ticks, and begins behind the one before it; the first
        begins behind `after`, the last ends with `last_sequence`. Nothing at all where neither ticks nor markers came.

        Where replay time was moved (MARKER_DISCONTINUITY), what came before is forgotten; the marker has the state. Of several such markers
        the last is kept, and everything since 0 has no other markers than it and those behind it.
        """

@final
class LatestMids:
    """The latest mid of each ticker of a stream of MidBatch."""

    epoch: str
    last_sequence: int
    """Up to where the stream was taken; 0 before the first batch."""
    def __len__(self) -> int:
        """How many tickers there are."""
    def begin(
        self, epoch: str, mids: Iterable[tuple[str, int, int, int, float, int]], *, mode: int, last_sequence: int
    ) -> None:
        """Begin with what is known from elsewhere: (ticker, sequence, event ns, arrival ns, mid, mode), none beyond `last_sequence`."""
    def take(self, buffer: Buffer) -> int:
        """Take one more batch, as LatestTicks, and return how many mids it has. Raises FrameError."""
    def since(self, after: int) -> list[tuple[int, int, bytes]]:
        """What is new since a sequence, as (first sequence, last sequence, encoded batch).

        As LatestTicks, of MidBatch.
        """

"""The order digest of a stream as it is made: told behind every so many records, and carried over restarts."""

from typing import Self, final

from fastpath.columns import Block
from fastpath.records import OrderProof

CHAIN_BLOCK: int
"""4,096 records: proofs stand behind multiples of so many."""

@final
class OrderChain:
    """Takes the rows of batches in turn. For one thread."""

    def __new__(cls, *, every: int, first_sequence: int = 1, state: bytes = b"") -> Self:
        """Begin at `first_sequence`, or go on where `state` was taken. Raises ValueError for a damaged state, or one of another `every`."""

    def add(self, block: Block, start: int, stop: int, *, sequence: int) -> OrderProof | None:
        """Try rows start..stop, the first of which is number `sequence`; return the proof that their batch has to carry, or None."""

    def keep(self) -> None:
        """What was tried last has left: go on behind it. Without this it counts as never tried."""

    def proof(self, last_sequence: int) -> OrderProof:
        """What everything up to here comes to; `last_sequence` is the last number that was given."""

    def state_of_added(self) -> bytes:
        """All of it behind the rows that were added last, kept or not, as bytes from which another chain goes on. Versioned."""

"""Digests on the way: where two runs part can be told from them, to one part in 32 to 64 of the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PROOF_RECORDS: Final = 65_536
"""Records between two proofs of the kernel."""
PROOFS_MAX: Final = 64
"""With more, every second one goes, and the next ones come half as often: they are stored with every commit."""


@dataclass(frozen=True)
class OrderProofs:
    """The order digest behind `every` records, behind twice as many, and so on; without a hole, or none at all."""

    every: int = PROOF_RECORDS
    digests: tuple[str, ...] = ()

    def with_more(self, found: Iterable[tuple[int, str]]) -> OrderProofs:
        """Return them with those of the records that came since. A log that was begun without proofs never has any."""
        every, digests = self.every, list(self.digests)
        for records, digest in found:
            if records == every * (len(digests) + 1):
                digests.append(digest)
            if len(digests) > PROOFS_MAX:
                digests, every = digests[1::2], 2 * every
        return OrderProofs(every, tuple(digests))

"""Which idempotency keys the journal may hold, so that it is not asked for the many that are new."""

from __future__ import annotations

from typing import Final

__all__ = ["KEYS_MAX", "KnownKeys"]

KEYS_MAX: Final = 250_000
"""Some 40 MB, and three orders a second for a day. Beyond it the oldest are let go, and the journal is asked."""


class KnownKeys:
    """A filter: no means never used, yes means ask the journal, which alone knows what a key was used for.

    Right only for whoever is the journal's one writer. Holds hashes: two keys that share one cost a question too many.
    """

    def __init__(self, *, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._created_ns: dict[int, int] = {}
        """By hash, oldest first."""
        self._let_go_ns = -1
        """Keys that were made up to here may be missing."""

    def add(self, owner: str, key: str, created_ns: int) -> None:
        """Take a key that is about to be written; one whose write fails may stay."""
        name = hash((owner, key))
        self._created_ns.pop(name, None)
        self._created_ns[name] = created_ns
        if len(self._created_ns) > self._keys_max:
            self.let_go_oldest()

    def let_go_oldest(self) -> None:
        """Drop the oldest key: from now on those made up to then may be missing here."""
        oldest = next(iter(self._created_ns))
        self._let_go_ns = max(self._let_go_ns, self._created_ns.pop(oldest))

    def may_hold(self, owner: str, key: str, *, since_ns: int) -> bool:
        """Whether the journal has to be asked for a key made since then."""
        return since_ns <= self._let_go_ns or hash((owner, key)) in self._created_ns

    def forget(self, *, before_ns: int) -> None:
        """Drop keys that the journal has deleted."""
        while self._created_ns:
            oldest = next(iter(self._created_ns))
            if self._created_ns[oldest] >= before_ns:
                return
            del self._created_ns[oldest]

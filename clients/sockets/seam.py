"""The overlap of two connections: what both deliver is handed on once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

KEYS_MAX = 65_536
"""Distinct messages that are remembered in one overlap; beyond it the overlap ends early."""


class Seam:
    """Counts messages per connection: the nth equal one of either side is handed on when it is the first nth.

    So a message that the other side really sent twice is handed on twice.
    """

    def __init__(self, key: Callable[[bytes], Hashable]) -> None:
        self._key = key
        self._seen: dict[int, Counter[Hashable]] = {}
        self._handed_on: Counter[Hashable] = Counter()

    @property
    def full(self) -> bool:
        """Whether nothing more can be remembered."""
        return len(self._handed_on) >= KEYS_MAX

    def first(self, connection: int, payload: bytes) -> bool:
        """Note a message; return whether it is to be handed on."""
        key = self._key(payload)
        seen = self._seen.setdefault(connection, Counter())
        seen[key] += 1
        if seen[key] <= self._handed_on[key]:
            return False
        if not self.full or key in self._handed_on:
            self._handed_on[key] = seen[key]
        return True

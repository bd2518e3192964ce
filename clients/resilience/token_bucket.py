"""A bucket of tokens that refills as time goes by. It never waits: whoever finds it empty decides what that means."""

from __future__ import annotations


class TokenBucket:
    """Full at first. Times are arguments, of any clock; one that goes back refills nothing."""

    __slots__ = ("_at_ns", "_per_s", "_tokens", "size")

    def __init__(self, *, size: float, per_s: float) -> None:
        self.size = size
        self._per_s = per_s
        self._tokens = float(size)
        self._at_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """Take one; False when there is none."""
        self._refill(now_ns)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def remaining(self, now_ns: int) -> int:
        """Return the whole tokens that are there."""
        self._refill(now_ns)
        return int(self._tokens)

    def next_s(self, now_ns: int) -> float:
        """Return the seconds until there is one again."""
        self._refill(now_ns)
        return max(0.0, (1 - self._tokens) / self._per_s)

    def full_s(self, now_ns: int) -> float:
        """Return the seconds until it is full."""
        self._refill(now_ns)
        return (self.size - self._tokens) / self._per_s

    def _refill(self, now_ns: int) -> None:
        if self._at_ns is None:
            self._at_ns = now_ns
            return
        self._tokens = min(self.size, self._tokens + max(0, now_ns - self._at_ns) / 1e9 * self._per_s)
        self._at_ns = max(self._at_ns, now_ns)

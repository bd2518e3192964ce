"""How many orders a second may go out."""

from __future__ import annotations

from clients.resilience.ports import MonotonicNs


class OrderRate:
    """A bucket that holds one second's worth. It never waits: an order that would have to is denied, because its price ages meanwhile."""

    def __init__(self, per_second: float, *, monotonic_ns: MonotonicNs) -> None:
        self._per_second = per_second
        self._monotonic_ns = monotonic_ns
        self._tokens = max(per_second, 1.0)
        self._at_ns = monotonic_ns()

    def take(self) -> bool:
        """Take one; False when there is none."""
        now_ns = self._monotonic_ns()
        self._tokens = min(max(self._per_second, 1.0), self._tokens + (now_ns - self._at_ns) / 1e9 * self._per_second)
        self._at_ns = now_ns
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

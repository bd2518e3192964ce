"""Limit how many orders a second go out."""

from __future__ import annotations

from clients.resilience.ports import MonotonicNs
from clients.resilience.token_bucket import TokenBucket


class OrderRate:
    """A bucket that holds one second's worth. It never waits: an order that would have to is denied, because its price ages meanwhile."""

    def __init__(self, per_second: float, *, monotonic_ns: MonotonicNs) -> None:
        self._bucket = TokenBucket(size=max(per_second, 1.0), per_s=per_second)
        self._monotonic_ns = monotonic_ns

    def take(self) -> bool:
        """Take one; False when there is none."""
        return self._bucket.take(self._monotonic_ns())

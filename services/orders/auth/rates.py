"""Limit the rates of callers: how often somebody may be wrong, and how often a key may ask."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from clients.resilience.ports import MonotonicNs
from clients.resilience.token_bucket import TokenBucket

KEYS_MAX: Final = 4096
"""Peers or keys remembered; the one not heard of for longest is forgotten."""


class FailureWindow:
    """At most so many failures per peer and minute; further attempts are not even looked at."""

    def __init__(self, *, failures_max: int, window_s: float, monotonic_ns: MonotonicNs) -> None:
        self._failures_max = failures_max
        self._window_ns = round(window_s * 1e9)
        self._monotonic_ns = monotonic_ns
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def wait_s(self, peer: str) -> float:
        """Return how long a peer has to wait before it may try again; 0 when it need not."""
        failures = self._failures.get(peer)
        if failures is None:
            return 0.0
        now_ns = self._monotonic_ns()
        while failures and now_ns - failures[0] >= self._window_ns:
            failures.popleft()
        if len(failures) < self._failures_max:
            return 0.0
        return (failures[0] + self._window_ns - now_ns) / 1e9

    def failed(self, peer: str) -> None:
        """Count a failure."""
        failures = self._failures.setdefault(peer, deque(maxlen=self._failures_max))
        failures.append(self._monotonic_ns())
        self._failures.move_to_end(peer)
        if len(self._failures) > KEYS_MAX:
            self._failures.popitem(last=False)


class KeyRates:
    """A token bucket per key."""

    def __init__(self, *, per_second: float, burst: float, monotonic_ns: MonotonicNs) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic_ns = monotonic_ns
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, key_id: str) -> bool:
        """Take one; False when the key asks too often."""
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._buckets[key_id] = TokenBucket(size=self._burst, per_s=self._per_second)
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > KEYS_MAX:
            self._buckets.popitem(last=False)
        return bucket.take(self._monotonic_ns())

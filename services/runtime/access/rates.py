"""Limit how often a key may ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from clients.resilience.ports import MonotonicNs
from clients.resilience.token_bucket import TokenBucket

KEYS_MAX: Final = 4096
"""Keys remembered; the one not heard of for longest is forgotten."""


class KeyRates:
    """A token bucket per key, and a second one of the same size for what gets its holder out of the market."""

    def __init__(
        self, *, per_second: float, burst: float, monotonic_ns: MonotonicNs, reserved: Collection[str] = ()
    ) -> None:
        """`reserved` are the methods (`package.Service/Method`) that may use the second bucket when the first one is empty."""
        self._per_second = per_second
        self._burst = burst
        self._monotonic_ns = monotonic_ns
        self._reserved = frozenset(reserved)
        self._buckets: OrderedDict[str, tuple[TokenBucket, TokenBucket]] = OrderedDict()

    def take(self, key_id: str, path: str = "") -> bool:
        """Take one; False when the key asks too often."""
        buckets = self._buckets.get(key_id)
        if buckets is None:
            buckets = self._buckets[key_id] = (self._bucket(), self._bucket())
        self._buckets.move_to_end(key_id)
        if len(self._buckets) > KEYS_MAX:
            self._buckets.popitem(last=False)
        common, reserve = buckets
        now_ns = self._monotonic_ns()
        return common.take(now_ns) or (path.lstrip("/") in self._reserved and reserve.take(now_ns))

    def _bucket(self) -> TokenBucket:
        return TokenBucket(size=self._burst, per_s=self._per_second)

"""The provider's side of a quota: counts requests as the strictest reading of its rules would."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

__all__ = ["QuotaWindow", "RequestCount"]

SECOND_NS = 1_000_000_000


@dataclass
class QuotaWindow:
    """At most `count` requests in `length_s`, in any such stretch of time and in each one that begins at a round time."""

    count: int
    length_s: int
    rolling_peak: int = 0
    fixed_peak: int = 0
    _times_ns: deque[int] = field(default_factory=deque, repr=False)
    _fixed: Counter[int] = field(default_factory=Counter, repr=False)

    def wait_s(self, now_ns: int) -> float:
        """Return how long until one more request is allowed; 0 when it is now."""
        self._forget(now_ns)
        length_ns = self.length_s * SECOND_NS
        wait_ns = 0
        if len(self._times_ns) >= self.count:
            wait_ns = self._times_ns[len(self._times_ns) - self.count] + length_ns - now_ns
        slot = now_ns // length_ns
        if self._fixed[slot] >= self.count:
            wait_ns = max(wait_ns, (slot + 1) * length_ns - now_ns)
        return max(0, wait_ns) / 1e9

    def note(self, now_ns: int) -> None:
        """Count a request."""
        self._forget(now_ns)
        self._times_ns.append(now_ns)
        slot = now_ns // (self.length_s * SECOND_NS)
        self._fixed[slot] += 1
        self.rolling_peak = max(self.rolling_peak, len(self._times_ns))
        self.fixed_peak = max(self.fixed_peak, self._fixed[slot])

    def _forget(self, now_ns: int) -> None:
        length_ns = self.length_s * SECOND_NS
        while self._times_ns and self._times_ns[0] <= now_ns - length_ns:
            self._times_ns.popleft()
        for slot in [slot for slot in self._fixed if slot < now_ns // length_ns]:
            del self._fixed[slot]


class RequestCount:
    """All windows of a provider. A request that is refused counts for nothing but `refused`."""

    def __init__(self, per_minute: int = 50, per_hour: int = 1_000, *, enforce: bool = True) -> None:
        self.minute = QuotaWindow(per_minute, 60)
        self.hour = QuotaWindow(per_hour, 3_600)
        self.enforce = enforce
        self.requests = 0
        self.refused = 0

    def admit(self, now_ns: int) -> float:
        """Count a request; return 0, or the seconds after which it would be allowed."""
        self.requests += 1
        wait_s = max(self.minute.wait_s(now_ns), self.hour.wait_s(now_ns)) if self.enforce else 0.0
        if wait_s > 0:
            self.refused += 1
            return wait_s
        self.minute.note(now_ns)
        self.hour.note(now_ns)
        return 0.0

"""The calls that a breaker judges by: the last so many, and where asked for, no older than so long."""

from __future__ import annotations

from collections import deque


class CallWindow:
    """Counts the last `calls_max` calls, at most `age_ns` old (None: of any age). Not thread-safe; its breaker locks.

    Every call is kept by itself, so an age is exact to the nanosecond; `calls_max` bounds the memory, and above it a time window
    judges by fewer seconds than configured.
    """

    __slots__ = ("_age_ns", "_calls", "_calls_max", "failures", "slow")

    def __init__(self, *, calls_max: int, age_ns: int | None) -> None:
        self._calls: deque[tuple[int, bool, bool]] = deque()
        self._calls_max = calls_max
        self._age_ns = age_ns
        self.failures = 0
        self.slow = 0

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, now_ns: int, *, failed: bool, slow: bool) -> None:
        """Count a call that ended now."""
        self.expire(now_ns)
        if len(self._calls) == self._calls_max:
            self._drop_oldest()
        self._calls.append((now_ns, failed, slow))
        self.failures += failed
        self.slow += slow

    def expire(self, now_ns: int) -> None:
        """Forget the calls whose age has reached the limit."""
        if self._age_ns is None:
            return
        while self._calls and now_ns - self._calls[0][0] >= self._age_ns:
            self._drop_oldest()

    def clear(self) -> None:
        """Forget every call."""
        self._calls.clear()
        self.failures = 0
        self.slow = 0

    def _drop_oldest(self) -> None:
        _, failed, slow = self._calls.popleft()
        self.failures -= failed
        self.slow -= slow

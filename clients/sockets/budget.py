"""Bound how often connections are opened, whatever the reason."""

from __future__ import annotations

from collections import deque

from clients.resilience.ports import MonotonicNs


class ConnectBudget:
    """At most `attempts_max` attempts begin in any `window_s`. One instance may be shared by all sockets of one address."""

    def __init__(self, attempts_max: int, window_s: float, *, monotonic_ns: MonotonicNs) -> None:
        if attempts_max < 1 or not window_s > 0:
            raise ValueError(f"a budget of {attempts_max} attempts in {window_s} s lets nothing through")
        self._attempts_max = attempts_max
        self._window_ns = round(window_s * 1e9)
        self._monotonic_ns = monotonic_ns
        self._taken: deque[int] = deque(maxlen=attempts_max)
        self._held_until_ns = 0

    def wait_s(self) -> float:
        """Return how long to wait before asking again; 0 when an attempt may begin now."""
        now_ns = self._monotonic_ns()
        free_ns = self._held_until_ns
        if len(self._taken) == self._attempts_max:
            free_ns = max(free_ns, self._taken[0] + self._window_ns)
        return max(0, free_ns - now_ns) / 1e9

    def take(self) -> bool:
        """Take one attempt; False, and nothing taken, where `wait_s` is not 0."""
        if self.wait_s() > 0:
            return False
        self._taken.append(self._monotonic_ns())
        return True

    def hold(self, seconds: float) -> None:
        """Let nothing through for this long: the other side said that its own limit is used up."""
        self._held_until_ns = max(self._held_until_ns, self._monotonic_ns() + round(seconds * 1e9))

"""Counters that exchanges limit by. Time is an argument."""

from __future__ import annotations

from dataclasses import dataclass


class WindowCounter:
    """Counts in fixed windows aligned to the epoch, as a minute on the clock is."""

    def __init__(self, *, window_s: int, limit: int) -> None:
        self.window_s = window_s
        self.limit = limit
        self._used = 0
        self._window = -1

    def used(self, now_ns: int) -> int:
        """Return what this window has used."""
        self._turn(now_ns)
        return self._used

    def add(self, units: int, now_ns: int) -> None:
        """Count, or give back with a negative number; never below 0."""
        self._turn(now_ns)
        self._used = max(0, self._used + units)

    def over(self, units: int, now_ns: int) -> bool:
        """Whether that many more would exceed the limit."""
        return self.used(now_ns) + units > self.limit

    def left_s(self, now_ns: int) -> int:
        """Return the whole seconds until the window ends, at least 1."""
        return max(1, self.window_s - int(now_ns // 1_000_000_000) % self.window_s)

    def _turn(self, now_ns: int) -> None:
        window = now_ns // 1_000_000_000 // self.window_s
        if window != self._window:
            self._window, self._used = window, 0


@dataclass
class Ban:
    """What an address that does not stop gets: each ban longer than the one before."""

    first_s: float
    longest_s: float
    tolerance: int
    """Requests over the limit that are answered 429 before the ban."""
    factor: float = 3.0
    offences: int = 0
    bans: int = 0
    until_ns: int = 0

    def active(self, now_ns: int) -> bool:
        """Whether it is banned."""
        return now_ns < self.until_ns

    def offend(self, now_ns: int) -> bool:
        """Count a request over the limit; True when that was one too many."""
        self.offences += 1
        if self.offences <= self.tolerance:
            return False
        duration_s = min(self.longest_s, self.first_s * self.factor**self.bans)
        self.bans += 1
        self.offences = 0
        self.until_ns = now_ns + round(duration_s * 1e9)
        return True

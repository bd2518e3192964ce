"""A clock that moves only when a test moves it."""

from __future__ import annotations

import threading


class FakeClock:
    """Implements services.runtime.clock.Clock; `sleep` advances it at once and is recorded in `sleeps`."""

    def __init__(self, *, time_ns: int = 1_760_000_000_000_000_000, monotonic_ns: int = 1_000_000_000) -> None:
        self._time_ns = time_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()
        self.sleeps: list[float] = []

    def monotonic_ns(self) -> int:
        with self._lock:
            return self._monotonic_ns

    def time_ns(self) -> int:
        with self._lock:
            return self._time_ns

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both times forward; negative values are ignored as a real sleep ignores them."""
        self.advance_ns(round(seconds * 1e9))

    def advance_ns(self, nanoseconds: int) -> None:
        """Move both times forward by whole nanoseconds."""
        if nanoseconds > 0:
            with self._lock:
                self._time_ns += nanoseconds
                self._monotonic_ns += nanoseconds

    def jump_wall_ns(self, nanoseconds: int) -> None:
        """Move the wall clock alone, in either direction, as an adjustment of the system time does."""
        with self._lock:
            self._time_ns += nanoseconds

"""Time as a constructor argument."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What an engine may know about time."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never jump."""
        ...

    def time_ns(self) -> int:
        """Return UTC nanoseconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread; zero or less returns at once."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)

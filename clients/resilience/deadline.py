"""Total deadlines, and how a call made inside another one's attempt learns of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from clients.resilience.ports import MonotonicNs

SECONDS_MAX: Final = 86_400.0
"""Nobody waits longer for one call; larger deadlines are cut to this."""


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock; the wall clock may jump as it likes."""

    start_ns: int
    end_ns: int
    _now: MonotonicNs = field(repr=False)

    @classmethod
    def after(cls, seconds: float, monotonic_ns: MonotonicNs, *, not_after_ns: int | None = None) -> Deadline:
        """Return the deadline so many seconds from now, or `not_after_ns` where that is earlier."""
        if math.isnan(seconds):
            raise ValueError("`deadline_s` is nan; give seconds")
        start_ns = monotonic_ns()
        end_ns = start_ns + round(max(0.0, min(seconds, SECONDS_MAX)) * 1e9)
        return cls(start_ns, end_ns if not_after_ns is None else min(end_ns, not_after_ns), monotonic_ns)

    def remaining_s(self) -> float:
        """Return the seconds left, 0 when it has passed."""
        return max(0, self.end_ns - self._now()) / 1e9

    def elapsed_s(self) -> float:
        """Return the seconds since it was set."""
        return (self._now() - self.start_ns) / 1e9


@dataclass
class Enclosing:
    """The attempt inside which code runs: the innermost one, if calls are nested."""

    end_ns: int
    active: bool = True


_enclosing: ContextVar[Enclosing | None] = ContextVar("enclosing_attempt", default=None)


def enclosing_attempt() -> Enclosing | None:
    """Return the attempt that the running code is part of.

    A task started inside an attempt inherits it, and may outlive it: from then on it is by itself.
    """
    attempt = _enclosing.get()
    return attempt if attempt is not None and attempt.active else None


@contextmanager
def inside_attempt(end_ns: int) -> Iterator[None]:
    """Mark what runs in the block as part of an attempt that ends at `end_ns`."""
    attempt = Enclosing(end_ns)
    token = _enclosing.set(attempt)
    try:
        yield
    finally:
        attempt.active = False
        _enclosing.reset(token)

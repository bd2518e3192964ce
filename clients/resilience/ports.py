"""Clock, sleep and randomness as arguments, so that tests decide about time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

Sleep = Callable[[float], Awaitable[None]]
"""Waits that many seconds; `asyncio.sleep` outside of tests."""

MonotonicNs = Callable[[], int]
"""`time.monotonic_ns` outside of tests. No policy ever reads the wall clock."""

WallNs = Callable[[], int]
"""`time.time_ns` outside of tests; only for what a server states in UTC (a ban's end, a reset time)."""


class RandomSource(Protocol):
    """The part of `random.Random` that policies use."""

    def uniform(self, a: float, b: float, /) -> float: ...

    def random(self) -> float: ...


def system_random() -> RandomSource:
    """Return randomness of its own for each owner, seeded by the system."""
    return Random()

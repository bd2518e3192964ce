"""What a server waits for at the moment, and for how long: a disk or a database that stands still says nothing by itself."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["STALLED_S", "Stalls"]

STALLED_S: Final = 3.0
"""A write or a read that takes longer stands still; with a look every half second it is told within five seconds."""


class Stalls:
    """Things that are under way, each with its beginning. Used from one thread."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._numbers = itertools.count()
        self._under_way: dict[int, tuple[str, float]] = {}

    @contextlib.contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Note that `what` is under way for as long as the block lasts: a subject, as in "the journal"."""
        number = next(self._numbers)
        self._under_way[number] = what, self._monotonic_s()
        try:
            yield
        finally:
            del self._under_way[number]

    def trouble(self) -> str:
        """Return what has been under way for too long, the oldest of it; empty when nothing has."""
        if not self._under_way:
            return ""
        what, since_s = next(iter(self._under_way.values()))
        for_s = self._monotonic_s() - since_s
        return (
            f"{what} has not answered for {for_s:.0f} s: a disk or a database stands still" if for_s > STALLED_S else ""
        )

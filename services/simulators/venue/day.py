"""What the last 24 hours of an underlying were, from the steps of its walk: cheap to note at each step, asked for rarely."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

DAY_NS: Final = 86_400 * 1_000_000_000
BUCKETS: Final = 1440
"""The day is kept by minutes: a price leaves the window with its minute."""


@dataclass
class _Bucket:
    first: int
    last: int
    open: float
    high: float
    low: float
    close: float
    total: float


@dataclass(frozen=True)
class Day:
    """The window that ends with the newest step."""

    before: float
    """The last price in front of the window."""
    open: float
    high: float
    low: float
    mean: float
    first: int
    """The number of the oldest step in the window."""
    count: int


class DayFigures:
    """One underlying's. A simulator is as old as its process, so the window of a young one is shorter than a day."""

    def __init__(self, price: float, *, step_ns: int) -> None:
        self._steps = max(1, DAY_NS // BUCKETS // step_ns)
        self._buckets: deque[_Bucket] = deque(maxlen=max(1, DAY_NS // (self._steps * step_ns)))
        self._before = price
        self.note(0, price)

    def note(self, step: int, price: float, *, steps: int = 1) -> None:
        """Take the price of a step, or of many that were taken at once and end with it."""
        newest = self._buckets[-1] if self._buckets else None
        if newest is None or step // self._steps != newest.last // self._steps:
            if len(self._buckets) == self._buckets.maxlen:
                self._before = self._buckets[0].close
            newest = _Bucket(step - steps + 1, step, price, price, price, price, 0.0)
            self._buckets.append(newest)
        newest.last, newest.close = step, price
        newest.high, newest.low = max(newest.high, price), min(newest.low, price)
        newest.total += price * steps

    def day(self) -> Day:
        """Return the figures as of the newest step."""
        count = self._buckets[-1].last - self._buckets[0].first + 1
        return Day(
            before=self._before,
            open=self._buckets[0].open,
            high=max(one.high for one in self._buckets),
            low=min(one.low for one in self._buckets),
            mean=sum(one.total for one in self._buckets) / count,
            first=self._buckets[0].first,
            count=count,
        )

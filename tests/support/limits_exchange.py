"""An exchange that only counts: windows of both kinds, token buckets, and what its headers would say."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from clients.resilience.call import LimitReport


class Kind(StrEnum):
    """How a limit is counted, and so what its header means."""

    FIXED = "fixed"
    ROLLING = "rolling"
    BUCKET = "bucket"


@dataclass
class CountedLimit:
    """One limit; `over` counts the calls that went beyond it."""

    name: str
    size: int
    interval_s: float
    kind: Kind
    headers: bool = True
    over: int = 0
    most: float = 0.0
    _counted: deque[tuple[int, int]] = field(default_factory=deque)
    _frame: tuple[int, int] = (0, 0)
    _level: tuple[float, int] = (0.0, 0)

    def count(self, units: int, now_ns: int) -> bool:
        """Count a call and return whether it was within the limit."""
        used = self.used(now_ns) + units
        self.most = max(self.most, used)
        self._counted.append((now_ns, units))
        self._frame = (self._frame[0], self._frame[1] + units)
        self._level = (self._level[0] + units, now_ns)
        within = used <= self.size + 1e-6
        self.over += not within
        return within

    def used(self, now_ns: int) -> float:
        """Return the counter as it stands."""
        interval_ns = round(self.interval_s * 1e9)
        while self._counted and self._counted[0][0] <= now_ns - interval_ns:
            self._counted.popleft()
        if self._frame[0] != now_ns // interval_ns:
            self._frame = (now_ns // interval_ns, 0)
        drained = max(0.0, self._level[0] - self.size / self.interval_s * (now_ns - self._level[1]) / 1e9)
        self._level = (drained, now_ns)
        if self.kind is Kind.BUCKET:
            return drained
        return self._frame[1] if self.kind is Kind.FIXED else sum(units for _, units in self._counted)


class CountingExchange:
    """Takes calls that travel for random times; counts them on arrival, says what it counted, bans who goes on inside a block."""

    def __init__(
        self,
        limits: list[CountedLimit],
        *,
        scope: str,
        now_ns: Callable[[], int],
        rng: random.Random,
        travel_s: float = 2.0,
        retry_after_s: float = 30.0,
    ) -> None:
        self.limits = {limit.name: limit for limit in limits}
        self.calls = 0
        self.inside_block = 0
        self.arrived: list[tuple[int, str]] = []
        self._scope = scope
        self._now_ns = now_ns
        self._rng = rng
        self._travel_s = travel_s
        self._retry_after_s = retry_after_s
        self._blocked_until_ns = 0

    @property
    def over(self) -> int:
        """Calls beyond any limit."""
        return sum(limit.over for limit in self.limits.values())

    def use(self, name: str, units: int) -> None:
        """Count what somebody else does."""
        self.limits[name].count(units, self._now_ns())

    def throttle(self, seconds: float) -> None:
        """Refuse everything from now on."""
        self._blocked_until_ns = self._now_ns() + round(seconds * 1e9)

    async def call(self, costs: dict[str, int], *, label: str = "") -> LimitReport:
        """Make one call: out, counted, back."""
        await asyncio.sleep(self._rng.uniform(0, self._travel_s))
        report = self.arrive(costs, label=label)
        await asyncio.sleep(self._rng.uniform(0, self._travel_s))
        return report

    def arrive(self, costs: dict[str, int], *, label: str = "") -> LimitReport:
        """Count a call now and return what the answer's headers say."""
        now_ns = self._now_ns()
        self.calls += 1
        self.arrived.append((now_ns, label))
        blocks: dict[str, float] = {}
        if now_ns < self._blocked_until_ns:
            self.inside_block += 1
            blocks[self._scope] = (self._blocked_until_ns - now_ns) / 1e9
        within = [self.limits[name].count(units, now_ns) for name, units in costs.items()]
        if not all(within):
            self._blocked_until_ns = now_ns + round(self._retry_after_s * 1e9)
            blocks[self._scope] = self._retry_after_s
        used, remaining = {}, {}
        for limit in self.limits.values():
            if limit.headers and limit.kind is Kind.BUCKET:
                remaining[limit.name] = max(0, int(limit.size - limit.used(now_ns)))
            elif limit.headers:
                used[limit.name] = int(limit.used(now_ns))
        return LimitReport(used=used, remaining=remaining, blocks=blocks)

"""Leave signs of life in the database, so that whoever looks at deals can tell no deals from no listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, Protocol

from clients.database import DatabaseUnavailable
from clients.power.calendar import BERLIN, local_day
from clients.power.store.standing import Standing
from clients.resilience.ports import Sleep, WallNs
from clients.sockets import SocketState, SocketStatus
from services.power.listener.stats import ListenerStats

__all__ = ["StandingTable", "StandingTeller"]

LOOK_S: Final = 0.5
"""A change is told within this and a commit."""
EVERY_NS: Final = 2_000_000_000
"""At least this often something is told: readers take a listener that misses five times for away."""
SAVE_TIMEOUT_S: Final = 5.0


class StandingTable(Protocol):
    """Where it is left. Any method may raise DatabaseUnavailable."""

    async def load(self) -> Standing | None: ...

    async def count_unusable(self, since_ns: int) -> tuple[int, int]:
        """Return how many messages could not be used since then, and ever."""
        ...

    async def save(self, standing: Standing, *, now_ns: int) -> None: ...


class StandingTeller:
    """Tells how the listener stands: every change, and every two seconds that it is still there."""

    def __init__(
        self,
        table: StandingTable,
        stats: ListenerStats,
        *,
        status: Callable[[], SocketStatus | None],
        trouble: Callable[[], str],
        wall_ns: WallNs,
        sleep: Sleep,
    ) -> None:
        self._table = table
        self._stats = stats
        self._status = status
        self._trouble = trouble
        self._wall_ns = wall_ns
        self._sleep = sleep
        self._earlier: Standing | None = None
        """What the listener before this one left; None until it was read."""
        self._count = _Count(local_day(wall_ns()), 0, 0, 0)
        self._connected = False
        self._since_ns = wall_ns()
        self._told: Standing | None = None
        self._told_ns = 0

    async def run(self) -> None:
        """Tell for ever. While the database is away nothing can be told, which readers notice."""
        while True:
            with suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(SAVE_TIMEOUT_S):
                    await self.tell()
            await self._sleep(LOOK_S)

    async def tell(self) -> None:
        """Say what is new, or that nothing is. Raises DatabaseUnavailable."""
        now_ns = self._wall_ns()
        if self._earlier is None:
            await self._recall(now_ns)
        standing = self._standing(now_ns)
        if self._told is None or now_ns - self._told_ns >= EVERY_NS or _news(self._told) != _news(standing):
            await self._table.save(standing, now_ns=now_ns)
            self._told, self._told_ns = standing, now_ns

    async def say_goodbye(self) -> None:
        """Tell that nothing comes any more, so that nobody has to wait to find out."""
        now_ns = self._wall_ns()
        with suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(LOOK_S):
                if self._told is not None:
                    last = replace(self._standing(now_ns), connected=False, since_ns=now_ns, trouble="it was stopped")
                    await self._table.save(last, now_ns=now_ns)

    async def _recall(self, now_ns: int) -> None:
        earlier = await self._table.load()
        today = local_day(now_ns)
        counted = self._stats.unusable
        of_today, ever = await self._table.count_unusable(_midnight_ns(today))
        self._count = _Count(today, counted, of_today, ever - of_today)
        self._earlier = earlier or Standing()

    def _standing(self, now_ns: int) -> Standing:
        stats, status = self._stats, self._status()
        connected = status is not None and status.state is SocketState.OPEN
        if connected != self._connected:
            age_ns = round(((status.connected_s if connected and status else None) or 0.0) * 1e9)
            self._connected, self._since_ns = connected, now_ns - age_ns
        self._count = self._count.on(local_day(now_ns), stats.unusable)
        earlier = self._earlier or Standing()
        return Standing(
            connected=connected,
            since_ns=self._since_ns,
            last_message_ns=stats.last_message_ns or earlier.last_message_ns,
            last_deal_ns=stats.last_deal_ns or earlier.last_deal_ns,
            spooled=stats.spool_records,
            unusable_today=self._count.today(stats.unusable),
            unusable_total=self._count.total(stats.unusable),
            mostly_unusable=stats.mostly_unusable,
            trouble=self._trouble(),
        )


@dataclass(frozen=True)
class _Count:
    """Messages that could not be used, by day; `counted` is the listener's own count when the day, or the listener, began."""

    day: date
    counted: int
    of_day: int
    before: int

    def today(self, counted: int) -> int:
        return self.of_day + counted - self.counted

    def total(self, counted: int) -> int:
        return self.before + self.today(counted)

    def on(self, day: date, counted: int) -> _Count:
        """Return the count as of a day: a new one begins at nothing."""
        return self if day == self.day else _Count(day, counted, 0, self.total(counted))


def _news(standing: Standing) -> Standing:
    """Leave out what moves with every deal: that is told every two seconds."""
    return replace(standing, last_message_ns=0, last_deal_ns=0)


def _midnight_ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=BERLIN).timestamp()) * 1_000_000_000

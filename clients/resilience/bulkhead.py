"""Bound the calls of one endpoint group that are under way at once, so that a slow group cannot take everything with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from clients.resilience.call import Priority
from clients.resilience.errors import BulkheadFull


@dataclass(frozen=True, kw_only=True)
class BulkheadConfig:
    """Sizes of one bulkhead."""

    concurrent_max: int = 16
    recovery_extra: int = 4
    """Places that only recovery calls get: a cancel never waits behind a full house of slow queries."""
    waiting_max: int = 64
    """Per priority; the next one is refused."""
    wait_s_max: float = 2.0
    """A call that has waited longer is better refused than late."""

    def __post_init__(self) -> None:
        if self.concurrent_max < 1:
            raise ValueError(f"`concurrent_max` is {self.concurrent_max!r}; give at least 1")
        for name in ("recovery_extra", "waiting_max", "wait_s_max"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; give 0 or more")


class Bulkhead:
    """First come, first served, recovery calls first. Used within one event loop."""

    def __init__(self, name: str, config: BulkheadConfig) -> None:
        self.name = name
        self.config = config
        self.active = 0
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {
            priority: deque() for priority in sorted(Priority, reverse=True)
        }

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, priority: Priority, *, wait_s: float) -> AsyncIterator[None]:
        """Hold a place for the block; raise BulkheadFull when none is free in time."""
        await self._acquire(priority, min(wait_s, self.config.wait_s_max))
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, priority: Priority, wait_s: float) -> None:
        queue = self._waiting[priority]
        if self._has_room(priority) and not queue:
            self.active += 1
            return
        if wait_s <= 0 or len(queue) >= self.config.waiting_max:
            raise BulkheadFull(f"bulkhead `{self.name}` is full: {self.active} calls under way, {self.waiting} waiting")
        granted = asyncio.get_running_loop().create_future()
        queue.append(granted)
        try:
            async with asyncio.timeout(wait_s):
                await granted
        except BaseException as exc:
            if granted.done() and not granted.cancelled():
                self._release()  # Granted in the very moment in which we gave up.
            else:
                with suppress(ValueError):
                    queue.remove(granted)
            if isinstance(exc, TimeoutError):
                raise BulkheadFull(
                    f"bulkhead `{self.name}` had no place within {wait_s:.3g} s: {self.active} calls under way"
                ) from None
            raise

    def _release(self) -> None:
        self.active -= 1
        for priority, queue in self._waiting.items():
            while queue and self._has_room(priority):
                granted = queue.popleft()
                if not granted.done():  # It is when its waiter has just been cancelled.
                    self.active += 1
                    granted.set_result(None)

    def _has_room(self, priority: Priority) -> bool:
        extra = self.config.recovery_extra if priority is Priority.RECOVERY else 0
        return self.active < self.config.concurrent_max + extra

"""A value that is fetched now and then, and served while it is old, marked so, when it cannot be fetched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from clients.resilience.errors import ResilienceError
from clients.resilience.ports import MonotonicNs
from clients.resilience.single_flight import SingleFlight

T = TypeVar("T")


class ValueUnavailable(ResilienceError):
    """There is no value that is young enough; the cause says why none could be fetched."""


@dataclass(frozen=True)
class Aged(Generic[T]):
    """A value and how long ago it was asked for."""

    value: T
    age_s: float
    stale: bool
    """Older than it should be: say so wherever it is shown, and decide nothing about money with it."""


class CachedValue(Generic[T]):
    """Caches what `fetch` returns.

    Up to `fresh_s` a value is given as it is. Up to `revalidate_s` it is given at once, marked stale, while one fetch runs behind. After
    that callers wait for the fetch; if it fails, the old value is given until it is `age_s_max` old, and then ValueUnavailable. There
    is never more than one fetch under way, and none within `retry_s` after a failure: that is the only memory of an error.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[T]],
        *,
        fresh_s: float,
        age_s_max: float,
        revalidate_s: float | None = None,
        retry_s: float = 1.0,
        timeout_s: float = 30.0,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
    ) -> None:
        if not 0 <= retry_s <= 1.0:
            raise ValueError(f"an error is remembered for at most a second, not for `retry_s` = {retry_s!r}")
        self._fetch = fetch
        self._fresh_s = fresh_s
        self._age_s_max = age_s_max
        self._revalidate_s = age_s_max if revalidate_s is None else min(revalidate_s, age_s_max)
        self._retry_s = retry_s
        self._monotonic_ns = monotonic_ns
        self._flight: SingleFlight[None, None] = SingleFlight(timeout_s=timeout_s)
        self._behind: asyncio.Task[None] | None = None
        self._known: tuple[T, int] | None = None
        self._failed: tuple[Exception, int] | None = None

    async def get(self, *, age_s_max: float | None = None) -> Aged[T]:
        """Return the value, no older than the smaller of `age_s_max` and the cache's own."""
        limit_s = self._age_s_max if age_s_max is None else min(age_s_max, self._age_s_max)
        known = self.peek()
        if known is not None and known.age_s <= limit_s:
            if not known.stale:
                return known
            if known.age_s <= self._revalidate_s:
                self._refresh_behind()
                return known
        await self._refresh()
        known = self.peek()
        if known is not None and known.age_s <= limit_s:
            return known
        cause = None if self._failed is None else self._failed[0]
        age = "there is none yet" if known is None else f"the last one is {known.age_s:.1f} s old"
        raise ValueUnavailable(f"no value of at most {limit_s:g} s: {age}", retry_after_s=self._retry_s) from cause

    def peek(self) -> Aged[T] | None:
        """Return what is known, however old; fetch nothing."""
        if self._known is None:
            return None
        value, asked_ns = self._known
        age_s = (self._monotonic_ns() - asked_ns) / 1e9
        return Aged(value, age_s, stale=age_s > self._fresh_s)

    def forget(self) -> None:
        """Make the next `get` fetch."""
        self._known = self._failed = None

    async def close(self) -> None:
        """End the fetch that runs behind, if one does."""
        if self._behind is not None:
            self._behind.cancel()
            await asyncio.wait({self._behind})

    def _refresh_behind(self) -> None:
        if self._behind is None or self._behind.done():
            self._behind = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        if self._failed is not None and (self._monotonic_ns() - self._failed[1]) / 1e9 < self._retry_s:
            return
        try:
            await self._flight.run(None, self._fetch_once)
        except Exception as exc:  # noqa: BLE001  (whatever it is: it becomes the cause of what `get` raises)
            self._failed = (exc, self._monotonic_ns())

    async def _fetch_once(self) -> None:
        # The value is as old as the question, not as the answer.
        asked_ns = self._monotonic_ns()
        value = await self._fetch()
        self._known, self._failed = (value, asked_ns), None

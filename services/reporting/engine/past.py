"""Days that are not kept up to date: read on demand, once for everybody who asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from clients.database import DatabaseUnavailable
from clients.resilience.cached_value import CachedValue, ValueUnavailable
from clients.resilience.errors import ResilienceError
from clients.resilience.ports import MonotonicNs
from services.reporting.engine.snapshot import DeliveryDay
from services.runtime.errors import Unavailable

__all__ = ["PastDays"]

FRESH_S: Final = 10.0
AGE_S_MAX: Final = 900.0
DAYS_MAX: Final = 32


class PastDays:
    """A bounded number of days, the least recently used one leaves first."""

    def __init__(self, load: Callable[[str], Awaitable[DeliveryDay]], *, monotonic_ns: MonotonicNs) -> None:
        self._load = load
        self._monotonic_ns = monotonic_ns
        self._days: OrderedDict[str, CachedValue[DeliveryDay]] = OrderedDict()

    async def get(self, day: str) -> DeliveryDay:
        """Return a day; raise Unavailable when it can neither be read nor remembered."""
        cached = self._days.get(day)
        if cached is None:
            cached = self._days[day] = CachedValue(
                lambda: self._load(day), fresh_s=FRESH_S, age_s_max=AGE_S_MAX, monotonic_ns=self._monotonic_ns
            )
            if len(self._days) > DAYS_MAX:
                self._days.popitem(last=False)
        self._days.move_to_end(day)
        try:
            return (await cached.get()).value
        except ValueUnavailable as exc:
            cause = exc.__cause__
            if isinstance(cause, Exception) and not isinstance(cause, (DatabaseUnavailable, ResilienceError)):
                # A mistake of ours, which the cache keeps like an outage: whoever asks next must not read that it is one.
                raise cause from None
            raise Unavailable("the database does not answer; try again in a moment") from cause

"""A limiter of one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from clients.resilience.limiter import ScopeRules
from clients.resilience.limiter_queue import QueuedLimiter
from clients.resilience.limiter_state import ScopeState
from clients.resilience.ports import MonotonicNs, Sleep

R = TypeVar("R")


class MemoryStore:
    """Keeps a scope in memory; several limiters of one event loop may share it."""

    degraded = False

    def __init__(self, rules: ScopeRules, *, monotonic_ns: MonotonicNs = time.monotonic_ns) -> None:
        self._state = ScopeState(rules)
        self._monotonic_ns = monotonic_ns

    async def transact(self, change: Callable[[ScopeState, int], R]) -> R:
        return change(self._state, self._monotonic_ns())

    async def aclose(self) -> None:
        return


def memory_limiter(
    scopes: Sequence[ScopeRules],
    *,
    monotonic_ns: MonotonicNs = time.monotonic_ns,
    sleep: Sleep = asyncio.sleep,
) -> QueuedLimiter:
    """Return a limiter for everything in this process that uses the same address and account."""
    stores = {rules.scope: (rules, MemoryStore(rules, monotonic_ns=monotonic_ns)) for rules in scopes}
    return QueuedLimiter(stores, monotonic_ns=monotonic_ns, sleep=sleep)

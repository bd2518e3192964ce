"""A quota's ledger in memory: several quotas may share one, as processes share a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from clients.resilience.quota import LedgerView, Slot

__all__ = ["MemoryQuotaLedger"]


class MemoryQuotaLedger:
    """Implements QuotaLedger."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._blocked_until_ns = 0

    async def reserve(self, slot: Slot, admit: Callable[[LedgerView], bool], *, forget_before_ns: int) -> bool:
        for old in [known for known in self._slots.values() if known.counted_by_ns < forget_before_ns]:
            del self._slots[old.slot_id]
        if not admit(LedgerView(tuple(self._slots.values()), self._blocked_until_ns)):
            return False
        self._slots[slot.slot_id] = slot
        return True

    async def settle(self, slot_id: str, counted_by_ns: int) -> None:
        if (slot := self._slots.get(slot_id)) is not None:
            self._slots[slot_id] = replace(slot, counted_by_ns=counted_by_ns)

    async def block(self, until_ns: int) -> None:
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)

    async def load(self) -> LedgerView:
        return LedgerView(tuple(self._slots.values()), self._blocked_until_ns)

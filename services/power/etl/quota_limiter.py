"""The provider's quota as a limiter, so that every attempt, repeated ones too, takes a slot before it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from clients.resilience.call import Cost, LimitPermit, LimitReport, Priority
from clients.resilience.errors import LimitReached
from clients.resilience.quota import LedgerUnavailable, Quota, QuotaSlot

__all__ = ["QuotaLimiter"]

WAIT_S_MAX: Final = 1.0
"""Whoever has to wait longer gives up: by the time a slot is free another hour may be more urgent."""
LEDGER_AGAIN_S: Final = 1.0


class NoLedger(LimitReached):
    """Nobody can tell whether there is a slot: that is trouble, not the quota."""


class QuotaLimiter:
    """Implements Limiter over one Quota; every call costs one request."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self.throttled = 0
        """Answers that said 429."""

    async def acquire(self, costs: Sequence[Cost], *, priority: Priority, deadline_s: float) -> LimitPermit:
        """Take a slot. Raises LimitReached also when the ledger is away: without a slot nothing is sent."""
        try:
            slot = await self._quota.acquire(deadline_s=min(deadline_s, WAIT_S_MAX))
        except LedgerUnavailable as exc:
            message = f"the ledger of the quota is not available: {exc}"
            raise NoLedger(message, retry_after_s=LEDGER_AGAIN_S) from exc
        return _SlotPermit(self, slot)

    async def resize(self, sizes: Mapping[str, int]) -> None:
        """The provider does not state its quota."""

    async def block(self, name: str, seconds: float) -> None:
        await self._quota.block(seconds)


class _SlotPermit:
    """Ends a slot as the attempt ended."""

    def __init__(self, limiter: QuotaLimiter, slot: QuotaSlot) -> None:
        self._limiter = limiter
        self._slot = slot
        self._observed = False
        self._block_s: float | None = None
        self._unsent = False
        self._ended = False

    def observe(self, report: LimitReport) -> None:
        self._observed = True
        if report.blocks:
            self._block_s = max(report.blocks.values())
            self._limiter.throttled += 1

    def not_sent(self) -> None:
        self._unsent = True

    async def settle(self, *, answered: bool) -> None:
        if self._ended:
            return
        self._ended = True
        if self._block_s is not None:
            await self._slot.throttled(self._block_s or None)
        elif answered or self._observed:
            await self._slot.replied()
        elif self._unsent:
            await self._slot.not_sent()

    async def release(self) -> None:
        if not self._ended:
            self._ended = True
            await self._slot.not_sent()

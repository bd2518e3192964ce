"""Leave to make one attempt, whose units the state of its scope keeps until the call is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from clients.resilience.call import LimitReport
from clients.resilience.limiter_state import ScopeState


class PermitScope(Protocol):
    """The scope that a permit belongs to."""

    def block(self, name: str, seconds: float) -> None:
        """Hold the calls of this process back at once."""
        ...

    async def change(self, change: Callable[[ScopeState, int], None]) -> None:
        """Apply a change to the stored state, to the end."""
        ...


class StoredPermit:
    """Implements `LimitPermit`."""

    def __init__(self, queue: PermitScope, permit_id: str) -> None:
        self._queue = queue
        self._permit_id = permit_id
        self._report: LimitReport | None = None
        self._unsent = False
        self._ended = False

    def observe(self, report: LimitReport) -> None:
        """See `LimitPermit.observe`."""
        if self._report is not None:
            # Two answers under one permit: the later one knows more, blocks add up.
            report = LimitReport(
                dict(self._report.used) | dict(report.used),
                dict(self._report.remaining) | dict(report.remaining),
                dict(self._report.sizes) | dict(report.sizes),
                dict(self._report.blocks) | dict(report.blocks),
            )
        self._report = report
        for name, seconds in report.blocks.items():
            # Before anybody else of this process is asked, not only when the store has heard of it.
            self._queue.block(name, seconds)

    def not_sent(self) -> None:
        """See `LimitPermit.not_sent`."""
        self._unsent = True

    async def settle(self, *, answered: bool) -> None:
        """See `LimitPermit.settle`."""
        if self._unsent and self._report is None:
            await self.release()
            return
        report, permit_id = self._report, self._permit_id
        known = answered or report is not None
        await self._end(lambda state, now_ns: state.settle(permit_id, report, now_ns, answered=known))

    async def release(self) -> None:
        """See `LimitPermit.release`."""
        permit_id = self._permit_id
        await self._end(lambda state, now_ns: state.release(permit_id, now_ns))

    async def _end(self, change: Callable[[ScopeState, int], None]) -> None:
        if not self._ended:
            self._ended = True
            await self._queue.change(change)

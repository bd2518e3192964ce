"""A quota that is never exceeded: not over restarts, not by two processes, not when answers take long or never come.

A provider counts a request at a moment between its sending and its reply that nobody else knows, in windows that may roll or be
fixed. A slot therefore counts from before the request leaves until the reply (or, without one, the last moment at which the
request can still have arrived) plus the whole window. Of all requests that the provider counts within one window, the one that
was admitted last found the others' slots still held: so there are never more than the window allows. Fixed windows are among
the rolling ones of the same length.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from clients.resilience.errors import LimitReached
from clients.resilience.ports import MonotonicNs, Sleep, WallNs


@dataclass(frozen=True)
class Window:
    """At most `count` requests in any `length_s` seconds."""

    count: int
    length_s: float


REFERENCE_PRICE_WINDOWS: Final = (Window(50, 60.0), Window(1000, 3600.0))
"""What the reference-price provider allows."""


@dataclass(frozen=True)
class Slot:
    """One request, made or about to be. Times are UTC nanoseconds."""

    slot_id: str
    """Random, from the process that reserved it."""
    reserved_ns: int
    counted_by_ns: int
    """The provider has counted the request by then, or never will: the reply's time, or a bound while none came."""


@dataclass(frozen=True)
class LedgerView:
    """What a ledger holds."""

    slots: Sequence[Slot]
    """In any order."""
    blocked_until_ns: int = 0
    """The provider said that nothing may be sent before; 0 when it never did."""


class LedgerUnavailable(Exception):
    """The ledger cannot be read or written now. Nothing is sent without a slot, so the quota waits or refuses."""


class QuotaLedger(Protocol):
    """Remembers slots for all processes that share a quota. Durable: `reserve` returns after its slot survives a crash.

    Any method may raise LedgerUnavailable. A reservation whose confirmation was lost does no harm: its slot counts until its bound.
    """

    async def reserve(self, slot: Slot, admit: Callable[[LedgerView], bool], *, forget_before_ns: int) -> bool:
        """Add the slot if `admit` agrees; return whether it did.

        In one transaction that excludes every other `reserve`: delete slots with `counted_by_ns < forget_before_ns`, read the rest
        and the block, call `admit` (it neither waits nor keeps the view; it may be called again when the transaction has to be
        repeated), insert the slot. The number of slots stays bounded by what `admit` agrees to.
        """
        ...

    async def settle(self, slot_id: str, counted_by_ns: int) -> None:
        """Set `counted_by_ns` of a slot (0: the request never left). A slot that is not there is left alone."""
        ...

    async def block(self, until_ns: int) -> None:
        """Raise `blocked_until_ns` to this; never lower it."""
        ...

    async def load(self) -> LedgerView:
        """Return everything, for reports."""
        ...


@dataclass(frozen=True)
class WindowUse:
    """How full a window is, as this side sees it: never less than what the provider counts."""

    window: Window
    used: int


class QuotaSlot:
    """Leave to send one request, at once. End it with one of the methods; without any it counts until its bound.

    None of them raises because the ledger is away: the slot keeps its bound then.
    """

    def __init__(self, quota: Quota, slot: Slot) -> None:
        self._quota = quota
        self._slot = slot

    async def replied(self) -> None:
        """A reply came, of any status: it counts from now."""
        await self._quota._settle(self._slot, self._quota.now_ns())

    async def not_sent(self) -> None:
        """Nothing left: the slot is free again."""
        await self._quota._settle(self._slot, 0)

    async def throttled(self, retry_after_s: float | None = None) -> None:
        """The provider refused: nobody sends for as long as it says, or for the shortest window."""
        await self._quota._settle(self._slot, self._quota.now_ns())
        with contextlib.suppress(LedgerUnavailable):
            await self._quota.block(retry_after_s)


class Quota:
    """Hands out slots of one quota, for one process; all that share the ledger share the quota.

    `arrival_bound_s` is the longest that a request can take from here to the provider, seen from when its slot was reserved: the
    request's timeout and what a network may hold back after that. Send no request later than its timeout allows.
    `margin_s` is for clocks that run a little apart, the provider's included.

    The ledger's times are wall time, the only clock that survives a restart. When it steps forward under a running process, slots
    reserved before count for that much longer; slots from a future that cannot be are counted from when they were first seen.
    """

    def __init__(
        self,
        ledger: QuotaLedger,
        *,
        windows: Sequence[Window] = REFERENCE_PRICE_WINDOWS,
        arrival_bound_s: float = 30.0,
        margin_s: float = 0.5,
        poll_s: float = 1.0,
        wall_ns: WallNs = time.time_ns,
        monotonic_ns: MonotonicNs = time.monotonic_ns,
        sleep: Sleep = asyncio.sleep,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        if not windows or any(window.count < 1 or window.length_s <= 0 for window in windows):
            raise ValueError(f"a quota needs windows that allow something: {windows!r}")
        self._ledger = ledger
        self._windows = tuple(windows)
        self._arrival_ns = round(arrival_bound_s * 1e9)
        self._margin_ns = round(margin_s * 1e9)
        self._longest_ns = max(round(window.length_s * 1e9) for window in windows) + self._margin_ns
        self._poll_s = poll_s
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._new_id = new_id
        self._turn = asyncio.Lock()
        self._seen_ns: tuple[int, int] | None = None
        self._steps: list[tuple[int, int]] = []
        self._impossible: dict[str, int] = {}

    def now_ns(self) -> int:
        """Return UTC, and notice when it stepped."""
        wall_ns, monotonic_ns = self._wall_ns(), self._monotonic_ns()
        if self._seen_ns is not None:
            step_ns = (wall_ns - self._seen_ns[0]) - (monotonic_ns - self._seen_ns[1])
            # What drifts less than the margin between two looks is the margin's business; slewing never gets there.
            if step_ns > self._margin_ns // 2:
                # A step matters while any slot from before it may be held, which all steps together prolong.
                held_ns = self._longest_ns + self._arrival_ns + step_ns + sum(by for _, by in self._steps)
                self._steps = [(at, by) for at, by in self._steps if at + held_ns > wall_ns]
                self._steps.append((wall_ns, step_ns))
                if len(self._steps) > _STEPS_MAX:
                    (_, older_ns), (at_ns, newer_ns), *rest = self._steps
                    self._steps = [(at_ns, older_ns + newer_ns), *rest]
        self._seen_ns = (wall_ns, monotonic_ns)
        return wall_ns

    async def acquire(self, *, deadline_s: float) -> QuotaSlot:
        """Return a slot, waiting for one if need be, in the order of asking.

        Raises LimitReached, at once when waiting would cross the deadline, and LedgerUnavailable.
        """
        deadline_ns = self._monotonic_ns() + round(deadline_s * 1e9)
        try:
            async with asyncio.timeout(deadline_s):
                await self._turn.acquire()
        except TimeoutError:
            raise LimitReached(f"others wait for the quota already; no turn within {deadline_s:g} s") from None
        try:
            while True:
                slot, wait_s = await self._try()
                if slot is not None:
                    return slot
                left_s = (deadline_ns - self._monotonic_ns()) / 1e9
                if wait_s > left_s:
                    raise LimitReached(f"the quota is used up for {wait_s:.1f} s; ask again then", retry_after_s=wait_s)
                # Replies of another process free slots earlier than their bound: look again now and then, the more often the nearer.
                await self._sleep(min(wait_s, max(self._poll_s, wait_s / 8)))
        finally:
            self._turn.release()

    async def block(self, seconds: float | None = None) -> None:
        """Let nobody send for so long; without a number for the shortest window."""
        shortest_s = min(window.length_s for window in self._windows)
        length_s = shortest_s if seconds is None else min(max(seconds, 0.0), _BLOCK_S_MAX)
        await self._ledger.block(self.now_ns() + round(length_s * 1e9) + self._margin_ns)

    async def usage(self) -> Sequence[WindowUse]:
        """Return how full each window is."""
        now_ns = self.now_ns()
        counted = self._counted_by(await self._ledger.load(), now_ns)
        return [
            WindowUse(window, sum(moment > now_ns - self._held_ns(window) for moment in counted))
            for window in self._windows
        ]

    async def _try(self) -> tuple[QuotaSlot | None, float]:
        now_ns = self.now_ns()
        slot = Slot(self._new_id(), now_ns, now_ns + self._arrival_ns)
        free_ns = now_ns

        def admit(view: LedgerView) -> bool:
            nonlocal free_ns
            free_ns = self._free_ns(view, now_ns)
            return free_ns <= now_ns

        # A step forward keeps old slots alive for as much longer.
        stepped_ns = sum(step_ns for _, step_ns in self._steps)
        if await self._ledger.reserve(slot, admit, forget_before_ns=now_ns - self._longest_ns - stepped_ns):
            return QuotaSlot(self, slot), 0.0
        return None, (free_ns - now_ns) / 1e9

    def _free_ns(self, view: LedgerView, now_ns: int) -> int:
        """Return when the next request may go, if nothing else happens: now or later."""
        counted = self._counted_by(view, now_ns)
        free_ns = max(now_ns, min(view.blocked_until_ns, now_ns + round(_BLOCK_S_MAX * 1e9)))
        for window in self._windows:
            if len(counted) >= window.count:
                # As many as the window allows are counted by this moment or later: the first of them has to leave it.
                free_ns = max(free_ns, counted[-window.count] + self._held_ns(window))
        return free_ns

    def _counted_by(self, view: LedgerView, now_ns: int) -> list[int]:
        horizon_ns = now_ns + self._arrival_ns + self._margin_ns
        counted = sorted(slot.counted_by_ns for slot in view.slots)
        if not self._steps and (not counted or counted[-1] <= horizon_ns):
            self._impossible = {}
            return counted
        present: dict[str, int] = {}
        counted = []
        for slot in view.slots:
            moment_ns = slot.counted_by_ns + sum(by for at, by in self._steps if slot.reserved_ns < at)
            if slot.counted_by_ns > horizon_ns:
                # Stamped by a clock that was wrong: as if it were reserved when it was first seen.
                moment_ns = present[slot.slot_id] = self._impossible.get(slot.slot_id, now_ns + self._arrival_ns)
            counted.append(moment_ns)
        self._impossible = present
        counted.sort()
        return counted

    def _held_ns(self, window: Window) -> int:
        return round(window.length_s * 1e9) + self._margin_ns

    async def _settle(self, slot: Slot, counted_by_ns: int) -> None:
        # A slot that cannot be settled counts until its bound, which is longer: no reason to spoil the reply.
        with contextlib.suppress(LedgerUnavailable):
            await self._ledger.settle(slot.slot_id, counted_by_ns)


_STEPS_MAX: Final = 16
_BLOCK_S_MAX: Final = 86_400.0
"""No provider's hint keeps everything silent for longer than a day."""

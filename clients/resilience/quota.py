"""A quota that is never exceeded: not over restarts, not by two processes, not when answers take long or never come.

A provider counts a request at a moment between its sending and its reply that nobody else knows, in windows that may roll or be
fixed. A slot therefore counts from before the request leaves until the reply (or, without one, the last moment at which the
request can still have arrived) plus the whole window. Of all requests that the provider counts within one window, the one that
was admitted last found the others' slots still held: so there are never more than the window allows. Fixed windows are among
the rolling ones of the same length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol


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


class Ledger(Protocol):
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


class MemoryLedger:
    """A ledger for one process (and for tests: several quotas may share one)."""

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
            self._slots[slot_id] = Slot(slot_id, slot.reserved_ns, counted_by_ns)

    async def block(self, until_ns: int) -> None:
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)

    async def load(self) -> LedgerView:
        return LedgerView(tuple(self._slots.values()), self._blocked_until_ns)

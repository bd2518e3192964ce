"""Stream changes to whoever watches: live ones from memory, missed ones from the journal."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from services.orders.domain import Order, apply
from services.orders.errors import Reason, denied
from services.orders.filters import sequence_filter
from services.orders.journal.ledger import Change
from services.orders.journal.store import JournalStore, JournalUnavailable
from services.runtime.errors import ResourceExhausted

QUEUE_MAX: Final = 1000
"""Changes that a slow watcher may be behind; it is disconnected then and can continue from the journal."""
WATCHERS_MAX: Final = 500
FOLDED_MAX: Final = 2000
"""Orders kept while missed changes are read; one that comes up again later is folded from its beginning."""


@dataclass(frozen=True)
class Seen:
    """A change as a watcher gets it."""

    sequence: int
    kind: str
    cause: str
    order: Order


class _Watcher:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Seen] = asyncio.Queue(QUEUE_MAX)
        self.overrun = False


class ChangeFeed:
    """One slow watcher costs the others nothing."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self._watchers: set[_Watcher] = set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def publish(self, change: Change) -> None:
        """Hand a change to every watcher; a listener of the ledger."""
        if not self._watchers:
            return
        seen = Seen(change.sequence, change.event.kind, change.event.cause.value, change.order)
        for watcher in self._watchers:
            # Nothing comes behind a hole.
            watcher.overrun = watcher.overrun or watcher.queue.full()
            if not watcher.overrun:
                watcher.queue.put_nowait(seen)

    async def newest_sequence(self) -> int:
        """Return the place of the newest event in the journal."""
        try:
            return await self._store.last_sequence()
        except JournalUnavailable as exc:
            raise denied(Reason.JOURNAL, str(exc)) from exc

    async def check_place(self, after_sequence: int) -> None:
        """Raise OutOfRange for a place that the journal has not reached: whoever continues there would wait in silence."""
        if not sequence_filter(after_sequence):
            return
        newest = await self.newest_sequence()
        if after_sequence > newest:
            raise denied(
                Reason.BEYOND_JOURNAL,
                f"`after_sequence` {after_sequence} is beyond the newest event, {newest}: this is not the journal that it is "
                "from (restored, or another one); list the orders again and continue from there",
            )

    async def watch(self, *, after_sequence: int, wanted: Callable[[Order], bool]) -> AsyncGenerator[Seen, None]:
        """Yield changes for ever: those behind `after_sequence` (0: none) from the journal, then live ones. Raises ResourceExhausted."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise ResourceExhausted(f"{WATCHERS_MAX} watchers are connected already; try again when one has left")
        watcher = _Watcher()
        self._watchers.add(watcher)
        last = replayed = after_sequence
        try:
            if after_sequence:
                async for seen in self._missed(after_sequence):
                    last = replayed = seen.sequence
                    if wanted(seen.order):
                        yield seen
            while True:
                seen = await self._next(watcher, last)
                # The queue was filling while the journal was read.
                if seen.sequence > replayed:
                    last = max(last, seen.sequence)
                    if wanted(seen.order):
                        yield seen
        finally:
            self._watchers.discard(watcher)

    async def _next(self, watcher: _Watcher, last: int) -> Seen:
        if watcher.overrun and watcher.queue.empty():
            raise ResourceExhausted(f"more than {QUEUE_MAX} changes were not read; continue with after_sequence={last}")
        return await watcher.queue.get()

    async def _missed(self, after_sequence: int) -> AsyncIterator[Seen]:
        """Fold missed events; orders that began earlier are read up to there first."""
        orders: OrderedDict[str, Order] = OrderedDict()
        async for kept in self._store.events(after_sequence=after_sequence):
            event = kept.event
            before = orders.get(event.order_id)
            if before is None and event.revision > 1:
                async for earlier in self._store.events(order_id=event.order_id):
                    if earlier.event.revision >= event.revision:
                        break
                    before = apply(before, earlier.event)
            orders[event.order_id] = apply(before, event)
            orders.move_to_end(event.order_id)
            if len(orders) > FOLDED_MAX:
                orders.popitem(last=False)
            yield Seen(kept.sequence, event.kind, event.cause.value, orders[event.order_id])

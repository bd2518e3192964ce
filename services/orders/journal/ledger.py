"""Orders in memory, changed only through the journal: an event is durable first, then it is true."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakValueDictionary

from services.orders.domain import Body, Cause, Event, Folded, Order, apply
from services.orders.domain.client_ids import order_id_of
from services.orders.domain.events import Executed, FillBody, Stated
from services.orders.journal.store import (
    FillRow,
    IdempotencyRow,
    JournalEntry,
    JournalStore,
    JournalUnavailable,
    OrderFilter,
    Superseded,
)
from services.orders.ports import Ports
from services.runtime.log_fields import fields
from services.runtime.logs import current_correlation_id
from services.runtime.stalls import Stalls

logger = logging.getLogger(__name__)

CLOSED_MAX: Final = 10_000
"""Terminal orders kept in memory, the latest used ones; others are read from the journal."""
RETRY_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Waits between attempts to journal what has happened already; the last one repeats for ever."""
CLOSE_S: Final = 1.0
RAW_BYTES_MAX: Final = 4096

_SECRET: Final = re.compile(
    r"(?i)(signature|api[-_ ]?key|api[-_ ]?secret|secret|listen[-_ ]?key|token|authorization)(\"?\s*[:=]\s*\"?)[^\"&,\s}]+"
)
_SECRET_WORDS: Final = ("signature", "api", "secret", "listen", "token", "authorization")
"""One of these is in everything that `_SECRET` matches in a text of ASCII; other letters may fold into these."""


Decide = Callable[[Order], Body | Folded | None]
"""Says what happens to an order as it is; it is asked again where that has changed meanwhile."""


@dataclass(frozen=True)
class Change:
    """An event that is durable, and the order after it."""

    sequence: int
    event: Event
    before: Order | None
    order: Order


@dataclass(frozen=True)
class _Decided:
    order: Order
    body: Body | Folded | None


class OrderLedger:
    """The only place that changes orders. Changes of one order follow each other; those of different orders share commits."""

    def __init__(self, store: JournalStore, ports: Ports, *, closed_max: int = CLOSED_MAX) -> None:
        self.store = store
        self._ports = ports
        self._closed_max = closed_max
        self._open: dict[str, Order] = {}
        self._closed: OrderedDict[str, Order] = OrderedDict()
        self._by_client: dict[tuple[str, str], str] = {}
        self._by_exchange: dict[tuple[str, str, str], str] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._listeners: list[Callable[[Change], None]] = []
        self._writes: set[asyncio.Task[Order]] = set()
        self.superseded = asyncio.Event()
        """Set when another server has taken over the journal."""
        self._refused = ""
        self._stalls = Stalls(monotonic_s=lambda: ports.monotonic_ns() / 1e9)

    @property
    def trouble(self) -> str:
        """Why the journal cannot be written, or that it is being written for too long; empty when neither is so."""
        return self._refused or self.store.trouble or self._stalls.trouble()

    async def open(self) -> None:
        """Load every order that is not terminal."""
        after: tuple[int, str] | None = None
        while page := await self.store.find(OrderFilter(open_only=True, after=after, limit=500)):
            for order in page:
                self._keep(order)
            after = (page[-1].created_ns, page[-1].order_id)

    async def close(self) -> None:
        """Wait for changes that are being written, but not for ever: a journal that is gone does not keep the process."""
        if self._writes:
            _, unwritten = await asyncio.wait(self._writes, timeout=CLOSE_S)
            for task in unwritten:
                task.cancel()
            if unwritten:
                logger.error(
                    "changes not journalled at the end; they are asked for at the next start",
                    extra=fields(count=len(unwritten)),
                )

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` for every change, in journal order of each order; it must not raise or block."""
        self._listeners.append(listener)

    @property
    def open_orders(self) -> list[Order]:
        """Orders that are not terminal, oldest first."""
        return sorted(self._open.values(), key=lambda order: (order.created_ns, order.order_id))

    @property
    def open_count(self) -> int:
        """How many orders are not terminal."""
        return len(self._open)

    def known(self, order_id: str) -> Order | None:
        """Return an order that is in memory."""
        return self._open.get(order_id) or self._closed.get(order_id)

    async def get(self, order_id: str) -> Order | None:
        """Return an order, from memory or from the journal."""
        order = self.known(order_id)
        if order is None:
            found = await self.store.order(order_id)
            # It may have been changed while the journal was read.
            order = self.known(order_id) or found
            if order is not None:
                self._keep(order)
        return order

    async def by_venue_ids(self, exchange: str, market: str, client_id: str, exchange_id: str) -> Order | None:
        """Return the order that an exchange speaks of; our client id counts first, of whichever leg of the order.

        Others use theirs again, exchanges among them: all orders that close positions for somebody else's loss may have the same one.
        """
        for order_id in (
            self._by_client.get((exchange, client_id)) if client_id else None,
            self._by_exchange.get((exchange, market, exchange_id)) if exchange_id else None,
        ):
            if order_id is not None:
                order = await self.get(order_id)
                if order is None or not _is_namesake(order, market, exchange_id):
                    return order
        if own := order_id_of(client_id):
            order = await self.get(own)
            if order is not None and order.exchange == exchange:
                return order
        found = await self.store.named(exchange, market, client_id=client_id, exchange_id=exchange_id)
        if found is not None and _is_namesake(found, market, exchange_id):
            found = await self.store.named(exchange, market, client_id="", exchange_id=exchange_id)
        if found is None:
            return None
        order = self.known(found.order_id) or found
        self._keep(order)
        return order

    async def create(
        self,
        order_id: str,
        body: Body,
        cause: Cause,
        *,
        actor: str = "",
        raw: bytes = b"",
        idempotency: IdempotencyRow | None = None,
    ) -> Order:
        """Journal the first event of an order. Raises JournalUnavailable (the caller may try again) and ClientIdTaken."""
        return await self._shielded(self._create(order_id, body, cause, actor, raw, idempotency))

    async def change(
        self,
        order_id: str,
        decide: Decide,
        cause: Cause,
        *,
        actor: str = "",
        raw: bytes = b"",
        must: bool = True,
    ) -> Order:
        """Journal one more event, if `decide` gives one for the order as it is at that moment; return the order.

        With `must` it does not give up while the journal is unavailable: what happened has happened. Raises Superseded.
        """
        decided = self._decided_now(order_id, decide)
        if decided is not None and decided.body is None:
            return decided.order
        return await self._shielded(self._change(order_id, decide, cause, actor, raw, must, decided))

    async def wait_for(self, order_id: str, reached: Callable[[Order], bool], timeout_s: float) -> Order | None:
        """Return the order once `reached`; None when that takes too long."""
        deadline_ns = self._ports.monotonic_ns() + round(timeout_s * 1e9)
        while True:
            order = await self.get(order_id)
            if order is not None and reached(order):
                return order
            left_s = (deadline_ns - self._ports.monotonic_ns()) / 1e9
            if left_s <= 0 or not await self.changed(order_id, left_s):
                return None

    async def changed(self, order_id: str, timeout_s: float) -> bool:
        """Wait for the next change of an order; return whether there was one."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters[order_id]
        waiters.add(waiter)
        try:
            async with asyncio.timeout(max(timeout_s, 0.0)):
                await waiter
        except TimeoutError:
            return False
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(order_id, None)
        return True

    async def _shielded(self, work: Coroutine[Any, Any, Order]) -> Order:
        # An event that was handed to the journal has to reach memory too, whoever stops waiting for it.
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    def _written(self, task: asyncio.Task[Order]) -> None:
        self._writes.discard(task)
        if not task.cancelled():
            # Whoever waited has it; whoever went away must not leave a warning.
            task.exception()

    async def _create(
        self, order_id: str, body: Body, cause: Cause, actor: str, raw: bytes, idempotency: IdempotencyRow | None
    ) -> Order:
        event = self._event(order_id, 1, body, cause, actor, raw)
        order = apply(None, event)
        async with self._lock(order_id):
            sequence = await self._append(JournalEntry(event, order, idempotency), must=False)
            self._take(Change(sequence, event, None, order))
        return order

    def _decided_now(self, order_id: str, decide: Decide) -> _Decided | None:
        """Decide about an order that is in memory and is not being changed: most statements repeat what is known, and end here."""
        lock, order = self._locks.get(order_id), self.known(order_id)
        return None if order is None or (lock is not None and lock.locked()) else _Decided(order, decide(order))

    async def _change(
        self,
        order_id: str,
        decide: Decide,
        cause: Cause,
        actor: str,
        raw: bytes,
        must: bool,
        decided: _Decided | None,
    ) -> Order:
        async with self._lock(order_id):
            before = await self.get(order_id)
            if before is None:
                raise KeyError(f"order {order_id} is not in the journal")
            body = decided.body if decided is not None and decided.order is before else decide(before)
            if body is None:
                return before
            folded = body if isinstance(body, Folded) else None
            body = body.body if isinstance(body, Folded) else body
            event = self._event(order_id, before.revision + 1, body, cause, actor, raw)
            order = apply(before, event, folded)
            sequence = await self._append(JournalEntry(event, order, fill=_fill_row(order, body)), must=must)
            self._take(Change(sequence, event, before, order))
            return order

    async def _append(self, entry: JournalEntry, *, must: bool) -> int:
        attempt = 0
        while True:
            try:
                with self._stalls.during("the journal"):
                    sequence = await self.store.append(entry)
            except Superseded:
                self.superseded.set()
                raise
            except JournalUnavailable as exc:
                self._refused = str(exc)
                if not must:
                    raise
                logger.warning("journal entry waits", extra=fields(order=entry.event.order_id, kind=entry.event.kind))
                await self._ports.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
            else:
                self._refused = ""
                return sequence

    def _event(self, order_id: str, revision: int, body: Body, cause: Cause, actor: str, raw: bytes) -> Event:
        return Event(
            order_id, revision, self._ports.wall_ns(), cause, body, current_correlation_id(), actor, cleaned(raw)
        )

    def _lock(self, order_id: str) -> asyncio.Lock:
        lock = self._locks.get(order_id)
        if lock is None:
            lock = self._locks[order_id] = asyncio.Lock()
        return lock

    def _take(self, change: Change) -> None:
        self._keep(change.order)
        for waiter in self._waiters.get(change.order.order_id, ()):
            if not waiter.done():
                waiter.set_result(None)
        for listener in self._listeners:
            listener(change)

    def _keep(self, order: Order) -> None:
        for client_id, exchange_id in _ids(order):
            if client_id:
                self._by_client[order.exchange, client_id] = order.order_id
            if exchange_id:
                self._by_exchange[order.exchange, order.market, exchange_id] = order.order_id
        if not order.state.terminal:
            self._closed.pop(order.order_id, None)
            self._open[order.order_id] = order
            return
        self._open.pop(order.order_id, None)
        self._closed[order.order_id] = order
        self._closed.move_to_end(order.order_id)
        while len(self._closed) > self._closed_max:
            _, oldest = self._closed.popitem(last=False)
            for client_id, exchange_id in _ids(oldest):
                self._by_client.pop((oldest.exchange, client_id), None)
                self._by_exchange.pop((oldest.exchange, oldest.market, exchange_id), None)


def cleaned(raw: bytes) -> str:
    """Return an exchange's answer as text that may be kept: cut to 4 KiB, without anything that looks like a secret."""
    text = raw[:RAW_BYTES_MAX].decode("utf-8", "replace").replace("\x00", "\ufffd")
    # Next to no answer has such a word, and looking for words takes a tenth of the time of matching at every character.
    lower = text.lower()
    if text.isascii() and not any(word in lower for word in _SECRET_WORDS):
        return text
    return _SECRET.sub(r"\1\2***", text)


def _ids(order: Order) -> list[tuple[str, str]]:
    """Return client id and exchange's id of every leg of an order."""
    before = [(leg.venue_client_order_id, leg.exchange_order_id) for leg in order.replaced]
    return [*before, (order.venue_client_order_id, order.exchange_order_id)]


def _is_namesake(order: Order, market: str, exchange_id: str) -> bool:
    """Whether an order of somebody else only has the same client id as the one that the exchange speaks of."""
    if not order.external or not exchange_id or not order.exchange_order_id:
        return False
    return (order.market, order.exchange_order_id) != (market, exchange_id)


def _fill_row(order: Order, body: Body) -> FillRow | None:
    if not isinstance(body, (Stated, Executed)) or body.fill is None:
        return None
    fill: FillBody = body.fill
    return FillRow(
        order.exchange,
        order.market,
        order.symbol,
        fill.trade_id,
        order.order_id,
        order.owner,
        order.exchange_id_of(body.leg),
        order.side,
        fill.quantity,
        fill.price,
        fill.fee,
        fill.fee_currency,
        fill.trade_time_ns,
    )

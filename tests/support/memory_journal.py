"""A journal that is a list: for campaigns in virtual time, where a database's own thread would see no time pass.

Held to the same contract tests as the one in a database.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.orders.domain import Order
from services.orders.journal.store import (
    ClientIdTaken,
    FillFilter,
    FillRow,
    IdempotencyRow,
    JournalEntry,
    JournalUnavailable,
    Kept,
    OrderFilter,
    SwitchRow,
    Traded,
)


class MemoryJournal:
    """Survives the desk that writes to it, as a database survives a killed process. `broken` makes every call fail."""

    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.orders: dict[str, Order] = {}
        self.revisions: dict[str, int] = {}
        self.client_ids: set[tuple[str, str]] = set()
        self.fill_rows: dict[tuple[str, str, str, str], FillRow] = {}
        self.keys: dict[tuple[str, str], IdempotencyRow] = {}
        self.switches: list[SwitchRow] = []
        self.broken = False

    @property
    def trouble(self) -> str:
        return ""

    def _check(self) -> None:
        if self.broken:
            raise JournalUnavailable("the journal is broken by the test")

    async def append(self, entry: JournalEntry) -> int:
        self._check()
        event, order = entry.event, entry.order
        if event.revision == 1:
            if order.client_order_id and (order.owner, order.client_order_id) in self.client_ids:
                raise ClientIdTaken
            self.client_ids.add((order.owner, order.client_order_id))
        elif self.revisions[order.order_id] != event.revision - 1:
            raise AssertionError(f"revision {event.revision} of {order.order_id} is not the next one")
        self.revisions[order.order_id] = event.revision
        self.kept.append(Kept(len(self.kept) + 1, event))
        self.orders[order.order_id] = order
        if entry.idempotency is not None:
            self.keys[entry.idempotency.owner, entry.idempotency.key] = entry.idempotency
        if entry.fill is not None:
            fill = entry.fill
            self.fill_rows.setdefault((fill.exchange, fill.market, fill.symbol, fill.trade_id), fill)
        return len(self.kept)

    async def order(self, order_id: str) -> Order | None:
        self._check()
        return self.orders.get(order_id)

    async def named(self, exchange: str, market: str, *, client_id: str, exchange_id: str) -> Order | None:
        found: list[Order] = []
        if client_id:
            found = await self.find(OrderFilter(exchange=exchange, venue_client_order_ids=(client_id,), limit=1))
        if not found and exchange_id:
            found = await self.find(
                OrderFilter(exchange=exchange, market=market, exchange_order_ids=(exchange_id,), limit=1)
            )
        return found[0] if found else None

    async def find(self, wanted: OrderFilter) -> list[Order]:
        self._check()
        found = sorted(self.orders.values(), key=lambda order: (order.created_ns, order.order_id))
        return [order for order in found if _matches(order, wanted)][: wanted.limit]

    async def fills(self, wanted: FillFilter) -> list[FillRow]:
        self._check()
        rows = sorted(self.fill_rows.values(), key=_fill_key)
        return [
            row
            for row in rows
            if (wanted.owner is None or row.owner == wanted.owner)
            and (not wanted.order_id or row.order_id == wanted.order_id)
            and (not wanted.exchange or row.exchange == wanted.exchange)
            and (not wanted.symbol or row.symbol == wanted.symbol)
            and (wanted.from_ns is None or row.trade_time_ns >= wanted.from_ns)
            and (wanted.to_ns is None or row.trade_time_ns < wanted.to_ns)
            and (wanted.after is None or _fill_key(row) > wanted.after)
        ][: wanted.limit]

    async def used_key(self, owner: str, key: str, *, since_ns: int) -> IdempotencyRow | None:
        self._check()
        row = self.keys.get((owner, key))
        return row if row is not None and row.created_ns >= since_ns else None

    async def events(self, *, after_sequence: int = 0, order_id: str = "") -> AsyncIterator[Kept]:
        self._check()
        for kept in self.kept[after_sequence:]:
            if not order_id or kept.event.order_id == order_id:
                yield kept

    async def last_sequence(self) -> int:
        self._check()
        return len(self.kept)

    async def switch(self) -> SwitchRow | None:
        self._check()
        return self.switches[-1] if self.switches else None

    async def set_switch(self, row: SwitchRow) -> None:
        self._check()
        self.switches.append(row)

    async def traded(self) -> list[Traded]:
        self._check()
        return sorted(
            {Traded(order.exchange, order.market, order.symbol) for order in self.orders.values()},
            key=lambda row: (row.exchange, row.market, row.symbol),
        )

    async def forget_keys(self, *, before_ns: int) -> None:
        self._check()
        self.keys = {name: row for name, row in self.keys.items() if row.created_ns >= before_ns}


def _fill_key(row: FillRow) -> tuple[int, str, str, str, str]:
    return (row.trade_time_ns, row.exchange, row.market, row.symbol, row.trade_id)


def _matches(order: Order, wanted: OrderFilter) -> bool:
    return (
        (wanted.owner is None or order.owner == wanted.owner)
        and (not wanted.order_ids or order.order_id in wanted.order_ids)
        and (not wanted.client_order_ids or order.client_order_id in wanted.client_order_ids)
        and (not wanted.exchange_order_ids or order.exchange_order_id in wanted.exchange_order_ids)
        and (not wanted.venue_client_order_ids or order.venue_client_order_id in wanted.venue_client_order_ids)
        and (wanted.created_from_ns is None or order.created_ns >= wanted.created_from_ns)
        and (wanted.created_to_ns is None or order.created_ns < wanted.created_to_ns)
        and (not wanted.states or order.state in wanted.states)
        and (not wanted.exchange or order.exchange == wanted.exchange)
        and (not wanted.market or order.market == wanted.market)
        and (not wanted.symbol or order.symbol == wanted.symbol)
        and (not wanted.open_only or not order.state.terminal)
        and (wanted.after is None or (order.created_ns, order.order_id) > wanted.after)
    )

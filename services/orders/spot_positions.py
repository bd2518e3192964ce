"""Positions of spot markets as the journal tells them: no exchange states any."""

from __future__ import annotations

from typing import Final

from clients.exchanges.trading import Side
from services.orders.domain import Order
from services.orders.guards.positions import PositionBook, base_fee, is_spot
from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import FillFilter, JournalStore, OrderFilter
from services.orders.ports import Ports

FILLS_LATE_NS: Final = 24 * 3600 * 1_000_000_000
"""How young an order is at most that has ended and whose executions reconciliation has not brought yet."""


async def load_spot_positions(store: JournalStore, ledger: OrderLedger, positions: PositionBook, ports: Ports) -> None:
    """Count what was bought and sold, less what fees took of it."""
    after: tuple[int, str, str, str, str] | None = None
    while rows := await store.fills(FillFilter(after=after, limit=500)):
        for row in rows:
            if is_spot(row.symbol):
                signed = row.quantity if row.side is Side.BUY else -row.quantity
                fee = base_fee(row.symbol, row.fee, row.fee_currency)
                positions.add((row.exchange, row.market, row.symbol), signed - fee)
        last = rows[-1]
        after = (last.trade_time_ns, last.exchange, last.market, last.symbol, last.trade_id)
    await _add_executed_without_fills(store, ledger, positions, ports)


async def _add_executed_without_fills(
    store: JournalStore, ledger: OrderLedger, positions: PositionBook, ports: Ports
) -> None:
    """Count what orders had executed whose executions were not all told one by one when the last process ended."""
    recent: dict[str, Order] = {order.order_id: order for order in ledger.open_orders}
    after: tuple[int, str] | None = None
    since_ns = ports.wall_ns() - FILLS_LATE_NS
    while page := await store.find(OrderFilter(created_from_ns=since_ns, after=after, limit=500)):
        recent |= {order.order_id: order for order in page}
        after = (page[-1].created_ns, page[-1].order_id)
    for order in recent.values():
        missing = order.filled - order.fills_quantity
        if missing and is_spot(order.symbol):
            signed = missing if order.side is Side.BUY else -missing
            positions.add((order.exchange, order.market, order.symbol), signed)

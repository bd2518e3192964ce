"""Instruments that were traded before this process began: the journal has their names, and exchanges do not list what has ended."""

from __future__ import annotations

from typing import Final

from services.orders.journal.ledger import OrderLedger
from services.orders.journal.store import JournalStore, OrderFilter
from services.orders.venues import Venues

ORDERS_LOOKED_AT: Final = 10
"""Of one instrument: nearly every order has the name that the exchange gives it."""


async def recall_instruments(store: JournalStore, ledger: OrderLedger, venues: Venues) -> None:
    """Tell every exchange's client what was ordered there, so that it understands what is said of it."""
    for order in ledger.open_orders:
        venue = venues.get(order.exchange)
        if venue is not None and order.exchange_symbol:
            venue.market.recall(order.market, order.exchange_symbol, order.symbol)
    for row in await store.traded():
        venue = venues.get(row.exchange)
        if venue is None or venue.market.known_instrument(row.symbol) is not None:
            continue
        found = await store.find(OrderFilter(exchange=row.exchange, symbol=row.symbol, limit=ORDERS_LOOKED_AT))
        named = next((order for order in found if order.exchange_symbol), None)
        if named is not None:
            venue.market.recall(named.market, named.exchange_symbol, named.symbol)

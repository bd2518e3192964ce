"""Which way an order gets another price or quantity, and what that does to its place in the queue."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from clients.exchanges.trading import AmendWay, Capabilities
from services.orders.domain import Order

QUEUE_PLACE: Final = {
    AmendWay.KEEPS_PLACE: "kept",
    AmendWay.LOSES_PLACE: "lost",
    AmendWay.REPLACES: "lost",
    AmendWay.IN_PLACE: "unknown",
    AmendWay.NONE: "",
}


def way_of(capabilities: Capabilities, order: Order, quantity: Decimal, price: Decimal) -> AmendWay:
    """Return how the order comes to these terms, by what its market states."""
    if price != order.price:
        return capabilities.amend_price
    assert order.quantity is not None
    return capabilities.amend_quantity_up if quantity > order.quantity else capabilities.amend_quantity_down

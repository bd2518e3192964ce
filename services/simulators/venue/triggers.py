"""Orders that wait for a price before they come to the book."""

from __future__ import annotations

from decimal import Decimal

from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order, Trigger


class Triggers:
    """Those that wait, in the order in which they were placed."""

    def __init__(self, liquidity: Liquidity) -> None:
        self._liquidity = liquidity
        self._waiting: dict[int, Order] = {}

    def __bool__(self) -> bool:
        """Whether any order waits."""
        return bool(self._waiting)

    def add(self, order: Order) -> None:
        """Wait with an order; one that ends meanwhile is forgotten."""
        self._waiting[order.id] = order

    def is_reached(self, listing: Listing, trigger: Trigger) -> bool:
        """Whether the price is where the trigger wants it."""
        price = self.price(listing, by_mark=trigger.by_mark)
        return price >= trigger.price if trigger.rising else price <= trigger.price

    def price(self, listing: Listing, *, by_mark: bool) -> Decimal:
        """Return the price that triggers."""
        return self._liquidity.mark(listing) if by_mark else self._liquidity.last_price(listing)

    def reached(self) -> list[Order]:
        """Return and forget the orders whose trigger is reached now."""
        found = []
        for order in list(self._waiting.values()):
            assert order.trigger is not None
            if not order.status.is_open:
                del self._waiting[order.id]
            elif self.is_reached(order.listing, order.trigger):
                del self._waiting[order.id]
                found.append(order)
        return found

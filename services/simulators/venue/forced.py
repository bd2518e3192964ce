"""What an exchange ends by itself: why, and the orders with which it closes positions of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import Listing
from services.simulators.venue.matching import DEAD_MAN, MatchingEngine
from services.simulators.venue.orders import Leg, Order, OrderType, Side, Ticket
from services.simulators.venue.self_trade import PREVENTED

LIQUIDATION: Final = "liquidation"
DELEVERAGING: Final = "auto-deleveraging"
SETTLEMENT: Final = "settlement"
"""Of an instrument that is taken off the list; a contract that comes to its end has a word of its own."""
ADMINISTRATION: Final = "administration"
CAUSES: Final = (DEAD_MAN, LIQUIDATION, DELEVERAGING, ADMINISTRATION, SETTLEMENT, PREVENTED)
"""Why an order may be ended by hand; each exchange says it in its own words."""


@dataclass(frozen=True)
class OwnName:
    """By what an order of the exchange's own is known."""

    client_id: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)


Naming = Callable[[Listing, str, int, Leg], OwnName]
"""Listing, cause, running number and leg to the name of the order that closes a position."""


class ForcedClosing:
    """Closes positions at a price, whatever the book holds. `closed` is told of each order, after it was executed."""

    def __init__(self, engine: MatchingEngine, naming: Naming, closed: Callable[[Order], None]) -> None:
        self._engine = engine
        self._naming = naming
        self._closed = closed
        self._number = 0

    def close(
        self, listing: Listing, price: Decimal, now_ns: int, *, why: str, account: str | None = None
    ) -> list[Order]:
        """Close everything that is held of a listing, of one account or of all."""
        orders = []
        for name, holdings in self._engine.clearing.holdings.items():
            for place, leg, position in list(holdings.held()):
                if place != (listing.market, listing.symbol) or account not in (None, name):
                    continue
                self._number += 1
                own = self._naming(listing, why, self._number, leg)
                ticket = Ticket(
                    listing=listing,
                    account=name,
                    client_id=own.client_id,
                    side=Side.SELL if position.quantity > 0 else Side.BUY,
                    type=OrderType.MARKET,
                    quantity=abs(position.quantity),
                    reduce_only=True,
                    marks=dict(own.marks),
                    leg=leg,
                )
                orders.append(self._engine.settle(ticket, price, now_ns))
        for order in orders:
            self._closed(order)
        return orders

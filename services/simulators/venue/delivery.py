"""The end of dated contracts: open orders expire, positions are settled at the underlying's price, the listing is closed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import Listing
from services.simulators.venue.matching import MatchingEngine
from services.simulators.venue.orders import OrderType, Side, Ticket

DELIVERED: Final = "delivery"
"""Why an order ended that was open on a contract at its end."""


class Delivery:
    """Closes what has come to its end. `closed` is told of each listing, after its positions are settled."""

    def __init__(self, engine: MatchingEngine, *, client_id: str, closed: Callable[[Listing, int], None]) -> None:
        self._engine = engine
        self._client_id = client_id
        """How the ids of the exchange's own closing orders begin."""
        self._closed = closed
        self._over: set[tuple[str, str]] = set()
        self._settled = 0

    def run(self, now_ns: int) -> None:
        """Close every contract whose time is over."""
        due = [
            listing
            for place, listing in self._engine.listings.items()
            if listing.expiry_ns is not None and listing.expiry_ns <= now_ns and place not in self._over
        ]
        for listing in due:
            self._over.add((listing.market, listing.symbol))
            self._close(listing, now_ns)
            self._closed(listing, now_ns)

    def _close(self, listing: Listing, now_ns: int) -> None:
        engine = self._engine
        price = listing.round_down(Decimal(engine.walk.price(listing.base)))
        for order in engine.book.open_at(listing.market, listing.symbol):
            engine.expire(order, now_ns, why=DELIVERED)
        for account, holdings in engine.clearing.holdings.items():
            for place, leg, position in list(holdings.held()):
                if place != (listing.market, listing.symbol):
                    continue
                self._settled += 1
                ticket = Ticket(
                    listing=listing,
                    account=account,
                    client_id=f"{self._client_id}{self._settled}",
                    side=Side.SELL if position.quantity > 0 else Side.BUY,
                    type=OrderType.MARKET,
                    quantity=abs(position.quantity),
                    reduce_only=True,
                    leg=leg,
                )
                engine.settle(ticket, price, now_ns)

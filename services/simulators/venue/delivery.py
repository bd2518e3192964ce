"""The end of listings: open orders expire, positions are settled at the underlying's price, the listing is closed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from services.simulators.venue.forced import SETTLEMENT, ForcedClosing
from services.simulators.venue.listing import Listing
from services.simulators.venue.matching import MatchingEngine

DELIVERED: Final = "delivery"
"""Why an order ended that was open on a contract at its end."""


class Delivery:
    """Closes what has come to its end. `closed` is told of each listing, after its positions are settled."""

    def __init__(
        self, engine: MatchingEngine, closing: ForcedClosing, *, closed: Callable[[Listing, int], None]
    ) -> None:
        self._engine = engine
        self._closing = closing
        self._closed = closed
        self._over: set[tuple[str, str]] = set()

    def run(self, now_ns: int) -> None:
        """Close every contract whose time is over."""
        due = [
            listing
            for place, listing in self._engine.listings.items()
            if listing.expiry_ns is not None and listing.expiry_ns <= now_ns and place not in self._over
        ]
        for listing in due:
            self._close(listing, now_ns, DELIVERED)

    def delist(self, listing: Listing, now_ns: int) -> None:
        """Close a listing before its time; raise ValueError when it is closed."""
        if (listing.market, listing.symbol) in self._over:
            raise ValueError(f"{listing.symbol} is closed already")
        self._close(listing, now_ns, SETTLEMENT)

    def _close(self, listing: Listing, now_ns: int, why: str) -> None:
        self._over.add((listing.market, listing.symbol))
        price = listing.round_down(Decimal(self._engine.walk.price(listing.base)))
        for order in self._engine.book.open_at(listing.market, listing.symbol):
            self._engine.expire(order, now_ns, why=why)
        self._closing.close(listing, price, now_ns, why=why)
        self._closed(listing, now_ns)

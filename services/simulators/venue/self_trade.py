"""Orders that meet another one of their own account: kept from trading, as the incoming one says."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import Listing
from services.simulators.venue.orderbook import OrderBook
from services.simulators.venue.orders import Order, SelfTrade, Side

PREVENTIONS_MAX: Final = 10_000
PREVENTED: Final = "self-trade prevention"
"""Why an order ended that met its own account's."""


@dataclass(frozen=True)
class Prevention:
    """One meeting that was no trade, with both orders as they were after it."""

    number: int
    taker: Order
    maker: Order
    quantity: Decimal
    time_ns: int


class SelfTrades:
    """An account's orders stand first in line at their price. `end` ends an order."""

    def __init__(self, book: OrderBook, end: Callable[[Order, int], object]) -> None:
        self._book = book
        self._end = end
        self._met = 0
        self.preventions: deque[Prevention] = deque(maxlen=PREVENTIONS_MAX)

    def met(self, account: str, listing: Listing, side: Side, mode: SelfTrade, reach: Decimal | None) -> list[Order]:
        """Return what an order would meet of its own account up to a price, best first; nothing where that is no matter."""
        if mode is SelfTrade.NONE:
            return []
        found = [
            order
            for order in self._book.open_of(account, listing.market, listing.symbol)
            if order.side is side.other and order.price is not None and not order.waiting
            if reach is None or (reach - order.price) * side.sign >= 0
        ]
        return sorted(found, key=lambda order: ((order.price or Decimal(0)) * side.sign, order.rank))

    def prevent(self, order: Order, reach: Decimal | None, now_ns: int) -> None:
        """End what would trade with the own account up to a price."""
        for own in self.met(order.account, order.listing, order.side, order.self_trade, reach):
            if not order.status.is_open:
                return
            quantity = min(order.remaining, own.remaining)
            ended = [own] if order.self_trade is not SelfTrade.EXPIRE_TAKER else []
            ended += [order] if order.self_trade is not SelfTrade.EXPIRE_MAKER else []
            self._met += 1
            for one in ended:
                one.prevented, one.prevention = quantity, self._met
                one.met_order = order.id if one is own else own.id
                self._end(one, now_ns)
            self.preventions.append(Prevention(self._met, copy.copy(order), copy.copy(own), quantity, now_ns))

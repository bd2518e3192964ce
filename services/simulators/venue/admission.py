"""What may be placed: whether it can be matched as it wants to be, paid for, and reduce what it has to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from services.simulators.venue.clearing import Clearing, order_cost
from services.simulators.venue.liquidity import Level
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.orderbook import OrderBook
from services.simulators.venue.orders import Leg, Lifetime, Order, OrderType, Reason, Refusal, Side, Ticket
from services.simulators.venue.self_trade import SelfTrades


class Admission:
    """The engine's checks. None of them changes anything."""

    def __init__(
        self, book: OrderBook, clearing: Clearing, self_trades: SelfTrades, listings: Mapping[tuple[str, str], Listing]
    ) -> None:
        self._book = book
        self._clearing = clearing
        self._self_trades = self_trades
        self._listings = listings

    def unmatchable(self, ticket: Ticket | Order, quantity: Decimal, levels: Sequence[Level]) -> Reason | None:
        """Return why an order would end at once; `levels` are those that it reaches."""
        own = self._self_trades.met(ticket.account, ticket.listing, ticket.side, ticket.self_trade, ticket.price)
        if ticket.post_only and (levels or own):
            return Reason.WOULD_TAKE
        there = sum((level.quantity for level in levels), Decimal(0))
        if ticket.lifetime is Lifetime.FOK and ticket.type is OrderType.LIMIT and there < quantity:
            return Reason.CANNOT_FILL
        return None

    def late_refusal(self, order: Order, levels: Sequence[Level]) -> Reason | None:
        """Return why an order ends that has waited, now that it comes to the book."""
        if order.reduce_only and self.reducible(order.account, order.listing, order.side, order.leg) <= 0:
            return Reason.NOTHING_TO_REDUCE
        refusal = self.unmatchable(order, order.remaining, levels)
        if refusal is None and not order.reduce_only:
            price = worst_price(order, levels)
            try:
                self.check_funds(
                    order.account, order.listing, order.side, price, order.remaining, leg=order.leg, without=order.id
                )
            except Refusal as exc:
                return exc.reason
        return refusal

    def check_waiting(self, ticket: Ticket) -> None:
        """Raise Refusal when an order cannot be paid for that waits for a price. Only spot holds something back for it."""
        if ticket.listing.payout is Payout.SPOT:
            assert ticket.trigger is not None
            price = ticket.price or ticket.trigger.price
            self.check_funds(ticket.account, ticket.listing, ticket.side, price, ticket.quantity, leg=ticket.leg)

    def check_funds(
        self,
        name: str,
        listing: Listing,
        side: Side,
        price: Decimal,
        quantity: Decimal,
        *,
        leg: Leg,
        without: int | None = None,
    ) -> None:
        """Raise Refusal when the account cannot pay for it, beside everything that is open."""
        if listing.payout is not Payout.SPOT:
            held = self._clearing.holdings[name].position(listing, leg).quantity
            if held and (held > 0) != (side is Side.BUY) and abs(held) >= quantity:
                return  # It only closes: that frees margin.
        cost = order_cost(listing, side, price, quantity, self._clearing.leverage(name, listing))
        market = None if listing.purse else listing.market
        orders = [order for order in self._book.open_of(name, market) if order.id != without]
        self._clearing.check(cost, name=name, wallet=listing.wallet, orders=orders, listings=self._listings)

    def reducible(self, name: str, listing: Listing, side: Side, leg: Leg) -> Decimal:
        """Return how much of a position an order of that side can close."""
        return -self._clearing.holdings[name].position(listing, leg).quantity * side.sign

    def allowed(self, order: Order) -> Decimal:
        """Return how much an order may still fill."""
        if not order.reduce_only:
            return order.remaining
        return max(Decimal(0), self.reducible(order.account, order.listing, order.side, order.leg))


def worst_price(ticket: Ticket | Order, levels: Sequence[Level]) -> Decimal:
    """Return the price that an order has to be able to pay."""
    if ticket.price is not None:
        return ticket.price
    there, worst = Decimal(0), Decimal(0)
    for level in levels:
        worst = level.price
        there += level.quantity
        if there >= ticket.quantity:
            break
    return worst

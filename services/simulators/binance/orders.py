"""Find, place and cancel orders of all markets, in the engine's queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from services.simulators.binance.call import Call
from services.simulators.binance.errors import (
    BinanceError,
    backend_timeout,
    duplicate_order,
    insufficient,
    missing,
    no_such_order,
    outside_window,
    unknown_order,
    would_take,
)
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.exchange_info import ORDERS_MAX
from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.rules import read_client_id, read_ticket
from services.simulators.binance.stops import check_room
from services.simulators.venue.exchange import QueueTimeout
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order, Reason, Refusal, Status, Ticket

T = TypeVar("T")

BACKEND_TIMEOUT_S = 10.0
NS_PER_DAY = 86_400 * 1_000_000_000


class OrderDesk:
    """The order functions of one exchange; the routes of the markets translate."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    async def in_engine(self, call: Call, work: Callable[[], T]) -> T:
        """Do it at the engine, which refuses what has grown too old in its queue."""

        def checked() -> T:
            now_ms = self._venue.shown_ms(self._venue.wall_ns())
            if call.expires_ms is not None and now_ms > call.expires_ms:
                raise outside_window(call.market, in_engine=True)
            return work()

        try:
            return await self._venue.in_engine(call.route, checked, give_up_s=BACKEND_TIMEOUT_S)
        except QueueTimeout:
            raise backend_timeout() from None

    def read_order(self, call: Call, *, prefix: str = "newClientOrderId") -> Ticket:
        """Return the ticket of a place call, checked against everything that needs no engine."""
        listing = self._venue.listing(call.market, call.need("symbol"))
        if listing.symbol not in self._venue.listings(call.market):
            raise BinanceError(
                400, *((-1013, "Market is closed.") if call.market == SPOT else (-4141, "Symbol is closed."))
            )
        client_id = read_client_id(call, prefix, self._venue.made_id())
        dual = call.market != SPOT and self._venue.settings.is_dual(call.owner, call.market)
        return read_ticket(call, listing, self._venue.liquidity.mark(listing), client_id, dual=dual)

    def place(self, ticket: Ticket) -> Order:
        """Match an order; raise what the exchange answers when it cannot be."""
        market = ticket.listing.market
        book = self._venue.engine.book
        same = book.by_client_id(ticket.account, market, ticket.listing.symbol, ticket.client_id)
        if any(order.status.is_open for order in same):
            raise duplicate_order(market)
        if len(book.open_of(ticket.account, market, ticket.listing.symbol)) >= ORDERS_MAX:
            raise BinanceError(
                400,
                *(
                    (-1013, "Filter failure: MAX_NUM_ORDERS")
                    if market == SPOT
                    else (-4045, "Reach max stop order limit.")
                ),
            )
        check_room(ticket.trigger, book.open_of(ticket.account, market, ticket.listing.symbol))
        # USD-M refuses what cannot be executed as asked, COIN-M accepts it and lets it expire; spot does either.
        tolerant = market == COINM or (market == SPOT and not ticket.post_only)
        try:
            return self._venue.engine.place(ticket, self._venue.wall_ns(), tolerant=tolerant)
        except Refusal as refusal:
            raise _translated(refusal, market) from None

    def find(self, call: Call, *, prefix: str = "") -> Order | None:
        """Return the order that a call names by `orderId` or `origClientOrderId`, as the engine knows it."""
        listing = self._venue.listing(call.market, call.need("symbol"))
        id_name = f"{prefix}OrderId" if prefix else "orderId"
        client_name = f"{prefix}OrigClientOrderId" if prefix else "origClientOrderId"
        order_id, client_id = call.number(id_name), call.get(client_name)
        if order_id is None and client_id is None:
            raise missing(client_name)
        if order_id is not None:
            order = self._venue.engine.book.get(order_id)
            if order is None or not _belongs(order, call, listing):
                return None
            if client_id is not None and call.market == SPOT and order.client_id != client_id:
                raise BinanceError(400, -2039, "Client order ID is not correct for this order ID")
            return order
        found = self._venue.engine.book.by_client_id(call.owner, call.market, listing.symbol, client_id or "")
        still_open = [order for order in found if order.status.is_open]
        candidates = still_open or found
        return candidates[-1] if candidates else None

    def query(self, call: Call) -> Order:
        """Return an order for a query: what replication has brought and retention has not taken."""
        order = self.find(call)
        if order is None or not self._venue.sees(order, call.route):
            raise no_such_order()
        age_ns = call.now_ns - order.updated_ns
        ended_empty = order.status in (Status.CANCELED, Status.EXPIRED) and not order.filled
        if call.market == SPOT:
            if ended_empty and age_ns > 90 * NS_PER_DAY:
                text = "Order was canceled or expired with no executed qty over 90 days ago and has been archived."
                raise BinanceError(400, -2026, text)
        elif (ended_empty and age_ns > 3 * NS_PER_DAY) or age_ns > 90 * NS_PER_DAY:
            raise no_such_order()
        return order

    def cancel(self, order: Order | None, request_id: str) -> Order:
        """Cancel an order; raise -2011 when there is nothing to cancel."""
        if order is None:
            raise unknown_order()
        try:
            return self._venue.engine.cancel(order, self._venue.wall_ns(), request_id=request_id)
        except Refusal:
            raise unknown_order() from None

    def cancel_all(self, call: Call, symbol: str) -> list[Order]:
        """Cancel everything open on a symbol."""
        self._venue.advance()
        open_orders = self._venue.engine.book.open_of(call.owner, call.market, symbol)
        return [self.cancel(order, self._venue.made_id()) for order in open_orders]

    def open_orders(self, call: Call, symbol: str | None) -> list[Order]:
        """Return what is open and seen."""
        found = self._venue.engine.book.open_of(call.owner, call.market, symbol)
        return [order for order in found if self._venue.sees(order, call.route)]


def _belongs(order: Order, call: Call, listing: Listing) -> bool:
    return order.account == call.owner and order.listing is listing


def _translated(refusal: Refusal, market: str) -> BinanceError:
    if refusal.reason is Reason.INSUFFICIENT_FUNDS:
        return insufficient(market)
    if refusal.reason is Reason.TRIGGERED_AT_ONCE:
        return BinanceError(400, -2010, "Stop price would trigger immediately.")
    if refusal.reason is Reason.WOULD_TAKE:
        return would_take(market)
    if refusal.reason is Reason.CANNOT_FILL:
        return BinanceError(
            400, -5021, "Due to the order could not be filled immediately, the FOK order will be rejected."
        )
    return BinanceError(400, -2022, "ReduceOnly Order is rejected.")

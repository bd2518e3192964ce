"""Placing, amending, cancelling: acknowledged at the door, seen later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from services.simulators.bybit.call import Call, Reply, Route
from services.simulators.bybit.conditional import check_room, is_meant, order_filter, triggered_at_once
from services.simulators.bybit.errors import BybitError, parameter, too_many_visits
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import SPOT
from services.simulators.bybit.order_reading import check_quantity, read_price, read_ticket, tradable
from services.simulators.venue.exchange import QueueTimeout
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order, Reason, Refusal, Status, Ticket

OPEN_MAX: Final = 500
"""Open orders: per symbol on futures, in all on spot."""
BATCH_MAX: Final = {SPOT: 10}
BATCH_MAX_OTHER: Final = 20
CANCEL_ALL_MAX: Final = 500

Ids = dict[str, str]
Work = Callable[[], None]


class OrderRoutes:
    """Everything that changes orders."""

    def __init__(self, venue: BybitExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        key = "/v5/order"
        return {
            ("POST", f"{key}/create"): Route(self.create, signed=True, right="order"),
            ("POST", f"{key}/amend"): Route(self.amend, signed=True, right="order"),
            ("POST", f"{key}/cancel"): Route(self.cancel, signed=True, right="cancel"),
            ("POST", f"{key}/cancel-all"): Route(self.cancel_all, signed=True, right="cancel"),
            ("POST", f"{key}/create-batch"): Route(self._batch(self.create), signed=True, right="order", batch=True),
            ("POST", f"{key}/amend-batch"): Route(self._batch(self.amend), signed=True, right="order", batch=True),
            ("POST", f"{key}/cancel-batch"): Route(self._batch(self.cancel), signed=True, right="cancel", batch=True),
        }

    async def create(self, call: Call) -> Ids:
        """Acknowledge an order. What the door can see is refused here; what the engine makes of it comes as a row."""
        venue = self._venue
        ticket = read_ticket(venue, call)
        self._check_room(ticket)
        link_id = call.get("orderLinkId")
        if link_id is not None:
            venue.take_link_id(call.owner, ticket.listing, link_id)
        acknowledged = False

        def work() -> None:
            try:
                order = venue.engine.place(ticket, venue.wall_ns(), tolerant=True)
            except Refusal as refusal:
                if not acknowledged:
                    raise
                order = venue.engine.reject(ticket, venue.wall_ns(), refusal.reason.value)
            venue.remember(order)

        try:
            acknowledged = not await self._done(call, work)
        except Refusal as refusal:
            if link_id is not None:
                venue.give_back_link_id(call.owner, link_id)
            if refusal.reason is Reason.TRIGGERED_AT_ONCE and ticket.trigger is not None:
                raise triggered_at_once(venue, ticket.listing, ticket.trigger) from None
            raise _refused(refusal, ticket.listing) from None
        return {"orderId": ticket.marks["orderId"], "orderLinkId": ticket.client_id}

    async def amend(self, call: Call) -> Ids:
        """Acknowledge new terms: quantity and price as they shall be, what is left out stays."""
        venue = self._venue
        order = self._named(call, "too late to replace")
        listing = order.listing
        quantity = call.decimal("qty")
        quantity = order.quantity if quantity is None else quantity
        check_quantity(venue, listing, quantity, order.type)
        if call.decimal("triggerPrice"):
            raise parameter("params error: another `triggerPrice` is not simulated: cancel and place anew")
        price = order.price
        if call.get("price") is not None:
            price = read_price(venue, call, listing, order.side, limited=not order.waiting)
        if order.status.is_open and quantity <= order.filled:
            code, text = (
                (170313, "qty should be greater than filled") if listing.market == SPOT else (110064, "qty err")
            )
            raise BybitError(code, text)

        def work() -> None:
            if order.status.is_open:
                venue.engine.amend(order, quantity=quantity, price=price, now_ns=venue.wall_ns())

        try:
            await self._done(call, work)
        except Refusal as refusal:
            raise _refused(refusal, listing) from None
        return _ids(order)

    async def cancel(self, call: Call) -> Ids:
        """Acknowledge a cancel. An order that filled before anybody could see it gets a second row that says so."""
        venue = self._venue
        order = self._named(call, "too late to cancel")
        if order.listing.market == SPOT and not is_meant(order, order_filter(call) or "Order"):
            raise BybitError(170213, "Order does not exist.")

        def work() -> None:
            if order.status.is_open:
                venue.engine.cancel(order, venue.wall_ns())
            elif order.status is Status.FILLED:
                venue.sightings.note_raced(order, venue.wall_ns())
                venue.see(venue.wall_ns())

        await self._done(call, work)
        return _ids(order)

    async def cancel_all(self, call: Call) -> Any:
        """Acknowledge the cancel of what is open: of a symbol, else of a base coin, else of a settle coin."""
        venue, category = self._venue, tradable(call)
        kind = order_filter(call) or ("Order" if category == SPOT else None)
        found = [one for one in venue.engine.book.open_of(call.owner, category) if is_meant(one, kind)]
        names = {name: call.get(name) for name in ("symbol", "baseCoin", "settleCoin")}
        wanted = next(((name, value) for name, value in names.items() if value is not None), None)
        if wanted is None and category != SPOT:
            raise parameter(
                "params error: Missing some parameters that must be filled in, symbol or settleCoin or baseCoin"
            )
        if wanted is not None:
            found = [order for order in found if _is_of(order.listing, *wanted)]
        if len(found) > CANCEL_ALL_MAX and category != SPOT:
            found = venue.random.sample(found, CANCEL_ALL_MAX)

        def work() -> None:
            for order in found:
                if order.status.is_open:
                    venue.engine.cancel(order, venue.wall_ns())

        await self._done(call, work)
        return {"list": [_ids(order) for order in found], "success": "1"}

    # -- many at once ---------------------------------------------------------------------------------------------

    def _batch(self, one: Callable[[Call], Awaitable[Ids]]) -> Callable[[Call], Awaitable[Reply]]:
        async def many(call: Call) -> Reply:
            category, orders = tradable(call), call.parameters.get("request")
            most = BATCH_MAX.get(category, BATCH_MAX_OTHER)
            if not isinstance(orders, list) or not orders or not all(isinstance(item, dict) for item in orders):
                raise parameter("params error: request must be a list of orders")
            if len(orders) > most:
                raise parameter(f"params error: at most {most} orders in a request")
            rows, codes = [], []
            for number, item in enumerate(orders):
                part = call.with_parameters({**item, "category": category})
                ids: Ids = {"orderId": "", "orderLinkId": part.get("orderLinkId") or ""}
                code, text = 0, "OK"
                try:
                    if number >= call.granted:
                        raise too_many_visits({})
                    ids = await one(part)
                except BybitError as exc:
                    code, text = exc.code, exc.message
                row = {"category": category, "symbol": part.get("symbol") or "", **ids}
                if call.route.endswith("create-batch"):
                    row["createAt"] = "" if code else str(self._venue.shown_ms(call.now_ns))
                rows.append(row)
                codes.append({"code": code, "msg": text})
            return Reply({"list": rows}, {"list": codes})

        return many

    # -- parts ----------------------------------------------------------------------------------------------------

    async def _done(self, call: Call, work: Work) -> bool:
        """Do it at the engine; False when it waits there: it is acknowledged all the same."""
        try:
            await self._venue.in_engine(call.route, work, give_up_s=0)
        except QueueTimeout:
            return False
        return True

    def _named(self, call: Call, late: str) -> Order:
        """Return the order that a request names; one that has ended, and is seen to have, is as good as none."""
        category, order_id, link_id = tradable(call), call.get("orderId"), call.get("orderLinkId")
        if order_id is None and link_id is None:
            raise parameter("params error: OrderId or orderLinkId is required")
        listing = self._venue.listing(category, call.get("symbol"))
        order = self._venue.find_order(call.owner, order_id, link_id)
        if order is None or order.listing != listing or self._is_seen_closed(order):
            if category == SPOT:
                raise BybitError(170213, "Order does not exist.")
            raise BybitError(110001, f"order not exists or {late}")
        return order

    def _is_seen_closed(self, order: Order) -> bool:
        sighting = self._venue.sightings.of(order)
        return sighting is not None and not sighting.order.status.is_open

    def _check_room(self, ticket: Ticket) -> None:
        listing, book = ticket.listing, self._venue.engine.book
        if ticket.trigger is not None:
            symbol = None if listing.market == SPOT else listing.symbol
            check_room(listing, book.open_of(ticket.account, listing.market, symbol))
        if listing.market == SPOT:
            if len(book.open_of(ticket.account, SPOT)) >= OPEN_MAX:
                raise BybitError(170810, "Cannot exceed maximum of 500 conditional, TP/SL and active orders.")
        elif len(book.open_of(ticket.account, listing.market, listing.symbol)) >= OPEN_MAX:
            raise BybitError(110020, f"You can only have {OPEN_MAX} active orders.")


def _ids(order: Order) -> Ids:
    return {"orderId": order.marks["orderId"], "orderLinkId": order.client_id}


def _is_of(listing: Listing, name: str, value: str | None) -> bool:
    return {"symbol": listing.symbol, "baseCoin": listing.base, "settleCoin": listing.settle}[name] == value


def _refused(refusal: Refusal, listing: Listing) -> BybitError:
    if refusal.reason is Reason.INSUFFICIENT_FUNDS:
        if listing.market == SPOT:
            return BybitError(170131, "Insufficient balance.")
        return BybitError(110007, "ab not enough for new order")
    if refusal.reason is Reason.NO_CHANGE:
        return parameter("order not modified")
    if refusal.reason is Reason.NOTHING_TO_REDUCE:
        return BybitError(110017, "current position is zero, cannot fix reduce-only order qty")
    return BybitError(110001, "order not exists or too late to replace")

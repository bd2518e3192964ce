"""Placing, amending, cancelling, asking."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from services.simulators.bitmex.call import Call, Route
from services.simulators.bitmex.errors import BitmexError, invalid, not_found
from services.simulators.bitmex.exchange import BitmexExchange
from services.simulators.bitmex.listings import MARKET, scaled
from services.simulators.bitmex.render import STATUS, iso, order_row, unit_name
from services.simulators.bitmex.tables import page, project, selected
from services.simulators.venue.clearing import order_cost
from services.simulators.venue.listing import Kind, Listing
from services.simulators.venue.orders import Lifetime, Order, OrderType, Reason, Refusal, Side, Ticket

OPEN_MAX: Final = 200
PRICE_MAX: Final = 1_000_000
CLIENT_ID_CHARACTERS: Final = 36
LIFETIMES: Final = {
    "GoodTillCancel": Lifetime.GTC,
    "Day": Lifetime.GTC,
    "ImmediateOrCancel": Lifetime.IOC,
    "FillOrKill": Lifetime.FOK,
}
INSTRUCTIONS: Final = ("ParticipateDoNotInitiate", "ReduceOnly")


class OrderRoutes:
    """Everything under /order."""

    def __init__(self, venue: BitmexExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        key = "/api/v1/order"
        return {
            ("POST", key): Route(self.place, signed=True, is_order=True, right="order"),
            ("PUT", key): Route(self.amend, signed=True, is_order=True, right="order"),
            ("DELETE", key): Route(self.cancel, signed=True, is_order=True, right="cancel"),
            ("GET", key): Route(self.query, signed=True),
            ("DELETE", f"{key}/all"): Route(self.cancel_all, signed=True, is_order=True, right="cancel"),
            ("POST", f"{key}/cancelAllAfter"): Route(self.cancel_all_after, signed=True, right="cancel"),
        }

    async def place(self, call: Call) -> Any:
        """Place an order. One that would take against its will is accepted, and canceled at once."""
        ticket = self._read(call)
        order = await self._venue.in_engine(call.route, lambda: self._place(ticket))
        return order_row(order, self._venue.shown_ms)

    async def amend(self, call: Call) -> Any:
        """Set total quantity, price, client id."""
        order = await self._venue.in_engine(call.route, lambda: self._amend(call))
        return order_row(order, self._venue.shown_ms)

    async def cancel(self, call: Call) -> Any:
        """Cancel by ids of either kind; the answer has a row for each, with `error` where it could not be."""
        if not call.texts("orderID") and not call.texts("clOrdID"):
            raise invalid("orderID or clOrdID must be sent.")
        return await self._venue.in_engine(call.route, lambda: self._cancel(call))

    async def query(self, call: Call) -> Any:
        """List orders, oldest first."""
        rows = [
            order_row(order, self._venue.shown_ms)
            for order in self._venue.engine.book.of(call.owner, MARKET, call.get("symbol"))
            if self._venue.sees(order, call.route)
        ]
        return project(call, page(call, selected(call, rows)))

    async def cancel_all(self, call: Call) -> Any:
        """Cancel everything open, of one symbol if named."""

        def work() -> list[dict[str, Any]]:
            found = self._venue.engine.book.open_of(call.owner, MARKET, call.get("symbol"))
            rows = {order.id: order_row(order, self._venue.shown_ms) for order in found}
            chosen = selected(
                Call(call.route, {"filter": call.parameters.get("filter")}, call.now_ns), list(rows.values())
            )
            wanted = {row["orderID"] for row in chosen}
            return [
                order_row(self._venue.engine.cancel(order, self._venue.wall_ns()), self._venue.shown_ms)
                for order in found
                if order.marks["orderID"] in wanted
            ]

        return await self._venue.in_engine(call.route, work)

    async def cancel_all_after(self, call: Call) -> Any:
        """Arm, refresh or (0) disarm the account's dead-man switch."""
        return self.arm(call.owner, call.number("timeout", -1), call.now_ns)

    def arm(self, account: str, timeout_ms: int, now_ns: int) -> dict[str, Any]:
        """Set the switch and return the answer."""
        if timeout_ms < 0:
            raise BitmexError(400, "'timeout' is a required arg.", name="ValidationError")
        now_ms = self._venue.shown_ms(now_ns)
        deadline_ns = now_ns + timeout_ms * 1_000_000 if timeout_ms else None
        self._venue.engine.timers.arm(account, MARKET, None, deadline_ns)
        answer: dict[str, Any] = {"now": iso(now_ms)}
        return {**answer, "cancelTime": iso(now_ms + timeout_ms) if timeout_ms else 0}

    # -- reading --------------------------------------------------------------------------------------------------

    def _read(self, call: Call) -> Ticket:
        listing = self._venue.listings.get(call.get("symbol") or "")
        if listing is None:
            raise invalid("'symbol' is invalid")
        price, quantity = call.decimal("price"), call.decimal("orderQty")
        kind = call.get("ordType") or ("Limit" if price is not None else "Market")
        if kind not in ("Limit", "Market"):
            raise invalid("Invalid ordType: only Limit and Market are simulated")
        if quantity is None or not quantity:
            raise invalid("orderQty is invalid")
        side = Side.SELL if (call.get("side") or "") == "Sell" or quantity < 0 else Side.BUY
        if call.get("side") not in (None, "Buy", "Sell"):
            raise invalid("Invalid side")
        quantity = abs(quantity)
        check_quantity(listing, quantity)
        if kind == "Limit":
            if price is None:
                raise invalid("Invalid price")
            check_price(listing, price)
        lifetime = self._lifetime(call, kind)
        instructions = [one for one in (call.get("execInst") or "").split(",") if one]
        for one in instructions:
            if one not in INSTRUCTIONS or (listing.kind is Kind.SPOT and one == "ReduceOnly"):
                raise invalid("Invalid execInst")
        client_id = call.get("clOrdID") or ""
        if len(client_id) > CLIENT_ID_CHARACTERS:
            raise BitmexError(400, "clOrdID must be at most 36 characters", name="ValidationError")
        return Ticket(
            listing=listing,
            account=call.owner,
            client_id=client_id,
            side=side,
            type=OrderType.LIMIT if kind == "Limit" else OrderType.MARKET,
            quantity=quantity,
            price=price if kind == "Limit" else None,
            lifetime=lifetime,
            post_only="ParticipateDoNotInitiate" in instructions,
            reduce_only="ReduceOnly" in instructions,
            marks={"orderID": self._venue.made_uuid(), "text": call.get("text") or ""},
        )

    def _lifetime(self, call: Call, kind: str) -> Lifetime:
        text = call.get("timeInForce")
        if text is None or kind == "Market":
            return Lifetime.GTC if kind == "Limit" else Lifetime.IOC
        if text not in LIFETIMES:
            raise invalid("Invalid timeInForce")
        return LIFETIMES[text]

    # -- at the engine --------------------------------------------------------------------------------------------

    def _place(self, ticket: Ticket) -> Order:
        venue = self._venue
        if ticket.client_id and venue.by_client_id(ticket.account, ticket.client_id) is not None:
            raise invalid("Duplicate clOrdID")
        if len(venue.engine.book.open_of(ticket.account, MARKET, ticket.listing.symbol)) >= OPEN_MAX:
            raise invalid(f"Too many open orders: at most {OPEN_MAX} per symbol")
        try:
            order = venue.engine.place(ticket, venue.wall_ns(), tolerant=True)
        except Refusal as refusal:
            raise self._refused(refusal, ticket.listing, ticket.side, ticket.price) from None
        venue.remember(order)
        return venue.engine.snapshot(order)

    def _amend(self, call: Call) -> Order:
        venue = self._venue
        order = self._named(call)
        if not order.status.is_open:
            raise invalid(f"Invalid ordStatus: {STATUS[order.status]}")
        quantity, left = call.decimal("orderQty"), call.decimal("leavesQty")
        if quantity is not None and left is not None:
            raise invalid("Only one of orderQty, leavesQty may be sent")
        if left is not None:
            quantity = order.filled + abs(left)
        quantity = order.quantity if quantity is None else abs(quantity)
        price = call.decimal("price") or order.price
        check_quantity(order.listing, quantity)
        if price is not None:
            check_price(order.listing, price)
        renamed = call.get("clOrdID") if call.get("origClOrdID") else None
        if renamed is not None and renamed != order.client_id:
            if venue.by_client_id(call.owner, renamed) is not None:
                raise invalid("Duplicate clOrdID")
            venue.rename(order, renamed)
        try:
            venue.engine.amend(order, quantity=quantity, price=price, now_ns=venue.wall_ns(), client_id=renamed)
        except Refusal as refusal:
            if refusal.reason is Reason.NO_CHANGE:
                raise invalid("Invalid amend: orderQty, leavesQty, price, stopPx unchanged") from None
            if refusal.reason is Reason.NOT_OPEN:
                raise invalid(f"Invalid ordStatus: {STATUS[order.status]}") from None
            raise self._refused(refusal, order.listing, order.side, price) from None
        return venue.engine.snapshot(order)

    def _named(self, call: Call) -> Order:
        by_id, by_client_id = call.get("orderID"), call.get("origClOrdID") or call.get("clOrdID")
        order = None
        if by_id is not None:
            order = self._venue.by_order_id(call.owner, by_id)
            if order is None:
                raise invalid("Invalid orderID")
        elif by_client_id is not None:
            order = self._venue.by_client_id(call.owner, by_client_id)
        if order is None:
            raise not_found()
        return order

    def _cancel(self, call: Call) -> list[dict[str, Any]]:
        venue = self._venue
        found = [venue.by_order_id(call.owner, one) for one in call.texts("orderID")]
        found += [venue.by_client_id(call.owner, one) for one in call.texts("clOrdID")]
        orders = [order for order in found if order is not None]
        if not orders:
            raise not_found()
        rows = []
        for order in orders:
            try:
                venue.engine.cancel(order, venue.wall_ns(), why=call.get("text") or "canceled")
                rows.append(order_row(order, venue.shown_ms))
            except Refusal:
                error = f"Unable to cancel order due to existing state: {STATUS[order.status]}"
                rows.append({**order_row(order, venue.shown_ms), "error": error})
        return rows

    def _refused(self, refusal: Refusal, listing: Listing, side: Side, price: Decimal | None) -> BitmexError:
        if refusal.reason is Reason.INSUFFICIENT_FUNDS:
            asset, _ = order_cost(listing, side, price or Decimal(1), Decimal(1))
            text = f"Account has insufficient Available Balance, {scaled(asset, refusal.needed)} {unit_name(asset)} required"
            return BitmexError(400, text, name="CodedHTTPError", details="19000")
        return invalid("Order is ReduceOnly, but would not reduce a position")


def check_quantity(listing: Listing, quantity: Decimal) -> None:
    """Raise what a bad quantity gets."""
    if quantity % listing.lot:
        raise invalid(f"Order quantity must be a multiple of lot size: {listing.lot}")
    if not listing.quantity_min <= quantity <= listing.quantity_max:
        raise invalid("orderQty is invalid")


def check_price(listing: Listing, price: Decimal) -> None:
    """Raise what a bad price gets."""
    if not 0 < price <= PRICE_MAX:
        raise invalid("Invalid price")
    if price % listing.tick:
        raise invalid("Invalid price tickSize")

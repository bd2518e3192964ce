"""Order routes of USD-M and COIN-M."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.simulators.binance.call import Call, Route, Security, flat, page_of
from services.simulators.binance.errors import BinanceError, missing, no_such_order
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, PREFIXES
from services.simulators.binance.orders import OrderDesk
from services.simulators.binance.render import futures_row, futures_trade
from services.simulators.binance.rules import check_filters, read_decimal, read_side
from services.simulators.binance.spelling import plain
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order, OrderType, Reason, Refusal

WEEK_MS = 7 * 86_400_000
AMENDS_MAX = 10_000


class FuturesRoutes:
    """Orders and trades of one futures market."""

    def __init__(self, venue: BinanceExchange, desk: OrderDesk, market: str) -> None:
        self._venue = venue
        self._desk = desk
        self._market = market

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        market, key = self._market, PREFIXES[self._market]
        coin = market == COINM

        def signed(handler: Any, weight: Any, **options: Any) -> Route:
            return Route(market, handler, weight, Security.SIGNED, **options)

        return {
            ("POST", f"{key}/order"): signed(self.place, flat(0), counts_order=True, right="order"),
            ("POST", f"{key}/order/test"): signed(self.test, flat(1), right="order"),
            ("PUT", f"{key}/order"): signed(self.amend, flat(1 if coin else 0), counts_order=not coin, right="order"),
            ("GET", f"{key}/order"): signed(self.query, flat(1)),
            ("GET", f"{key}/openOrder"): signed(self.query_open, flat(1)),
            ("DELETE", f"{key}/order"): signed(self.cancel, flat(1), right="cancel"),
            ("DELETE", f"{key}/allOpenOrders"): signed(self.cancel_all, flat(1), right="cancel"),
            ("GET", f"{key}/openOrders"): signed(self.open_orders, _open_weight),
            ("GET", f"{key}/allOrders"): signed(self.all_orders, flat(5)),
            ("GET", f"{key}/orderAmendment"): signed(self.amendments, flat(1)),
            ("GET", f"{key}/userTrades"): signed(self.trades, flat(20 if coin else 5)),
            ("POST", f"{key}/countdownCancelAll"): signed(self.countdown, flat(10), right="cancel"),
            ("GET", f"{key}/rateLimit/order"): signed(self.order_usage, flat(1)),
        }

    # -- orders ---------------------------------------------------------------------------------------------------

    async def place(self, call: Call) -> Any:
        """Place an order."""
        ticket = self._desk.read_order(call)
        detail = call.get("newOrderRespType") or "ACK"
        if detail not in ("ACK", "RESULT"):
            raise BinanceError(400, -1122, "Invalid newOrderRespType.")

        def work() -> Order:
            order = self._desk.place(ticket)
            shown = self._venue.engine.snapshot(order)
            if detail == "ACK":
                # An acknowledgement shows the order as it was accepted, before anything matched.
                shown = self._venue.engine.accepted(order)
            return shown

        return futures_row(await self._desk.in_engine(call, work), self._venue.shown_ms, query=False)

    async def test(self, call: Call) -> Any:
        """Check an order and forget it."""
        self._desk.read_order(call)
        return {}

    async def query(self, call: Call) -> Any:
        """Tell about one order."""
        return futures_row(self._desk.query(call), self._venue.shown_ms, query=True)

    async def query_open(self, call: Call) -> Any:
        """Tell about one open order."""
        order = self._desk.query(call)
        if not order.status.is_open:
            raise no_such_order()
        return futures_row(order, self._venue.shown_ms, query=True)

    async def cancel(self, call: Call) -> Any:
        """Cancel one order."""

        def work() -> Order:
            return self._venue.engine.snapshot(self._desk.cancel(self._desk.find(call), ""))

        return futures_row(await self._desk.in_engine(call, work), self._venue.shown_ms, query=False)

    async def cancel_all(self, call: Call) -> Any:
        """Cancel all orders of a symbol."""
        listing = self._venue.listing(self._market, call.need("symbol"))
        await self._desk.in_engine(call, lambda: self._desk.cancel_all(call, listing.symbol))
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    async def amend(self, call: Call) -> Any:
        """Set quantity and price of a LIMIT order."""
        side, quantity, price = read_side(call), read_decimal(call, "quantity"), read_decimal(call, "price")
        if quantity is None or price is None:
            raise missing("quantity" if quantity is None else "price")

        def work() -> Order:
            order = self._desk.find(call)
            if order is None or not order.status.is_open:
                raise no_such_order()
            if order.type is not OrderType.LIMIT:
                raise BinanceError(400, -5025, "Only limit order is supported.")
            if order.side is not side:
                raise BinanceError(400, -1117, "Invalid side.")
            if order.amends >= AMENDS_MAX:
                raise BinanceError(400, -5026, f"Exceed maximum modify order limit: {AMENDS_MAX}.")
            mark = self._venue.liquidity.mark(order.listing)
            check_filters(order.listing, order.type, side, quantity, price, None, mark, reduce_only=order.reduce_only)
            before, price_before = order.quantity, order.price
            try:
                self._venue.engine.amend(order, quantity=quantity, price=price, now_ns=self._venue.wall_ns())
            except Refusal as refusal:
                if refusal.reason is Reason.NO_CHANGE:
                    raise BinanceError(400, -5027, "No need to modify the order.") from None
                if refusal.reason is Reason.NOT_OPEN:
                    raise no_such_order() from None
                raise BinanceError(400, -2019, "Margin is insufficient.") from None
            self._venue.note_amendment(
                order, order.client_id, before, quantity, self._venue.wall_ns(), price_before, price
            )
            return self._venue.engine.snapshot(order)

        row = futures_row(await self._desk.in_engine(call, work), self._venue.shown_ms, query=False)
        modify_id = call.get("modifyId")
        return {**row, "modifyId": modify_id} if modify_id is not None else row

    async def amendments(self, call: Call) -> Any:
        """Tell how an order was amended, newest first."""
        order = self._desk.query(call)
        rows = [
            {
                "amendmentId": number,
                "symbol": order.listing.symbol,
                "pair": order.listing.base + order.listing.quote,
                "orderId": order.id,
                "clientOrderId": order.client_id,
                "time": self._venue.shown_ms(one.time_ns),
                "amendment": {
                    "price": {"before": plain(one.price_before), "after": plain(one.price_after)},
                    "origQty": {"before": plain(one.quantity_before), "after": plain(one.quantity_after)},
                    "count": number,
                },
            }
            for number, one in enumerate(self._venue.amendments(order), 1)
        ]
        return rows[::-1]

    async def open_orders(self, call: Call) -> Any:
        """List open orders."""
        symbol = call.get("symbol")
        if symbol is not None:
            self._venue.listing(self._market, symbol)
        pair = call.get("pair")
        return [
            futures_row(order, self._venue.shown_ms, query=True)
            for order in self._desk.open_orders(call, symbol)
            if pair in (None, order.listing.base + order.listing.quote)
        ]

    async def all_orders(self, call: Call) -> Any:
        """List orders from an id on, or within a window under a week."""
        listings = self._wanted(call)
        start, end = self._window(call)
        first_id = call.number("orderId")
        rows = [
            order
            for order in self._venue.engine.book.of(call.owner, self._market)
            if order.listing.symbol in listings
            and self._venue.sees(order, call.route)
            and not self._gone(order, call.now_ns)
            and (first_id is None or order.id >= first_id)
            and (first_id is not None or start <= self._venue.shown_ms(order.created_ns) <= end)
        ]
        oldest = first_id is not None or call.number("startTime") is not None
        largest = 100 if self._market == COINM else 1000
        chosen = page_of(rows, call, oldest=oldest, largest=largest)
        return [futures_row(order, self._venue.shown_ms, query=True) for order in chosen]

    async def trades(self, call: Call) -> Any:
        """List own trades."""
        listings = self._wanted(call)
        start, end = self._window(call)
        from_id, order_id = call.number("fromId"), call.number("orderId")
        rows = [
            fill
            for fill in self._venue.engine.book.fills
            if fill.account == call.owner
            and fill.market == self._market
            and fill.symbol in listings
            and (from_id is None or fill.trade_id >= from_id)
            and order_id in (None, fill.order_id)
            and (from_id is not None or start <= self._venue.shown_ms(fill.time_ns) <= end)
        ]
        oldest = from_id is not None or call.number("startTime") is not None
        return [
            futures_trade(fill, listings[fill.symbol], self._venue.shown_ms)
            for fill in page_of(rows, call, oldest=oldest)
        ]

    async def countdown(self, call: Call) -> Any:
        """Arm, refresh or (0) disarm the dead-man switch of a symbol."""
        listing = self._venue.listing(self._market, call.need("symbol"))
        milliseconds = call.number("countdownTime")
        if milliseconds is None:
            raise missing("countdownTime")
        deadline_ns = call.now_ns + milliseconds * 1_000_000 if milliseconds else None
        self._venue.engine.timers.arm(call.owner, self._market, listing.symbol, deadline_ns)
        return {"symbol": listing.symbol, "countdownTime": str(milliseconds)}

    async def order_usage(self, call: Call) -> Any:
        """Tell how much of the order limits is used."""
        return self._venue.limits.order_usage(call.owner, self._market, call.now_ns)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _wanted(self, call: Call) -> Mapping[str, Listing]:
        symbol, pair = call.get("symbol"), call.get("pair")
        known = self._venue.listings(self._market)
        if symbol is not None:
            return {symbol: self._venue.listing(self._market, symbol)}
        if self._market == COINM:
            if pair is None:
                raise missing("symbol")
            if call.get("orderId") is not None:
                raise BinanceError(400, -1128, "Combination of optional parameters invalid.")
            return {name: one for name, one in known.items() if one.base + one.quote == pair}
        return known

    def _window(self, call: Call) -> tuple[int, int]:
        start, end = call.number("startTime"), call.number("endTime")
        now_ms = self._venue.shown_ms(call.now_ns)
        if start is not None and end is not None and (end < start or end - start >= WEEK_MS):
            raise BinanceError(400, -4166, "Search window is restricted to recent 90 days and 7 days at a time.")
        if start is None:
            start = (end if end is not None else now_ms) - WEEK_MS
        return start, end if end is not None else start + WEEK_MS

    def _gone(self, order: Order, now_ns: int) -> bool:
        days = (now_ns - order.updated_ns) / 86_400e9
        return days > 90 or (days > 3 and not order.status.is_open and not order.filled)


def _open_weight(parameters: Mapping[str, str]) -> int:
    return 1 if parameters.get("symbol") else 40

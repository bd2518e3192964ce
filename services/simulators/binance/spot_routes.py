"""Signed routes of the spot market."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.simulators.binance.call import Call, Reply, Route, Security, flat, page_of
from services.simulators.binance.errors import BinanceError, missing
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import SPOT
from services.simulators.binance.orders import OrderDesk
from services.simulators.binance.render import (
    spot_amended,
    spot_canceled,
    spot_placed,
    spot_row,
    spot_trade,
)
from services.simulators.binance.rules import read_client_id, read_decimal
from services.simulators.binance.spelling import eight
from services.simulators.venue.orders import Order, Status

DAY_MS = 86_400_000


class SpotRoutes:
    """Orders, trades and balances of spot."""

    def __init__(self, venue: BinanceExchange, desk: OrderDesk) -> None:
        self._venue = venue
        self._desk = desk

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        signed = Security.SIGNED
        key = "/api/v3"
        return {
            ("POST", f"{key}/order"): Route(
                SPOT, self.place, flat(1), signed, counts_order=True, free_on_success=True, right="order"
            ),
            ("POST", f"{key}/order/test"): Route(SPOT, self.test, flat(1), signed, right="order"),
            ("GET", f"{key}/order"): Route(SPOT, self.query, flat(4), signed),
            ("DELETE", f"{key}/order"): Route(SPOT, self.cancel, flat(1), signed, free_on_success=True, right="cancel"),
            ("DELETE", f"{key}/openOrders"): Route(
                SPOT, self.cancel_all, flat(1), signed, free_on_success=True, right="cancel"
            ),
            ("PUT", f"{key}/order/amend/keepPriority"): Route(SPOT, self.amend, flat(4), signed, right="order"),
            ("GET", f"{key}/order/amendments"): Route(SPOT, self.amendments, flat(4), signed),
            ("POST", f"{key}/order/cancelReplace"): Route(
                SPOT, self.cancel_replace, flat(1), signed, counts_order=True, free_on_success=True, right="order"
            ),
            ("GET", f"{key}/openOrders"): Route(SPOT, self.open_orders, _open_weight, signed),
            ("GET", f"{key}/allOrders"): Route(SPOT, self.all_orders, flat(20), signed),
            ("GET", f"{key}/myTrades"): Route(SPOT, self.trades, _trades_weight, signed),
            ("GET", f"{key}/account"): Route(SPOT, self.account, flat(20), signed),
            ("GET", f"{key}/rateLimit/order"): Route(SPOT, self.order_usage, flat(40), signed),
            ("GET", "/sapi/v1/capital/config/getall"): Route(SPOT, self.coins, flat(10), signed),
            ("GET", "/sapi/v1/margin/allPairs"): Route(SPOT, self.no_margin, flat(1)),
            ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(SPOT, self.no_margin, flat(10), signed),
        }

    async def place(self, call: Call) -> Any:
        """Place an order."""
        ticket = self._desk.read_order(call)
        if ticket.quote_quantity is not None:
            ticket.marks["quoteOrderQty"] = str(ticket.quote_quantity)
        detail = _detail(call)
        order = await self._desk.in_engine(call, lambda: self._venue.engine.snapshot(self._desk.place(ticket)))
        return spot_placed(order, self._venue.engine.book.fills_of(order.id), detail, self._venue.shown_ms)

    async def test(self, call: Call) -> Any:
        """Check an order and forget it."""
        self._desk.read_order(call)
        return {}

    async def query(self, call: Call) -> Any:
        """Tell about one order."""
        return spot_row(self._desk.query(call), self._venue.shown_ms)

    async def cancel(self, call: Call) -> Any:
        """Cancel one order."""
        request_id = read_client_id(call, "newClientOrderId", self._venue.made_id())
        only = _restriction(call)

        def work() -> Order:
            order = _unrestricted(self._desk.find(call), only)
            return self._venue.engine.snapshot(self._desk.cancel(order, request_id))

        return spot_canceled(await self._desk.in_engine(call, work), request_id, self._venue.shown_ms)

    async def cancel_all(self, call: Call) -> Any:
        """Cancel all orders of a symbol; none is an error."""
        listing = self._venue.listing(SPOT, call.need("symbol"))
        canceled = await self._desk.in_engine(call, lambda: self._desk.cancel_all(call, listing.symbol))
        if not canceled:
            raise BinanceError(400, -2011, "Unknown order sent.")
        return [spot_canceled(order, self._venue.made_id(), self._venue.shown_ms) for order in canceled]

    async def amend(self, call: Call) -> Any:
        """Reduce an order without losing its place."""
        quantity = read_decimal(call, "newQty")
        if quantity is None:
            raise missing("newQty")

        def work() -> tuple[Order, str]:
            order = self._desk.find(call)
            if order is None or not order.status.is_open:
                raise BinanceError(400, -2038, "Order amend (quantity) rejected: order not found or not open.")
            if quantity <= 0 or quantity % order.listing.lot:
                raise BinanceError(400, -1013, "Filter failure: LOT_SIZE")
            if quantity == order.quantity:
                raise BinanceError(400, -2038, "The requested action would change no state; rejecting.")
            if quantity > order.quantity:
                raise BinanceError(400, -2038, "Order amend (quantity increase) is not supported.")
            original = order.client_id
            renamed = read_client_id(call, "newClientOrderId", self._venue.made_id())
            now_ns = self._venue.wall_ns()
            before = order.quantity
            self._venue.engine.amend(
                order, quantity=quantity, price=None, now_ns=now_ns, keep_rank=True, client_id=renamed
            )
            self._venue.note_amendment(order, original, before, quantity, now_ns)
            return self._venue.engine.snapshot(order), original

        order, original = await self._desk.in_engine(call, work)
        return spot_amended(order, original, self._venue.walk.step, self._venue.shown_ms)

    async def amendments(self, call: Call) -> Any:
        """Tell how an order was amended."""
        order = self._desk.query(call)
        return [
            {
                "symbol": order.listing.symbol,
                "orderId": order.id,
                "executionId": number,
                "origClientOrderId": amendment.client_id_before,
                "newClientOrderId": amendment.client_id_after,
                "origQty": eight(amendment.quantity_before),
                "newQty": eight(amendment.quantity_after),
                "time": self._venue.shown_ms(amendment.time_ns),
            }
            for number, amendment in enumerate(self._venue.amendments(order), 1)
        ]

    async def cancel_replace(self, call: Call) -> Any:
        """Cancel an order and place another; not atomic."""
        mode = call.need("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise BinanceError(400, -1102, "Mandatory parameter 'cancelReplaceMode' was malformed.")
        ticket, detail = self._desk.read_order(call), _detail(call)
        request_id = read_client_id(call, "cancelNewClientOrderId", self._venue.made_id())
        only = _restriction(call)

        def work() -> Reply:
            canceled: Any
            placed: Any = None
            try:
                order = _unrestricted(self._find_to_replace(call), only)
                canceled = spot_canceled(self._desk.cancel(order, request_id), request_id, self._venue.shown_ms)
                cancel_result = "SUCCESS"
            except BinanceError as exc:
                canceled, cancel_result = exc.payload(), "FAILURE"
            place_result = "NOT_ATTEMPTED"
            if cancel_result == "SUCCESS" or mode == "ALLOW_FAILURE":
                try:
                    new = self._venue.engine.snapshot(self._desk.place(ticket))
                    placed, place_result = (
                        spot_placed(new, self._venue.engine.book.fills_of(new.id), detail, self._venue.shown_ms),
                        "SUCCESS",
                    )
                except BinanceError as exc:
                    placed, place_result = exc.payload(), "FAILURE"
            outcome = {
                "cancelResult": cancel_result,
                "newOrderResult": place_result,
                "cancelResponse": canceled,
                "newOrderResponse": placed,
            }
            if cancel_result == place_result == "SUCCESS":
                return Reply(200, outcome)
            if "SUCCESS" in (cancel_result, place_result):
                raise BinanceError(409, -2021, "Order cancel-replace partially failed.", data=outcome)
            raise BinanceError(400, -2022, "Order cancel-replace failed.", data=outcome)

        return await self._desk.in_engine(call, work)

    async def open_orders(self, call: Call) -> Any:
        """List open orders."""
        symbol = call.get("symbol")
        if symbol is not None:
            self._venue.listing(SPOT, symbol)
        return [spot_row(order, self._venue.shown_ms) for order in self._desk.open_orders(call, symbol)]

    async def all_orders(self, call: Call) -> Any:
        """List orders of a symbol, oldest first: from an id on, or within a window of at most a day."""
        listing = self._venue.listing(SPOT, call.need("symbol"))
        start, end = _window(call)
        first_id = call.number("orderId")
        rows = [
            order
            for order in self._venue.engine.book.of(call.owner, SPOT, listing.symbol)
            if self._venue.sees(order, call.route)
            and (first_id is None or order.id >= first_id)
            and start <= self._venue.shown_ms(order.created_ns) <= end
        ]
        chosen = page_of(rows, call, oldest=first_id is not None or call.number("startTime") is not None)
        return [spot_row(order, self._venue.shown_ms) for order in chosen]

    async def trades(self, call: Call) -> Any:
        """List own trades of a symbol."""
        listing = self._venue.listing(SPOT, call.need("symbol"))
        start, end = _window(call)
        from_id, order_id = call.number("fromId"), call.number("orderId")
        rows = [
            fill
            for fill in self._venue.engine.book.fills
            if fill.account == call.owner
            and (fill.market, fill.symbol) == (SPOT, listing.symbol)
            and (from_id is None or fill.trade_id >= from_id)
            and order_id in (None, fill.order_id)
            and start <= self._venue.shown_ms(fill.time_ns) <= end
        ]
        oldest = from_id is not None or call.number("startTime") is not None
        return [spot_trade(fill, self._venue.shown_ms) for fill in page_of(rows, call, oldest=oldest)]

    async def account(self, call: Call) -> Any:
        """Tell the balances."""
        holdings = self._venue.clearing.holdings[call.owner]
        orders = self._venue.engine.book.open_of(call.owner, SPOT)
        balances = []
        for (wallet, asset), total in holdings.balances.items():
            if wallet == SPOT:
                locked = self._venue.clearing.reserved(SPOT, asset, orders)
                balances.append({"asset": asset, "free": eight(total - locked), "locked": eight(locked)})
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {
                "maker": "0.00100000",
                "taker": "0.00100000",
                "buyer": "0.00000000",
                "seller": "0.00000000",
            },
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self._venue.shown_ms(call.now_ns),
            "accountType": "SPOT",
            "balances": balances,
            "permissions": ["SPOT"],
            "uid": 354937868,
        }

    async def order_usage(self, call: Call) -> Any:
        """Tell how much of the order limits is used."""
        return self._venue.limits.order_usage(call.owner, SPOT, call.now_ns)

    async def coins(self, call: Call) -> Any:
        """List coins, for clients that ask for them before markets."""
        return [
            {
                "coin": asset,
                "name": asset,
                "depositAllEnable": False,
                "withdrawAllEnable": False,
                "trading": True,
                "isLegalMoney": False,
                "free": eight(total),
                "locked": "0.00000000",
                "networkList": [],
            }
            for (wallet, asset), total in self._venue.clearing.holdings[call.owner].balances.items()
            if wallet == SPOT
        ]

    async def no_margin(self, call: Call) -> Any:
        """List margin pairs: there are none."""
        return []

    def _find_to_replace(self, call: Call) -> Order | None:
        names = {"orderId": call.get("cancelOrderId"), "origClientOrderId": call.get("cancelOrigClientOrderId")}
        if not any(names.values()):
            raise missing("cancelOrigClientOrderId")
        found = {name: value for name, value in names.items() if value}
        return self._desk.find(
            Call(call.market, call.route, {"symbol": call.need("symbol"), **found}, call.now_ns, call.account)
        )


def _restriction(call: Call) -> Status | None:
    """Return the only state in which the order is to be cancelled; None for any."""
    said = call.get("cancelRestrictions")
    states = {None: None, "ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}
    if said not in states:
        raise BinanceError(400, -1145, "Invalid cancelRestrictions.")
    return states[said]


def _unrestricted(order: Order | None, only: Status | None) -> Order | None:
    if order is not None and order.status.is_open and only not in (None, order.status):
        raise BinanceError(400, -2011, "Order was not canceled due to cancel restrictions.")
    return order


def _detail(call: Call) -> str:
    default = "FULL" if call.get("type") in ("LIMIT", "MARKET") else "ACK"
    detail = call.get("newOrderRespType") or default
    if detail not in ("ACK", "RESULT", "FULL"):
        raise BinanceError(400, -1122, "Invalid newOrderRespType.")
    return detail


def _window(call: Call) -> tuple[int, int]:
    start, end = call.number("startTime"), call.number("endTime")
    if start is not None and end is not None:
        if end < start:
            raise BinanceError(400, -1127, "Start time is greater than end time.")
        if end - start > DAY_MS:
            raise BinanceError(400, -1127, "More than 24 hours between startTime and endTime.")
    first = start if start is not None else (end - DAY_MS if end is not None else 0)
    last = end if end is not None else (start + DAY_MS if start is not None else 1 << 62)
    return first, last


def _open_weight(parameters: Mapping[str, str]) -> int:
    return 6 if parameters.get("symbol") else 80


def _trades_weight(parameters: Mapping[str, str]) -> int:
    return 5 if parameters.get("orderId") else 20

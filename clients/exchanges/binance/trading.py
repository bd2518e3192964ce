"""`TradingClient` for the three markets of Binance."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar

from clients.exchanges.binance import orders
from clients.exchanges.binance.client import BinanceClient
from clients.exchanges.binance.history import Dated, between
from clients.exchanges.binance.markets import MARKETS, NAME
from clients.exchanges.binance.parsing import (
    field_of,
    held_rows,
    parse_fill,
    parse_order,
    parse_position,
    rows_of,
)
from clients.exchanges.binance.replacing import replace_spot
from clients.exchanges.binance.user_stream import UserStream
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.errors import CallerMustAct, ExchangeError
from clients.exchanges.exact_json import to_int
from clients.exchanges.model import Instrument
from clients.exchanges.trading import (
    AmendWay,
    ArrivalBound,
    Capabilities,
    DeadManScope,
    Fill,
    OrderReport,
    Position,
    Replaced,
    Side,
    StreamGap,
    TimeInForce,
    VenueOrder,
)
from clients.logs import fields
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome

logger = logging.getLogger(__name__)

AMEND_UNSUPPORTED: Final = "AMEND_UNSUPPORTED"
PROCESSING_S: Final = 10.0
"""The exchange's own timeout for a request inside: what it took in time shows at the latest then."""

T = TypeVar("T")

Row = Mapping[str, Any]


class BinanceTrading:
    """Implements TradingClient. An order is matched by its exchange id or its original client id, never by a cancel's own."""

    exchange = NAME

    def __init__(self, client: BinanceClient) -> None:
        self._client = client

    async def place(self, order: VenueOrder, *, deadline_s: float) -> OrderReport:
        if order.reduce_only and not MARKETS[order.instrument.market].futures:
            raise self._refused("place_order", "spot has no reduce-only", code="UNSUPPORTED")
        return await self._order(orders.place(order), order.instrument, deadline_s=deadline_s)

    async def amend(
        self,
        instrument: Instrument,
        *,
        client_order_id: str,
        exchange_order_id: str,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        deadline_s: float,
    ) -> OrderReport:
        """On spot the order is read first, because only its quantity can be reduced; that read is no part of the amend."""
        identity = orders.identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        if MARKETS[instrument.market].futures:
            request = orders.amend_futures(instrument, identity, side=side.value, quantity=quantity, price=price)
            return await self._order(request, instrument, deadline_s=deadline_s)
        current = await self._order(
            orders.query(instrument, identity), instrument, deadline_s=deadline_s, source="query"
        )
        if current.price != price or current.quantity is None or quantity > current.quantity:
            text = "spot orders cannot change their price or grow in their place; they have to be replaced"
            raise self._refused("amend_order", text, code=AMEND_UNSUPPORTED)
        if quantity == current.quantity:
            return current
        request = orders.decrease_spot(instrument, identity, client_order_id=current.client_order_id, quantity=quantity)
        return await self._order(request, instrument, deadline_s=deadline_s, wrapper="amendedOrder")

    async def replace(
        self, order: VenueOrder, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> Replaced:
        if MARKETS[order.instrument.market].futures:
            raise self._refused("amend_order", "futures are amended in their place", code=AMEND_UNSUPPORTED)
        identity = orders.identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        return await replace_spot(self._client, order, identity, deadline_s=deadline_s)

    async def cancel(
        self, instrument: Instrument, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> OrderReport:
        identity = orders.identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        return await self._order(orders.cancel(instrument, identity), instrument, deadline_s=deadline_s, cancel=True)

    async def cancel_all(self, instrument: Instrument | None, *, deadline_s: float) -> Sequence[OrderReport]:
        """Cancel symbol by symbol; without an instrument, those that have open orders. Futures do not name what they cancelled.

        Every symbol is tried before the first error is raised: a switch that stops half-way is none.
        """
        if instrument is not None:
            return await self._cancel_symbol(instrument, deadline_s=deadline_s)
        symbols = sorted({(report.market, report.symbol) for report in await self.open_orders()})
        reports: list[OrderReport] = []
        errors: list[ExchangeError | ResilienceError] = []
        for _, symbol in symbols:
            try:
                found = await self._client.instruments.by_symbol(symbol)
                reports += await self._cancel_symbol(found, deadline_s=deadline_s)
            except (ExchangeError, ResilienceError) as exc:
                errors.append(exc)
        if errors:
            raise errors[0]
        return reports

    async def query(
        self,
        instrument: Instrument,
        *,
        client_order_id: str = "",
        exchange_order_id: str = "",
        deadline_s: float = 10.0,
    ) -> OrderReport:
        identity = orders.identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        return await self._order(orders.query(instrument, identity), instrument, deadline_s=deadline_s, source="query")

    async def open_orders(self, instrument: Instrument | None = None) -> Sequence[OrderReport]:
        names = list(MARKETS) if instrument is None else [instrument.market]
        reports: list[OrderReport] = []
        for name in names:
            request = orders.open_orders(MARKETS[name], instrument)
            response = await self._client.request(request)
            reports += await self._reports(request, response)
        return reports

    async def orders_between(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[OrderReport]:
        """Page by order id within windows. Binance forgets: unfilled orders after days (futures) or 90 days (spot)."""
        market = MARKETS[instrument.market]

        def dated(row: Row) -> Dated[OrderReport]:
            report = parse_order(market.name, instrument.symbol, row, source="query")
            return Dated(to_int(row["orderId"], "orderId"), to_int(field_of(row, "time"), "time"), report)

        return await between(
            lambda page: self._page(orders.orders_page(instrument, page), dated),
            start_ns=start_ns,
            end_ns=end_ns,
            window_ns=market.window_ns,
            page_size=market.orders_page,
            from_field="orderId",
        )

    async def fills(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[Fill]:
        market = MARKETS[instrument.market]

        def dated(row: Row) -> Dated[Fill]:
            fill = parse_fill(market.name, instrument.symbol, row)
            return Dated(int(fill.trade_id), to_int(field_of(row, "time"), "time"), fill)

        return await between(
            lambda page: self._page(orders.trades_page(instrument, page), dated),
            start_ns=start_ns,
            end_ns=end_ns,
            window_ns=market.window_ns,
            page_size=market.trades_page,
            from_field="fromId",
        )

    async def positions(self) -> Sequence[Position]:
        """Return what is held on both futures markets; in hedge mode long and short of one symbol are separate rows."""
        found: list[Position] = []
        for market in MARKETS.values():
            if not market.futures:
                continue
            request = orders.positions(market)
            response = await self._client.request(request)
            rows = self._client.parsed(request, response, held_rows)
            symbols = [await self._symbol(market.name, row) for row in rows]
            found += self._client.parsed(request, response, partial(_positions, market.name, symbols, rows))
        return found

    async def arm_dead_man(self, *, timeout_s: float, instruments: Sequence[Instrument]) -> bool:
        """Arm the futures among the instruments; False when any of them is spot, which has no such timer."""
        countdown_ms = max(0, round(timeout_s * 1000))
        covered = [instrument for instrument in instruments if MARKETS[instrument.market].futures]
        for instrument in covered:
            await self._client.request(orders.dead_man(instrument, countdown_ms))
        return len(covered) == len(instruments)

    def user_events(self) -> AsyncIterator[OrderReport | StreamGap]:
        return UserStream(self._client).events()

    def capabilities(self, instrument: Instrument) -> Capabilities:
        futures = MARKETS[instrument.market].futures
        return Capabilities(
            time_in_force=frozenset(TimeInForce),
            post_only=True,
            reduce_only=futures,
            amend_price=AmendWay.LOSES_PLACE if futures else AmendWay.REPLACES,
            amend_quantity_up=AmendWay.LOSES_PLACE if futures else AmendWay.REPLACES,
            amend_quantity_down=AmendWay.LOSES_PLACE if futures else AmendWay.KEEPS_PLACE,
            dead_man=DeadManScope.SYMBOL if futures else None,
            arrival=ArrivalBound(self._client.receive_window_s, PROCESSING_S),
        )

    async def _order(
        self,
        request: ExchangeRequest,
        instrument: Instrument,
        *,
        deadline_s: float,
        source: str = "answer",
        cancel: bool = False,
        wrapper: str = "",
    ) -> OrderReport:
        response = await self._client.request(request, deadline_s=deadline_s)

        def report(payload: Any) -> OrderReport:
            row = field_of(payload, wrapper) if wrapper else payload
            made = parse_order(instrument.market, instrument.symbol, row, source=source, cancel=cancel)
            return replace(made, raw=response.raw, sent=response.sent)

        return self._client.parsed(request, response, report)

    async def _cancel_symbol(self, instrument: Instrument, *, deadline_s: float) -> list[OrderReport]:
        request = orders.cancel_all(instrument)
        try:
            response = await self._client.request(request, deadline_s=deadline_s)
        except CallerMustAct as exc:
            if exc.outcome is Outcome.NOT_FOUND:
                # What spot answers when nothing is open: then there is nothing left to cancel.
                return []
            raise
        if MARKETS[instrument.market].futures:
            return []
        return await self._reports(request, response, source="answer", cancel=True)

    async def _reports(
        self, request: ExchangeRequest, response: ExchangeResponse, *, source: str = "query", cancel: bool = False
    ) -> list[OrderReport]:
        rows = self._client.parsed(request, response, rows_of)
        symbols = [await self._symbol(request.market, row) for row in rows]
        return self._client.parsed(
            request,
            response,
            lambda _: [
                parse_order(request.market, symbol, row, source=source, cancel=cancel)
                for symbol, row in zip(symbols, rows, strict=True)
            ],
        )

    async def _page(self, request: ExchangeRequest, dated: Callable[[Row], Dated[T]]) -> list[Dated[T]]:
        response = await self._client.request(request)
        return self._client.parsed(request, response, lambda payload: [dated(row) for row in rows_of(payload)])

    async def _symbol(self, market: str, row: Row) -> str:
        """Return the unified symbol; the exchange's own for an instrument that is not listed any more, so that no order gets lost."""
        exchange_symbol = str(row.get("symbol", ""))
        try:
            return (await self._client.instruments.by_exchange_symbol(market, exchange_symbol)).symbol
        except CallerMustAct:
            logger.warning("order of an unlisted instrument", extra=fields(market=market, symbol=exchange_symbol[:32]))
            return exchange_symbol

    def _refused(self, operation: str, text: str, *, code: str) -> CallerMustAct:
        return CallerMustAct(NAME, operation, Outcome.REJECTED, text, code=code)


def _positions(market: str, symbols: Sequence[str], rows: Sequence[Row], _: Any) -> list[Position]:
    return [parse_position(market, symbol, row) for symbol, row in zip(symbols, rows, strict=True)]

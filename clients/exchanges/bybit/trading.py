"""`TradingClient` for the three markets of Bybit. Acknowledgements are no answers: what they did is looked up, or told by the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.bybit import scopes
from clients.exchanges.bybit.client import ONE_WAY, BybitClient
from clients.exchanges.bybit.lookup import HISTORY, REALTIME, Done, OrderLookup
from clients.exchanges.bybit.markets import MARKETS, NAME, Market
from clients.exchanges.bybit.orders import about, acknowledged_id, amended, canceled, identity, placed
from clients.exchanges.bybit.paging import pages
from clients.exchanges.bybit.parsing import (
    OWN_EXECUTIONS,
    is_own,
    newest,
    parse_execution,
    parse_fill,
    parse_order,
    parse_position,
)
from clients.exchanges.bybit.rows import Row, rows_of
from clients.exchanges.bybit.scopes import Parameters
from clients.exchanges.bybit.user_stream import UserStream
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.errors import CallerMustAct, ExchangeError, OperatorMustAct, OutcomeUnknown
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument
from clients.exchanges.trading import (
    AmendWay,
    ArrivalBound,
    Capabilities,
    Fill,
    OrderReport,
    OrderType,
    Position,
    Replaced,
    Side,
    StreamGap,
    TimeInForce,
    VenueOrder,
)
from clients.exchanges.windows import windows
from clients.resilience.call import Priority
from clients.resilience.errors import ResilienceError
from clients.resilience.outcome import Outcome

SETTLE_S: Final = 10.0
"""How long what was let in at the last moment may need until queries show it. The exchange states no time: ours, and long."""
WINDOW_NS: Final = 7 * 86_400 * 1_000_000_000
"""Longest span of one history request."""
ORDERS_PAGE: Final = 50
FILLS_PAGE: Final = 100
POSITIONS_PAGE: Final = 200
CLOCK_NS: Final = 50_000_000
"""How far a row's time may be behind ours of the same moment: rows count milliseconds, and clocks are known so well."""
CANCELED_AT_ONCE: Final = 500
"""Of one cancel of everything; with more open, it picks some."""
CANCEL_ROUNDS_MAX: Final = 20


class BybitTrading:
    """Implements TradingClient."""

    exchange = NAME

    def __init__(self, client: BybitClient) -> None:
        self._client = client
        self._lookup = OrderLookup(client)

    async def place(self, order: VenueOrder, *, deadline_s: float) -> OrderReport:
        """Place once, then look: an order that would not do is acknowledged, too, and ends a moment later."""
        named = identity(client_order_id=order.client_order_id, exchange_order_id="")
        request = self._change(order.instrument, "/v5/order/create", "place_order", placed(order), idempotent=False)
        rests = order.type is OrderType.LIMIT and order.time_in_force in (None, TimeInForce.GTC)

        def done(report: OrderReport) -> bool:
            # One that cannot rest has an end to tell of, as it has where answers are answers.
            return rests or report.state.terminal

        return await self._done(request, order.instrument, named, done, deadline_s=deadline_s, settled=False)

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
        named = identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        body = amended(instrument, named, quantity=quantity, price=price)
        request = self._change(instrument, "/v5/order/amend", "amend_order", body, idempotent=False)
        asked_ns = self._client.server_now_ns(instrument.market)

        def shows(report: OrderReport) -> bool:
            if report.state.terminal or (report.quantity, report.price) == (quantity, price):
                return True
            # With its price at the exchange's limit instead; what was changed before this request shows something else.
            if asked_ns is None or report.update_time_ns is None or report.update_time_ns < asked_ns - CLOCK_NS:
                return False
            return report.price_may_move and report.quantity == quantity

        return await self._done(request, instrument, named, shows, deadline_s=deadline_s)

    async def replace(
        self, order: VenueOrder, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> Replaced:
        text = "orders are amended in their place"
        raise CallerMustAct(NAME, "amend_order", Outcome.REJECTED, text, code="AMEND_UNSUPPORTED")

    async def cancel(
        self, instrument: Instrument, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> OrderReport:
        """Cancel; an order that is still open after that has not been cancelled yet, and is reported as it is."""
        named = identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        request = self._change(instrument, "/v5/order/cancel", "cancel_order", canceled(instrument, named))
        return await self._done(
            request, instrument, named, lambda report: report.state.terminal, deadline_s=deadline_s, settled=False
        )

    async def cancel_all(self, instrument: Instrument | None, *, deadline_s: float) -> Sequence[OrderReport]:
        """Cancel by symbol, or all there is, market by market and coin by coin. The answers name orders, not what became of them.

        Everything is tried before the first error is raised: a switch that stops half-way is none.
        """
        bodies = [about(instrument)] if instrument is not None else await scopes.cancels(self._client)
        errors: list[ExchangeError | ResilienceError] = []
        for body in bodies:
            request = self._cancel_all(body)
            try:
                for _ in range(CANCEL_ROUNDS_MAX):
                    response = await self._client.request(request, deadline_s=deadline_s)
                    if len(self._client.parsed(request, response, rows_of)) < CANCELED_AT_ONCE:
                        break
            except (ExchangeError, ResilienceError) as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return []

    async def query(
        self,
        instrument: Instrument,
        *,
        client_order_id: str = "",
        exchange_order_id: str = "",
        deadline_s: float = 10.0,
    ) -> OrderReport:
        named = identity(client_order_id=client_order_id, exchange_order_id=exchange_order_id)
        return await self._lookup.query(instrument, named, deadline_s=deadline_s)

    async def open_orders(self, instrument: Instrument | None = None) -> Sequence[OrderReport]:
        asked = (
            [(MARKETS[instrument.market], tuple(about(instrument).items()))]
            if instrument is not None
            else await scopes.lists(self._client)
        )
        found: list[OrderReport] = []
        for market, parameters in asked:
            found += await self._orders(market, REALTIME, "open_orders", parameters)
        return [report for report in found if not report.state.terminal]

    async def orders_between(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[OrderReport]:
        """Return the open ones and what the history has, which is late, and forgets after a day what ended without an execution.

        Of the exchange's own orders, what it tells is their executions.
        """
        market, named = MARKETS[instrument.market], tuple(about(instrument).items())
        found = await self._orders(market, REALTIME, "orders_between", named)
        for first_ms, last_ms in windows(start_ns, end_ns, WINDOW_NS):
            span = (("startTime", str(first_ms)), ("endTime", str(last_ms)))
            found += await self._orders(market, HISTORY, "orders_between", (*named, *span))
        if market.futures:
            found += await self._own_orders(instrument, start_ns=start_ns, end_ns=end_ns)
        by_id: dict[str, list[OrderReport]] = {}
        for report in found:
            if report.create_time_ns is None or start_ns <= report.create_time_ns <= end_ns:
                by_id.setdefault(report.exchange_order_id, []).append(report)
        return [made for reports in by_id.values() if (made := newest(reports)) is not None]

    async def fills(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[Fill]:
        """Return executions of orders that can be asked for; those of the exchange's own come with `orders_between`."""
        market, settle = MARKETS[instrument.market], _settle(instrument)
        found: dict[str, Fill] = {}
        async for request, response, rows in self._executions(instrument, start_ns=start_ns, end_ns=end_ns):
            with self._reading(request, response):
                fills = [parse_fill(market, instrument.symbol, settle, row) for row in rows if not is_own(row)]
            found |= {
                fill.trade_id: fill for fill in fills if fill is not None and start_ns <= fill.trade_time_ns <= end_ns
            }
        # Newest first over the wire.
        return sorted(found.values(), key=lambda fill: fill.trade_time_ns)

    async def _own_orders(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> list[OrderReport]:
        """Return what the exchange has closed by itself: deliveries, liquidations, deleveragings."""
        market, settle = MARKETS[instrument.market], _settle(instrument)
        found: list[OrderReport] = []
        for type_ in OWN_EXECUTIONS:
            asked = self._executions(instrument, (("execType", type_),), start_ns=start_ns, end_ns=end_ns)
            async for request, response, rows in asked:
                with self._reading(request, response):
                    told = [
                        parse_execution(market, instrument.symbol, settle, row, source="query")
                        for row in rows
                        if is_own(row)
                    ]
                found += [report for report in told if report is not None]
        return found

    async def _executions(
        self, instrument: Instrument, more: Parameters = (), *, start_ns: int, end_ns: int
    ) -> AsyncIterator[tuple[ExchangeRequest, ExchangeResponse, Sequence[Row]]]:
        named = tuple(about(instrument).items())
        for first_ms, last_ms in windows(start_ns, end_ns, WINDOW_NS):
            span = (("startTime", str(first_ms)), ("endTime", str(last_ms)), ("limit", str(FILLS_PAGE)))
            parameters = (*named, *more, *span)
            request = self._read(
                MARKETS[instrument.market], "/v5/execution/list", "fills", parameters, Priority.RECOVERY
            )
            async for rows, response in pages(self._client, request, rows_max=FILLS_PAGE):
                yield request, response, rows

    async def positions(self) -> Sequence[Position]:
        """Return what is held; an account in hedge mode is refused, because one order would not say which side it is for."""
        found: list[Position] = []
        for market, parameters in await scopes.lists(self._client):
            if not market.futures:
                continue
            paged = (*parameters, ("limit", str(POSITIONS_PAGE)))
            request = self._read(market, "/v5/position/list", "positions", paged, Priority.NORMAL)
            async for rows, response in pages(self._client, request, rows_max=POSITIONS_PAGE):
                for row in rows:
                    if row.get("positionIdx") not in (0, None):
                        text = f"{str(row.get('symbol'))[:32]}: {ONE_WAY}"
                        raise OperatorMustAct(NAME, "positions", Outcome.AUTH, text, code="HEDGE_MODE")
                    symbol = await scopes.symbol_of(self._client, market, row)
                    with self._reading(request, response):
                        position = parse_position(market, symbol, row)
                    if position is not None:
                        found.append(position)
        return found

    async def arm_dead_man(self, *, timeout_s: float, instruments: Sequence[Instrument]) -> bool:
        """The exchange's timer is for institutions, switched on by their account manager: here is none."""
        return False

    def user_events(self) -> AsyncIterator[OrderReport | StreamGap]:
        return UserStream(self._client, self._lookup).events()

    def capabilities(self, instrument: Instrument) -> Capabilities:
        return Capabilities(
            time_in_force=frozenset(TimeInForce),
            post_only=True,
            reduce_only=MARKETS[instrument.market].futures,
            amend_price=AmendWay.IN_PLACE,
            amend_quantity_up=AmendWay.IN_PLACE,
            amend_quantity_down=AmendWay.IN_PLACE,
            dead_man=None,
            arrival=ArrivalBound(self._client.receive_window_s, SETTLE_S),
        )

    # Requests.

    async def _done(
        self,
        request: ExchangeRequest,
        instrument: Instrument,
        named: tuple[str, str],
        done: Done,
        *,
        deadline_s: float,
        settled: bool = True,
    ) -> OrderReport:
        """Make a change and return what became of the order, as far as it shows in time.

        `settled` makes an error of it when the change itself does not: an order as it was before says nothing.
        """
        until_ns = self._client.ports.monotonic_ns() + round(deadline_s * 1e9)
        with self._lookup.expecting(named, done) as expected:
            response = await self._client.request(request, deadline_s=deadline_s)
            name = self._client.parsed(request, response, lambda payload: acknowledged_id(payload, named))
            if request.spec.operation == "place_order":
                self._lookup.acknowledged(named[1])
            found = await self._lookup.outcome(expected, instrument, response, until_ns=until_ns)
        if found is not None and (done(found) or not settled):
            return found
        raise OutcomeUnknown(
            NAME,
            request.spec.operation,
            Outcome.UNKNOWN,
            f"the exchange acknowledged the request as {name[:64]}, and does not show what it did",
            sent=response.sent,
            raw=response.raw,
        )

    def _change(
        self, instrument: Instrument, path: str, operation: str, body: Mapping[str, Any], *, idempotent: bool = True
    ) -> ExchangeRequest:
        priority = Priority.RECOVERY if operation == "cancel_order" else Priority.NORMAL
        spec = self._client.spec(MARKETS[instrument.market], path, operation, idempotent=idempotent, priority=priority)
        return ExchangeRequest(instrument.market, "POST", path, spec, signed=True, json_body=body)

    def _cancel_all(self, body: Mapping[str, str]) -> ExchangeRequest:
        path, market = "/v5/order/cancel-all", MARKETS[body["category"]]
        spec = self._client.spec(market, path, "cancel_all", priority=Priority.RECOVERY)
        return ExchangeRequest(market.name, "POST", path, spec, signed=True, json_body=body)

    def _read(
        self, market: Market, path: str, operation: str, parameters: Parameters, priority: Priority
    ) -> ExchangeRequest:
        spec = self._client.spec(market, path, operation, priority=priority)
        return ExchangeRequest(market.name, "GET", path, spec, parameters, signed=True)

    async def _orders(self, market: Market, path: str, operation: str, parameters: Parameters) -> list[OrderReport]:
        paged = (*parameters, ("limit", str(ORDERS_PAGE)))
        request = self._read(market, path, operation, paged, Priority.RECOVERY)
        found: list[OrderReport] = []
        async for rows, response in pages(self._client, request, rows_max=ORDERS_PAGE):
            for row in rows:
                symbol = await scopes.symbol_of(self._client, market, row)
                with self._reading(request, response):
                    found.append(parse_order(market, symbol, row, source="query", sent=response.sent))
        return found

    @contextmanager
    def _reading(self, request: ExchangeRequest, response: ExchangeResponse) -> Iterator[None]:
        """Turn a row that cannot be read into the error of the request that brought it."""
        try:
            yield
        except MalformedAnswer as error:
            raise self._client.unreadable(request, response, error) from error


def _settle(instrument: Instrument) -> str:
    return instrument.settle if MARKETS[instrument.market].futures else ""

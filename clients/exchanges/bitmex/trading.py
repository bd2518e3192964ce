"""BitMEX's order entry: one request per primitive, absolute amends, and no quantity that is relative to fills."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from clients.exchanges.bitmex.client import BitMEXClient, json_filter
from clients.exchanges.bitmex.instruments import EXCHANGE, MARKET
from clients.exchanges.bitmex.limits import WRITE_COSTS, read_costs
from clients.exchanges.bitmex.paging import all_rows
from clients.exchanges.bitmex.parsing import (
    LIFE_WORDS,
    SIDE_WORDS,
    TYPE_WORDS,
    parse_fill,
    parse_order,
    parse_position,
)
from clients.exchanges.bitmex.units import time_text
from clients.exchanges.bitmex.user_stream import UserStream
from clients.exchanges.client import ExchangeRequest, ExchangeResponse
from clients.exchanges.errors import CallerMustAct
from clients.exchanges.exact_json import MalformedAnswer
from clients.exchanges.model import Instrument, InstrumentKind
from clients.exchanges.trading import (
    AmendWay,
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
from clients.resilience.call import CallSpec, Priority
from clients.resilience.outcome import Outcome

logger = logging.getLogger(__name__)


class BitMEXTrading:
    """Implements TradingClient. All instruments are one market and one account."""

    exchange = EXCHANGE

    def __init__(self, client: BitMEXClient) -> None:
        self._client = client

    async def place(self, order: VenueOrder, *, deadline_s: float) -> OrderReport:
        body: dict[str, Any] = {
            "symbol": order.instrument.exchange_symbol,
            "side": SIDE_WORDS[order.side],
            "orderQty": _wire_quantity(order.instrument, order.quantity),
            "ordType": TYPE_WORDS[order.type],
            "clOrdID": order.client_order_id,
        }
        if order.price is not None:
            body["price"] = order.price
        if order.time_in_force is not None:
            body["timeInForce"] = LIFE_WORDS[order.time_in_force]
        instructions = _instructions(order)
        if instructions:
            body["execInst"] = instructions
        spec = self._client.spec("place_order", WRITE_COSTS, idempotent=False)
        request = _request("POST", "/order", spec, body=body)
        return self._report(request, await self._client.request(request, deadline_s=deadline_s), order.instrument)

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
        # By the client's id where there is one: it is the same before and after, and never `leavesQty`, which a fill would change.
        body: dict[str, Any] = {"origClOrdID": client_order_id} if client_order_id else {"orderID": exchange_order_id}
        body |= {"orderQty": _wire_quantity(instrument, quantity), "price": price}
        spec = self._client.spec("amend_order", WRITE_COSTS, idempotent=False)
        request = _request("PUT", "/order", spec, body=body)
        return self._report(request, await self._client.request(request, deadline_s=deadline_s), instrument)

    async def replace(
        self, order: VenueOrder, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> Replaced:
        text = "orders are amended in their place"
        raise CallerMustAct(EXCHANGE, "amend_order", Outcome.REJECTED, text, code="AMEND_UNSUPPORTED")

    async def cancel(
        self, instrument: Instrument, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> OrderReport:
        body = {"orderID": exchange_order_id} if exchange_order_id else {"clOrdID": client_order_id}
        request = _request("DELETE", "/order", self._cancel_spec("cancel_order"), body=body)
        response = await self._client.request(request, deadline_s=deadline_s)
        with self._reading(request, response):
            rows = _rows(response.payload)
            if not rows:
                raise self._client.fail(
                    request, Outcome.NOT_FOUND, "the exchange cancelled nothing and said nothing", sent=response.sent
                )
            if len(rows) > 1:
                raise MalformedAnswer(f"{len(rows)} orders answer a cancel of one")
            # A 200 is no proof: each element says for itself whether it was refused.
            refusal = rows[0].get("error")
            if refusal:
                raise self._client.refused(request, str(refusal), sent=response.sent, raw=response.raw)
            return parse_order(rows[0], instrument, source="answer", raw=response.raw, sent=response.sent)

    async def cancel_all(self, instrument: Instrument | None, *, deadline_s: float) -> Sequence[OrderReport]:
        body = {} if instrument is None else {"symbol": instrument.exchange_symbol}
        request = _request("DELETE", "/order/all", self._cancel_spec("cancel_all"), body=body or None)
        response = await self._client.request(request, deadline_s=deadline_s)
        with self._reading(request, response):
            rows = [row for row in _rows(response.payload) if not row.get("error")]
            return await self._reports(rows, response, source="answer")

    async def query(
        self,
        instrument: Instrument,
        *,
        client_order_id: str = "",
        exchange_order_id: str = "",
        deadline_s: float = 10.0,
    ) -> OrderReport:
        wanted = {"orderID": exchange_order_id} if exchange_order_id else {"clOrdID": client_order_id}
        spec = self._read_spec("query_order", Priority.RECOVERY)
        parameters = (("symbol", instrument.exchange_symbol), ("filter", json_filter(wanted)))
        request = _request("GET", "/order", spec, parameters=parameters)
        response = await self._client.request(request, deadline_s=deadline_s)
        with self._reading(request, response):
            rows = [
                row for row in _rows(response.payload) if all(row.get(name) == value for name, value in wanted.items())
            ]
            if not rows:
                raise self._client.fail(request, Outcome.NOT_FOUND, "no order with this id (yet)", sent=response.sent)
            # Should an id ever stand twice, the later statement is the one about the present.
            newest = max(rows, key=lambda row: str(row.get("timestamp") or ""))
            return parse_order(newest, instrument, source="query", raw=response.raw, sent=response.sent)

    async def open_orders(self, instrument: Instrument | None = None) -> Sequence[OrderReport]:
        parameters = () if instrument is None else (("symbol", instrument.exchange_symbol),)
        return await self._orders("open_orders", (*parameters, ("filter", json_filter({"open": True}))))

    async def orders_between(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[OrderReport]:
        # The date filter acts on an order's last change, which may be long after the range: ask for everything since, then choose.
        parameters = (("symbol", instrument.exchange_symbol), ("startTime", time_text(start_ns)))
        reports = await self._orders("orders_between", parameters)
        return [
            report for report in reports if report.create_time_ns is None or start_ns <= report.create_time_ns <= end_ns
        ]

    async def fills(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[Fill]:
        parameters = (
            ("symbol", instrument.exchange_symbol),
            ("startTime", time_text(start_ns)),
            ("endTime", time_text(end_ns, up=True)),
        )
        spec = self._read_spec("fills", Priority.RECOVERY)
        request = _request("GET", "/execution/tradeHistory", spec, parameters=parameters)
        found: list[Fill] = []
        async for row, response in all_rows(self._client, request, key="execID"):
            with self._reading(request, response):
                fill = parse_fill(row, instrument)
            if fill is not None and start_ns <= fill.trade_time_ns <= end_ns:
                found.append(fill)
        return found

    async def positions(self) -> Sequence[Position]:
        request = _request("GET", "/position", self._read_spec("positions", Priority.NORMAL))
        response = await self._client.request(request)
        await self._client.instruments.all()
        found: list[Position] = []
        with self._reading(request, response):
            for row in _rows(response.payload):
                instrument = self._instrument(row)
                position = None if instrument is None else parse_position(row, instrument)
                if position is not None:
                    found.append(position)
        return found

    async def arm_dead_man(self, *, timeout_s: float, instruments: Sequence[Instrument]) -> bool:
        """The timer is the account's: `instruments` makes no difference."""
        spec = self._client.spec("arm_dead_man", WRITE_COSTS, priority=Priority.RECOVERY)
        request = _request("POST", "/order/cancelAllAfter", spec, body={"timeout": round(timeout_s * 1000)})
        await self._client.request(request)
        return True

    def user_events(self) -> AsyncIterator[OrderReport | StreamGap]:
        return UserStream(self._client).events()

    def capabilities(self, instrument: Instrument) -> Capabilities:
        return Capabilities(
            time_in_force=frozenset(TimeInForce),
            post_only=True,
            reduce_only=instrument.kind is not InstrumentKind.SPOT,
            amend_price=AmendWay.IN_PLACE,
            amend_quantity_up=AmendWay.IN_PLACE,
            amend_quantity_down=AmendWay.IN_PLACE,
            dead_man=DeadManScope.ACCOUNT,
            # `api-expires` is checked before the trading engine, so it does not end the time of an order that waits in its queue.
            arrival=None,
        )

    async def _orders(self, operation: str, parameters: Sequence[tuple[str, str]]) -> Sequence[OrderReport]:
        """Return all pages of a list of orders, each order once, in its newest version."""
        request = _request("GET", "/order", self._read_spec(operation, Priority.RECOVERY), parameters=parameters)
        await self._client.instruments.all()
        newest: dict[str, OrderReport] = {}
        async for row, response in all_rows(self._client, request, key="orderID"):
            instrument = self._instrument(row)
            if instrument is None:
                continue
            with self._reading(request, response):
                report = parse_order(row, instrument, source="query", sent=response.sent)
            seen = newest.get(report.exchange_order_id)
            if seen is None or (report.update_time_ns or 0) >= (seen.update_time_ns or 0):
                newest[report.exchange_order_id] = report
        return list(newest.values())

    async def _reports(
        self, rows: Sequence[Mapping[str, Any]], response: ExchangeResponse, *, source: str
    ) -> Sequence[OrderReport]:
        await self._client.instruments.all()
        return [
            parse_order(row, instrument, source=source, sent=response.sent)
            for row in rows
            if (instrument := self._instrument(row)) is not None
        ]

    def _report(self, request: ExchangeRequest, response: ExchangeResponse, instrument: Instrument) -> OrderReport:
        with self._reading(request, response):
            if not isinstance(response.payload, Mapping):
                raise MalformedAnswer("the answer is not an order")
            if response.payload.get("symbol") != instrument.exchange_symbol:
                raise MalformedAnswer("the answer is about another instrument")
            return parse_order(response.payload, instrument, source="answer", raw=response.raw, sent=response.sent)

    @contextmanager
    def _reading(self, request: ExchangeRequest, response: ExchangeResponse) -> Iterator[None]:
        """Turn what cannot be read into the error that says what that means for the request."""
        try:
            yield
        except MalformedAnswer as error:
            raise self._client.unreadable(request, response, error) from error

    def _instrument(self, row: Mapping[str, Any]) -> Instrument | None:
        symbol = str(row.get("symbol"))
        instrument = self._client.instruments.known(MARKET, symbol)
        if instrument is None:
            logger.warning(
                "row about an instrument that is not mapped", extra=fields(exchange=EXCHANGE, symbol=str(symbol)[:32])
            )
        return instrument

    def _read_spec(self, operation: str, priority: Priority) -> CallSpec:
        return self._client.spec(operation, read_costs(signed=True), priority=priority)

    def _cancel_spec(self, operation: str) -> CallSpec:
        return self._client.spec(operation, WRITE_COSTS, priority=Priority.RECOVERY)


def _request(
    method: str,
    path: str,
    spec: CallSpec,
    *,
    parameters: Sequence[tuple[str, str]] = (),
    body: Mapping[str, Any] | None = None,
) -> ExchangeRequest:
    return ExchangeRequest(
        market=MARKET, method=method, path=path, spec=spec, parameters=parameters, signed=True, json_body=body
    )


def _rows(payload: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(payload, list) or not all(isinstance(row, Mapping) for row in payload):
        raise MalformedAnswer("the answer is not a list of rows")
    return payload


def _wire_quantity(instrument: Instrument, quantity: Decimal) -> int:
    """Return the quantity as the exchange counts it: whole contracts, or whole smallest units."""
    counted = quantity * instrument.exchange_quantity_scale
    if counted != counted.to_integral_value():
        raise ValueError(f"a quantity of {quantity} {instrument.symbol} is no whole number of the exchange's units")
    return int(counted)


def _instructions(order: VenueOrder) -> str:
    words = [
        word
        for word, wanted in (("ParticipateDoNotInitiate", order.post_only), ("ReduceOnly", order.reduce_only))
        if wanted
    ]
    return ",".join(words)

"""Translates GetPrice and ListExchangePrices."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Final

from clients.exchanges.names import CLOSED, USED_BY_DEFAULT
from protos.price.v1 import price_pb2 as pb
from services.price.exchanges.desk import ANY, Priced, PriceDesk
from services.runtime.errors import FailedPrecondition, InvalidRequest, NotFound, Unavailable

SYMBOLS_MAX: Final = 100
_SOURCES: Final = {
    "stream": pb.PRICE_SOURCE_STREAM,
    "rest": pb.PRICE_SOURCE_REST,
    "cache": pb.PRICE_SOURCE_FALLBACK,
}


class ExchangePrices:
    """The two methods about exchanges; `desk` is None where no exchange is configured, and before the exchanges are opened."""

    def __init__(self, desk: PriceDesk | None = None) -> None:
        self.desk = desk

    async def get(self, request: pb.GetPriceRequest) -> pb.GetPriceResponse:
        priced = await self._there().get(request.symbol, request.exchange, request.max_age_ms)
        return pb.GetPriceResponse(price=message_of(priced))

    async def list(self, request: pb.ListExchangePricesRequest) -> pb.ListExchangePricesResponse:
        desk = self._there()
        if len(request.symbols) > SYMBOLS_MAX:
            raise InvalidRequest("symbols", f"must name at most {SYMBOLS_MAX} symbols (got {len(request.symbols)})")
        symbols = tuple(dict.fromkeys(request.symbols)) or desk.streamed_symbols(request.exchange)
        desk.names(request.exchange)
        found = await asyncio.gather(
            *(desk.get(symbol, request.exchange, request.max_age_ms) for symbol in symbols), return_exceptions=True
        )
        answer = pb.ListExchangePricesResponse(closed=_closed(request.exchange))
        for symbol, each in zip(symbols, found, strict=True):
            if isinstance(each, Priced):
                answer.prices.append(message_of(each))
            elif isinstance(each, (NotFound, Unavailable)):
                answer.failures.append(pb.PriceFailure(symbol=symbol, reason=each.message))
            elif isinstance(each, InvalidRequest) and each.field == "symbol":
                raise InvalidRequest("symbols", each.problem)
            else:
                raise each
        return answer

    def _there(self) -> PriceDesk:
        if self.desk is None:
            raise FailedPrecondition(
                "this server talks to no exchange; set MIDSTREAM_PRICE_EXCHANGES="
                f"{','.join(USED_BY_DEFAULT)} and start it again"
            )
        return self.desk


def _closed(exchange: str) -> list[pb.ClosedExchange]:
    """Return the exchanges that a caller means and that have closed, whether they are simulated here or left out."""
    return [
        pb.ClosedExchange(exchange=name, closed_on=day) for name, day in CLOSED.items() if exchange in ("", ANY, name)
    ]


def message_of(priced: Priced) -> pb.ExchangePrice:
    """Return the message; decimals keep their spelling."""
    price, quote = priced.price, priced.quote
    return pb.ExchangePrice(
        exchange=price.exchange,
        market=price.market,
        symbol=price.symbol,
        price=_text(price.price.normalize()),
        basis=price.basis,
        bid_price=_text(quote.bid_price) if quote is not None else "",
        bid_quantity=_text(quote.bid_quantity) if quote is not None else "",
        ask_price=_text(quote.ask_price) if quote is not None else "",
        ask_quantity=_text(quote.ask_quantity) if quote is not None else "",
        event_time_ns=price.event_time_ns or 0,
        receive_time_ns=price.receive_time_ns,
        age_ms=priced.age_ms,
        source=_SOURCES[price.source],
        stale=price.stale,
        attempts=priced.attempts,
    )


def _text(value: Decimal | None) -> str:
    return "" if value is None else format(value, "f")

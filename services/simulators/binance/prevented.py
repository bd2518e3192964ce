"""Spot's list of meetings that self-trade prevention kept from being trades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.simulators.binance.call import Call, Route, Security, page_of
from services.simulators.binance.errors import missing
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import SPOT
from services.simulators.binance.spelling import eight
from services.simulators.venue.self_trade import Prevention


class Prevented:
    """The route."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {("GET", "/api/v3/myPreventedMatches"): Route(SPOT, self.list, _weight, Security.SIGNED)}

    async def list(self, call: Call) -> Any:
        """List them by their own id, or by the order that took part."""
        listing = self._venue.listing(SPOT, call.need("symbol"))
        number, order_id = call.number("preventedMatchId"), call.number("orderId")
        if number is None and order_id is None:
            raise missing("preventedMatchId")
        first = call.number("fromPreventedMatchId") or 0
        rows = [
            one
            for one in self._venue.engine.self_trades.preventions
            if (one.taker.account, one.taker.listing) == (call.owner, listing)
            and number in (None, one.number)
            and order_id in (None, one.taker.id, one.maker.id)
            and one.number >= first
        ]
        return [self._row(one) for one in page_of(rows, call, oldest=True)]

    def _row(self, one: Prevention) -> dict[str, Any]:
        return {
            "symbol": one.taker.listing.symbol,
            "preventedMatchId": one.number,
            "takerOrderId": one.taker.id,
            "makerSymbol": one.maker.listing.symbol,
            "makerOrderId": one.maker.id,
            "tradeGroupId": 1,
            "selfTradePreventionMode": one.taker.self_trade,
            "price": eight(one.maker.price or one.taker.average_price),
            "makerPreventedQuantity": eight(one.quantity),
            "transactTime": self._venue.shown_ms(one.time_ns),
        }


def _weight(parameters: Mapping[str, str]) -> int:
    return 2 if parameters.get("preventedMatchId") else 20

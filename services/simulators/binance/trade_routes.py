"""Public trades of the tape: the newest, older ones by id or time, and what they average to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.simulators.binance.call import PAGE, PAGE_MAX, Call, Route, Security, flat
from services.simulators.binance.errors import BinanceError
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.klines import value_text
from services.simulators.binance.listings import COINM, MARKETS, PREFIXES, SPOT
from services.simulators.binance.spelling import eight, price_text, size_text
from services.simulators.venue.intervals import MINUTE_NS
from services.simulators.venue.listing import Listing
from services.simulators.venue.tape import Trade

AVERAGE_MINUTES: Final = 5


class TradeRoutes:
    """Answers what asks for public trades."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        table: dict[tuple[str, str], Route] = {("GET", "/api/v3/avgPrice"): Route(SPOT, self.average, flat(2))}
        for market in MARKETS:
            key, spot = PREFIXES[market], market == SPOT
            table["GET", f"{key}/trades"] = Route(market, self.newest, flat(25 if spot else 5))
            table["GET", f"{key}/historicalTrades"] = Route(
                market, self.older, flat(25 if spot else 20), Security.NONE if spot else Security.KEY
            )
            table["GET", f"{key}/aggTrades"] = Route(market, self.aggregated, flat(4 if spot else 20))
        return table

    async def newest(self, call: Call) -> Any:
        """Tell the newest trades, oldest first."""
        listing = self._listing(call)
        found = self._venue.tape.of(listing).recent(_limit(call))
        return [self._row(listing, trade) for trade in found]

    async def older(self, call: Call) -> Any:
        """Tell trades from an id on; without one, the newest."""
        listing = self._listing(call)
        first, limit, tape = call.number("fromId"), _limit(call), self._venue.tape.of(listing)
        found = tape.recent(limit) if first is None else tape.from_id(first, limit)
        return [self._row(listing, trade) for trade in found]

    async def aggregated(self, call: Call) -> Any:
        """Tell trades as aggregates: here, each is one of its own."""
        listing = self._listing(call)
        first, limit, tape = call.number("fromId"), _limit(call), self._venue.tape.of(listing)
        start, end = call.number("startTime"), call.number("endTime")
        if first is not None and (start is not None or end is not None):
            raise BinanceError(400, -1128, "Combination of optional parameters invalid.")
        if first is not None:
            found = tape.from_id(first, limit)
        elif start is not None or end is not None:
            last_ns = call.now_ns if end is None else self._venue.engine_ns(end)
            first_ns = last_ns - 60 * MINUTE_NS if start is None else self._venue.engine_ns(start)
            found = tape.between(first_ns, last_ns, limit)
        else:
            found = tape.recent(limit)
        return [self._aggregate(listing, trade) for trade in found]

    async def average(self, call: Call) -> Any:
        """Tell the average price of the last minutes, weighed by volume."""
        listing = self._listing(call)
        price, closed_ms = self.average_price(listing, call.now_ns)
        return {"mins": AVERAGE_MINUTES, "price": price, "closeTime": closed_ms}

    def average_price(self, listing: Listing, now_ns: int) -> tuple[str, int]:
        """Return the average price of the last minutes, and when the last trade in it was."""
        last = self._venue.tape.of(listing).last()
        _, window = self._venue.candles.window(listing, now_ns - AVERAGE_MINUTES * MINUTE_NS, now_ns)
        price = window.value / window.volume if window.volume else last.price
        return eight(price), self._venue.shown_ms(last.time_ns)

    def _listing(self, call: Call) -> Listing:
        return self._venue.listing(call.market, call.need("symbol"))

    def _row(self, listing: Listing, trade: Trade) -> dict[str, Any]:
        value = value_text(listing, listing.settlement_value(trade.price, trade.quantity))
        row: dict[str, Any] = {
            "id": trade.id,
            "price": price_text(listing, trade.price),
            "qty": size_text(listing, trade.quantity),
            "baseQty" if listing.market == COINM else "quoteQty": value,
            "time": self._venue.shown_ms(trade.time_ns),
            "isBuyerMaker": trade.buyer_is_maker,
        }
        return {**row, "isBestMatch": True} if listing.market == SPOT else row

    def _aggregate(self, listing: Listing, trade: Trade) -> dict[str, Any]:
        row: dict[str, Any] = {
            "a": trade.id,
            "p": price_text(listing, trade.price),
            "q": size_text(listing, trade.quantity),
            "f": trade.id,
            "l": trade.id,
            "T": self._venue.shown_ms(trade.time_ns),
            "m": trade.buyer_is_maker,
        }
        return {**row, "M": True} if listing.market == SPOT else row


def _limit(call: Call) -> int:
    return min(call.number("limit") or PAGE, PAGE_MAX)

"""Public routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from services.simulators.binance.call import Call, Route, by_limit, by_symbol, flat
from services.simulators.binance.day_ticker import day_of, day_row
from services.simulators.binance.errors import BinanceError, invalid_symbol
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.exchange_info import exchange_info
from services.simulators.binance.funding_rate import INTEREST, funding_rate, next_funding_ns
from services.simulators.binance.listings import COINM, MARKETS, PREFIXES, SPOT, USDM
from services.simulators.binance.spelling import eight, price_text, size_text
from services.simulators.venue.listing import Listing


class MarketData:
    """Answers what needs no key."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        table: dict[tuple[str, str], Route] = {}
        for market in MARKETS:
            prefix, spot = PREFIXES[market], market == SPOT
            book_weight = by_symbol(2, 4 if spot else 5)
            for path, handler, weight in (
                ("ping", self.ping, flat(1)),
                ("time", self.time, flat(1)),
                ("exchangeInfo", self.exchange_info, flat(20 if spot else 1)),
                ("ticker/bookTicker", self.book_ticker, book_weight),
                ("ticker/price", self.ticker_price, by_symbol(2, 4) if spot else by_symbol(1, 2)),
                ("ticker/24hr", self.ticker_day, by_symbol(2, 80) if spot else by_symbol(1, 40)),
                (
                    "depth",
                    self.depth,
                    by_limit((100, 5), (500, 25), (1000, 50), (1 << 30, 250), default=100)
                    if spot
                    else by_limit((50, 2), (100, 5), (500, 10), (1000, 20)),
                ),
            ):
                table["GET", f"{prefix}/{path}"] = Route(market, handler, weight)
            if not spot:
                table["GET", f"{prefix}/premiumIndex"] = Route(market, self.premium_index, by_symbol(1, 10))
        table["GET", "/fapi/v2/ticker/price"] = Route(USDM, self.ticker_price, by_symbol(1, 2))
        return table

    async def ping(self, call: Call) -> Any:
        """Say nothing."""
        return {}

    async def time(self, call: Call) -> Any:
        """Tell the time."""
        return {"serverTime": self._venue.shown_ms(call.now_ns)}

    async def exchange_info(self, call: Call) -> Any:
        """List instruments and rules."""
        wanted = _symbols(call)
        known = self._venue.listings(call.market)
        for symbol in wanted or ():
            if symbol not in known:
                raise invalid_symbol()
        chosen = [listing for symbol, listing in known.items() if wanted is None or symbol in wanted]
        return exchange_info(call.market, chosen, self._venue.shown_ms(call.now_ns), self._venue.limits.options)

    async def book_ticker(self, call: Call) -> Any:
        """Tell best bid and ask."""
        return self._each(call, lambda listing: self._book_row(listing, call.now_ns))

    async def ticker_price(self, call: Call) -> Any:
        """Tell the last price."""
        return self._each(call, lambda listing: self._price_row(listing, call.now_ns))

    async def ticker_day(self, call: Call) -> Any:
        """Tell the day's figures."""
        return self._each(call, lambda listing: self._day_row(listing, call.now_ns))

    async def premium_index(self, call: Call) -> Any:
        """Tell the mark price."""
        return self._each(call, lambda listing: self._mark_row(listing, call.now_ns))

    async def depth(self, call: Call) -> Any:
        """Tell the book."""
        listing = self._venue.listing(call.market, call.need("symbol"))
        limit = call.number("limit") or 100
        book = self._venue.liquidity.book(listing)
        answer: dict[str, Any] = {
            "lastUpdateId": self._venue.liquidity.update_id(listing),
            "bids": [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in book.bids[:limit]],
            "asks": [[price_text(listing, one.price), size_text(listing, one.quantity)] for one in book.asks[:limit]],
        }
        if call.market != SPOT:
            now_ms = self._venue.shown_ms(call.now_ns)
            answer |= {"E": now_ms, "T": now_ms}
        if call.market == COINM:
            answer |= {"symbol": listing.symbol, "pair": listing.base + listing.quote}
        return answer

    def _each(self, call: Call, row: Callable[[Listing], Any]) -> Any:
        symbol = call.get("symbol")
        if symbol is not None:
            only = row(self._venue.listing(call.market, symbol))
            # COIN-M answers with a list even for one symbol, except where a symbol is mandatory.
            return [only] if call.market == COINM else only
        wanted = _symbols(call)
        pair = call.get("pair")
        known = self._venue.listings(call.market)
        if wanted is not None and any(one not in known for one in wanted):
            raise invalid_symbol()
        return [
            row(listing)
            for name, listing in known.items()
            if (wanted is None or name in wanted) and pair in (None, listing.base + listing.quote)
        ]

    def _book_row(self, listing: Listing, now_ns: int) -> Any:
        book = self._venue.liquidity.book(listing)
        row: dict[str, Any] = {
            "symbol": listing.symbol,
            "bidPrice": price_text(listing, book.bids[0].price if book.bids else Decimal(0)),
            "bidQty": size_text(listing, book.bids[0].quantity if book.bids else Decimal(0)),
            "askPrice": price_text(listing, book.asks[0].price if book.asks else Decimal(0)),
            "askQty": size_text(listing, book.asks[0].quantity if book.asks else Decimal(0)),
        }
        if listing.market == COINM:
            row["pair"] = listing.base + listing.quote
        if listing.market != SPOT:
            row |= {
                "time": self._venue.shown_ms(now_ns),
                "lastUpdateId": self._venue.liquidity.update_id(listing),
            }
        return row

    def _price_row(self, listing: Listing, now_ns: int) -> Any:
        row: dict[str, Any] = {
            "symbol": listing.symbol,
            "price": price_text(listing, self._venue.tape.of(listing).last().price),
        }
        if listing.market == COINM:
            row["ps"] = listing.base + listing.quote
        if listing.market != SPOT:
            row["time"] = self._venue.shown_ms(now_ns)
        return row

    def _day_row(self, listing: Listing, now_ns: int) -> Any:
        book = self._book_row(listing, now_ns)
        best = {name: book[name] for name in ("bidPrice", "bidQty", "askPrice", "askQty")}
        day = day_of(listing, self._venue, now_ns)
        return day_row(listing, day, best, self._venue.shown_ms(now_ns))

    def _mark_row(self, listing: Listing, now_ns: int) -> Any:
        mark = f"{self._venue.liquidity.mark(listing):.8f}"
        now_ms = self._venue.shown_ms(now_ns)
        return {
            "symbol": listing.symbol,
            "pair": listing.base + listing.quote,
            "markPrice": mark,
            "indexPrice": f"{Decimal(self._venue.walk.price(listing.base)):.8f}",
            "estimatedSettlePrice": mark,
            "lastFundingRate": "" if listing.expiry_ns else eight(funding_rate(listing)),
            "interestRate": "" if listing.expiry_ns else eight(INTEREST),
            "nextFundingTime": 0 if listing.expiry_ns else self._venue.shown_ms(next_funding_ns(now_ns)),
            "time": now_ms,
        }


def _symbols(call: Call) -> Sequence[str] | None:
    """Return the wanted symbols of spot's `symbol` and `symbols`; None is all."""
    one, many = call.get("symbol"), call.get("symbols")
    if one is not None and many is not None:
        raise BinanceError(400, -1128, "Combination of optional parameters invalid.")
    if one is not None:
        return [one]
    if many is None:
        return None
    return [part.strip().strip('"') for part in many.strip("[]").split(",") if part.strip()]

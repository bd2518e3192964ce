"""Routes that need no key. Only the limit of the address counts for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.simulators.bybit.books import Books, level_rows
from services.simulators.bybit.call import Call, Reply, Route
from services.simulators.bybit.errors import parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.instrument_rows import LEVERAGE_MAX, instrument_row
from services.simulators.bybit.listings import INVERSE, LINEAR, SPOT
from services.simulators.bybit.price_limits import index_price
from services.simulators.bybit.render import public_trade_id
from services.simulators.bybit.spelling import price_text, size_text
from services.simulators.bybit.tickers import FUNDING_MS, FUNDING_RATE, open_interest, ticker_row
from services.simulators.venue.listing import Kind, Listing

PAGE: Final = 500
PAGE_MAX: Final = 1000
BOOK_MAX: Final = 1000
TRADES: Final = 500
TRADES_MAX: Final = 1000
TRADES_SPOT: Final = 60
FUNDINGS_MAX: Final = 200
OPEN_INTERESTS: Final = {
    "5min": 300_000,
    "15min": 900_000,
    "30min": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
"""Steps of its history, in milliseconds."""
CONTRACTS: Final = frozenset({LINEAR, INVERSE})


class MarketRoutes:
    """Instruments, prices, books."""

    def __init__(self, venue: BybitExchange, books: Books) -> None:
        self._venue = venue
        self._books = books

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        market = "/v5/market"
        return {
            ("GET", f"{market}/time"): Route(self.time),
            ("GET", f"{market}/instruments-info"): Route(self.instruments),
            ("GET", f"{market}/tickers"): Route(self.tickers),
            ("GET", f"{market}/orderbook"): Route(self.book),
            ("GET", f"{market}/price-limit"): Route(self.price_limit),
            ("GET", f"{market}/recent-trade"): Route(self.trades),
            ("GET", f"{market}/funding/history"): Route(self.funding),
            ("GET", f"{market}/open-interest"): Route(self.open_interest),
            ("GET", f"{market}/risk-limit"): Route(self.risk_limits),
            ("GET", "/v5/system/status"): Route(self.status),
        }

    async def time(self, call: Call) -> Any:
        """Tell the exchange's clock."""
        now_ns = self._venue.exchange_ns()
        return {"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)}

    async def instruments(self, call: Call) -> Any:
        """List instruments: of contracts a page, of spot everything. A base coin brings every contract in it."""
        venue, category = self._venue, call.category
        symbol, base, status = call.get("symbol"), call.get("baseCoin"), call.get("status")
        spot = category == SPOT
        listings = [
            one
            for (market, name), one in venue.listings.items()
            if (market == category or (base is not None and {market, category} <= CONTRACTS))
            and symbol in (None, name)
            and (spot or base in (None, one.base))
            and status in (None, "Trading")
        ]
        if status == "Closed":
            listings = [
                one for (market, name), one in venue.closed.items() if market == category and symbol in (None, name)
            ]
        if spot:
            return {"category": category, "list": [instrument_row(one, venue.terms(one)) for one in listings]}
        limit, start = call.number("limit", PAGE, most=PAGE_MAX), 0
        cursor = call.get("cursor")
        if cursor is not None:
            names = [f"first={one.symbol}&last={one.symbol}" for one in listings]
            if cursor not in names:
                raise parameter("params error: cursor invalid")
            start = names.index(cursor) + 1
        page = listings[start : start + limit]
        last = page[-1].symbol if page and start + limit < len(listings) else ""
        return {
            "category": category,
            "list": [instrument_row(one, venue.terms(one), status=status or "Trading") for one in page],
            "nextPageCursor": f"first%3D{last}%26last%3D{last}" if last else "",
        }

    async def tickers(self, call: Call) -> Any:
        """Tell last prices and best quotes."""
        venue, category = self._venue, call.category
        symbol, base = call.get("symbol"), call.get("baseCoin")
        if symbol is not None:
            venue.listing(category, symbol)
        rows = [
            ticker_row(one, venue, call.now_ns)
            for (market, name), one in venue.listings.items()
            if market == category and symbol in (None, name) and base in (None, one.base)
        ]
        return {"category": category, "list": rows}

    async def book(self, call: Call) -> Any:
        """Tell a book."""
        listing = self._listing(call)
        limit = call.number("limit", 1 if listing.market == SPOT else 25, most=BOOK_MAX)
        state, now_ms = self._books.state(listing), self._venue.shown_ms(call.now_ns)
        return {
            "s": listing.symbol,
            "b": level_rows(listing, state.book.bids, limit),
            "a": level_rows(listing, state.book.asks, limit),
            "ts": now_ms,
            "u": state.number,
            "seq": state.sequence,
            "cts": now_ms,
        }

    async def price_limit(self, call: Call) -> Any:
        """Tell the band of prices."""
        category = call.get("category") or "linear"
        listing = self._venue.listing(category, call.get("symbol"))
        highest, lowest = self._venue.price_limits(listing)
        return Reply(
            {
                "symbol": listing.symbol,
                "buyLmt": price_text(listing, highest),
                "sellLmt": price_text(listing, lowest),
                "ts": str(self._venue.shown_ms(call.now_ns)),
            },
            message="",
        )

    async def trades(self, call: Call) -> Any:
        """Tell the newest trades, newest first."""
        listing = self._listing(call)
        spot = listing.market == SPOT
        limit = call.number("limit", TRADES_SPOT if spot else TRADES, most=TRADES_SPOT if spot else TRADES_MAX)
        own = {} if spot else {"mP": price_text(listing, self._venue.liquidity.mark(listing))}
        own |= {} if spot else {"iP": str(index_price(listing, self._venue.walk))}
        sequence = str(self._books.state(listing).sequence)
        rows = [
            {
                "execId": public_trade_id(listing, one.id),
                "symbol": listing.symbol,
                "price": price_text(listing, one.price),
                "size": size_text(listing, one.quantity),
                "side": "Sell" if one.buyer_is_maker else "Buy",
                "time": str(self._venue.shown_ms(one.time_ns)),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": sequence,
                **own,
            }
            for one in reversed(self._venue.tape.of(listing).recent(limit))
        ]
        return {"category": listing.market, "list": rows}

    async def funding(self, call: Call) -> Any:
        """Tell the funding of a perpetual: every eight hours the same."""
        listing = self._listing(call)
        if listing.kind is not Kind.PERPETUAL:
            raise parameter("params error: symbol invalid")
        limit, start_ms = call.number("limit", FUNDINGS_MAX, most=FUNDINGS_MAX), call.time_ms("startTime")
        end_ms = min(self._venue.shown_ms(call.now_ns), call.number("endTime", 1 << 62, least=0))
        if start_ms is not None and call.get("endTime") is None:
            raise parameter("params error: startTime is given without endTime")
        times = (end_ms // FUNDING_MS * FUNDING_MS - FUNDING_MS * number for number in range(limit))
        rows = [
            {"symbol": listing.symbol, "fundingRate": FUNDING_RATE, "fundingRateTimestamp": str(time)}
            for time in times
            if time >= (start_ms or 0)
        ]
        return {"category": listing.market, "list": rows}

    async def open_interest(self, call: Call) -> Any:
        """Tell what is open on a contract: always the same."""
        listing = self._listing(call)
        every_ms = OPEN_INTERESTS.get(call.get("intervalTime") or "")
        if every_ms is None or listing.market == SPOT:
            raise parameter("params error: intervalTime invalid")
        newest_ms = self._venue.shown_ms(call.now_ns) // every_ms * every_ms
        interest = size_text(listing, open_interest(listing))
        rows = [
            {"openInterest": interest, "timestamp": str(newest_ms - every_ms * number)}
            for number in range(call.number("limit", 50, most=200))
        ]
        return {"symbol": listing.symbol, "category": listing.market, "list": rows, "nextPageCursor": ""}

    async def risk_limits(self, call: Call) -> Any:
        """Tell the tiers of contracts: one each."""
        category, symbol = call.category, call.get("symbol")
        if symbol is not None:
            self._venue.listing(category, symbol)
        rows = [
            {
                "id": 1,
                "symbol": one.symbol,
                "riskLimitValue": "2000000",
                "maintenanceMargin": "0.005",
                "initialMargin": "0.01",
                "isLowestRisk": 1,
                "maxLeverage": f"{LEVERAGE_MAX}.00",
                "mmDeduction": "",
            }
            for (market, name), one in self._venue.listings.items()
            if market == category and market != SPOT and symbol in (None, name)
        ]
        return {"category": category, "list": rows, "nextPageCursor": ""}

    async def status(self, call: Call) -> Any:
        """Tell announced incidents."""
        return Reply({"list": self._venue.incidents}, message="")

    def _listing(self, call: Call) -> Listing:
        return self._venue.listing(call.category, call.get("symbol"))

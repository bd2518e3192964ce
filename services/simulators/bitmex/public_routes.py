"""Routes that need no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.simulators.bitmex.call import Call, Route
from services.simulators.bitmex.errors import invalid
from services.simulators.bitmex.exchange import BitmexExchange
from services.simulators.bitmex.listings import SCALES
from services.simulators.bitmex.render import asset_name, instrument_row, iso, level_rows, quote_row
from services.simulators.bitmex.tables import page, project, selected
from services.simulators.venue.listing import Listing


class PublicRoutes:
    """Instruments, quotes, books."""

    def __init__(self, venue: BitmexExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", "/api/v1"): Route(self.root),
            ("GET", "/api/v1/instrument"): Route(self.instruments),
            ("GET", "/api/v1/instrument/active"): Route(self.active),
            ("GET", "/api/v1/quote"): Route(self.quotes),
            ("GET", "/api/v1/orderBook/L2"): Route(self.book),
            ("GET", "/api/v1/trade"): Route(self.trades),
            ("GET", "/api/v1/wallet/assets"): Route(self.assets),
        }

    async def root(self, call: Call) -> Any:
        """Introduce itself."""
        return {"name": "BitMEX API", "version": "2.0.0", "timestamp": self._venue.shown_ms(call.now_ns)}

    async def instruments(self, call: Call) -> Any:
        """List instruments, one page; indices and settled contracts among them."""
        rows = [*self.rows(call.now_ns), *self._closed_rows(call.now_ns)]
        return self._answer(call, rows)

    async def active(self, call: Call) -> Any:
        """List what is open."""
        return self.rows(call.now_ns)

    async def quotes(self, call: Call) -> Any:
        """Tell quotes; the history that is kept is the present."""
        now_ms = self._venue.shown_ms(call.now_ns)
        rows = [
            quote_row(listing, self._venue.liquidity.book(listing), now_ms) for listing in self._venue.listings.values()
        ]
        return self._answer(call, rows)

    async def book(self, call: Call) -> Any:
        """Tell a book."""
        listing = self._listing(call.get("symbol"))
        depth = call.number("depth", 25) or 1000
        return level_rows(listing, self._venue.liquidity.book(listing), depth, self._venue.shown_ms(call.now_ns))

    async def trades(self, call: Call) -> Any:
        """Tell the last trade of each instrument."""
        rows = [self.trade_row(listing, call.now_ns) for listing in self._venue.listings.values()]
        return self._answer(call, rows)

    async def assets(self, call: Call) -> Any:
        """List currencies."""
        return [
            {
                "asset": name,
                "currency": unit,
                "majorCurrency": name,
                "name": name,
                "currencyType": "Crypto",
                "scale": scale,
                "enabled": True,
                "isMarginCurrency": name in ("XBT", "USDT"),
                "minDepositAmount": 10000,
                "minWithdrawalAmount": 10000,
                "maxWithdrawalAmount": 100000000000000,
                "memoRequired": False,
                "networks": [],
            }
            for name, unit, scale in SCALES.values()
        ]

    def rows(self, now_ns: int) -> list[dict[str, Any]]:
        """Return the rows of everything open."""
        return [self.instrument(listing, now_ns) for listing in self._venue.listings.values()]

    def instrument(self, listing: Listing, now_ns: int) -> dict[str, Any]:
        """Return one row."""
        venue = self._venue
        return instrument_row(
            listing,
            venue.terms[listing.symbol],
            venue.liquidity.book(listing),
            venue.liquidity.mark(listing),
            venue.liquidity.last_price(listing),
            venue.shown_ms(now_ns),
            closed=listing.symbol in venue.closed,
        )

    def trade_row(self, listing: Listing, now_ns: int) -> dict[str, Any]:
        """Return the trade of this step."""
        step = self._venue.walk.step
        return {
            "timestamp": iso(self._venue.shown_ms(now_ns)),
            "symbol": listing.symbol,
            "side": "Sell" if step % 2 == 0 else "Buy",
            "size": listing.lot,
            "price": self._venue.liquidity.last_price(listing),
            "tickDirection": "PlusTick",
            "trdMatchID": f"00000000-006d-1000-0000-{step:012x}",
            "grossValue": 1000,
            "homeNotional": 1,
            "foreignNotional": 1,
            "trdType": "Regular",
        }

    def _closed_rows(self, now_ns: int) -> list[dict[str, Any]]:
        now_ms = self._venue.shown_ms(now_ns)
        indices = [
            {
                "symbol": f".B{asset_name(asset)}",
                "rootSymbol": asset_name(asset),
                "state": "Unlisted",
                "typ": "MRCXXX",
                "underlying": asset_name(asset),
                "quoteCurrency": "USD",
                "lotSize": 1,
                "tickSize": 0.01,
                "multiplier": 1,
                "settlCurrency": "",
                "isQuanto": False,
                "isInverse": False,
                "lastPrice": round(self._venue.walk.price(asset), 2),
                "markPrice": round(self._venue.walk.price(asset), 2),
                "timestamp": iso(now_ms),
            }
            for asset in ("BTC", "ETH", "SOL")
        ]
        old = {**self.instrument(self._venue.listed("XBTUSD"), now_ns)}
        old |= {
            "symbol": "XBTM21",
            "state": "Settled",
            "typ": "FFCCSX",
            "expiry": "2021-06-25T12:00:00.000Z",
            "settle": "2021-06-25T12:00:00.000Z",
            "bidPrice": None,
            "askPrice": None,
        }
        return [*indices, old, *(self.instrument(listing, now_ns) for listing in self._venue.closed.values())]

    def _listing(self, symbol: str | None) -> Listing:
        if symbol is None:
            raise invalid("'symbol' is a required arg.")
        found = self._venue.listings.get(symbol)
        if found is None:
            raise invalid("'symbol' is invalid")
        return found

    def _answer(self, call: Call, rows: list[dict[str, Any]]) -> Any:
        symbol = call.get("symbol")
        if symbol is not None:
            # A root such as XBT means its perpetual.
            names = {symbol, f"{symbol}USD"} if len(symbol) == 3 else {symbol}
            rows = [row for row in rows if row["symbol"] in names]
        return project(call, page(call, selected(call, rows)))

"""Spot's tickers of a window that is asked for, and of the trading day: made of the same minutes as candles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from services.simulators.binance.call import Call, Route
from services.simulators.binance.errors import BinanceError, missing
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import SPOT
from services.simulators.binance.spelling import eight
from services.simulators.venue.intervals import DAY_NS, MINUTE_NS
from services.simulators.venue.listing import Listing

_SIZE: Final = re.compile(r"(?P<count>\d{1,2})(?P<unit>[mhd])")
_UNITS: Final = {"m": (MINUTE_NS, 59), "h": (60 * MINUTE_NS, 23), "d": (DAY_NS, 7)}
"""Length, and the most that may be asked for."""


class WindowTickers:
    """The routes."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        return {
            ("GET", "/api/v3/ticker"): Route(SPOT, self.window, _weight),
            ("GET", "/api/v3/ticker/tradingDay"): Route(SPOT, self.trading_day, _weight),
        }

    async def window(self, call: Call) -> Any:
        """Tell the figures of the last minutes, hours or days; the window begins with a minute."""
        found = _SIZE.fullmatch(call.get("windowSize") or "1d")
        if found is None:
            raise missing("windowSize")
        length_ns, most = _UNITS[found["unit"]]
        count = int(found["count"])
        if not 1 <= count <= most:
            raise missing("windowSize")
        return self._told(call, call.now_ns - count * length_ns)

    async def trading_day(self, call: Call) -> Any:
        """Tell the figures of the day in UTC."""
        return self._told(call, call.now_ns // DAY_NS * DAY_NS)

    def _told(self, call: Call, first_ns: int) -> Any:
        one = call.get("symbol")
        if one is not None:
            return self._row(self._venue.listing(SPOT, one), first_ns, call)
        names = [part.strip().strip('"') for part in call.need("symbols").strip("[]").split(",") if part.strip()]
        return [self._row(self._venue.listing(SPOT, name), first_ns, call) for name in names]

    def _row(self, listing: Listing, first_ns: int, call: Call) -> dict[str, Any]:
        kind = call.get("type") or "FULL"
        if kind not in ("FULL", "MINI"):
            raise BinanceError(400, -1130, "Data sent for parameter 'type' is not valid.")
        # The window holds the whole minute that its beginning lies in.
        first_ns = first_ns // MINUTE_NS * MINUTE_NS
        _, window = self._venue.candles.window(listing, first_ns - 1, call.now_ns)
        mini = {
            "symbol": listing.symbol,
            "openPrice": eight(window.open),
            "highPrice": eight(window.high),
            "lowPrice": eight(window.low),
            "lastPrice": eight(window.close),
            "volume": eight(window.volume),
            "quoteVolume": eight(window.value),
            "openTime": first_ns // 1_000_000,
            "closeTime": call.now_ns // 1_000_000,
            "firstId": window.first_id,
            "lastId": window.last_id,
            "count": window.count,
        }
        if kind == "MINI":
            return mini
        change = window.close - window.open
        average = window.value / window.volume if window.volume else window.close
        return {
            **mini,
            "priceChange": eight(change),
            "priceChangePercent": f"{change / window.open * 100:.3f}",
            "weightedAvgPrice": eight(average),
        }


def _weight(parameters: Mapping[str, str]) -> int:
    names = parameters.get("symbols", "")
    return min(200, 4 * max(1, names.count(",") + 1))

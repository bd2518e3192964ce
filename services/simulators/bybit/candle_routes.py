"""Candles over REST and as the topic's rows: of trades, of the mark price and of the index price; newest first, as the exchange has them.

Their times are those of the simulator's own clock: a planned skew of the exchange's clock leaves them on whole minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from services.simulators.bybit.call import Call, Route
from services.simulators.bybit.errors import parameter
from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.listings import INDEX, LINEAR, MARK, SPOT, priced
from services.simulators.bybit.spelling import plain, price_text, size_text
from services.simulators.venue.candles import Candle
from services.simulators.venue.intervals import DAY_NS, MINUTE_NS, Interval
from services.simulators.venue.listing import Listing

INTERVALS: Final[Mapping[str, Interval]] = {
    **{str(minutes): Interval(minutes * MINUTE_NS) for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": Interval(DAY_NS),
    "W": Interval(7 * DAY_NS),
    "M": Interval(months=1),
}
PAGE: Final = 200
PAGE_MAX: Final = 1000


class CandleRoutes:
    """Answers what asks for candles."""

    def __init__(self, venue: BybitExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        market = "/v5/market"
        return {
            ("GET", f"{market}/kline"): Route(self.klines),
            ("GET", f"{market}/mark-price-kline"): Route(self.marks),
            ("GET", f"{market}/index-price-kline"): Route(self.index),
        }

    async def klines(self, call: Call) -> Any:
        """Tell the candles of a symbol."""
        listing = self._listing(call)
        rows = [
            [*_prices(listing, one), size_text(listing, one.volume), plain(one.value)]
            for one in self._asked(call, listing)
        ]
        return self._answer(listing, rows)

    async def marks(self, call: Call) -> Any:
        """Tell the candles of a contract's mark price."""
        return self._of_price(call, MARK)

    async def index(self, call: Call) -> Any:
        """Tell the candles of a contract's index price."""
        return self._of_price(call, INDEX)

    def _of_price(self, call: Call, kind: str) -> Any:
        listing = self._listing(call)
        if listing.market == SPOT:
            raise parameter("params error: Category is invalid")
        return self._answer(listing, [_prices(listing, one) for one in self._asked(call, priced(listing, kind))])

    def _listing(self, call: Call) -> Listing:
        return self._venue.listing(call.get("category") or LINEAR, call.get("symbol"))

    def _answer(self, listing: Listing, rows: list[list[str]]) -> Any:
        return {"symbol": listing.symbol, "category": listing.market, "list": rows[::-1]}

    def _asked(self, call: Call, listing: Listing) -> list[Candle]:
        """Return the candles that a call asks for: the newest of those that open from `start` to `end`."""
        interval = INTERVALS.get(call.get("interval") or "")
        if interval is None:
            raise parameter("params error: interval invalid")
        limit = call.number("limit", PAGE, most=PAGE_MAX)
        start, end = call.time_ms("start"), call.time_ms("end")
        last = interval.opening(call.now_ns if end is None else min(call.now_ns, end * 1_000_000))
        first = max(0, interval.moved(last, 1 - limit))
        if start is not None:
            opening = interval.opening(min(start * 1_000_000, call.now_ns))
            opening = opening if opening >= start * 1_000_000 else interval.moved(opening, 1)
            if end is None:
                last = min(last, interval.moved(opening, limit - 1))
                first = opening
            first = max(first, opening)
        return self._venue.candles.candles(listing, interval, first, last) if first <= last else []


def kline_row(listing: Listing, interval: str, candle: Candle, now_ms: int, *, closed: bool) -> dict[str, Any]:
    """Return a candle as the topic has it."""
    start, opened, high, low, close = _prices(listing, candle)
    return {
        "start": int(start),
        "end": candle.end_ns // 1_000_000 - 1,
        "interval": interval,
        "open": opened,
        "close": close,
        "high": high,
        "low": low,
        "volume": size_text(listing, candle.volume),
        "turnover": plain(candle.value),
        "confirm": closed,
        "timestamp": now_ms,
    }


def _prices(listing: Listing, candle: Candle) -> list[str]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return [str(candle.open_ns // 1_000_000), *(price_text(listing, price) for price in prices)]

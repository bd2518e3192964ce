"""Candles over REST and as streams' messages: of trades, of the mark price and of the index price.

Their times are those of the simulator's own clock: a planned skew of the exchange's clock leaves them on whole minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from services.simulators.binance.call import Call, Route, by_limit, flat
from services.simulators.binance.errors import BinanceError, invalid_symbol
from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.exchange_info import contract_type
from services.simulators.binance.listings import COINM, MARKETS, PREFIXES, SPOT
from services.simulators.binance.spelling import eight, plain, price_text, size_text
from services.simulators.venue.candles import Candle
from services.simulators.venue.intervals import DAY_NS, MINUTE_NS, SECOND_NS, Interval
from services.simulators.venue.listing import Listing

HOUR_NS: Final = 60 * MINUTE_NS
INTERVALS: Final[Mapping[str, Interval]] = {
    "1s": Interval(SECOND_NS),
    **{f"{count}m": Interval(count * MINUTE_NS) for count in (1, 3, 5, 15, 30)},
    **{f"{count}h": Interval(count * HOUR_NS) for count in (1, 2, 4, 6, 8, 12)},
    "1d": Interval(DAY_NS),
    "3d": Interval(3 * DAY_NS),
    "1w": Interval(7 * DAY_NS),
    "1M": Interval(months=1),
}
"""As they are spelled; seconds are spot's alone."""
PAGE: Final = 500
PAGE_MAX: Final = {SPOT: 1000, "futures": 1500}


class Klines:
    """Answers what asks for candles."""

    def __init__(self, venue: BinanceExchange) -> None:
        self._venue = venue

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """Return the table."""
        table: dict[tuple[str, str], Route] = {}
        for market in MARKETS:
            key = PREFIXES[market]
            if market == SPOT:
                for name in ("klines", "uiKlines"):
                    table["GET", f"{key}/{name}"] = Route(market, self.klines, flat(2))
                continue
            weight = by_limit((99, 1), (499, 2), (1000, 5), (1 << 30, 10))
            table["GET", f"{key}/klines"] = Route(market, self.klines, weight)
            table["GET", f"{key}/continuousKlines"] = Route(market, self.continuous, weight)
            table["GET", f"{key}/markPriceKlines"] = Route(market, self.marks, weight)
            table["GET", f"{key}/indexPriceKlines"] = Route(market, self.index, weight)
        return table

    async def klines(self, call: Call) -> Any:
        """Tell the candles of a symbol."""
        listing = self._venue.listing(call.market, call.need("symbol"))
        return [kline_row(listing, one) for one in self._asked(call, listing)]

    async def continuous(self, call: Call) -> Any:
        """Tell the candles of whatever contract of a pair is of that type now."""
        pair, wanted = call.need("pair"), call.need("contractType")
        known = list(self._venue.listings(call.market).values())
        own = [one for one in known if one.base + one.quote == pair and contract_type(one, known) == wanted]
        if not own:
            raise invalid_symbol()
        return [kline_row(own[0], one) for one in self._asked(call, own[0])]

    async def marks(self, call: Call) -> Any:
        """Tell the candles of a symbol's mark price."""
        listing = self._venue.listing(call.market, call.need("symbol"))
        return [_price_row(one) for one in self._asked(call, self._venue.mark_of(listing))]

    async def index(self, call: Call) -> Any:
        """Tell the candles of a pair's index price."""
        pair = call.need("pair")
        own = [one for one in self._venue.listings(call.market).values() if one.base + one.quote == pair]
        if not own:
            raise invalid_symbol()
        return [_price_row(one) for one in self._asked(call, self._venue.index_of(own[0]))]

    def _asked(self, call: Call, listing: Listing) -> list[Candle]:
        """Return the candles that a call asks for: the newest, or from `startTime` on."""
        name = call.need("interval")
        interval = INTERVALS.get(name)
        if interval is None or (name == "1s" and call.market != SPOT):
            raise BinanceError(400, -1120, "Invalid interval.")
        largest = PAGE_MAX.get(call.market, PAGE_MAX["futures"])
        limit = min(call.number("limit") or PAGE, largest)
        start, end = call.number("startTime"), call.number("endTime")
        last = interval.opening(call.now_ns if end is None else min(call.now_ns, end * 1_000_000))
        if start is None:
            first = max(0, interval.moved(last, 1 - limit))
        else:
            first = interval.opening(min(start, call.now_ns // 1_000_000) * 1_000_000)
            first = first if first >= start * 1_000_000 else interval.moved(first, 1)
            # What is asked for from before the first trade begins with it: so clients find how far back they may ask.
            first = max(first, interval.opening(self._venue.tape.begin_ns))
            last = min(last, interval.moved(first, limit - 1))
        return self._venue.candles.candles(listing, interval, first, last)


def kline_row(listing: Listing, candle: Candle) -> list[Any]:
    """Return a candle as the routes tell it."""
    return [
        candle.open_ns // 1_000_000,
        price_text(listing, candle.open),
        price_text(listing, candle.high),
        price_text(listing, candle.low),
        price_text(listing, candle.close),
        size_text(listing, candle.volume),
        candle.end_ns // 1_000_000 - 1,
        value_text(listing, candle.value),
        candle.count,
        size_text(listing, candle.bought),
        value_text(listing, candle.bought_value),
        "0",
    ]


def kline_event(
    listing: Listing, name: str, candle: Candle, now_ms: int, *, closed: bool, contract: str | None = None
) -> dict[str, Any]:
    """Return a candle as the stream tells it; of a pair and a type of contract where `contract` names them."""
    told: dict[str, Any] = {
        "t": candle.open_ns // 1_000_000,
        "T": candle.end_ns // 1_000_000 - 1,
        "s": listing.symbol,
        "i": name,
        "f": candle.first_id,
        "L": candle.last_id,
        "o": price_text(listing, candle.open),
        "c": price_text(listing, candle.close),
        "h": price_text(listing, candle.high),
        "l": price_text(listing, candle.low),
        "v": size_text(listing, candle.volume),
        "n": candle.count,
        "x": closed,
        "q": value_text(listing, candle.value),
        "V": size_text(listing, candle.bought),
        "Q": value_text(listing, candle.bought_value),
        "B": "0",
    }
    if contract is not None:
        del told["s"]
        pair, _, kind = contract.partition("_")
        return {"e": "continuous_kline", "E": now_ms, "ps": pair, "ct": kind, "k": told}
    event: dict[str, Any] = {"e": "kline", "E": now_ms, "s": listing.symbol}
    if listing.market == COINM:
        event["ps"] = listing.base + listing.quote
    return {**event, "k": told}


def value_text(listing: Listing, value: Decimal) -> str:
    """Spell the value of a volume."""
    return eight(value) if listing.market == SPOT else plain(round(value, 8))


def _price_row(candle: Candle) -> list[Any]:
    """Return a candle of a price that nobody trades at: only times, prices and the number of them mean anything."""
    prices = [eight(one) for one in (candle.open, candle.high, candle.low, candle.close)]
    end_ms = candle.end_ns // 1_000_000 - 1
    return [candle.open_ns // 1_000_000, *prices, "0", end_ms, "0", candle.count, "0", "0", "0"]

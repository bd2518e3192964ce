"""The last 24 hours of a listing, as `ticker/24hr` and the ticker streams tell them: one set of figures, of the trades of the tape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.simulators.binance.exchange import BinanceExchange
from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.spelling import at_tick, eight, plain, price_text, size_text
from services.simulators.venue.candles import Candle
from services.simulators.venue.intervals import DAY_NS
from services.simulators.venue.listing import Listing, Payout
from services.simulators.venue.tape import Trade


@dataclass(frozen=True)
class ListingDay:
    """The figures of one listing; a trade leaves the window with its minute."""

    before: Decimal
    """The last price in front of the window."""
    window: Candle
    last: Trade

    @property
    def change(self) -> Decimal:
        """From the first to the last."""
        return self.last.price - self.window.open

    @property
    def percent(self) -> str:
        """The change as the exchange spells it."""
        return f"{self.change / self.window.open * 100:.3f}"


def day_of(listing: Listing, venue: BinanceExchange, now_ns: int) -> ListingDay:
    """Return a listing's figures."""
    before, window = venue.candles.window(listing, now_ns - DAY_NS, now_ns)
    last = venue.tape.of(listing).last()
    return ListingDay(window.open if before is None else before.close, window, last)


def day_row(listing: Listing, day: ListingDay, best: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return the answer of `ticker/24hr`; spot tells the best bid and ask with it."""
    row: dict[str, Any] = {
        "symbol": listing.symbol,
        "priceChange": price_text(listing, day.change),
        "priceChangePercent": day.percent,
        "weightedAvgPrice": _average(listing, day),
        "lastPrice": price_text(listing, day.last.price),
        "lastQty": size_text(listing, day.last.quantity),
        "openPrice": price_text(listing, day.window.open),
        "highPrice": price_text(listing, day.window.high),
        "lowPrice": price_text(listing, day.window.low),
        "volume": size_text(listing, day.window.volume),
        "openTime": now_ms - DAY_NS // 1_000_000,
        "closeTime": now_ms,
        "firstId": day.window.first_id,
        "lastId": day.window.last_id,
        "count": day.window.count,
    }
    if listing.market == SPOT:
        row |= {"prevClosePrice": price_text(listing, day.before), **best}
    if listing.market == COINM:
        return row | {"pair": listing.base + listing.quote, "baseVolume": _value(listing, day)}
    return row | {"quoteVolume": _value(listing, day)}


def mini_ticker(listing: Listing, day: ListingDay, now_ms: int) -> dict[str, Any]:
    """Return the event of `@miniTicker`."""
    row: dict[str, Any] = {"e": "24hrMiniTicker", "E": now_ms, "s": listing.symbol}
    if listing.market == COINM:
        row["ps"] = listing.base + listing.quote
    return row | {
        "c": price_text(listing, day.last.price),
        "o": price_text(listing, day.window.open),
        "h": price_text(listing, day.window.high),
        "l": price_text(listing, day.window.low),
        "v": size_text(listing, day.window.volume),
        "q": _value(listing, day),
    }


def ticker(listing: Listing, day: ListingDay, best: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return the event of `@ticker`; spot tells the best bid and ask, and the price before the window, with it."""
    row = mini_ticker(listing, day, now_ms) | {"e": "24hrTicker"}
    row |= {
        "p": price_text(listing, day.change),
        "P": day.percent,
        "w": _average(listing, day),
        "Q": size_text(listing, day.last.quantity),
        "O": now_ms - DAY_NS // 1_000_000,
        "C": now_ms,
        "F": day.window.first_id,
        "L": day.window.last_id,
        "n": day.window.count,
    }
    if listing.market == SPOT:
        row |= {"x": price_text(listing, day.before), **{name: best[name] for name in "bBaA"}}
    return row


def _average(listing: Listing, day: ListingDay) -> str:
    window = day.window
    if not window.volume or not window.value:
        average = window.close
    elif listing.payout is Payout.INVERSE:
        average = window.volume * listing.unit / window.value
    else:
        average = window.value / (window.volume * listing.unit)
    return eight(average) if listing.market == SPOT else at_tick(average, listing.tick / 10)


def _value(listing: Listing, day: ListingDay) -> str:
    return eight(day.window.value) if listing.market == SPOT else plain(round(day.window.value, 8))

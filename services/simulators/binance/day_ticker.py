"""The last 24 hours of a listing, as `ticker/24hr` and the ticker streams tell them: one set of figures for both.

What is counted are the trades of `@trade` and `trades`: one per step of the market, of one lot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.simulators.binance.listings import COINM, SPOT
from services.simulators.binance.spelling import at_tick, eight, plain, price_text, size_text
from services.simulators.venue.day import DAY_NS
from services.simulators.venue.liquidity import Liquidity
from services.simulators.venue.listing import Listing
from services.simulators.venue.prices import PriceWalk


@dataclass(frozen=True)
class ListingDay:
    """The figures of one listing."""

    before: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    average: Decimal
    volume: Decimal
    value: Decimal
    """Of the volume: in quote units; in coins where the contract is inverse."""
    first_id: int
    count: int

    @property
    def change(self) -> Decimal:
        """From the first to the last."""
        return self.last - self.open

    @property
    def percent(self) -> str:
        """The change as the exchange spells it."""
        return f"{self.change / self.open * 100 if self.open else Decimal(0):.3f}"


def day_of(listing: Listing, walk: PriceWalk, liquidity: Liquidity) -> ListingDay:
    """Return a listing's figures, from those of its underlying: highs are what the ask was, lows what the bid was."""
    day = walk.day(listing.base)

    def bid(price: float) -> Decimal:
        mark = Decimal(price) * (1 + listing.premium)
        return max(listing.tick, listing.round_down(mark - listing.tick * listing.spread_ticks / 2))

    last = liquidity.last_price(listing)
    average = Decimal(round(day.mean, 12)) * (1 + listing.premium)
    volume = listing.lot * day.count
    return ListingDay(
        before=bid(day.before),
        open=bid(day.open),
        high=max(last, bid(day.high) + listing.tick * listing.spread_ticks),
        low=min(last, bid(day.low)),
        last=last,
        average=average,
        volume=volume,
        value=listing.settlement_value(average, volume),
        first_id=day.first,
        count=day.count,
    )


def day_row(listing: Listing, day: ListingDay, best: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return the answer of `ticker/24hr`; spot tells the best bid and ask with it."""
    row: dict[str, Any] = {
        "symbol": listing.symbol,
        "priceChange": price_text(listing, day.change),
        "priceChangePercent": day.percent,
        "weightedAvgPrice": _average(listing, day),
        "lastPrice": price_text(listing, day.last),
        "lastQty": size_text(listing, listing.lot),
        "openPrice": price_text(listing, day.open),
        "highPrice": price_text(listing, day.high),
        "lowPrice": price_text(listing, day.low),
        "volume": size_text(listing, day.volume),
        "openTime": now_ms - DAY_NS // 1_000_000,
        "closeTime": now_ms,
        "firstId": day.first_id,
        "lastId": day.first_id + day.count - 1,
        "count": day.count,
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
        "c": price_text(listing, day.last),
        "o": price_text(listing, day.open),
        "h": price_text(listing, day.high),
        "l": price_text(listing, day.low),
        "v": size_text(listing, day.volume),
        "q": _value(listing, day),
    }


def ticker(listing: Listing, day: ListingDay, best: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return the event of `@ticker`; spot tells the best bid and ask, and the price before the window, with it."""
    row = mini_ticker(listing, day, now_ms) | {"e": "24hrTicker"}
    row |= {
        "p": price_text(listing, day.change),
        "P": day.percent,
        "w": _average(listing, day),
        "Q": size_text(listing, listing.lot),
        "O": now_ms - DAY_NS // 1_000_000,
        "C": now_ms,
        "F": day.first_id,
        "L": day.first_id + day.count - 1,
        "n": day.count,
    }
    if listing.market == SPOT:
        row |= {"x": price_text(listing, day.before), **{name: best[name] for name in "bBaA"}}
    return row


def _average(listing: Listing, day: ListingDay) -> str:
    return eight(day.average) if listing.market == SPOT else at_tick(day.average, listing.tick / 10)


def _value(listing: Listing, day: ListingDay) -> str:
    return eight(day.value) if listing.market == SPOT else plain(round(day.value, 8))

"""What `tickers` says of a listing, over REST and on the streams: a name that spot has not, a delta leaves out."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from services.simulators.bybit.exchange import BybitExchange
from services.simulators.bybit.funding import PERIOD_NS, RATE
from services.simulators.bybit.listings import SPOT
from services.simulators.bybit.price_limits import index_price
from services.simulators.bybit.spelling import plain, price_text, size_text
from services.simulators.venue.intervals import DAY_NS, MINUTE_NS
from services.simulators.venue.liquidity import Book
from services.simulators.venue.listing import Kind, Listing
from services.simulators.venue.tape import Trade

HOUR_NS: Final = 60 * MINUTE_NS
FUNDING_MS: Final = PERIOD_NS // 1_000_000
FUNDING_RATE: Final = plain(RATE)
OPEN_INTEREST: Final = Decimal(1000)
"""In levels of the book."""
BEST: Final = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
OF_DATED: Final = ("deliveryTime", "deliveryFeeRate", "predictedDeliveryPrice", "basis", "basisRate", "basisRateYear")
OF_PERPETUALS: Final = ("fundingIntervalHour", "fundingCap", "preOpenPrice", "preQty", "curPreListingPhase")


def ticker_row(listing: Listing, venue: BybitExchange, now_ns: int) -> dict[str, Any]:
    """Return the row that REST has."""
    walk, liquidity, now_ms = venue.walk, venue.liquidity, venue.shown_ms(now_ns)
    row = {"symbol": listing.symbol, **_best(listing, liquidity.book(listing)), **_day(listing, venue, now_ns)}
    if listing.market == SPOT:
        return row | {"usdIndexPrice": plain(index_price(listing, walk))}
    dated = listing.kind is Kind.DELIVERY
    mark, index = liquidity.mark(listing), index_price(listing, walk)
    interest = open_interest(listing)
    return row | {
        "prevPrice1h": _hour_ago(listing, venue, now_ns),
        "markPrice": price_text(listing, mark),
        "indexPrice": plain(index),
        "openInterest": size_text(listing, interest),
        "openInterestValue": plain(listing.settlement_value(mark, interest), 2),
        "fundingRate": "" if dated else FUNDING_RATE,
        "nextFundingTime": "" if dated else str((now_ms // FUNDING_MS + 1) * FUNDING_MS),
        "fundingIntervalHour": "" if dated else "8",
        "fundingCap": "" if dated else "0.00375",
        "predictedDeliveryPrice": "0.00" if dated else "",
        "deliveryTime": str((listing.expiry_ns or 0) // 1_000_000),
        "deliveryFeeRate": "0.0005" if dated else "",
        "basis": plain(mark - index, 2) if dated else "",
        "basisRate": plain((mark - index) / index, 8) if dated else "",
        "basisRateYear": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def streamed_ticker(listing: Listing, venue: BybitExchange, now_ns: int) -> dict[str, Any]:
    """Return the whole row of the topic: without the best bid and ask on spot, with an ISO time where it is delivered."""
    row = ticker_row(listing, venue, now_ns)
    if listing.market == SPOT:
        return _without(row, *BEST)
    own = {"tickDirection": tick_direction(venue.tape.of(listing).last())}
    if listing.expiry_ns is None:
        return _without(row, *OF_DATED) | own
    end = datetime.fromtimestamp(listing.expiry_ns / 1e9, tz=UTC)
    return _without(row, *OF_PERPETUALS) | own | {"deliveryTime": f"{end:%Y-%m-%dT%H:%M:%SZ}"}


def open_interest(listing: Listing) -> Decimal:
    """Return what is open on a contract."""
    return listing.lots(listing.typical_quantity * OPEN_INTEREST)


def tick_direction(trade: Trade) -> str:
    """Say how a trade moved the price: here by its taker's side alone."""
    return "ZeroMinusTick" if trade.buyer_is_maker else "ZeroPlusTick"


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _best(listing: Listing, book: Book) -> dict[str, str]:
    bid, ask = (book.bids[0] if book.bids else None), (book.asks[0] if book.asks else None)
    return {
        "bid1Price": price_text(listing, bid.price) if bid else "",
        "bid1Size": size_text(listing, bid.quantity) if bid else "",
        "ask1Price": price_text(listing, ask.price) if ask else "",
        "ask1Size": size_text(listing, ask.quantity) if ask else "",
    }


def _day(listing: Listing, venue: BybitExchange, now_ns: int) -> dict[str, str]:
    """Return the figures of the last 24 hours."""
    before, window = venue.candles.window(listing, now_ns - DAY_NS, now_ns)
    last, first = venue.tape.of(listing).last().price, window.open if before is None else before.close
    return {
        "lastPrice": price_text(listing, last),
        "prevPrice24h": price_text(listing, first),
        "price24hPcnt": f"{(last - first) / first:.6f}",
        "highPrice24h": price_text(listing, window.high),
        "lowPrice24h": price_text(listing, window.low),
        "turnover24h": plain(window.value),
        "volume24h": plain(window.volume),
    }


def _hour_ago(listing: Listing, venue: BybitExchange, now_ns: int) -> str:
    before, window = venue.candles.window(listing, now_ns - HOUR_NS, now_ns)
    return price_text(listing, window.open if before is None else before.close)

"""Listings of the simulated Bybit: spot, linear and inverse, dated ones computed from now. A symbol is unique only with its category."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import DELIVERY_CODES, Kind, Listing, Payout, quarter_ends

D = Decimal

SPOT: Final = "spot"
LINEAR: Final = "linear"
INVERSE: Final = "inverse"
OPTION: Final = "option"
CATEGORIES: Final = (SPOT, LINEAR, INVERSE, OPTION)
"""Options are asked for by clients that list everything; there are none."""
MARK: Final = "mark"
INDEX: Final = "index"
PURSE: Final = "unified"
DELIVERY_HOUR: Final = 8
PREMIUMS: Final = (D("0.006"), D("0.017"))
"""Of the next two quarters."""
LINEAR_PREMIUM: Final = D("0.0003")
INVERSE_PREMIUM: Final = D("0.0002")
NARROW: Final = (D("0.01"), D("0.02"))
WIDE: Final = (D("0.05"), D("0.1"))


@dataclass(frozen=True)
class Terms:
    """What `instruments-info` says about a listing that the engine does not need."""

    contract_type: str
    quantity_market_max: Decimal
    ratio_x: Decimal = NARROW[0]
    ratio_y: Decimal = NARROW[1]
    """How far a price may be away from index and mark."""


@dataclass(frozen=True)
class _Coin:
    """Steps of one underlying: price and quantity on spot, of perpetuals, of dated contracts."""

    name: str
    spot_tick: str
    spot_lot: str
    tick: str
    lot: str
    dated_tick: str
    most: str
    """The largest limit order of its contracts, in coins."""
    level: str
    """What one level of a book holds, about, in coins."""


COINS: Final = (
    _Coin("BTC", "0.1", "0.000001", "0.10", "0.001", "0.50", "1190", "0.6"),
    _Coin("ETH", "0.01", "0.00001", "0.01", "0.01", "0.05", "7240", "12"),
    _Coin("SOL", "0.01", "0.001", "0.010", "0.1", "0.010", "79770", "250"),
)


def bybit_listings(now_ns: int) -> dict[tuple[str, str], tuple[Listing, Terms]]:
    """Return all listings by category and symbol."""
    return {(listing.market, listing.symbol): (listing, terms) for listing, terms in _all(now_ns)}


def priced(listing: Listing, kind: str) -> Listing:
    """Return what a contract's mark or index price is taped as: a listing without a spread."""
    premium = listing.premium if kind == MARK else Decimal(0)
    return replace(listing, market=f"{listing.market}:{kind}", spread_ticks=0, premium=premium)


def _all(now_ns: int) -> Iterator[tuple[Listing, Terms]]:
    ends = quarter_ends(now_ns, hour=DELIVERY_HOUR)
    for coin in COINS:
        for quote in ("USDT", "USDC"):
            yield _spot(coin, quote)
        yield _linear(coin, f"{coin.name}USDT", "USDT")
        yield _linear(coin, f"{coin.name}PERP", "USDC")
        yield _inverse(coin, f"{coin.name}USD")
        for end, premium in zip(ends, PREMIUMS, strict=True):
            day = f"{end:%d%b%y}".upper()
            yield _linear(coin, f"{coin.name}USDT-{day}", "USDT", end, premium)
            yield _linear(coin, f"{coin.name}-{day}", "USDC", end, premium)
            yield _inverse(coin, f"{coin.name}USD{DELIVERY_CODES[end.month - 1]}{end:%y}", end, premium)


def _spot(coin: _Coin, quote: str) -> tuple[Listing, Terms]:
    lot = D(coin.spot_lot)
    listing = Listing(
        market=SPOT,
        symbol=coin.name + quote,
        kind=Kind.SPOT,
        payout=Payout.SPOT,
        base=coin.name,
        quote=quote,
        settle=quote,
        tick=D(coin.spot_tick),
        lot=lot,
        quantity_min=lot,
        quantity_max=D(coin.most) / 10,
        unit=D(1),
        typical_quantity=D(coin.level),
        notional_min=D(5),
        premium=D(0) if quote == "USDT" else D("0.0001"),
        maker_fee=D("0.001"),
        taker_fee=D("0.001"),
        leverage=D(1),
        purse=PURSE,
    )
    return listing, Terms("", listing.quantity_max / 2)


def _linear(
    coin: _Coin, symbol: str, settle: str, end: datetime | None = None, premium: Decimal = LINEAR_PREMIUM
) -> tuple[Listing, Terms]:
    dated = end is not None
    listing = Listing(
        market=LINEAR,
        symbol=symbol,
        kind=Kind.DELIVERY if dated else Kind.PERPETUAL,
        payout=Payout.LINEAR,
        base=coin.name,
        quote=settle,
        settle=settle,
        tick=D(coin.dated_tick if dated else coin.tick),
        lot=D(coin.lot),
        quantity_min=D(coin.lot),
        quantity_max=D(coin.most),
        unit=D(1),
        typical_quantity=D(coin.level) / (4 if dated else 1),
        notional_min=D(5),
        premium=premium,
        maker_fee=D("0.0002"),
        taker_fee=D("0.00055"),
        expiry_ns=_ns(end),
        purse=PURSE,
    )
    band = WIDE if dated else NARROW
    return listing, Terms("LinearFutures" if dated else "LinearPerpetual", listing.quantity_max / 10, *band)


def _inverse(
    coin: _Coin, symbol: str, end: datetime | None = None, premium: Decimal = INVERSE_PREMIUM
) -> tuple[Listing, Terms]:
    dated = end is not None
    listing = Listing(
        market=INVERSE,
        symbol=symbol,
        kind=Kind.DELIVERY if dated else Kind.PERPETUAL,
        payout=Payout.INVERSE,
        base=coin.name,
        quote="USD",
        settle=coin.name,
        tick=D(coin.dated_tick if dated else coin.tick),
        lot=D(1),
        quantity_min=D(1),
        quantity_max=D(25_000_000),
        unit=D(1),
        typical_quantity=D(12_000 if dated else 40_000),
        premium=premium,
        maker_fee=D("0.0002"),
        taker_fee=D("0.00055"),
        expiry_ns=_ns(end),
        purse=PURSE,
    )
    return listing, Terms("InverseFutures" if dated else "InversePerpetual", listing.quantity_max / 5, *WIDE)


def _ns(end: datetime | None) -> int | None:
    return None if end is None else int(end.timestamp()) * 1_000_000_000

"""Listings of the simulated BitMEX: spot, linear, inverse and quanto contracts, dated ones computed from now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import DELIVERY_CODES, Kind, Listing, Payout, quarter_ends

D = Decimal

MARKET: Final = "bitmex"

SCALES: Final = {
    "BTC": ("XBT", "XBt", 8),
    "USDT": ("USDT", "USDt", 6),
    "ETH": ("ETH", "Gwei", 9),
    "SOL": ("SOL", "LAMp", 9),
}
"""Asset to its name here, its smallest unit's name, and that unit's decimals."""

NAMES: Final = {"spot": "IFXXXP", "perpetual": "FFWCSX", "delivery": "FFCCSX"}


@dataclass(frozen=True)
class Terms:
    """What `instrument` says about a listing that the engine does not need."""

    root: str
    multiplier: int
    to_position: int | None = None
    to_settle: int | None = None
    quote_to_settle: int | None = None


def scaled(asset: str, amount: Decimal) -> int:
    """Return an amount in the asset's smallest units."""
    return int(round(amount * 10 ** SCALES[asset][2], 0))


def bitmex_listings(now_ns: int) -> dict[str, tuple[Listing, Terms]]:
    """Return all listings by symbol."""
    listed: dict[str, tuple[Listing, Terms]] = {}

    def add(listing: Listing, terms: Terms) -> None:
        listed[listing.symbol] = (listing, terms)

    for base, name, tick, lot, scale in (
        ("BTC", "XBT", "0.5", 10_000, 8),
        ("ETH", "ETH", "0.05", 1_000_000, 9),
        ("SOL", "SOL", "0.01", 1_000_000, 9),
    ):
        add(_spot(base, name, tick, lot, scale), Terms(name, 1, to_position=10**scale, quote_to_settle=10**6))
    ends = quarter_ends(now_ns, hour=12)
    premiums = (D("0.006"), D("0.017"))
    for base, name, tick, to_position in (
        ("BTC", "XBT", "0.1", 1_000_000),
        ("ETH", "ETH", "0.05", 100_000),
        ("SOL", "SOL", "0.01", 10_000),
    ):
        terms = Terms(name, 1, to_position=to_position, quote_to_settle=10**6)
        add(_linear(base, f"{name}USDT", tick, to_position), terms)
        if base == "BTC":
            for end, premium in zip(ends, premiums, strict=True):
                add(_linear(base, f"{name}USDT{_code(end)}", "0.5", to_position, _ns(end), premium), terms)
    inverse = Terms("XBT", -100_000_000, to_settle=-100_000_000)
    add(_inverse("XBTUSD", "0.1"), inverse)
    for end, premium in zip(ends, premiums, strict=True):
        add(_inverse(f"XBT{_code(end)}", "0.5", _ns(end), premium), inverse)
    add(_quanto(), Terms("ETH", 100))
    return listed


def _code(end: datetime) -> str:
    return f"{DELIVERY_CODES[end.month - 1]}{end:%y}"


def _ns(end: datetime) -> int:
    return int(end.timestamp()) * 1_000_000_000


def _spot(base: str, name: str, tick: str, lot: int, scale: int) -> Listing:
    return Listing(
        market=MARKET,
        symbol=f"{name}_USDT",
        kind=Kind.SPOT,
        payout=Payout.SPOT,
        base=base,
        quote="USDT",
        settle="USDT",
        tick=D(tick),
        lot=D(lot),
        quantity_min=D(lot),
        quantity_max=D(10) ** (scale + 3),
        unit=D(1).scaleb(-scale),
        typical_quantity=D(lot) * 400,
        maker_fee=D("0.001"),
        taker_fee=D("0.001"),
        leverage=D(1),
        spread_ticks=2,
    )


def _linear(
    base: str, symbol: str, tick: str, to_position: int, expiry_ns: int | None = None, premium: Decimal | None = None
) -> Listing:
    return Listing(
        market=MARKET,
        symbol=symbol,
        kind=Kind.PERPETUAL if expiry_ns is None else Kind.DELIVERY,
        payout=Payout.LINEAR,
        base=base,
        quote="USDT",
        settle="USDT",
        tick=D(tick),
        lot=D(1000),
        quantity_min=D(1000),
        quantity_max=D(1_000_000_000),
        unit=D(1) / to_position,
        typical_quantity=D(60_000 if expiry_ns is None else 20_000),
        premium=D("0.0003") if premium is None else premium,
        expiry_ns=expiry_ns,
    )


def _inverse(symbol: str, tick: str, expiry_ns: int | None = None, premium: Decimal | None = None) -> Listing:
    return Listing(
        market=MARKET,
        symbol=symbol,
        kind=Kind.PERPETUAL if expiry_ns is None else Kind.DELIVERY,
        payout=Payout.INVERSE,
        base="BTC",
        quote="USD",
        settle="BTC",
        tick=D(tick),
        lot=D(100),
        quantity_min=D(100),
        quantity_max=D(10_000_000),
        unit=D(1),
        typical_quantity=D(40_000 if expiry_ns is None else 12_000),
        premium=D("0.0002") if premium is None else premium,
        spread_ticks=1 if expiry_ns is None else 2,
        expiry_ns=expiry_ns,
    )


def _quanto() -> Listing:
    return Listing(
        market=MARKET,
        symbol="ETHUSD",
        kind=Kind.PERPETUAL,
        payout=Payout.QUANTO,
        base="ETH",
        quote="USD",
        settle="BTC",
        tick=D("0.05"),
        lot=D(1),
        quantity_min=D(1),
        quantity_max=D(10_000_000),
        unit=D("0.000001"),
        typical_quantity=D(3000),
        premium=D("0.0002"),
    )

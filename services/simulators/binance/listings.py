"""Listings of the simulated Binance: BTC, ETH and SOL on all three markets, dated contracts computed from now."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from services.simulators.venue.listing import Kind, Listing, Payout, quarter_ends

D = Decimal

SPOT: Final = "spot"
USDM: Final = "usdm"
COINM: Final = "coinm"
MARKETS: Final = (SPOT, USDM, COINM)
PREFIXES: Final = {SPOT: "/api/v3", USDM: "/fapi/v1", COINM: "/dapi/v1"}
"""Of the routes of each market."""

_SPOT: Final = {
    "BTC": ("0.01", "0.00001", "0.8"),
    "ETH": ("0.01", "0.0001", "12"),
    "SOL": ("0.01", "0.001", "220"),
}
_LINEAR: Final = {
    "BTC": ("0.1", "0.001", "1.5", "100"),
    "ETH": ("0.01", "0.001", "25", "20"),
    "SOL": ("0.01", "0.01", "400", "5"),
}
_INVERSE: Final = {"BTC": ("0.1", "100", "900"), "ETH": ("0.01", "10", "7000"), "SOL": ("0.01", "10", "5000")}
PERPETUAL_PREMIUM: Final = D("0.0003")
_PREMIUMS: Final = (D("0.006"), D("0.017"))


def binance_listings(now_ns: int) -> tuple[Listing, ...]:
    """Return all listings of all markets."""
    listings: list[Listing] = []
    quarters = quarter_ends(now_ns, hour=8)
    for base in ("BTC", "ETH", "SOL"):
        for quote in ("USDT", "USDC"):
            listings.append(_spot(base, quote))
            listings.append(_linear(base, quote))
        listings.append(_inverse(base))
        for end, premium in zip(quarters, _PREMIUMS, strict=True):
            expiry_ns = int(end.timestamp()) * 1_000_000_000
            listings.append(_linear(base, "USDT", f"_{end:%y%m%d}", expiry_ns, premium))
            listings.append(_inverse(base, f"_{end:%y%m%d}", expiry_ns, premium))
    return tuple(listings)


def _spot(base: str, quote: str) -> Listing:
    tick, lot, typical = _SPOT[base]
    return Listing(
        market=SPOT,
        symbol=f"{base}{quote}",
        kind=Kind.SPOT,
        payout=Payout.SPOT,
        base=base,
        quote=quote,
        settle=quote,
        tick=D(tick),
        lot=D(lot),
        quantity_min=D(lot),
        quantity_max=D(9000),
        unit=D(1),
        typical_quantity=D(typical),
        notional_min=D(5),
        premium=D("0.0001") if quote == "USDC" else D(0),
        maker_fee=D("0.001"),
        taker_fee=D("0.001"),
        leverage=D(1),
    )


def _linear(
    base: str, quote: str, suffix: str = "", expiry_ns: int | None = None, premium: Decimal = PERPETUAL_PREMIUM
) -> Listing:
    tick, lot, typical, notional_min = _LINEAR[base]
    return Listing(
        market=USDM,
        symbol=f"{base}{quote}{suffix}",
        kind=Kind.DELIVERY if suffix else Kind.PERPETUAL,
        payout=Payout.LINEAR,
        base=base,
        quote=quote,
        settle=quote,
        tick=D(tick),
        lot=D(lot),
        quantity_min=D(lot),
        quantity_max=D(10_000),
        unit=D(1),
        typical_quantity=D(typical) / (4 if suffix else 1),
        notional_min=D(notional_min),
        premium=premium,
        spread_ticks=3 if suffix else 1,
        expiry_ns=expiry_ns,
    )


def _inverse(
    base: str, suffix: str = "_PERP", expiry_ns: int | None = None, premium: Decimal = PERPETUAL_PREMIUM
) -> Listing:
    tick, size, typical = _INVERSE[base]
    return Listing(
        market=COINM,
        symbol=f"{base}USD{suffix}",
        kind=Kind.PERPETUAL if expiry_ns is None else Kind.DELIVERY,
        payout=Payout.INVERSE,
        base=base,
        quote="USD",
        settle=base,
        tick=D(tick),
        lot=D(1),
        quantity_min=D(1),
        quantity_max=D(1_000_000),
        unit=D(size),
        typical_quantity=D(typical) / (4 if expiry_ns else 1),
        premium=premium,
        spread_ticks=1 if expiry_ns is None else 3,
        expiry_ns=expiry_ns,
    )

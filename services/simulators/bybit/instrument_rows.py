"""Rows of `instruments-info`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from services.simulators.bybit.listings import SPOT, Terms
from services.simulators.bybit.spelling import decimals, plain, price_text, size_text
from services.simulators.venue.listing import Kind, Listing, Payout

LAUNCHED_MS = 1_585_526_400_000
FUNDING_MINUTES = 480
LEVERAGE_MAX = 100


def instrument_row(listing: Listing, terms: Terms, *, status: str = "Trading") -> dict[str, Any]:
    """Return a row; those of spot have other names for the same things."""
    return _spot_row(listing, terms) if listing.market == SPOT else _contract_row(listing, terms) | {"status": status}


def _spot_row(listing: Listing, terms: Terms) -> dict[str, Any]:
    most, most_at_market = size_text(listing, listing.quantity_max), size_text(listing, terms.quantity_market_max)
    return {
        "symbol": listing.symbol,
        "symbolId": 0,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": plain(listing.lot),
            "quotePrecision": "0.0000001",
            "minOrderQty": plain(listing.quantity_min),
            "maxOrderQty": most,
            "minOrderAmt": plain(listing.notional_min),
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": most,
            "maxMarketOrderQty": most_at_market,
            "postOnlyMaxLimitOrderSize": size_text(listing, listing.quantity_max * 5),
        },
        "priceFilter": {"tickSize": f"{listing.tick:f}"},
        "riskParameters": _band(terms),
        "symbolType": "",
    }


def _contract_row(listing: Listing, terms: Terms) -> dict[str, Any]:
    dated, inverse = listing.kind is Kind.DELIVERY, listing.payout is Payout.INVERSE
    rate = Decimal("0.00375")
    return {
        "symbol": listing.symbol,
        "symbolId": 0,
        "contractType": terms.contract_type,
        "status": "Trading",
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "launchTime": str(LAUNCHED_MS),
        "deliveryTime": str((listing.expiry_ns or 0) // 1_000_000),
        "deliveryFeeRate": "0.0005" if dated else "",
        "priceScale": str(decimals(listing.tick)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{LEVERAGE_MAX}.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": f"{listing.tick:f}",
            "maxPrice": price_text(listing, 2_000_000 - 2 * listing.tick),
            "tickSize": f"{listing.tick:f}",
        },
        "lotSizeFilter": {
            "maxOrderQty": size_text(listing, listing.quantity_max),
            "minOrderQty": size_text(listing, listing.quantity_min),
            "qtyStep": f"{listing.lot:f}",
            "postOnlyMaxOrderQty": size_text(listing, listing.quantity_max),
            "maxMktOrderQty": size_text(listing, terms.quantity_market_max),
            "minNotionalValue": "" if inverse else plain(listing.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 0 if dated else FUNDING_MINUTES,
        "settleCoin": listing.settle,
        "copyTrading": "none",
        "upperFundingRate": "" if dated else plain(rate),
        "lowerFundingRate": "" if dated else plain(-rate),
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": _band(terms),
        "displayName": "",
        "symbolType": "",
    }


def _band(terms: Terms) -> dict[str, str]:
    return {"priceLimitRatioX": plain(terms.ratio_x), "priceLimitRatioY": plain(terms.ratio_y)}

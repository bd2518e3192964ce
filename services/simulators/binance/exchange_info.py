"""`exchangeInfo` of each market."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from services.simulators.binance.limits import LimitOptions, rate_limits
from services.simulators.binance.listings import COINM, SPOT, USDM
from services.simulators.binance.spelling import decimals, eight, plain
from services.simulators.binance.stops import STOP_TYPES, STOPS_MAX
from services.simulators.venue.listing import Kind, Listing

PERPETUAL_DELIVERY_MS = 4_133_404_800_000
ONBOARD_MS = 1_569_398_400_000
FUTURES_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
FUTURES_LIFETIMES = ["GTC", "IOC", "FOK", "GTX", "GTD"]
SPOT_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", *STOP_TYPES]
PRICE_MAX = {"BTC": Decimal(1_000_000), "ETH": Decimal(100_000), "SOL": Decimal(10_000)}
ORDERS_MAX = 200
SPOT_NOTIONAL_MAX = Decimal(9_000_000)
BAND_UP, BAND_DOWN = Decimal("1.15"), Decimal("0.85")
SPOT_BAND_UP, SPOT_BAND_DOWN = Decimal(5), Decimal("0.2")


def exchange_info(market: str, listings: Iterable[Listing], now_ms: int, options: LimitOptions) -> dict[str, Any]:
    """Return the whole answer."""
    listed = list(listings)
    own = [listing for listing in listed if listing.market == market]
    answer: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": rate_limits(market, options),
        "exchangeFilters": [],
    }
    if market == SPOT:
        return {**answer, "symbols": [_spot(listing) for listing in own]}
    if market == USDM:
        answer["futuresType"] = "U_MARGINED"
        answer["assets"] = [
            {"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"} for asset in ("USDT", "USDC")
        ]
    return {**answer, "symbols": [_futures(listing, contract_type(listing, listed)) for listing in own]}


def contract_type(listing: Listing, listings: Iterable[Listing]) -> str:
    """Return what kind of contract a listing is among those of its market."""
    if listing.expiry_ns is None:
        return "PERPETUAL"
    ends = sorted({one.expiry_ns for one in listings if one.market == listing.market and one.expiry_ns})
    return ("CURRENT_QUARTER", "NEXT_QUARTER")[ends.index(listing.expiry_ns)]


def _spot(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": SPOT_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": eight(listing.tick),
                "maxPrice": eight(PRICE_MAX[listing.base]),
                "tickSize": eight(listing.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": eight(listing.quantity_min),
                "maxQty": eight(listing.quantity_max),
                "stepSize": eight(listing.lot),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": eight(Decimal(0)),
                "maxQty": eight(listing.quantity_max / 10),
                "stepSize": eight(Decimal(0)),
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": plain(SPOT_BAND_UP),
                "bidMultiplierDown": plain(SPOT_BAND_DOWN),
                "askMultiplierUp": plain(SPOT_BAND_UP),
                "askMultiplierDown": plain(SPOT_BAND_DOWN),
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": eight(listing.notional_min),
                "applyMinToMarket": True,
                "maxNotional": eight(SPOT_NOTIONAL_MAX),
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": ORDERS_MAX},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": STOPS_MAX},
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _futures(listing: Listing, contract: str) -> dict[str, Any]:
    coin = listing.market == COINM
    pair = listing.base + listing.quote
    row: dict[str, Any] = {
        "symbol": listing.symbol,
        "pair": pair,
        "contractType": contract,
        "deliveryDate": listing.expiry_ns // 1_000_000 if listing.expiry_ns else PERPETUAL_DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "contractStatus" if coin else "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.settle,
        # Not tick and step: a trap that the real lists set, too.
        "pricePrecision": decimals(listing.tick) + (1 if listing.kind is Kind.PERPETUAL else 0),
        "quantityPrecision": decimals(listing.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if listing.base == "BTC" else ["Layer-1"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _futures_filters(listing, coin),
        "orderTypes": FUTURES_TYPES,
        "timeInForce": FUTURES_LIFETIMES,
    }
    if coin:
        row["contractSize"] = int(listing.unit)
        row["equalQtyPrecision"] = 4
    else:
        row["settlePlan"] = 0
    return row


def _futures_filters(listing: Listing, coin: bool) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(listing.tick),
            "maxPrice": plain(PRICE_MAX[listing.base]),
            "tickSize": plain(listing.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": plain(listing.quantity_min),
            "maxQty": plain(listing.quantity_max),
            "stepSize": plain(listing.lot),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": plain(listing.quantity_min),
            "maxQty": plain(listing.quantity_max / 10),
            "stepSize": plain(listing.lot),
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": ORDERS_MAX},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{BAND_UP:.4f}",
            "multiplierDown": f"{BAND_DOWN:.4f}",
            "multiplierDecimal": "4",
        },
    ]
    if not coin:
        filters.insert(5, {"filterType": "MIN_NOTIONAL", "notional": plain(listing.notional_min)})
    return filters

"""`exchangeInfo` of the three markets as instruments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.binance.markets import COINM, NAME, Market
from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_int
from clients.exchanges.model import Instrument, InstrumentKind
from clients.exchanges.symbols import unified_symbol
from clients.logs import fields

logger = logging.getLogger(__name__)

_ONE: Final = Decimal(1)


def parse_instruments(market: Market, payload: Any) -> list[Instrument]:
    """Return the instruments of one market. An entry that cannot be read is left out with a warning: the others still trade."""
    if not isinstance(payload, dict) or not isinstance(payload.get("symbols"), list):
        raise MalformedAnswer("exchangeInfo has no `symbols`")
    found: dict[str, Instrument] = {}
    unusable = 0
    for entry in payload["symbols"]:
        try:
            instrument = _instrument(market, entry)
        except (MalformedAnswer, KeyError, TypeError, OverflowError, OSError, ValueError) as exc:
            unusable += 1
            if unusable == 1:
                logger.warning(
                    "instrument left out", extra=fields(market=market.name, error=type(exc).__name__, cause=exc)
                )
            continue
        # A contract that is being settled may share its unified symbol with its successor: the one that trades has it.
        if instrument.symbol not in found or instrument.tradable:
            found[instrument.symbol] = instrument
    if unusable:
        logger.warning(
            "instruments left out", extra=fields(market=market.name, count=unusable, of=len(payload["symbols"]))
        )
    return list(found.values())


def _instrument(market: Market, entry: Mapping[str, Any]) -> Instrument:
    filters = {str(found["filterType"]): found for found in entry["filters"]}
    base, quote = _text(entry, "baseAsset"), _text(entry, "quoteAsset")
    settle = _text(entry, "marginAsset") if market.futures else ""
    kind, expiry_time_ns = _term(market, entry)
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    lot_size = _positive(lot, "stepSize") or _unit(entry.get("baseAssetPrecision"))
    market_lot_size = _positive(filters.get("MARKET_LOT_SIZE", {}), "stepSize")
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL", {})
    contract_size = to_decimal(entry["contractSize"], "contractSize") if market.name == COINM else _ONE
    return Instrument(
        exchange=NAME,
        market=market.name,
        exchange_symbol=_text(entry, "symbol"),
        symbol=unified_symbol(base, quote, settle=settle, expiry_time_ns=expiry_time_ns),
        kind=kind,
        payout=market.payout,
        base=base,
        quote=quote,
        settle=settle,
        price_tick=_positive(price, "tickSize") or _unit(entry.get("quotePrecision")),
        lot_size=lot_size,
        quantity_min=_positive(lot, "minQty") or lot_size,
        quantity_max=_positive(lot, "maxQty"),
        market_lot_size=None if market_lot_size == lot_size else market_lot_size,
        price_min=_positive(price, "minPrice"),
        price_max=_positive(price, "maxPrice"),
        notional_min=_notional_min(filters),
        contract_size=contract_size,
        multiplier=contract_size,
        expiry_time_ns=expiry_time_ns,
        tradable=_tradable(market, entry),
        market_quantity_min=_positive(filters.get("MARKET_LOT_SIZE", {}), "minQty"),
        market_quantity_max=_positive(filters.get("MARKET_LOT_SIZE", {}), "maxQty"),
        notional_max=_positive(notional, "maxNotional"),
        notional_min_for_market=_applies(notional, "applyMinToMarket", "applyToMarket"),
        notional_max_for_market=_applies(notional, "applyMaxToMarket"),
        open_orders_max=_orders_max(filters.get("MAX_NUM_ORDERS", {})),
    )


def _term(market: Market, entry: Mapping[str, Any]) -> tuple[InstrumentKind, int | None]:
    """Return kind and expiry. Perpetuals carry a delivery date, too: a sentinel, or the day on which they are taken off."""
    if not market.futures:
        return InstrumentKind.SPOT, None
    contract_type = str(entry.get("contractType", ""))
    if "PERPETUAL" in contract_type:
        return InstrumentKind.PERPETUAL, None
    if not contract_type and "_" not in _text(entry, "symbol"):
        raise MalformedAnswer(f"{_text(entry, 'symbol')!r} has no contract type")
    return InstrumentKind.DELIVERY, to_int(entry["deliveryDate"], "deliveryDate") * 1_000_000


def _tradable(market: Market, entry: Mapping[str, Any]) -> bool:
    status = entry.get("contractStatus") if market.name == COINM else entry.get("status")
    return status == "TRADING" and entry.get("isSpotTradingAllowed") is not False


def _notional_min(filters: Mapping[str, Mapping[str, Any]]) -> Decimal | None:
    """Return the smallest value of an order: spot calls it NOTIONAL now and MIN_NOTIONAL before, futures use another key."""
    for name, key in (("NOTIONAL", "minNotional"), ("MIN_NOTIONAL", "minNotional"), ("MIN_NOTIONAL", "notional")):
        if key in filters.get(name, {}):
            return _positive(filters[name], key)
    return None


def _applies(filters: Mapping[str, Any], *keys: str) -> bool:
    """Return whether a bound of the value holds for MARKET orders; it does where the filter does not say."""
    return next((filters[key] is not False for key in keys if key in filters), True)


def _orders_max(filters: Mapping[str, Any]) -> int | None:
    """Return how many orders may be open: spot and futures name it differently; 0 is no limit."""
    for key in ("maxNumOrders", "limit"):
        if key in filters:
            return to_int(filters[key], key) or None
    return None


def _positive(filters: Mapping[str, Any], key: str) -> Decimal | None:
    """Return the number, or None where it is absent or zero: a zero disables that part of a filter."""
    if key not in filters:
        return None
    value = to_decimal(filters[key], key)
    return value if value > 0 else None


def _unit(precision: object) -> Decimal:
    digits = to_int(precision, "precision")
    if not 0 <= digits <= 18:
        raise MalformedAnswer(f"a precision of {digits} digits")
    return _ONE.scaleb(-digits)


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value or len(value) > 64:
        raise MalformedAnswer(f"`{key}` is not a name: {str(value)[:32]!r}")
    return value

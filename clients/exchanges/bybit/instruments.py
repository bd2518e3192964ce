"""`instruments-info` of the three markets as instruments.

Nothing is read out of a symbol: what it is says `contractType`, what it is made of say its coins, and when it ends says `deliveryTime`,
which on a perpetual is the day on which it is taken off. Orders count base currency on spot and linear, and on inverse contracts of
1 USD, so `contract_size` is 1 everywhere: 1 base unit or 1 quote unit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.bybit.markets import LINEAR, NAME, Market
from clients.exchanges.bybit.rows import Row, positive, time_ns, word
from clients.exchanges.exact_json import MalformedAnswer, to_word
from clients.exchanges.model import Instrument, InstrumentKind
from clients.exchanges.symbols import unified_symbol
from clients.logs import fields

logger = logging.getLogger(__name__)

OPEN_ORDERS_MAX: Final = 500
"""Per account and instrument; the documentation says so, the list of instruments does not."""

_ONE: Final = Decimal(1)
_KINDS: Final = {
    "LinearPerpetual": InstrumentKind.PERPETUAL,
    "InversePerpetual": InstrumentKind.PERPETUAL,
    "LinearFutures": InstrumentKind.DELIVERY,
    "InverseFutures": InstrumentKind.DELIVERY,
}


def parse_instruments(market: Market, rows: Sequence[Row]) -> list[Instrument]:
    """Return what the rows list. One unusable row costs that instrument, not all of them."""
    found: dict[str, Instrument] = {}
    for row in rows:
        try:
            instrument = parse_instrument(market, row)
        except (MalformedAnswer, ArithmeticError, OverflowError, OSError, ValueError) as error:
            logger.warning(
                "instrument left out",
                extra=fields(exchange=NAME, market=market.name, symbol=str(row.get("symbol"))[:32], cause=error),
            )
            continue
        # A contract that is being settled may share its unified symbol with its successor: the one that trades has it.
        if instrument.symbol not in found or instrument.tradable:
            found[instrument.symbol] = instrument
    return list(found.values())


def parse_instrument(market: Market, row: Row) -> Instrument:
    """Return one row as an instrument; MalformedAnswer names the field that is missing or wrong."""
    kind = _kind(market, row)
    expiry_ns = time_ns(row, "deliveryTime") if kind is InstrumentKind.DELIVERY else None
    if kind is InstrumentKind.DELIVERY and expiry_ns is None:
        raise MalformedAnswer("`deliveryTime` is missing")
    base, quote, settle = _coins(market, row)
    price, lot = _part(row, "priceFilter"), _part(row, "lotSizeFilter")
    lot_size = _needed(lot, "qtyStep" if market.futures else "basePrecision")
    return Instrument(
        exchange=NAME,
        market=market.name,
        exchange_symbol=to_word(row, "symbol"),
        symbol=unified_symbol(base, quote, settle=settle, expiry_time_ns=expiry_ns),
        kind=kind,
        payout=market.payout,
        base=base,
        quote=quote,
        settle=settle or quote,
        price_tick=_needed(price, "tickSize"),
        lot_size=lot_size,
        # The smallest quantity of spot is still listed and not checked any more: a value is.
        quantity_min=(positive(lot, "minOrderQty") or lot_size) if market.futures else lot_size,
        quantity_max=_first(lot, "maxOrderQty") if market.futures else _first(lot, "maxLimitOrderQty", "maxOrderQty"),
        market_lot_size=None,
        price_min=positive(price, "minPrice"),
        price_max=positive(price, "maxPrice"),
        notional_min=positive(lot, "minNotionalValue" if market.futures else "minOrderAmt"),
        contract_size=_ONE,
        multiplier=_ONE,
        expiry_time_ns=expiry_ns,
        tradable=row.get("status") == "Trading",
        market_quantity_max=positive(lot, "maxMktOrderQty" if market.futures else "maxMarketOrderQty"),
        open_orders_max=OPEN_ORDERS_MAX,
    )


def _kind(market: Market, row: Row) -> InstrumentKind:
    if not market.futures:
        return InstrumentKind.SPOT
    contract_type = word(row, "contractType")
    if contract_type not in _KINDS:
        raise MalformedAnswer(f"`contractType` is not known: {contract_type[:32]!r}")
    return _KINDS[contract_type]


def _coins(market: Market, row: Row) -> tuple[str, str, str]:
    """Return base, quote and settle, the last one empty for spot."""
    base, quote = to_word(row, "baseCoin"), to_word(row, "quoteCoin")
    if not market.futures:
        return base, quote, ""
    settle = to_word(row, "settleCoin")
    if market.name == LINEAR and quote == "USD":
        # Older rows of contracts that are quoted and settled in USDC.
        return base, "USDC", "USDC"
    return base, quote, settle


def _part(row: Row, name: str) -> Row:
    found: Any = row.get(name)
    if not isinstance(found, dict):
        raise MalformedAnswer(f"`{name}` is missing")
    return found


def _needed(row: Row, name: str) -> Decimal:
    found = positive(row, name)
    if found is None or found < 0:
        raise MalformedAnswer(f"`{name}` is not positive")
    return found


def _first(row: Row, *names: str) -> Decimal | None:
    return next((found for name in names if (found := positive(row, name)) is not None), None)

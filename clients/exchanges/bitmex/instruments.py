"""BitMEX's instruments as ours.

Units (fact sheet, section 5): spot counts the smallest units of the base currency and is translated to base currency here
(`exchange_quantity_scale`); everything else counts contracts. `contract_size` of one unit is

- spot: 1 base unit,
- linear: 1 / underlyingToPositionMultiplier base units,
- inverse: multiplier / underlyingToSettleMultiplier quote units (1 USD),
- quanto: |multiplier| in the settle currency for each unit of the price.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from clients.exchanges.bitmex.units import currency, money, time_ns
from clients.exchanges.exact_json import MalformedAnswer, to_decimal, to_word
from clients.exchanges.model import Instrument, InstrumentKind, Payout
from clients.exchanges.symbols import unified_symbol
from clients.logs import fields

logger = logging.getLogger(__name__)

EXCHANGE: Final = "bitmex"
MARKET: Final = "bitmex"
"""All instruments trade in one market: their names are unique."""

_KINDS: Final = {
    "FFWCSX": InstrumentKind.PERPETUAL,
    "FFCCSX": InstrumentKind.DELIVERY,
    "IFXXXP": InstrumentKind.SPOT,
}
"""What can be mapped. Indices, calendar spreads and prediction markets cannot, and are left out."""

OPEN_ORDERS_MAX: Final = 200
"""Per account and instrument; the documentation says so, the list of instruments does not."""


def parse_instruments(payload: Any) -> list[Instrument]:
    """Return what the answer lists. One unusable row costs that instrument, not all of them."""
    if not isinstance(payload, Sequence) or isinstance(payload, str):
        raise MalformedAnswer("the instruments are not a list")
    found: dict[str, Instrument] = {}
    for row in payload:
        if not isinstance(row, Mapping) or row.get("typ") not in _KINDS:
            continue
        try:
            instrument = parse_instrument(row)
        except (MalformedAnswer, ArithmeticError) as error:
            logger.warning(
                "instrument left out", extra=fields(exchange=EXCHANGE, symbol=str(row.get("symbol"))[:32], cause=error)
            )
            continue
        if found.setdefault(instrument.symbol, instrument) is not instrument:
            logger.warning(
                "second instrument of one symbol left out", extra=fields(exchange=EXCHANGE, symbol=instrument.symbol)
            )
    return list(found.values())


def parse_instrument(row: Mapping[str, Any]) -> Instrument:
    """Return one row as an instrument; MalformedAnswer names the field that is missing or wrong."""
    kind = _KINDS[row["typ"]]
    payout = _payout(row, kind)
    base, quote = currency(to_word(row, "underlying")), currency(to_word(row, "quoteCurrency"))
    settle = quote if kind is InstrumentKind.SPOT else currency(to_word(row, "settlCurrency"))
    expiry_ns = time_ns(row.get("expiry"), "expiry") if kind is InstrumentKind.DELIVERY else None
    scale = _number(row, "underlyingToPositionMultiplier") if kind is InstrumentKind.SPOT else Decimal(1)
    lot = _number(row, "lotSize") / scale
    quantity_max = row.get("maxOrderQty")
    price_max = row.get("maxPrice")
    return Instrument(
        exchange=EXCHANGE,
        market=MARKET,
        exchange_symbol=to_word(row, "symbol"),
        symbol=unified_symbol(
            base, quote, settle="" if kind is InstrumentKind.SPOT else settle, expiry_time_ns=expiry_ns
        ),
        kind=kind,
        payout=payout,
        base=base,
        quote=quote,
        settle=settle,
        price_tick=_number(row, "tickSize"),
        lot_size=lot,
        quantity_min=lot,
        quantity_max=None if quantity_max is None else to_decimal(quantity_max, "maxOrderQty") / scale,
        market_lot_size=None,
        open_orders_max=OPEN_ORDERS_MAX,
        price_min=None,
        price_max=None if price_max is None else to_decimal(price_max, "maxPrice"),
        notional_min=None,
        contract_size=_contract_size(row, payout, settle),
        multiplier=to_decimal(row.get("multiplier"), "multiplier"),
        expiry_time_ns=expiry_ns,
        tradable=row.get("state") == "Open",
        exchange_quantity_scale=scale,
    )


def _payout(row: Mapping[str, Any], kind: InstrumentKind) -> Payout:
    if kind is InstrumentKind.SPOT:
        return Payout.SPOT
    if row.get("isInverse") is True:
        return Payout.INVERSE
    return Payout.QUANTO if row.get("isQuanto") is True else Payout.LINEAR


def _contract_size(row: Mapping[str, Any], payout: Payout, settle: str) -> Decimal:
    if payout is Payout.SPOT:
        return Decimal(1)
    if payout is Payout.LINEAR:
        return 1 / _number(row, "underlyingToPositionMultiplier")
    multiplier = to_decimal(row.get("multiplier"), "multiplier")
    if payout is Payout.INVERSE:
        return multiplier / to_decimal(row.get("underlyingToSettleMultiplier"), "underlyingToSettleMultiplier")
    size = money(abs(multiplier), settle)
    if size is None:
        raise MalformedAnswer(f"the smallest unit of `settlCurrency` {settle[:12]!r} is not known")
    return size


def _number(row: Mapping[str, Any], name: str) -> Decimal:
    value = to_decimal(row.get(name), name)
    if value <= 0:
        raise MalformedAnswer(f"`{name}` is not positive: {value}")
    return value

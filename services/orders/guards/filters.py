"""Check an order against the exchange's own rules for its instrument, before the exchange has to."""

from __future__ import annotations

from decimal import Decimal

from clients.exchanges.model import Instrument, Payout
from clients.exchanges.trading import Capabilities, OrderType, TimeInForce
from services.orders.errors import Reason, denied


def check_quantity(instrument: Instrument, quantity: Decimal, *, market_order: bool) -> None:
    """Deny a quantity outside of the bounds or between two lots."""
    lot = (instrument.market_lot_size if market_order else None) or instrument.lot_size
    if quantity < instrument.quantity_min:
        raise denied(
            Reason.QUANTITY,
            f"is {quantity:f}, the minimum of {instrument.symbol} is {instrument.quantity_min:f}",
            field="quantity",
        )
    if instrument.quantity_max is not None and quantity > instrument.quantity_max:
        raise denied(
            Reason.QUANTITY,
            f"is {quantity:f}, the maximum of {instrument.symbol} is {instrument.quantity_max:f}",
            field="quantity",
        )
    if lot > 0 and quantity % lot != 0:
        raise denied(
            Reason.QUANTITY, f"is {quantity:f}, {instrument.symbol} takes multiples of {lot:f}", field="quantity"
        )


def check_price(instrument: Instrument, price: Decimal) -> None:
    """Deny a price outside of the bounds or between two ticks."""
    low, high, tick = instrument.price_min, instrument.price_max, instrument.price_tick
    if (low is not None and price < low) or (high is not None and 0 < high < price):
        bounds = f"from {low:f}" if low is not None else ""
        bounds += f" to {high:f}" if high is not None else ""
        raise denied(Reason.PRICE, f"is {price:f}, {instrument.symbol} takes prices {bounds.strip()}", field="price")
    if tick > 0 and price % tick != 0:
        raise denied(Reason.PRICE, f"is {price:f}, {instrument.symbol} takes multiples of {tick:f}", field="price")


def check_notional(instrument: Instrument, quantity: Decimal, price: Decimal) -> None:
    """Deny an order that is too small to be worth the exchange's while."""
    value = notional(instrument, quantity, price)
    if value is not None and instrument.notional_min is not None and value < instrument.notional_min:
        raise denied(
            Reason.NOTIONAL,
            f"makes {value.normalize():f} {instrument.quote}, the minimum of {instrument.symbol} is "
            f"{instrument.notional_min:f}",
            field="quantity",
        )


def check_terms(
    instrument: Instrument,
    capabilities: Capabilities,
    *,
    type_: OrderType,
    time_in_force: TimeInForce | None,
    post_only: bool,
    reduce_only: bool,
) -> None:
    """Deny what the market does not have, instead of leaving it out in silence."""
    if not instrument.tradable:
        raise denied(Reason.NOT_TRADABLE, f"{instrument.exchange} takes no orders for {instrument.symbol} now")
    if time_in_force is not None and type_ is OrderType.LIMIT and time_in_force not in capabilities.time_in_force:
        legal = ", ".join(sorted(capabilities.time_in_force))
        raise denied(Reason.UNSUPPORTED, f"is {time_in_force}, {instrument.symbol} has {legal}", field="time_in_force")
    if post_only and not capabilities.post_only:
        raise denied(Reason.UNSUPPORTED, f"is not supported by {instrument.symbol}", field="post_only")
    if reduce_only and not capabilities.reduce_only:
        raise denied(Reason.UNSUPPORTED, f"is not supported by {instrument.symbol}", field="reduce_only")


def notional(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal | None:
    """Return what a quantity is worth in quote currency; None for quanto contracts, whose worth is in another currency."""
    match instrument.payout:
        case Payout.SPOT | Payout.LINEAR:
            return quantity * instrument.contract_size * price
        case Payout.INVERSE:
            return quantity * instrument.contract_size
        case Payout.QUANTO:
            return None

"""Check an order against the exchange's own rules for its instrument, before the exchange has to."""

from __future__ import annotations

from decimal import Decimal

from clients.exchanges.model import Instrument, Payout
from clients.exchanges.trading import Capabilities, OrderType, TimeInForce
from services.orders.errors import Reason, denied
from services.orders.venues import ended_text


def check_not_over(instrument: Instrument, now_ns: int) -> None:
    """Deny what has ended: an exchange says so in many ways, some of which sound like trouble of the whole exchange."""
    if instrument.over(now_ns):
        raise denied(Reason.NOT_TRADABLE, ended_text(instrument.exchange, instrument.symbol))


def check_quantity(instrument: Instrument, quantity: Decimal, *, market_order: bool) -> None:
    """Deny a quantity outside of the bounds or between two lots."""
    lot = (instrument.market_lot_size if market_order else None) or instrument.lot_size
    low, high, of = instrument.quantity_min, instrument.quantity_max, instrument.symbol
    if market_order:
        of = f"MARKET orders of {instrument.symbol}"
        low = max(low, instrument.market_quantity_min or low)
        high = min((bound for bound in (high, instrument.market_quantity_max) if bound is not None), default=None)
    if quantity < low:
        raise denied(Reason.QUANTITY, f"is {quantity:f}, the minimum of {of} is {low:f}", field="quantity")
    if high is not None and quantity > high:
        raise denied(Reason.QUANTITY, f"is {quantity:f}, the maximum of {of} is {high:f}", field="quantity")
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


def check_notional(
    instrument: Instrument, quantity: Decimal, price: Decimal, *, market_order: bool = False, reduce_only: bool = False
) -> None:
    """Deny an order that is too small to be worth the exchange's while, or too large; what reduces may be small."""
    value = notional(instrument, quantity, price)
    if value is None:
        return
    low = None if reduce_only or (market_order and not instrument.notional_min_for_market) else instrument.notional_min
    high = None if market_order and not instrument.notional_max_for_market else instrument.notional_max
    for bound, name, wrong in ((low, "minimum", low and value < low), (high, "maximum", high and value > high)):
        if bound is not None and wrong:
            raise denied(
                Reason.NOTIONAL,
                f"makes {value.normalize():f} {instrument.quote}, the {name} of {instrument.symbol} is {bound:f}",
                field="quantity",
            )


def check_open_orders(instrument: Instrument, count: int) -> None:
    """Deny one order more than the exchange lets rest in an instrument."""
    limit = instrument.open_orders_max
    if limit is not None and count >= limit:
        raise denied(
            Reason.OPEN_ORDERS_LIMIT,
            f"{count} orders are open in {instrument.symbol}, {instrument.exchange} allows {limit}: cancel some first",
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

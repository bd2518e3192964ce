"""Orders of spot that wait for the price of the last trade; those of futures have an API of their own, which is not simulated."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from services.simulators.binance.call import Call
from services.simulators.binance.errors import BinanceError
from services.simulators.venue.listing import Listing
from services.simulators.venue.orders import Order, Side, Trigger

STOP_TYPES: Final = {"STOP_LOSS": False, "STOP_LOSS_LIMIT": True, "TAKE_PROFIT": False, "TAKE_PROFIT_LIMIT": True}
"""Whether each has a price of its own beside its stop."""
STOPS_MAX: Final = 5
"""Per symbol: MAX_NUM_ALGO_ORDERS."""


def check_stop_parameters(call: Call, kind: str) -> None:
    """Raise what a parameter gets that does not go with the type."""
    if call.get("trailingDelta"):
        raise BinanceError(400, -2010, "Trailing stop orders are not supported for this symbol.")
    if kind not in STOP_TYPES and call.get("stopPrice"):
        raise BinanceError(400, -1106, "Parameter 'stopPrice' sent when not required.")


def trigger_of(kind: str, side: Side, stop_price: Decimal | None, listing: Listing) -> Trigger | None:
    """Return what an order waits for; None for a type that does not wait."""
    if kind not in STOP_TYPES:
        return None
    if stop_price is None:
        raise BinanceError(400, -1102, "Mandatory parameter 'stopPrice' was not sent, was empty/null, or malformed.")
    if stop_price <= 0 or stop_price % listing.tick:
        raise BinanceError(400, -1013, "Filter failure: PRICE_FILTER")
    # A stop sells below the market, a profit is taken above it; buys are the other way round.
    return Trigger(stop_price, rising=kind.startswith("STOP") is (side is Side.BUY))


def check_room(trigger: Trigger | None, open_orders: Iterable[Order]) -> None:
    """Raise what one more order that waits gets where there are enough."""
    if trigger is not None and sum(order.waiting for order in open_orders) >= STOPS_MAX:
        raise BinanceError(400, -1013, "Filter failure: MAX_NUM_ALGO_ORDERS")

"""Why an order expired, in Binance's words: spot has names for it, futures have numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.simulators.venue.delivery import DELIVERED
from services.simulators.venue.forced import ADMINISTRATION, LIQUIDATION, SETTLEMENT
from services.simulators.venue.orders import Lifetime, Order, OrderType, Reason, Status
from services.simulators.venue.self_trade import PREVENTED

BY_THE_EXCHANGE: Final = frozenset({LIQUIDATION, SETTLEMENT, DELIVERED, ADMINISTRATION})
_NUMBERS: Final[Mapping[str, str]] = {
    Reason.NOTHING_TO_REDUCE.value: "4",
    LIQUIDATION: "5",
    SETTLEMENT: "7",
    DELIVERED: "7",
    Reason.CANNOT_FILL.value: "10",
    Reason.WOULD_TAKE.value: "11",
}


def spot_reason(order: Order) -> str:
    """Return `expiryReason` of a query and `eR` of an event; empty where there is none."""
    if order.status is not Status.EXPIRED or order.why == PREVENTED:
        return ""
    if order.why in BY_THE_EXCHANGE:
        return "EXCHANGE_CANCELED"
    if order.type is OrderType.MARKET:
        return "INSUFFICIENT_LIQUIDITY"
    return "UNFILLED_FOK_ORDER_EXPIRED" if order.lifetime is Lifetime.FOK else "UNFILLED_IOC_QUANTITY_EXPIRED"


def futures_reason(order: Order) -> str:
    """Return `er` of an event; queries have none."""
    if order.status is not Status.EXPIRED or order.why in (PREVENTED, ADMINISTRATION):
        return "0"
    return _NUMBERS.get(order.why) or ("9" if order.type is OrderType.MARKET else "2")

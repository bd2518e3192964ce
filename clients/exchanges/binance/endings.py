"""Why Binance ended an order. It says so by the order's state, by a reason, by the client id of an order of its own, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from clients.exchanges.endings import EndedBy

NO_REASON: Final = frozenset({"", "0", "NONE"})

_STATES: Final = {
    "EXPIRED_IN_MATCH": EndedBy.SELF_TRADE,
    "NEW_INSURANCE": EndedBy.LIQUIDATION,
    "NEW_ADL": EndedBy.DELEVERAGING,
}
_OF_THE_EXCHANGE: Final = {
    "autoclose-": EndedBy.LIQUIDATION,
    "adl_autoclose": EndedBy.DELEVERAGING,
    "settlement_autoclose-": EndedBy.DELISTING,
    "delivery_autoclose-": EndedBy.DELISTING,
    "delivery-": EndedBy.DELISTING,
}
"""How client ids begin that Binance gives to orders with which it closes a position of futures."""

_REASONS: Final[Mapping[str, EndedBy]] = {
    # Spot: `eR` of an executionReport, `expiryReason` of an answer.
    "UNFILLED_IOC_QUANTITY_EXPIRED": EndedBy.TIME_IN_FORCE,
    "UNFILLED_FOK_ORDER_EXPIRED": EndedBy.TIME_IN_FORCE,
    "INSUFFICIENT_LIQUIDITY": EndedBy.TIME_IN_FORCE,
    "EXECUTION_RULE_PRICE_RANGE_EXCEEDED": EndedBy.EXCHANGE,
    "EXCHANGE_CANCELED": EndedBy.EXCHANGE,
    # Futures: `er` of an ORDER_TRADE_UPDATE.
    "1": EndedBy.SELF_TRADE,
    "2": EndedBy.TIME_IN_FORCE,
    "3": EndedBy.SELF_TRADE,
    "4": EndedBy.REDUCE_ONLY,
    "5": EndedBy.LIQUIDATION,
    "7": EndedBy.DELISTING,
    "9": EndedBy.TIME_IN_FORCE,
    "10": EndedBy.TIME_IN_FORCE,
    "11": EndedBy.POST_ONLY,
}
"""What is missing (a list of orders, a stop, a position that is gone) ends orders that this API does not place."""

_ENDED: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "NEW_INSURANCE", "NEW_ADL"})


def ended_by(
    raw_state: str,
    *,
    client_order_id: str = "",
    reason: str = "",
    execution: str = "",
    time_in_force: object = None,
    filled: Decimal | None = None,
    rested: bool = False,
) -> EndedBy | None:
    """Return the cause of an end; None where the order is open, or where Binance says no more than that it has ended.

    An order with which Binance closes a position has its cause from the beginning.
    """
    for prefix, cause in _OF_THE_EXCHANGE.items():
        if client_order_id.startswith(prefix):
            return cause
    if raw_state not in _ENDED:
        return None
    if raw_state in _STATES:
        return _STATES[raw_state]
    if raw_state == "FILLED":
        return None
    if reason in _REASONS:
        return _REASONS[reason]
    if execution == "TRADE_PREVENTION":
        return EndedBy.SELF_TRADE
    # Futures accept a post-only order and let it expire at once, mostly without a reason. One that has rested cannot take.
    post_only = raw_state == "EXPIRED" and time_in_force == "GTX" and not filled and not rested and reason in NO_REASON
    return EndedBy.POST_ONLY if post_only else None

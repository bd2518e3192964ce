"""HTTP statuses of a placement: a client that looks at nothing else must not believe that an order is placed when it is not."""

from __future__ import annotations

import math
from typing import Any, Final

from services.orders.domain import Order, OrderState, TradingMode
from services.orders.rest.models import OrderView

CREATED, REPEATED, UNDECIDED, REFUSED, NOT_PLACED = 201, 200, 202, 422, 503
RETRY_AFTER_MIN_S: Final = 1

_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds until the exchange may be asked again", "schema": {"type": "integer"}}
}
PLACEMENT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    REPEATED: {"model": OrderView, "description": "The key was used before: the same order. Or dry-run: not sent"},
    UNDECIDED: {"model": OrderView, "description": "UNKNOWN: it may be placed, the server is finding out"},
    REFUSED: {"model": OrderView, "description": "REJECTED by the exchange (an order), or denied here (a problem)"},
    NOT_PLACED: {
        "model": OrderView,
        "description": "NOT_PLACED, proven: it may be placed again under another key (an order). Or not available (a problem)",
        "headers": _RETRY_AFTER,
    },
}
"""What a placement may answer beside 201; the body is the order, whatever became of it."""


def placement_status(order: Order, *, repeated: bool) -> int:
    """Return the status for an order as it is now: the same for the call that placed it and for repeated ones, but for 201 and 200."""
    match order.state:
        case OrderState.REJECTED:
            return REFUSED
        case OrderState.NOT_PLACED:
            # A dry run does what it is for.
            return REPEATED if order.mode is TradingMode.DRY_RUN else NOT_PLACED
        case OrderState.UNKNOWN:
            return UNDECIDED
    return REPEATED if repeated else CREATED


def retry_after(seconds: float) -> str:
    """Return the header's value: whole seconds, not before the time is over."""
    return str(max(RETRY_AFTER_MIN_S, math.ceil(seconds)))

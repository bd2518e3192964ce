"""The order itself: states, events, and the fold that makes one out of the other. No I/O, no clock."""

from services.orders.domain.events import Body, Event
from services.orders.domain.fold import BrokenJournal, Folded, apply, fold
from services.orders.domain.order import AmendTarget, Order
from services.orders.domain.states import OPEN_STATES, Cause, OrderState, TradingMode

__all__ = [
    "OPEN_STATES",
    "AmendTarget",
    "Body",
    "BrokenJournal",
    "Cause",
    "Event",
    "Folded",
    "Order",
    "OrderState",
    "TradingMode",
    "apply",
    "fold",
]

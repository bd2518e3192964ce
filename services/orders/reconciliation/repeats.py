"""What comparisons have taken for good, so that they take it once.

Each look at an exchange's history goes back some minutes behind the one before and finds most of that again. A busy desk has tens of
thousands of ended orders in there: asking for each of them every half minute, most of them in the journal, takes more than placing them.
"""

from __future__ import annotations

from clients.exchanges.trading import Fill, OrderReport
from services.orders.domain import Order

__all__ = ["Repeats"]


class Repeats:
    """What the look before found of one instrument, and what this one has found so far."""

    def __init__(self) -> None:
        self._ends_before: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        self._trades_before: set[str] = set()
        self._trades: set[str] = set()

    def begin(self) -> None:
        """Begin a look. What this one does not find again has left the range, and is forgotten with the next."""
        self._ends_before, self._ends = self._ends, {}
        self._trades_before, self._trades = self._trades, set()

    def repeats(self, report: OrderReport) -> bool:
        """Whether exactly this was said of an order before that had ended then: it can change nothing any more."""
        known = self._ends_before.get(report.exchange_order_id)
        if known is None or known != hash(report):
            return False
        self._ends[report.exchange_order_id] = known
        return True

    def taken(self, report: OrderReport, order: Order) -> None:
        """Remember a statement, unless more of the order is expected, or its end is a conclusion of ours that could be wrong."""
        evident = order.exchange_order_id == report.exchange_order_id != ""
        if evident and order.state.terminal and not order.halted:
            self._ends[report.exchange_order_id] = hash(report)

    def repeats_fill(self, fill: Fill) -> bool:
        """Whether this execution was taken before."""
        if fill.trade_id not in self._trades_before:
            return False
        self._trades.add(fill.trade_id)
        return True

    def taken_fill(self, fill: Fill) -> None:
        """Remember an execution."""
        self._trades.add(fill.trade_id)

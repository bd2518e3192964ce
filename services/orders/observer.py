"""Hear what a desk does, without a part in it: figures count, tests look on."""

from __future__ import annotations

from services.orders.domain import Order
from services.orders.journal.ledger import Change
from services.runtime.errors import MidstreamError


class DeskObserver:
    """Told of everything as it happens, and does nothing with it; override what is of interest. No method may raise or block."""

    def changed(self, change: Change) -> None:
        """An event is in the journal."""

    def placement_answered(self, order: Order, outcome: str, seconds: float) -> None:
        """A placement on the wire came to an outcome: `accepted`, or what became of it in one of a few fixed words."""

    def external_found(self, order: Order) -> None:
        """An exchange has an order that was not placed here."""

    def halted(self, order: Order) -> None:
        """What an exchange says of an order contradicts what was sent."""

    def came_back(self, order: Order) -> None:
        """An exchange shows an order that was taken for one that does not exist, by proof or by an operator's word."""

    def denied(self, operation: str, error: MidstreamError) -> None:
        """A caller's request was denied before the wire."""

    def reconciled(self, exchange: str, succeeded: bool) -> None:
        """The books of an exchange were compared, or could not be."""

    def positions_differ(self, exchange: str, differences: list[str]) -> None:
        """A comparison found positions that are not ours."""

    def dead_man_refreshed(self, exchange: str, succeeded: bool) -> None:
        """The timers of an exchange were armed anew, or could not be."""

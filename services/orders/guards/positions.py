"""Keep count of positions between two statements of the exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from clients.exchanges.trading import Position, Side
from services.orders.domain import Order
from services.orders.domain.order import ZERO
from services.orders.journal.ledger import Change

Key = tuple[str, str, str]
"""Exchange, market, symbol."""


@dataclass(frozen=True)
class Held:
    """A position: the exchange's statement plus what was executed since."""

    quantity: Decimal
    entry_price: Decimal | None
    stated_ns: int
    """When the exchange stated it, UTC; 0 when it never did."""


class PositionBook:
    """Follows executions as the ledger learns of them; reconciliation puts it right."""

    def __init__(self) -> None:
        self._held: dict[Key, Held] = {}
        self.executions = 0
        """Counts changes, so that whoever compares can tell that nothing happened meanwhile."""

    def follow(self, change: Change) -> None:
        """Take the executions of one change; a listener of the ledger."""
        before = change.before.filled if change.before is not None else ZERO
        executed = change.order.filled - before
        if not executed or (change.order.external and change.before is None):
            # What an external order had executed before we found it is part of the position already.
            return
        self.executions += 1
        order = change.order
        self.add((order.exchange, order.market, order.symbol), executed if order.side is Side.BUY else -executed)

    def add(self, key: Key, signed: Decimal) -> None:
        """Add an execution."""
        held = self._held.get(key, Held(ZERO, None, 0))
        self._held[key] = Held(held.quantity + signed, held.entry_price, held.stated_ns)

    def quantity(self, exchange: str, market: str, symbol: str) -> Decimal:
        """Return the signed quantity held."""
        held = self._held.get((exchange, market, symbol))
        return held.quantity if held is not None else ZERO

    def all(self) -> dict[Key, Held]:
        """Return everything held, by key."""
        return dict(self._held)

    def state(self, exchange: str, positions: Sequence[Position], now_ns: int) -> list[str]:
        """Take the exchange's statement; return how it differs from what was expected.

        Instruments of derivatives that it does not list are flat; spot markets have no positions, only our own executions count there.
        """
        differences: list[str] = []
        stated = {(exchange, position.market, position.symbol): position for position in positions}
        for key, position in stated.items():
            held = self._held.get(key)
            if held is not None and held.stated_ns and held.quantity != position.quantity:
                differences.append(f"{position.symbol}: expected {held.quantity:f}, exchange has {position.quantity:f}")
            self._held[key] = Held(position.quantity, position.entry_price, now_ns)
        for key, held in list(self._held.items()):
            if key[0] == exchange and key not in stated and ":" in key[2]:
                if held.stated_ns and held.quantity:
                    differences.append(f"{key[2]}: expected {held.quantity:f}, exchange has none")
                self._held[key] = Held(ZERO, None, now_ns)
        return differences


def exposure(order: Order) -> Decimal:
    """Return what the open rest of an order may still add to the position; both targets of an amend are possible."""
    rest = order.remaining
    if order.amending is not None:
        rest = max(rest, order.amending.quantity - order.filled)
    return rest if order.side is Side.BUY else -rest

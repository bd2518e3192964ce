"""Keep count of positions between two statements of the exchanges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from clients.exchanges.trading import Position, Side
from services.orders.domain import Order
from services.orders.domain.events import Executed, FillBody, Stated
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
    stated_exchange_ns: int = 0
    """The same on the exchange's own clock, or earlier: what it says happened after that is not part of it."""


class PositionBook:
    """Follows executions as the ledger learns of them; reconciliation puts it right."""

    def __init__(self) -> None:
        self._held: dict[Key, Held] = {}
        self.executions = 0
        """Counts changes, so that whoever compares can tell that nothing happened meanwhile."""

    def follow(self, change: Change) -> None:
        """Take the executions of one change, by whoever placed the order, and their fees; a listener of the ledger."""
        order = change.order
        key = (order.exchange, order.market, order.symbol)
        executed = order.filled - (change.before.filled if change.before is not None else ZERO)
        if change.before is None and self._part_of_statement(key, order):
            executed = ZERO
        fill = new_fill(change)
        fee = base_fee(order.symbol, fill.fee, fill.fee_currency) if fill is not None else ZERO
        if not executed and not fee:
            return
        self.executions += 1
        self.add(key, (executed if order.side is Side.BUY else -executed) - fee)

    def add(self, key: Key, signed: Decimal) -> None:
        """Add an execution."""
        held = self._held.get(key, Held(ZERO, None, 0))
        self._held[key] = replace(held, quantity=held.quantity + signed)

    def _part_of_statement(self, key: Key, order: Order) -> bool:
        """Whether what an order had executed when it was found is in the position that the exchange stated; on spot it states none."""
        if is_spot(order.symbol):
            return False
        held = self._held.get(key)
        # Without a statement the first one is on its way, and counts it.
        return held is None or order.venue_update_ns is None or order.venue_update_ns <= held.stated_exchange_ns

    def quantity(self, exchange: str, market: str, symbol: str) -> Decimal:
        """Return the signed quantity held."""
        held = self._held.get((exchange, market, symbol))
        return held.quantity if held is not None else ZERO

    def all(self) -> dict[Key, Held]:
        """Return everything held, by key."""
        return dict(self._held)

    def state(
        self, exchange: str, positions: Sequence[Position], now_ns: int, exchange_ns: Mapping[str, int] | None = None
    ) -> list[str]:
        """Take the exchange's statement; return how it differs from what was expected. `exchange_ns`: its time then, by market.

        Instruments of derivatives that it does not list are flat; spot markets have no positions, only our own executions count there.
        """
        differences = self.differences(exchange, positions)
        stated = _by_key(exchange, positions)
        for key, position in stated.items():
            stated_ns = (exchange_ns or {}).get(position.market, now_ns)
            self._held[key] = Held(position.quantity, position.entry_price, now_ns, stated_ns)
        for key in list(self._held):
            if key[0] == exchange and key not in stated and not is_spot(key[2]):
                self._held[key] = Held(ZERO, None, now_ns, (exchange_ns or {}).get(key[1], now_ns))
        return differences

    def differences(self, exchange: str, positions: Sequence[Position]) -> list[str]:
        """Say how a statement differs from what is expected after an earlier one."""
        found: list[str] = []
        stated = _by_key(exchange, positions)
        for key, position in stated.items():
            held = self._held.get(key)
            if held is not None and held.stated_ns and held.quantity != position.quantity:
                found.append(f"{position.symbol}: expected {held.quantity:f}, exchange has {position.quantity:f}")
        for key, held in self._held.items():
            gone = key[0] == exchange and key not in stated and not is_spot(key[2])
            if gone and held.stated_ns and held.quantity:
                found.append(f"{key[2]}: expected {held.quantity:f}, exchange has none")
        return found


def _by_key(exchange: str, positions: Sequence[Position]) -> dict[Key, Position]:
    return {(exchange, position.market, position.symbol): position for position in positions}


def is_spot(symbol: str) -> bool:
    """Whether a unified symbol is of a spot market: it has no currency of settlement."""
    return ":" not in symbol


def base_fee(symbol: str, fee: Decimal | None, fee_currency: str) -> Decimal:
    """Return what a fee takes from the position itself: on spot, where it is paid in what is bought or sold. A rebate adds to it."""
    if fee is None or not is_spot(symbol) or fee_currency != symbol.partition("/")[0]:
        return ZERO
    return fee


def new_fill(change: Change) -> FillBody | None:
    """Return the execution that became known with a change; None for one that was known, or without one."""
    body = change.event.body
    fill = body.fill if isinstance(body, (Stated, Executed)) else None
    known = change.before.trade_ids if change.before is not None else frozenset()
    return fill if fill is not None and fill.trade_id not in known else None


def exposure(order: Order) -> Decimal:
    """Return what the open rest of an order may still add to the position; both targets of an amend are possible."""
    rest = order.remaining
    if order.amending is not None:
        rest = max(rest, order.amending.quantity - order.filled)
    return rest if order.side is Side.BUY else -rest

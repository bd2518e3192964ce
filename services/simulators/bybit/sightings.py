"""What a client can see of its orders: less than the engine knows, and later.

The exchange acknowledges first. The row of an order comes to `realtime` and to the streams after a while, to `history` after a while more;
closed orders are kept by their number, and those that never filled for a day.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Final

from services.simulators.bybit.funding import EXECUTION_TYPE
from services.simulators.venue.orderbook import FILLS_MAX, ORDERS_MAX
from services.simulators.venue.orders import Event, EventKind, Order, Status

CLOSED_MAX: Final = 500
"""Closed orders that `realtime` knows, per account and category."""
UNFILLED_NS: Final = 24 * 3600 * 1_000_000_000
RACED: Final = "raced"
"""Mark of the second row of an order that filled before its cancel came."""


@dataclass(frozen=True)
class RowDelays:
    """How long rows take, in seconds: drawn for each, and never overtaking each other."""

    row_s: tuple[float, float] = (0.02, 0.2)
    """From the engine to `realtime` and the streams."""
    history_s: tuple[float, float] = (0.05, 0.5)
    """From there to `history` and the list of executions."""


@dataclass(eq=False)
class Sighting:
    """An order as it is seen."""

    order: Order
    first_ns: int = 0
    """When its first row arrived."""
    fees: dict[str, Decimal] = field(default_factory=dict)
    history_ns: int = 0
    """When `history` has it; 0 while it is open."""


@dataclass(frozen=True)
class Execution:
    """One fill as it is seen, with the order right after it."""

    event: Event
    number: int
    closed: Decimal
    """What of the quantity closed a position."""
    mark: Decimal
    arrived_ns: int
    listed_ns: int
    """When the list of executions has it."""


@dataclass(frozen=True)
class _Pending:
    due_ns: int
    event: Event
    closed: Decimal
    mark: Decimal


@dataclass
class _Shelf:
    """What is seen of an account in one category, oldest first."""

    orders: OrderedDict[int, Sighting] = field(default_factory=OrderedDict)
    open: dict[int, Sighting] = field(default_factory=dict)
    closed: deque[Sighting] = field(default_factory=lambda: deque(maxlen=CLOSED_MAX))
    executions: deque[Execution] = field(default_factory=lambda: deque(maxlen=FILLS_MAX))


class Sightings:
    """Rows under way and rows that arrived. `show` gets each event when it can be seen."""

    def __init__(self, delays: RowDelays, *, random: Random, show: Callable[[Event, Execution | None], None]) -> None:
        self.delays = delays
        self._random = random
        self._show = show
        self._pending: deque[_Pending] = deque()
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._arrived_ns = 0
        self.number = 7_000_000_000
        """Of the last event that was seen: the cross sequence."""

    # -- coming ---------------------------------------------------------------------------------------------------

    def note(self, event: Event, now_ns: int, *, closed: Decimal = Decimal(0), mark: Decimal = Decimal(0)) -> None:
        """Take what happened; it is seen in its turn."""
        low, high = self.delays.row_s
        due_ns = now_ns + round(self._random.uniform(low, high) * 1e9)
        self._pending.append(_Pending(due_ns, event, closed, mark))

    def note_raced(self, order: Order, now_ns: int) -> None:
        """Take a cancel that came when the order had filled already, and nobody could see that yet."""
        second = replace(order, marks={**order.marks, RACED: "yes"}, updated_ns=now_ns)
        self.note(Event(0, EventKind.CANCELED, now_ns, second), now_ns)

    def next_due_ns(self) -> int | None:
        """Return when the next row arrives; None without one."""
        return self._pending[0].due_ns if self._pending else None

    def settle(self, now_ns: int) -> None:
        """Let arrive what is due."""
        # In the order of happening: one that is late holds up those behind it.
        while self._pending and self._pending[0].due_ns <= now_ns:
            self._arrive(self._pending.popleft())

    def _arrive(self, one: _Pending) -> None:
        order = one.event.order
        self.number += 1
        self._arrived_ns = max(self._arrived_ns, one.due_ns)
        shelf = self._shelves.setdefault((order.account, order.listing.market), _Shelf())
        execution = None
        if one.event.fill is not None:
            listed_ns = self._arrived_ns + self._late_ns()
            execution = Execution(one.event, self.number, one.closed, one.mark, self._arrived_ns, listed_ns)
            shelf.executions.append(execution)
        if EXECUTION_TYPE not in order.marks:
            self._see(shelf, one.event)
        elif execution is None:
            return
        self._show(one.event, execution)

    def _see(self, shelf: _Shelf, event: Event) -> None:
        order, fill = event.order, event.fill
        sighting = shelf.orders.get(order.id)
        if sighting is None:
            sighting = shelf.orders[order.id] = shelf.open[order.id] = Sighting(order, self._arrived_ns)
            self._make_room(shelf)
        sighting.order = order
        if fill is not None:
            sighting.fees[fill.fee_asset] = sighting.fees.get(fill.fee_asset, Decimal(0)) + fill.fee
        if not order.status.is_open and shelf.open.pop(order.id, None) is not None:
            sighting.history_ns = self._arrived_ns + self._late_ns()
            shelf.closed.append(sighting)

    def _late_ns(self) -> int:
        return round(self._random.uniform(*self.delays.history_s) * 1e9)

    def _make_room(self, shelf: _Shelf) -> None:
        if len(shelf.orders) > ORDERS_MAX:
            oldest = next((number for number in shelf.orders if number not in shelf.open), None)
            if oldest is not None:
                del shelf.orders[oldest]

    # -- seen -----------------------------------------------------------------------------------------------------

    def of(self, order: Order) -> Sighting | None:
        """Return how an order is seen; None before its first row."""
        return self._shelf(order.account, order.listing.market).orders.get(order.id)

    def is_remembered(self, one: Sighting, now_ns: int) -> bool:
        """Whether `realtime` knows an order: while it is open, and for as long as it is among the closed ones."""
        shelf = self._shelf(one.order.account, one.order.listing.market)
        return one.order.id in shelf.open or (one in shelf.closed and not _purged(one.order, now_ns))

    def is_history(self, one: Sighting, now_ns: int) -> bool:
        """Whether `history` knows an order."""
        return 0 < one.history_ns <= now_ns and not _purged(one.order, now_ns)

    def open_of(self, account: str, category: str) -> Iterator[Sighting]:
        """Yield an account's orders that are seen as open, newest first."""
        yield from reversed(self._shelf(account, category).open.values())

    def closed_of(self, account: str, category: str, now_ns: int) -> Iterator[Sighting]:
        """Yield what `realtime` remembers of closed orders, newest first."""
        closed = reversed(self._shelf(account, category).closed)
        yield from (one for one in closed if not _purged(one.order, now_ns))

    def history_of(self, account: str, category: str, now_ns: int, since_ns: int) -> Iterator[Sighting]:
        """Yield what `history` has of orders made since then, newest first."""
        for one in reversed(self._shelf(account, category).orders.values()):
            if one.first_ns < since_ns:
                return
            if self.is_history(one, now_ns):
                yield one

    def executions_of(self, account: str, category: str, now_ns: int, since_ns: int) -> Iterator[Execution]:
        """Yield an account's fills since then, newest first."""
        for one in reversed(self._shelf(account, category).executions):
            if one.arrived_ns < since_ns:
                return
            if one.listed_ns <= now_ns:
                yield one

    def _shelf(self, account: str, category: str) -> _Shelf:
        return self._shelves.get((account, category)) or _Shelf()

    def forget_closed(self, category: str | None = None) -> int:
        """Lose the memory of closed orders, as a restart of the exchange's service does; return how many they were."""
        lost = 0
        for place, shelf in self._shelves.items():
            if category in (None, place[1]):
                lost += len(shelf.closed)
                shelf.closed.clear()
        return lost


def _purged(order: Order, now_ns: int) -> bool:
    """Whether an order that ended without a fill is too old to be told of."""
    return order.status is not Status.FILLED and not order.filled and now_ns - order.updated_ns > UNFILLED_NS

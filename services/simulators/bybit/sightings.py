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

from services.simulators.bybit.funding import FUNDING
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


@dataclass
class Sighting:
    """An order as it is seen."""

    order: Order
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
    listed_ns: int
    """When the list of executions has it."""


@dataclass(frozen=True)
class _Pending:
    due_ns: int
    event: Event
    closed: Decimal
    mark: Decimal


class Sightings:
    """Rows under way and rows that arrived. `show` gets each event when it can be seen."""

    def __init__(self, delays: RowDelays, *, random: Random, show: Callable[[Event, Execution | None], None]) -> None:
        self.delays = delays
        self._random = random
        self._show = show
        self._pending: deque[_Pending] = deque()
        self._seen: OrderedDict[int, Sighting] = OrderedDict()
        self._closed: dict[tuple[str, str], deque[int]] = {}
        self._executions: deque[Execution] = deque(maxlen=FILLS_MAX)
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
        execution = self._executed(one)
        if FUNDING not in order.marks:
            self._see(one, order)
        self._show(one.event, execution)

    def _executed(self, one: _Pending) -> Execution | None:
        if one.event.fill is None:
            return None
        execution = Execution(one.event, self.number, one.closed, one.mark, one.due_ns + self._late_ns())
        self._executions.append(execution)
        return execution

    def _see(self, one: _Pending, order: Order) -> None:
        fill = one.event.fill
        sighting = self._seen.get(order.id)
        was_open = sighting is None or sighting.order.status.is_open
        if sighting is None:
            sighting = self._seen[order.id] = Sighting(order)
            self._make_room()
        sighting.order = order
        if fill is not None:
            sighting.fees[fill.fee_asset] = sighting.fees.get(fill.fee_asset, Decimal(0)) + fill.fee
        if not order.status.is_open and was_open:
            sighting.history_ns = one.due_ns + self._late_ns()
            place = (order.account, order.listing.market)
            self._closed.setdefault(place, deque(maxlen=CLOSED_MAX)).append(order.id)

    def _late_ns(self) -> int:
        return round(self._random.uniform(*self.delays.history_s) * 1e9)

    def _make_room(self) -> None:
        if len(self._seen) > ORDERS_MAX:
            oldest = next((number for number, one in self._seen.items() if not one.order.status.is_open), None)
            if oldest is not None:
                del self._seen[oldest]

    # -- seen -----------------------------------------------------------------------------------------------------

    def of(self, order: Order) -> Sighting | None:
        """Return how an order is seen; None before its first row."""
        return self._seen.get(order.id)

    def open_of(self, account: str, category: str) -> Iterator[Sighting]:
        """Yield an account's orders that are seen as open, newest first."""
        for one in reversed(self._seen.values()):
            if one.order.account == account and one.order.listing.market == category and one.order.status.is_open:
                yield one

    def closed_of(self, account: str, category: str, now_ns: int) -> Iterator[Sighting]:
        """Yield what `realtime` remembers of closed orders, newest first."""
        for number in reversed(self._closed.get((account, category), ())):
            one = self._seen.get(number)
            if one is not None and not _purged(one.order, now_ns):
                yield one

    def history_of(self, account: str, category: str, now_ns: int) -> Iterator[Sighting]:
        """Yield what `history` has, newest first."""
        for one in reversed(self._seen.values()):
            order = one.order
            if order.account != account or order.listing.market != category or not one.history_ns:
                continue
            if one.history_ns <= now_ns and not _purged(order, now_ns):
                yield one

    def executions_of(self, account: str, category: str, now_ns: int) -> Iterator[Execution]:
        """Yield an account's fills, newest first."""
        for one in reversed(self._executions):
            order = one.event.order
            if order.account == account and order.listing.market == category and one.listed_ns <= now_ns:
                yield one

    def forget_closed(self, category: str | None = None) -> int:
        """Lose the memory of closed orders, as a restart of the exchange's service does; return how many they were."""
        lost = 0
        for place, numbers in self._closed.items():
            if category in (None, place[1]):
                lost += len(numbers)
                numbers.clear()
        return lost


def _purged(order: Order, now_ns: int) -> bool:
    """Whether an order that ended without a fill is too old to be told of."""
    return order.status is not Status.FILLED and not order.filled and now_ns - order.updated_ns > UNFILLED_NS

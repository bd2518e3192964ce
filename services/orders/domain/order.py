"""An order as its journal tells it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from clients.exchanges.endings import EndedBy
from clients.exchanges.trading import OrderType, Side, TimeInForce
from services.orders.domain.states import OrderState, TradingMode

ZERO = Decimal(0)


@dataclass(frozen=True)
class AmendTarget:
    """Absolute quantity and price that an amend asked for. `until_ns` (UTC) is when it is no longer sent again."""

    quantity: Decimal
    price: Decimal
    until_ns: int
    expires_server_ns: int | None = None
    """When the last attempt can no longer arrive, on the exchange's clock; None while unknown."""
    uncertain: bool = False
    """Whether an attempt was made whose answer was lost."""
    queue_place: str = ""
    """What it does to the order's place in the queue of its price: `kept`, `lost`, or `unknown`."""


@dataclass(frozen=True)
class Leg:
    """An order at the exchange that has ended because another one has taken its place. Both are the same order of ours."""

    venue_client_order_id: str
    exchange_order_id: str
    filled: Decimal
    """Executed of this leg alone."""
    notional: Decimal | None
    """Worth of what was executed; None where the exchange did not say."""


@dataclass(frozen=True)
class Replacement:
    """An order at the exchange that is to take the place of the one before."""

    venue_client_order_id: str
    quantity: Decimal | None
    """Its own quantity; None while nothing of it was sent: the order before has to end first."""
    price: Decimal
    until_ns: int
    """UTC; nothing of it is sent afterwards."""
    ended: str = ""
    """State in which the order before has ended; empty while that is open."""
    given_up: bool = False
    """It was not placed, as far as can be known. Should it show all the same, it is known whose it is."""


@dataclass(frozen=True)
class Order:
    """The state after `revision` events. Made by `fold.apply` and by nothing else.

    Pending flags say what we want and do not know yet; they are no states: an order that is being cancelled is still NEW until
    the exchange says otherwise.
    """

    order_id: str
    owner: str
    """Who may see it; empty for external orders."""
    client_order_id: str
    venue_client_order_id: str
    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    side: Side
    type: OrderType | None
    quantity: Decimal | None
    """None for an external order whose quantity no statement has told yet."""
    price: Decimal | None
    time_in_force: TimeInForce | None
    post_only: bool
    reduce_only: bool
    mode: TradingMode
    state: OrderState
    created_ns: int
    updated_ns: int
    revision: int
    resend_allowed: bool = False
    any_exchange: bool = False
    external: bool = False
    send_until_ns: int = 0
    """UTC; nothing of this order's placement is sent afterwards."""
    attempts: int = 0
    """How often sending was allowed; each time was journalled first."""
    filled: Decimal = ZERO
    average_price: Decimal | None = None
    exchange_order_id: str = ""
    venue_state: str = ""
    venue_update_ns: int | None = None
    """The exchange's time of the newest statement that changed something."""
    reason: str = ""
    ended_by: EndedBy | None = None
    """Why it ended, where its owner did not end it; of the leg that has ended, while it is open whether another takes its place."""
    sending: bool = False
    """A placement was allowed to go out and has no outcome yet."""
    expires_server_ns: int | None = None
    """When a placement with a lost answer can no longer arrive, on the exchange's clock; None while unknown."""
    canceling: bool = False
    cancel_asked_ns: int = 0
    filled_at_cancel: Decimal = ZERO
    amending: AmendTarget | None = None
    amend_problem: str = ""
    """Why the last amend did not happen; empty when it did."""
    queue_place: str = ""
    """What the last amend that happened did to its place in the queue: `kept`, `lost`, or `unknown`; empty without one."""
    replaced: tuple[Leg, ...] = ()
    """Orders at the exchange that this one consisted of before; ids and terms of the order itself are those of the present one."""
    replacing: Replacement | None = None
    settled: str = ""
    """Who said how it is because nobody else could, and why; empty when nobody had to."""
    halted: str = ""
    trade_ids: frozenset[str] = frozenset()
    fills_quantity: Decimal = ZERO
    """Sum of the executions known one by one; below `filled` while some are missing."""
    fills_notional: Decimal = ZERO

    @property
    def remaining(self) -> Decimal:
        """Quantity that may still be executed."""
        if self.state.terminal or self.quantity is None:
            return ZERO
        return max(self.quantity - self.filled, ZERO)

    @property
    def filled_before(self) -> Decimal:
        """Executed of the legs that were replaced."""
        return sum((leg.filled for leg in self.replaced), ZERO)

    @property
    def leg_quantity(self) -> Decimal | None:
        """Quantity of the order that is at the exchange now, which knows nothing of what was executed before it."""
        return None if self.quantity is None else self.quantity - self.filled_before

    @property
    def replacement(self) -> Replacement | None:
        """The replacement that is under way."""
        return self.replacing if self.replacing is not None and not self.replacing.given_up else None

    @property
    def between_legs(self) -> bool:
        """The order at the exchange has ended, and whether the next one is there is not known: nothing may be open."""
        return self.replacement is not None and bool(self.replacement.ended)

    def exchange_id_of(self, venue_client_order_id: str) -> str:
        """Return the exchange's id of a leg; of the present one for an empty id."""
        for leg in self.replaced:
            if leg.venue_client_order_id == venue_client_order_id:
                return leg.exchange_order_id
        return self.exchange_order_id

    @property
    def unsettled(self) -> bool:
        """Something about it is being found out or brought about."""
        return not self.state.terminal and (
            self.state is OrderState.UNKNOWN or self.canceling or self.amending is not None
        )

"""Events of an order. The journal is a list of these, and the state of an order is their fold."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from clients.exchanges.endings import EndedBy
from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState
from services.orders.domain.states import Cause, TradingMode


@dataclass(frozen=True)
class Intended:
    """The caller wants this order, and it passed the guards. Durable before the first byte goes out."""

    owner: str
    client_order_id: str
    venue_client_order_id: str
    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce | None
    post_only: bool
    reduce_only: bool
    mode: TradingMode
    send_until_ns: int
    resend_allowed: bool = False
    any_exchange: bool = False


@dataclass(frozen=True)
class Discovered:
    """The exchange has an order that we did not place."""

    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    exchange_order_id: str
    venue_client_order_id: str
    side: Side
    type: OrderType | None
    time_in_force: TimeInForce | None
    mode: TradingMode
    state: VenueState
    raw_state: str
    quantity: Decimal | None
    price: Decimal | None
    filled: Decimal | None
    average_price: Decimal | None
    update_time_ns: int | None
    reason: str = ""
    ended_by: EndedBy | None = None


@dataclass(frozen=True)
class FillBody:
    """One execution of the order."""

    trade_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal | None
    fee_currency: str
    trade_time_ns: int


@dataclass(frozen=True)
class Stated:
    """The exchange said how the order is. None: this statement does not say."""

    state: VenueState
    raw_state: str
    exchange_order_id: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    filled: Decimal | None = None
    average_price: Decimal | None = None
    update_time_ns: int | None = None
    reason: str = ""
    fill: FillBody | None = None
    leg: str = ""
    """Client id of the order at the exchange that it is about; empty for the present one."""
    ended_by: EndedBy | None = None
    """Why the exchange has ended it; None also in older journals, and where its owner did."""
    amend_moved: bool = False
    """It shows the amend that was asked for, whose price the exchange has moved to its limit."""


@dataclass(frozen=True)
class Executed:
    """An execution that was found by asking for executions, without a statement about the order's state."""

    fill: FillBody
    leg: str = ""
    """As in Stated."""


@dataclass(frozen=True)
class AnswerLost:
    """The placement may have been executed."""

    text: str
    sent_wall_ns: int | None = None
    expires_server_ns: int | None = None


@dataclass(frozen=True)
class PlacementRefused:
    """The exchange understood the placement and refused it."""

    text: str
    code: str = ""
    unfilled: bool = False
    """In older journals, for `ended_by` TIME_IN_FORCE."""
    ended_by: EndedBy | None = None
    """The refusal is an end for that cause; None where it was refused for anything else."""


@dataclass(frozen=True)
class NotPlaced:
    """Proof that the order does not exist at the exchange; `text` names it."""

    text: str
    code: str = ""


@dataclass(frozen=True)
class Settled:
    """An operator has looked: the order is not at the exchange, or is there under this id. Both may turn out to be wrong."""

    text: str
    exchange_order_id: str = ""
    evidence: str = ""
    """Where that can be looked up again."""


@dataclass(frozen=True)
class SendingAgain:
    """The placement goes out once more, with the same client id, after proof that the attempt before does not exist."""

    text: str
    send_until_ns: int


@dataclass(frozen=True)
class Rerouted:
    """The placement goes to another exchange; the one before certainly did not accept it."""

    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    quantity: Decimal
    text: str


@dataclass(frozen=True)
class CancelAsked:
    """Somebody wants it cancelled. It stays asked until a terminal state was seen."""


@dataclass(frozen=True)
class AmendAsked:
    """Somebody wants another quantity or price. Durable before the request goes out."""

    quantity: Decimal
    price: Decimal
    until_ns: int
    queue_place: str = ""


@dataclass(frozen=True)
class Replacing:
    """From now on an order of the exchange's may exist, or will, that takes the place of the one before. Durable before it is sent.

    Without a quantity nothing of it goes out yet: the order before is cancelled first, because a part of it is executed and what
    has to be placed is only known when it has ended.
    """

    venue_client_order_id: str
    price: Decimal
    until_ns: int
    quantity: Decimal | None = None


@dataclass(frozen=True)
class ReplacementFailed:
    """The order before has ended, and none has taken its place or ever will; `text` names the reason."""

    text: str
    code: str = ""


@dataclass(frozen=True)
class AmendUncertain:
    """The answer to an amend was lost; it may have been applied."""

    text: str
    expires_server_ns: int | None = None


@dataclass(frozen=True)
class AmendDropped:
    """The amend did not happen and can no longer happen."""

    text: str


@dataclass(frozen=True)
class Halted:
    """The exchange's statements contradict what was asked: nothing but a cancel is done with this order from now on."""

    text: str


Body = (
    Intended
    | Discovered
    | Stated
    | Executed
    | AnswerLost
    | PlacementRefused
    | NotPlaced
    | Settled
    | SendingAgain
    | Rerouted
    | CancelAsked
    | AmendAsked
    | Replacing
    | ReplacementFailed
    | AmendUncertain
    | AmendDropped
    | Halted
)

KINDS: Final[dict[str, type[Body]]] = {
    "intended": Intended,
    "discovered": Discovered,
    "stated": Stated,
    "executed": Executed,
    "answer-lost": AnswerLost,
    "refused": PlacementRefused,
    "not-placed": NotPlaced,
    "settled": Settled,
    "sending-again": SendingAgain,
    "rerouted": Rerouted,
    "cancel-asked": CancelAsked,
    "amend-asked": AmendAsked,
    "replacing": Replacing,
    "replacement-failed": ReplacementFailed,
    "amend-uncertain": AmendUncertain,
    "amend-dropped": AmendDropped,
    "halted": Halted,
}
"""Names in the journal; they are for life."""

KIND_OF: Final[dict[type[Body], str]] = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Event:
    """One change of one order, for one cause."""

    order_id: str
    revision: int
    at_ns: int
    cause: Cause
    body: Body
    correlation_id: str = ""
    actor: str = ""
    raw: str = ""
    """The exchange's answer, cleaned of secrets and cut to 4 KiB."""

    @property
    def kind(self) -> str:
        """Its name in the journal."""
        return KIND_OF[type(self.body)]

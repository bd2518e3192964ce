"""One order, one request and one fault of an exchange in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from clients.exchanges.model import Instrument
from clients.exchanges.trading import OrderType, Side, TimeInForce, VenueState

ZERO = Decimal(0)


@dataclass(frozen=True)
class Fault:
    """What happens to one request. Without any field set it is answered normally.

    `lose`: executed, but the answer is lost. `vanish`: never arrives, and nobody can tell. `late_s`: arrives that much later, the
    answer is lost. `error`: refused with this error, not executed. `delay_s`: the answer takes that long.
    """

    lose: bool = False
    vanish: bool = False
    late_s: float | None = None
    error: Exception | None = None
    delay_s: float = 0.0


@dataclass
class Booked:
    """One order in the exchange's book."""

    instrument: Instrument
    exchange_order_id: str
    client_order_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    time_in_force: TimeInForce | None
    created_ns: int
    updated_ns: int
    state: VenueState = VenueState.NEW
    filled: Decimal = ZERO
    notional: Decimal = ZERO
    reason: str = ""


@dataclass
class Call:
    """One request as it was made."""

    operation: str
    at_ns: int
    client_order_id: str = ""
    fault: Fault = field(default_factory=Fault)
    refused: bool = False
    """Whether the exchange was down: certainly not executed."""

"""Orders, fills, and what happens to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum, unique

from services.simulators.venue.listing import Listing


@unique
class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for what increases a position."""
        return 1 if self is Side.BUY else -1

    @property
    def other(self) -> Side:
        """The side that it trades against."""
        return Side.SELL if self is Side.BUY else Side.BUY


@unique
class Leg(StrEnum):
    """Which position an order is for: the only one, or one of the two of an account that holds long and short apart."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


@unique
class SelfTrade(StrEnum):
    """What becomes of an order that meets another one of its own account."""

    NONE = "NONE"
    """They pass each other by, as orders of different accounts do here."""
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


@unique
class OrderType(StrEnum):
    """With or without a price."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


@unique
class Lifetime(StrEnum):
    """What happens to a quantity that does not fill at once."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


@unique
class Status(StrEnum):
    """State of an order in the engine; each exchange has its own words for it."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        """It can still trade."""
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


@unique
class Reason(Enum):
    """Why the engine refuses something."""

    INSUFFICIENT_FUNDS = "insufficient funds"
    WOULD_TAKE = "post-only order would take"
    CANNOT_FILL = "fill-or-kill order cannot fill"
    NOTHING_TO_REDUCE = "reduce-only order has nothing to reduce"
    NOT_OPEN = "order is not open"
    NO_CHANGE = "amend changes nothing"
    TRIGGERED_AT_ONCE = "trigger is reached already"


class Refusal(Exception):
    """The engine refuses; nothing changed. `needed` is what an account lacked."""

    def __init__(self, reason: Reason, needed: Decimal = Decimal(0)) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.needed = needed


@dataclass(frozen=True)
class Trigger:
    """The price that an order waits for, before it comes to the book."""

    price: Decimal
    rising: bool
    """Whether it is reached from below."""
    by_mark: bool = False
    """By the mark price; by that of the last trade otherwise."""


@dataclass(frozen=True)
class Ticket:
    """What somebody wants to trade, checked against the exchange's own rules already."""

    listing: Listing
    account: str
    client_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    lifetime: Lifetime = Lifetime.GTC
    post_only: bool = False
    reduce_only: bool = False
    quote_quantity: Decimal | None = None
    """Spot MARKET orders by value; `quantity` is 0 then."""
    marks: dict[str, str] = field(default_factory=dict)
    """What the exchange's face wants to remember of the request."""
    leg: Leg = Leg.BOTH
    self_trade: SelfTrade = SelfTrade.NONE
    trigger: Trigger | None = None


@dataclass
class Order:
    """One order as the engine has it. Copies of it travel in events; the engine's own changes."""

    id: int
    listing: Listing
    account: str
    client_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    lifetime: Lifetime
    post_only: bool
    reduce_only: bool
    created_ns: int
    updated_ns: int
    rank: int
    """Time priority: lower trades first."""
    marks: dict[str, str]
    status: Status = Status.NEW
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    """Sum of price x quantity over its fills."""
    coin_value: Decimal = Decimal(0)
    """Sum of quantity / price over its fills: what inverse contracts average by."""
    why: str = ""
    amends: int = 0
    leg: Leg = Leg.BOTH
    self_trade: SelfTrade = SelfTrade.NONE
    prevented: Decimal = Decimal(0)
    """What would have traded with the own account."""
    prevention: int = 0
    """The number of the meeting that ended the order."""
    met_order: int = 0
    """The order that it met there."""
    trigger: Trigger | None = None
    waiting: bool = False
    """It is not in the book: its trigger is not reached."""
    triggered_ns: int = 0
    """When it came to the book, where it had waited."""

    @property
    def remaining(self) -> Decimal:
        """What can still fill."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """0 without a fill."""
        return self.value / self.filled if self.filled else Decimal(0)


@dataclass(frozen=True)
class Fill:
    """One execution against the simulated market."""

    trade_id: int
    order_id: int
    account: str
    client_id: str
    market: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    realized: Decimal
    time_ns: int
    leg: Leg = Leg.BOTH


@unique
class EventKind(StrEnum):
    """What happened to an order."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDED = "AMENDED"
    TRIGGERED = "TRIGGERED"


@dataclass(frozen=True)
class Event:
    """One change of one order, with a copy of the order as it is after it."""

    number: int
    kind: EventKind
    time_ns: int
    order: Order
    fill: Fill | None = None
    request_id: str = ""
    """The client id of the cancel or amend itself, where the exchange gives it one."""

"""The order primitives of an exchange: one request each, no policy of their own; the order service decides what to repeat."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum, unique
from typing import Protocol

from clients.exchanges.endings import EndedBy as EndedBy
from clients.exchanges.errors import ExchangeError, Sent
from clients.exchanges.model import Instrument


@unique
class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"


@unique
class OrderType(StrEnum):
    """With a price or without."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


@unique
class TimeInForce(StrEnum):
    """How long a LIMIT order rests."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


@unique
class VenueState(StrEnum):
    """State of an order as the exchange tells it, mapped to ours; the raw word travels beside it."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def terminal(self) -> bool:
        """Nothing can happen to it any more."""
        return self not in (VenueState.NEW, VenueState.PARTIALLY_FILLED)


@dataclass(frozen=True)
class VenueOrder:
    """What to place. Validated against the instrument by the caller; quantities in the instrument's unit."""

    instrument: Instrument
    client_order_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    reduce_only: bool = False


@dataclass(frozen=True)
class OrderReport:
    """One statement of the exchange about an order: an answer, a query's row or a stream event.

    `filled_quantity` is cumulative. `update_time_ns` is the exchange's; it and `update_id` order statements about one order.
    A None means that this statement does not say.
    """

    exchange: str
    market: str
    symbol: str
    exchange_order_id: str
    client_order_id: str
    state: VenueState
    raw_state: str
    side: Side
    type: OrderType | None
    quantity: Decimal | None
    price: Decimal | None
    filled_quantity: Decimal | None
    average_price: Decimal | None
    update_time_ns: int | None
    create_time_ns: int | None = None
    time_in_force: TimeInForce | None = None
    reason: str = ""
    """The exchange's text for a reject, an expiry, a post-only cancel."""
    fill: Fill | None = None
    """Set where the statement is about one execution."""
    source: str = "answer"
    """`answer`, `query` or `stream`."""
    raw: bytes = field(default=b"", repr=False)
    sent: Sent | None = None
    ended_by: EndedBy | None = None
    """Why the exchange ended it, where it says so in whatever words; `raw_state` and `reason` have its own.

    Of an order that the exchange itself placed to close a position it may be said from the beginning.
    """
    price_may_move: bool = False
    """The exchange moves a price that is beyond its limit to the limit, towards the market, and says nothing about it."""


@dataclass(frozen=True)
class Replaced:
    """What became of an order that was cancelled, and of the one that was to take its place."""

    old: OrderReport
    """It has ended."""
    new: OrderReport | None
    refused: ExchangeError | None = None
    """Why there is no new one."""


@dataclass(frozen=True)
class Fill:
    """One execution; (exchange, market, symbol, trade_id) is unique."""

    exchange: str
    market: str
    symbol: str
    trade_id: str
    exchange_order_id: str
    client_order_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal | None
    fee_currency: str
    trade_time_ns: int


@dataclass(frozen=True)
class Position:
    """Signed quantity held, in the instrument's unit."""

    exchange: str
    market: str
    symbol: str
    quantity: Decimal
    entry_price: Decimal | None


@dataclass(frozen=True)
class StreamGap:
    """The user stream was interrupted: what happened meanwhile has to be asked for. Comes first after every (re)connect."""

    since_wall_ns: int | None


class TradingClient(Protocol):
    """Order entry and queries.

    Each method makes one request through `ExchangeClient.request` (the user stream aside), with recovery priority where it cancels or
    resolves; it raises ExchangeError as mapped, never hides an unknown outcome, never repeats a POST or PUT.
    """

    exchange: str

    async def place(self, order: VenueOrder, *, deadline_s: float) -> OrderReport: ...

    async def amend(
        self,
        instrument: Instrument,
        *,
        client_order_id: str,
        exchange_order_id: str,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        deadline_s: float,
    ) -> OrderReport:
        """Set absolute quantity (total) and price of an order in its place. Where the exchange has no such amend (Binance spot price
        or increase), raises CallerMustAct (REJECTED) with code `AMEND_UNSUPPORTED` before anything is sent."""
        ...

    async def replace(
        self, order: VenueOrder, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> Replaced:
        """Cancel the named order and place `order` instead, with one request, where the capabilities say `REPLACES`.

        The exchange cancels only if nothing of the old order is executed, and places only if it has cancelled: of several such requests
        about one old order at most one can have an effect, however late they arrive. An error that is not `UNKNOWN` means that
        neither was done. Elsewhere raises CallerMustAct (REJECTED) with code `AMEND_UNSUPPORTED` before anything is sent.
        """
        ...

    async def cancel(
        self, instrument: Instrument, *, client_order_id: str, exchange_order_id: str, deadline_s: float
    ) -> OrderReport: ...

    async def cancel_all(self, instrument: Instrument | None, *, deadline_s: float) -> Sequence[OrderReport]: ...

    async def query(
        self,
        instrument: Instrument,
        *,
        client_order_id: str = "",
        exchange_order_id: str = "",
        deadline_s: float = 10.0,
    ) -> OrderReport:
        """Raises CallerMustAct (NOT_FOUND) when the exchange does not know it (yet)."""
        ...

    async def open_orders(self, instrument: Instrument | None = None) -> Sequence[OrderReport]: ...

    async def orders_between(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[OrderReport]:
        """Page through everything created in the range, splitting it as the exchange's window rules demand."""
        ...

    async def fills(self, instrument: Instrument, *, start_ns: int, end_ns: int) -> Sequence[Fill]: ...

    async def positions(self) -> Sequence[Position]: ...

    async def arm_dead_man(self, *, timeout_s: float, instruments: Sequence[Instrument]) -> bool:
        """Arm or refresh (0 disarms) the exchange's own cancel-all timer; False where it has none."""
        ...

    def user_events(self) -> AsyncIterator[OrderReport | StreamGap]:
        """Yield statements about our orders as the user stream brings them, over reconnects."""
        ...

    def capabilities(self, instrument: Instrument) -> Capabilities: ...


@unique
class DeadManScope(StrEnum):
    """What one dead-man timer of an exchange covers: disarming it for one order disarms it for all of these."""

    SYMBOL = "symbol"
    MARKET = "market"
    ACCOUNT = "account"


@dataclass(frozen=True)
class ArrivalBound:
    """When a request can no longer have an effect, which alone turns "no such order" into proof that there is none.

    State what the exchange documents, and rather too much: too long a bound costs time, with too short a one an order counts as not
    placed (and may be sent again) that arrives after all.
    """

    receive_window_s: float
    """How long after its signed timestamp the exchange still takes a request: the longest window that its requests are signed with."""
    processing_s: float
    """How long what was taken in time may need until queries show it."""


@unique
class AmendWay(StrEnum):
    """How a resting LIMIT order gets another price or quantity, and what that does to its place in the queue of its price."""

    NONE = "none"
    """Not at all: it has to be cancelled, and another order placed."""
    KEEPS_PLACE = "keeps-place"
    LOSES_PLACE = "loses-place"
    IN_PLACE = "in-place"
    """It stays the same order; what becomes of its place is not documented: count on the end of the queue."""
    REPLACES = "replaces"
    """The exchange cancels it and takes a new order (`TradingClient.replace`), which goes to the end of the queue."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an instrument's market can do with orders. Nothing here has a default: an exchange states every fact that safety rests on."""

    time_in_force: frozenset[TimeInForce]
    post_only: bool
    reduce_only: bool
    amend_price: AmendWay
    """Another price, whatever becomes of the quantity."""
    amend_quantity_up: AmendWay
    amend_quantity_down: AmendWay
    dead_man: DeadManScope | None
    """What one timer of `arm_dead_man` covers; None where there is none."""
    arrival: ArrivalBound | None
    """None where a late request is executed all the same: an order without an answer then stays UNKNOWN until there is evidence."""

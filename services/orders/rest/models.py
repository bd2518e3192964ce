"""Bodies that the REST face takes and gives. Names and values are those of the protos, enums without their prefixes, int64 as text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from clients.exchanges.names import EXCHANGES
from services.orders.venues import ANY

Side = Literal["BUY", "SELL"]
Type = Literal["MARKET", "LIMIT"]
TimeInForce = Literal["GTC", "IOC", "FOK"]
State = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED", "UNKNOWN", "NOT_PLACED"]
AmendWay = Literal["NONE", "KEEPS_PLACE", "LOSES_PLACE", "IN_PLACE", "REPLACES"]
QueuePlace = Literal["", "KEPT", "LOST", "UNKNOWN"]
EndedBy = Literal[
    "",
    "TIME_IN_FORCE",
    "POST_ONLY",
    "REDUCE_ONLY",
    "SELF_TRADE",
    "LIQUIDATION",
    "DELEVERAGING",
    "DELISTING",
    "EXCHANGE",
]
DecimalText = Annotated[str, Field(pattern=r"^[0-9]{1,20}(\.[0-9]{1,20})?$", examples=["0.001"])]
BaseText = Annotated[
    str,
    Field(description="The quantity in base currency (inverse contracts: at a price); empty where it cannot be known"),
]
Nanoseconds = Annotated[str, Field(description="UTC nanoseconds as text: they do not fit into a JavaScript number")]


class Body(BaseModel):
    """A request body: unknown members are refused, because a misspelled one would be left out in silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PlaceBody(Body):
    """A new order."""

    exchange: str = Field(
        max_length=32,
        description=f"{', '.join(f'`{name}`' for name in EXCHANGES)}, or `{ANY}`",
        examples=[next(iter(EXCHANGES))],
    )
    symbol: str = Field(max_length=64, description="Unified symbol", examples=["BTC/USDT"])
    side: Side
    type: Type
    quantity: DecimalText
    price: DecimalText | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    reduce_only: bool = False
    client_order_id: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9._:/-]*$")
    valid_for_ms: int = Field(default=0, ge=0, le=60_000)
    resend_if_not_placed: bool = False


class AmendBody(Body):
    """Absolute targets; at least one of them."""

    quantity: DecimalText | None = None
    price: DecimalText | None = None
    valid_for_ms: int = Field(default=0, ge=0, le=60_000)


class CancelBody(Body):
    """Either ids, or `all` with optional filters."""

    order_ids: list[Annotated[str, Field(max_length=64)]] = Field(default_factory=list, max_length=500)
    all: bool = False
    exchange: str = Field(default="", max_length=32)
    symbol: str = Field(default="", max_length=64)


class SettleBody(Body):
    """An operator's word about an order; either `not_there` or `exchange_order_id`."""

    not_there: bool = False
    exchange_order_id: str = Field(default="", max_length=64)
    reason: str = Field(min_length=1, max_length=300)
    evidence: str = Field(default="", max_length=500)


class SwitchBody(Body):
    """Stop, or go on."""

    engaged: bool
    reason: str = Field(min_length=1, max_length=500)


class OrderView(BaseModel):
    """An order as the journal tells it."""

    order_id: str
    client_order_id: str
    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    side: Side
    type: Type | Literal[""]
    quantity: str
    price: str
    time_in_force: TimeInForce | Literal[""]
    post_only: bool
    reduce_only: bool
    state: State
    filled_quantity: str
    average_price: str
    exchange_order_id: str
    venue_client_order_id: str
    venue_state: str
    reason: str
    create_time_ns: Nanoseconds
    update_time_ns: Nanoseconds
    revision: str
    external: bool
    sending: bool
    canceling: bool
    amending_quantity: str
    amending_price: str
    halted: str
    mode: str
    queue_place: QueuePlace
    amend_problem: str
    ended_by: EndedBy
    quantity_base: BaseText
    filled_quantity_base: BaseText


class CancelledView(BaseModel):
    """An order whose terminal state was seen."""

    order: OrderView
    filled_during_cancel: str


class CancelResultView(BaseModel):
    """What became of one order."""

    order: OrderView | None
    confirmed: bool
    filled_during_cancel: str
    order_id: str
    problem: str


class CancelResultsView(BaseModel):
    """One result per order."""

    results: list[CancelResultView]


class OrderPage(BaseModel):
    """One page, oldest first."""

    orders: list[OrderView]
    next_page_token: str


class SourceView(BaseModel):
    """How fresh what is known of one exchange is."""

    exchange: str
    source: Literal["stream", "reconciliation", "journal"]
    age_ms: str
    reachable: bool
    problem: str


class ActiveView(BaseModel):
    """Orders that are not terminal."""

    orders: list[OrderView]
    sources: list[SourceView]


class FillView(BaseModel):
    """One execution."""

    exchange: str
    market: str
    symbol: str
    trade_id: str
    order_id: str
    exchange_order_id: str
    side: Side
    quantity: str
    price: str
    fee: str
    fee_currency: str
    trade_time_ns: Nanoseconds
    quantity_base: BaseText


class FillPage(BaseModel):
    """One page, oldest first."""

    fills: list[FillView]
    next_page_token: str


class InstrumentView(BaseModel):
    """One tradable instrument."""

    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    kind: Literal["spot", "perpetual", "delivery"]
    payout: Literal["spot", "linear", "inverse", "quanto"]
    base: str
    quote: str
    settle: str
    price_tick: str
    lot_size: str
    quantity_min: str
    quantity_max: str
    notional_min: str
    contract_size: str
    expiry_time_ns: Nanoseconds
    tradable: bool
    amend_price: AmendWay
    amend_quantity_up: AmendWay
    amend_quantity_down: AmendWay
    market_quantity_min: str
    market_quantity_max: str
    notional_max: str
    open_orders_max: int
    lot_size_base: BaseText
    quantity_min_base: BaseText
    quantity_max_base: BaseText


class InstrumentsView(BaseModel):
    """Sorted by exchange and symbol."""

    instruments: list[InstrumentView]


class PositionView(BaseModel):
    """One position."""

    exchange: str
    market: str
    symbol: str
    quantity: str
    entry_price: str
    age_ms: str
    quantity_base: BaseText


class PositionsView(BaseModel):
    """Sorted by exchange and symbol."""

    positions: list[PositionView]


class PriceView(BaseModel):
    """A price and how old it is."""

    exchange: str
    market: str
    symbol: str
    price: str
    basis: str
    source: str
    stale: bool
    event_time_ns: Nanoseconds
    receive_time_ns: Nanoseconds


class KillSwitchView(BaseModel):
    """Whether trading is stopped."""

    engaged: bool
    reason: str
    actor: str
    changed_time_ns: Nanoseconds


class KillSwitchState(BaseModel):
    """The switch, and what else keeps orders from going out."""

    kill_switch: KillSwitchView
    mode: str
    blocked: dict[str, str]


class ExchangeHealthView(BaseModel):
    """How one exchange is, as orders see it."""

    exchange: str
    source: str
    age_ms: str
    reachable: bool
    problem: str
    blocked: str


class HealthView(BaseModel):
    """How the server is."""

    status: Literal["ok", "degraded", "down"]
    mode: str
    kill_switch: bool
    journal: str
    exchanges: list[ExchangeHealthView]


class Problem(BaseModel):
    """RFC 9457. `reason` is a fixed word where a guard denied the request."""

    type: str
    title: str
    status: int
    detail: str
    reason: str = ""
    field: str = ""
    request_id: str

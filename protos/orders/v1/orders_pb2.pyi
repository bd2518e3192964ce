from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Side(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIDE_UNSPECIFIED: _ClassVar[Side]
    SIDE_BUY: _ClassVar[Side]
    SIDE_SELL: _ClassVar[Side]

class OrderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_TYPE_UNSPECIFIED: _ClassVar[OrderType]
    ORDER_TYPE_MARKET: _ClassVar[OrderType]
    ORDER_TYPE_LIMIT: _ClassVar[OrderType]

class TimeInForce(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIME_IN_FORCE_UNSPECIFIED: _ClassVar[TimeInForce]
    TIME_IN_FORCE_GTC: _ClassVar[TimeInForce]
    TIME_IN_FORCE_IOC: _ClassVar[TimeInForce]
    TIME_IN_FORCE_FOK: _ClassVar[TimeInForce]

class OrderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_STATE_UNSPECIFIED: _ClassVar[OrderState]
    ORDER_STATE_NEW: _ClassVar[OrderState]
    ORDER_STATE_PARTIALLY_FILLED: _ClassVar[OrderState]
    ORDER_STATE_FILLED: _ClassVar[OrderState]
    ORDER_STATE_CANCELED: _ClassVar[OrderState]
    ORDER_STATE_REJECTED: _ClassVar[OrderState]
    ORDER_STATE_EXPIRED: _ClassVar[OrderState]
    ORDER_STATE_UNKNOWN: _ClassVar[OrderState]
    ORDER_STATE_NOT_PLACED: _ClassVar[OrderState]

class AmendWay(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AMEND_WAY_UNSPECIFIED: _ClassVar[AmendWay]
    AMEND_WAY_NONE: _ClassVar[AmendWay]
    AMEND_WAY_KEEPS_PLACE: _ClassVar[AmendWay]
    AMEND_WAY_LOSES_PLACE: _ClassVar[AmendWay]
    AMEND_WAY_IN_PLACE: _ClassVar[AmendWay]
    AMEND_WAY_REPLACES: _ClassVar[AmendWay]

class QueuePlace(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUEUE_PLACE_UNSPECIFIED: _ClassVar[QueuePlace]
    QUEUE_PLACE_KEPT: _ClassVar[QueuePlace]
    QUEUE_PLACE_LOST: _ClassVar[QueuePlace]
    QUEUE_PLACE_UNKNOWN: _ClassVar[QueuePlace]

class EndedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDED_BY_UNSPECIFIED: _ClassVar[EndedBy]
    ENDED_BY_TIME_IN_FORCE: _ClassVar[EndedBy]
    ENDED_BY_POST_ONLY: _ClassVar[EndedBy]
    ENDED_BY_REDUCE_ONLY: _ClassVar[EndedBy]
    ENDED_BY_SELF_TRADE: _ClassVar[EndedBy]
    ENDED_BY_LIQUIDATION: _ClassVar[EndedBy]
    ENDED_BY_DELEVERAGING: _ClassVar[EndedBy]
    ENDED_BY_DELISTING: _ClassVar[EndedBy]
    ENDED_BY_EXCHANGE: _ClassVar[EndedBy]
SIDE_UNSPECIFIED: Side
SIDE_BUY: Side
SIDE_SELL: Side
ORDER_TYPE_UNSPECIFIED: OrderType
ORDER_TYPE_MARKET: OrderType
ORDER_TYPE_LIMIT: OrderType
TIME_IN_FORCE_UNSPECIFIED: TimeInForce
TIME_IN_FORCE_GTC: TimeInForce
TIME_IN_FORCE_IOC: TimeInForce
TIME_IN_FORCE_FOK: TimeInForce
ORDER_STATE_UNSPECIFIED: OrderState
ORDER_STATE_NEW: OrderState
ORDER_STATE_PARTIALLY_FILLED: OrderState
ORDER_STATE_FILLED: OrderState
ORDER_STATE_CANCELED: OrderState
ORDER_STATE_REJECTED: OrderState
ORDER_STATE_EXPIRED: OrderState
ORDER_STATE_UNKNOWN: OrderState
ORDER_STATE_NOT_PLACED: OrderState
AMEND_WAY_UNSPECIFIED: AmendWay
AMEND_WAY_NONE: AmendWay
AMEND_WAY_KEEPS_PLACE: AmendWay
AMEND_WAY_LOSES_PLACE: AmendWay
AMEND_WAY_IN_PLACE: AmendWay
AMEND_WAY_REPLACES: AmendWay
QUEUE_PLACE_UNSPECIFIED: QueuePlace
QUEUE_PLACE_KEPT: QueuePlace
QUEUE_PLACE_LOST: QueuePlace
QUEUE_PLACE_UNKNOWN: QueuePlace
ENDED_BY_UNSPECIFIED: EndedBy
ENDED_BY_TIME_IN_FORCE: EndedBy
ENDED_BY_POST_ONLY: EndedBy
ENDED_BY_REDUCE_ONLY: EndedBy
ENDED_BY_SELF_TRADE: EndedBy
ENDED_BY_LIQUIDATION: EndedBy
ENDED_BY_DELEVERAGING: EndedBy
ENDED_BY_DELISTING: EndedBy
ENDED_BY_EXCHANGE: EndedBy

class Order(_message.Message):
    __slots__ = ("order_id", "client_order_id", "exchange", "market", "symbol", "exchange_symbol", "side", "type", "quantity", "price", "time_in_force", "post_only", "reduce_only", "state", "filled_quantity", "average_price", "exchange_order_id", "venue_client_order_id", "venue_state", "reason", "create_time_ns", "update_time_ns", "revision", "external", "sending", "canceling", "amending_quantity", "amending_price", "halted", "mode", "queue_place", "amend_problem", "ended_by", "quantity_base", "filled_quantity_base")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    TIME_IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    POST_ONLY_FIELD_NUMBER: _ClassVar[int]
    REDUCE_ONLY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    VENUE_CLIENT_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    VENUE_STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    CANCELING_FIELD_NUMBER: _ClassVar[int]
    AMENDING_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AMENDING_PRICE_FIELD_NUMBER: _ClassVar[int]
    HALTED_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_PLACE_FIELD_NUMBER: _ClassVar[int]
    AMEND_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_BASE_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_BASE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    client_order_id: str
    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    side: Side
    type: OrderType
    quantity: str
    price: str
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    state: OrderState
    filled_quantity: str
    average_price: str
    exchange_order_id: str
    venue_client_order_id: str
    venue_state: str
    reason: str
    create_time_ns: int
    update_time_ns: int
    revision: int
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
    quantity_base: str
    filled_quantity_base: str
    def __init__(self, order_id: _Optional[str] = ..., client_order_id: _Optional[str] = ..., exchange: _Optional[str] = ..., market: _Optional[str] = ..., symbol: _Optional[str] = ..., exchange_symbol: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., type: _Optional[_Union[OrderType, str]] = ..., quantity: _Optional[str] = ..., price: _Optional[str] = ..., time_in_force: _Optional[_Union[TimeInForce, str]] = ..., post_only: _Optional[bool] = ..., reduce_only: _Optional[bool] = ..., state: _Optional[_Union[OrderState, str]] = ..., filled_quantity: _Optional[str] = ..., average_price: _Optional[str] = ..., exchange_order_id: _Optional[str] = ..., venue_client_order_id: _Optional[str] = ..., venue_state: _Optional[str] = ..., reason: _Optional[str] = ..., create_time_ns: _Optional[int] = ..., update_time_ns: _Optional[int] = ..., revision: _Optional[int] = ..., external: _Optional[bool] = ..., sending: _Optional[bool] = ..., canceling: _Optional[bool] = ..., amending_quantity: _Optional[str] = ..., amending_price: _Optional[str] = ..., halted: _Optional[str] = ..., mode: _Optional[str] = ..., queue_place: _Optional[_Union[QueuePlace, str]] = ..., amend_problem: _Optional[str] = ..., ended_by: _Optional[_Union[EndedBy, str]] = ..., quantity_base: _Optional[str] = ..., filled_quantity_base: _Optional[str] = ...) -> None: ...

class Fill(_message.Message):
    __slots__ = ("exchange", "market", "symbol", "trade_id", "order_id", "exchange_order_id", "side", "quantity", "price", "fee", "fee_currency", "trade_time_ns", "quantity_base")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_CURRENCY_FIELD_NUMBER: _ClassVar[int]
    TRADE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_BASE_FIELD_NUMBER: _ClassVar[int]
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
    trade_time_ns: int
    quantity_base: str
    def __init__(self, exchange: _Optional[str] = ..., market: _Optional[str] = ..., symbol: _Optional[str] = ..., trade_id: _Optional[str] = ..., order_id: _Optional[str] = ..., exchange_order_id: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., quantity: _Optional[str] = ..., price: _Optional[str] = ..., fee: _Optional[str] = ..., fee_currency: _Optional[str] = ..., trade_time_ns: _Optional[int] = ..., quantity_base: _Optional[str] = ...) -> None: ...

class PlaceOrderRequest(_message.Message):
    __slots__ = ("idempotency_key", "exchange", "symbol", "side", "type", "quantity", "price", "time_in_force", "post_only", "reduce_only", "client_order_id", "valid_for_ms", "resend_if_not_placed")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    TIME_IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    POST_ONLY_FIELD_NUMBER: _ClassVar[int]
    REDUCE_ONLY_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    VALID_FOR_MS_FIELD_NUMBER: _ClassVar[int]
    RESEND_IF_NOT_PLACED_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    exchange: str
    symbol: str
    side: Side
    type: OrderType
    quantity: str
    price: str
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    client_order_id: str
    valid_for_ms: int
    resend_if_not_placed: bool
    def __init__(self, idempotency_key: _Optional[str] = ..., exchange: _Optional[str] = ..., symbol: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., type: _Optional[_Union[OrderType, str]] = ..., quantity: _Optional[str] = ..., price: _Optional[str] = ..., time_in_force: _Optional[_Union[TimeInForce, str]] = ..., post_only: _Optional[bool] = ..., reduce_only: _Optional[bool] = ..., client_order_id: _Optional[str] = ..., valid_for_ms: _Optional[int] = ..., resend_if_not_placed: _Optional[bool] = ...) -> None: ...

class PlaceOrderResponse(_message.Message):
    __slots__ = ("order", "repeated")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    order: Order
    repeated: bool
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., repeated: _Optional[bool] = ...) -> None: ...

class AmendOrderRequest(_message.Message):
    __slots__ = ("order_id", "quantity", "price", "valid_for_ms")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VALID_FOR_MS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    quantity: str
    price: str
    valid_for_ms: int
    def __init__(self, order_id: _Optional[str] = ..., quantity: _Optional[str] = ..., price: _Optional[str] = ..., valid_for_ms: _Optional[int] = ...) -> None: ...

class AmendOrderResponse(_message.Message):
    __slots__ = ("order", "already")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ALREADY_FIELD_NUMBER: _ClassVar[int]
    order: Order
    already: bool
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., already: _Optional[bool] = ...) -> None: ...

class CancelOrderRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class CancelOrderResponse(_message.Message):
    __slots__ = ("order", "filled_during_cancel")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FILLED_DURING_CANCEL_FIELD_NUMBER: _ClassVar[int]
    order: Order
    filled_during_cancel: str
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., filled_during_cancel: _Optional[str] = ...) -> None: ...

class CancelOrdersRequest(_message.Message):
    __slots__ = ("order_ids", "all", "exchange", "symbol")
    ORDER_IDS_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    order_ids: _containers.RepeatedScalarFieldContainer[str]
    all: bool
    exchange: str
    symbol: str
    def __init__(self, order_ids: _Optional[_Iterable[str]] = ..., all: _Optional[bool] = ..., exchange: _Optional[str] = ..., symbol: _Optional[str] = ...) -> None: ...

class CancelResult(_message.Message):
    __slots__ = ("order", "confirmed", "filled_during_cancel", "order_id", "problem")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    FILLED_DURING_CANCEL_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    order: Order
    confirmed: bool
    filled_during_cancel: str
    order_id: str
    problem: str
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., confirmed: _Optional[bool] = ..., filled_during_cancel: _Optional[str] = ..., order_id: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class CancelOrdersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CancelResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CancelResult, _Mapping]]] = ...) -> None: ...

class SettleOrderRequest(_message.Message):
    __slots__ = ("order_id", "not_there", "exchange_order_id", "reason", "evidence")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    NOT_THERE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    not_there: bool
    exchange_order_id: str
    reason: str
    evidence: str
    def __init__(self, order_id: _Optional[str] = ..., not_there: _Optional[bool] = ..., exchange_order_id: _Optional[str] = ..., reason: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class SettleOrderResponse(_message.Message):
    __slots__ = ("order", "already")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ALREADY_FIELD_NUMBER: _ClassVar[int]
    order: Order
    already: bool
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., already: _Optional[bool] = ...) -> None: ...

class GetOrderRequest(_message.Message):
    __slots__ = ("order_id", "client_order_id", "exchange_order_id", "exchange", "refresh")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    client_order_id: str
    exchange_order_id: str
    exchange: str
    refresh: bool
    def __init__(self, order_id: _Optional[str] = ..., client_order_id: _Optional[str] = ..., exchange_order_id: _Optional[str] = ..., exchange: _Optional[str] = ..., refresh: _Optional[bool] = ...) -> None: ...

class GetOrderResponse(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: Order
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ...) -> None: ...

class ListOrdersRequest(_message.Message):
    __slots__ = ("order_ids", "client_order_ids", "exchange_order_ids", "created_from_time_ns", "created_to_time_ns", "states", "exchange", "symbol", "page_size", "page_token")
    ORDER_IDS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ORDER_IDS_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_ORDER_IDS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FROM_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    CREATED_TO_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    order_ids: _containers.RepeatedScalarFieldContainer[str]
    client_order_ids: _containers.RepeatedScalarFieldContainer[str]
    exchange_order_ids: _containers.RepeatedScalarFieldContainer[str]
    created_from_time_ns: int
    created_to_time_ns: int
    states: _containers.RepeatedScalarFieldContainer[OrderState]
    exchange: str
    symbol: str
    page_size: int
    page_token: str
    def __init__(self, order_ids: _Optional[_Iterable[str]] = ..., client_order_ids: _Optional[_Iterable[str]] = ..., exchange_order_ids: _Optional[_Iterable[str]] = ..., created_from_time_ns: _Optional[int] = ..., created_to_time_ns: _Optional[int] = ..., states: _Optional[_Iterable[_Union[OrderState, str]]] = ..., exchange: _Optional[str] = ..., symbol: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOrdersResponse(_message.Message):
    __slots__ = ("orders", "next_page_token")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    next_page_token: str
    def __init__(self, orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListActiveOrdersRequest(_message.Message):
    __slots__ = ("exchange", "symbol")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    symbol: str
    def __init__(self, exchange: _Optional[str] = ..., symbol: _Optional[str] = ...) -> None: ...

class ActiveSource(_message.Message):
    __slots__ = ("exchange", "source", "age_ms", "reachable", "problem")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    source: str
    age_ms: int
    reachable: bool
    problem: str
    def __init__(self, exchange: _Optional[str] = ..., source: _Optional[str] = ..., age_ms: _Optional[int] = ..., reachable: _Optional[bool] = ..., problem: _Optional[str] = ...) -> None: ...

class ListActiveOrdersResponse(_message.Message):
    __slots__ = ("orders", "sources")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[Order]
    sources: _containers.RepeatedCompositeFieldContainer[ActiveSource]
    def __init__(self, orders: _Optional[_Iterable[_Union[Order, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[ActiveSource, _Mapping]]] = ...) -> None: ...

class WatchOrdersRequest(_message.Message):
    __slots__ = ("after_sequence", "exchange", "symbol")
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    exchange: str
    symbol: str
    def __init__(self, after_sequence: _Optional[int] = ..., exchange: _Optional[str] = ..., symbol: _Optional[str] = ...) -> None: ...

class WatchOrdersResponse(_message.Message):
    __slots__ = ("sequence", "order", "kind", "cause")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    order: Order
    kind: str
    cause: str
    def __init__(self, sequence: _Optional[int] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., kind: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class ListInstrumentsRequest(_message.Message):
    __slots__ = ("exchange", "base", "kind")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    base: str
    kind: str
    def __init__(self, exchange: _Optional[str] = ..., base: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class Instrument(_message.Message):
    __slots__ = ("exchange", "market", "symbol", "exchange_symbol", "kind", "payout", "base", "quote", "settle", "price_tick", "lot_size", "quantity_min", "quantity_max", "notional_min", "contract_size", "expiry_time_ns", "tradable", "amend_price", "amend_quantity_up", "amend_quantity_down", "market_quantity_min", "market_quantity_max", "notional_max", "open_orders_max", "lot_size_base", "quantity_min_base", "quantity_max_base")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_SYMBOL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAYOUT_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    PRICE_TICK_FIELD_NUMBER: _ClassVar[int]
    LOT_SIZE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_MIN_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_MAX_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_MIN_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_SIZE_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TRADABLE_FIELD_NUMBER: _ClassVar[int]
    AMEND_PRICE_FIELD_NUMBER: _ClassVar[int]
    AMEND_QUANTITY_UP_FIELD_NUMBER: _ClassVar[int]
    AMEND_QUANTITY_DOWN_FIELD_NUMBER: _ClassVar[int]
    MARKET_QUANTITY_MIN_FIELD_NUMBER: _ClassVar[int]
    MARKET_QUANTITY_MAX_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_MAX_FIELD_NUMBER: _ClassVar[int]
    OPEN_ORDERS_MAX_FIELD_NUMBER: _ClassVar[int]
    LOT_SIZE_BASE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_MIN_BASE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_MAX_BASE_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    market: str
    symbol: str
    exchange_symbol: str
    kind: str
    payout: str
    base: str
    quote: str
    settle: str
    price_tick: str
    lot_size: str
    quantity_min: str
    quantity_max: str
    notional_min: str
    contract_size: str
    expiry_time_ns: int
    tradable: bool
    amend_price: AmendWay
    amend_quantity_up: AmendWay
    amend_quantity_down: AmendWay
    market_quantity_min: str
    market_quantity_max: str
    notional_max: str
    open_orders_max: int
    lot_size_base: str
    quantity_min_base: str
    quantity_max_base: str
    def __init__(self, exchange: _Optional[str] = ..., market: _Optional[str] = ..., symbol: _Optional[str] = ..., exchange_symbol: _Optional[str] = ..., kind: _Optional[str] = ..., payout: _Optional[str] = ..., base: _Optional[str] = ..., quote: _Optional[str] = ..., settle: _Optional[str] = ..., price_tick: _Optional[str] = ..., lot_size: _Optional[str] = ..., quantity_min: _Optional[str] = ..., quantity_max: _Optional[str] = ..., notional_min: _Optional[str] = ..., contract_size: _Optional[str] = ..., expiry_time_ns: _Optional[int] = ..., tradable: _Optional[bool] = ..., amend_price: _Optional[_Union[AmendWay, str]] = ..., amend_quantity_up: _Optional[_Union[AmendWay, str]] = ..., amend_quantity_down: _Optional[_Union[AmendWay, str]] = ..., market_quantity_min: _Optional[str] = ..., market_quantity_max: _Optional[str] = ..., notional_max: _Optional[str] = ..., open_orders_max: _Optional[int] = ..., lot_size_base: _Optional[str] = ..., quantity_min_base: _Optional[str] = ..., quantity_max_base: _Optional[str] = ...) -> None: ...

class ListInstrumentsResponse(_message.Message):
    __slots__ = ("instruments",)
    INSTRUMENTS_FIELD_NUMBER: _ClassVar[int]
    instruments: _containers.RepeatedCompositeFieldContainer[Instrument]
    def __init__(self, instruments: _Optional[_Iterable[_Union[Instrument, _Mapping]]] = ...) -> None: ...

class ListPositionsRequest(_message.Message):
    __slots__ = ("exchange",)
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    def __init__(self, exchange: _Optional[str] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("exchange", "market", "symbol", "quantity", "entry_price", "age_ms", "quantity_base")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ENTRY_PRICE_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_BASE_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    market: str
    symbol: str
    quantity: str
    entry_price: str
    age_ms: int
    quantity_base: str
    def __init__(self, exchange: _Optional[str] = ..., market: _Optional[str] = ..., symbol: _Optional[str] = ..., quantity: _Optional[str] = ..., entry_price: _Optional[str] = ..., age_ms: _Optional[int] = ..., quantity_base: _Optional[str] = ...) -> None: ...

class ListPositionsResponse(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class ListFillsRequest(_message.Message):
    __slots__ = ("order_id", "exchange", "symbol", "from_time_ns", "to_time_ns", "page_size", "page_token")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TO_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    exchange: str
    symbol: str
    from_time_ns: int
    to_time_ns: int
    page_size: int
    page_token: str
    def __init__(self, order_id: _Optional[str] = ..., exchange: _Optional[str] = ..., symbol: _Optional[str] = ..., from_time_ns: _Optional[int] = ..., to_time_ns: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFillsResponse(_message.Message):
    __slots__ = ("fills", "next_page_token")
    FILLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    fills: _containers.RepeatedCompositeFieldContainer[Fill]
    next_page_token: str
    def __init__(self, fills: _Optional[_Iterable[_Union[Fill, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetKillSwitchRequest(_message.Message):
    __slots__ = ("engaged", "reason")
    ENGAGED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    engaged: bool
    reason: str
    def __init__(self, engaged: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class SetKillSwitchResponse(_message.Message):
    __slots__ = ("kill_switch",)
    KILL_SWITCH_FIELD_NUMBER: _ClassVar[int]
    kill_switch: KillSwitch
    def __init__(self, kill_switch: _Optional[_Union[KillSwitch, _Mapping]] = ...) -> None: ...

class GetKillSwitchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetKillSwitchResponse(_message.Message):
    __slots__ = ("kill_switch", "mode", "blocked")
    class BlockedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KILL_SWITCH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    kill_switch: KillSwitch
    mode: str
    blocked: _containers.ScalarMap[str, str]
    def __init__(self, kill_switch: _Optional[_Union[KillSwitch, _Mapping]] = ..., mode: _Optional[str] = ..., blocked: _Optional[_Mapping[str, str]] = ...) -> None: ...

class KillSwitch(_message.Message):
    __slots__ = ("engaged", "reason", "actor", "changed_time_ns")
    ENGAGED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    engaged: bool
    reason: str
    actor: str
    changed_time_ns: int
    def __init__(self, engaged: _Optional[bool] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., changed_time_ns: _Optional[int] = ...) -> None: ...

class ExportAuditRequest(_message.Message):
    __slots__ = ("after_sequence", "order_id")
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    after_sequence: int
    order_id: str
    def __init__(self, after_sequence: _Optional[int] = ..., order_id: _Optional[str] = ...) -> None: ...

class ExportAuditResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: AuditEvent
    def __init__(self, event: _Optional[_Union[AuditEvent, _Mapping]] = ...) -> None: ...

class AuditEvent(_message.Message):
    __slots__ = ("sequence", "order_id", "revision", "time_ns", "kind", "cause", "correlation_id", "actor", "body_json", "raw")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    BODY_JSON_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    order_id: str
    revision: int
    time_ns: int
    kind: str
    cause: str
    correlation_id: str
    actor: str
    body_json: str
    raw: str
    def __init__(self, sequence: _Optional[int] = ..., order_id: _Optional[str] = ..., revision: _Optional[int] = ..., time_ns: _Optional[int] = ..., kind: _Optional[str] = ..., cause: _Optional[str] = ..., correlation_id: _Optional[str] = ..., actor: _Optional[str] = ..., body_json: _Optional[str] = ..., raw: _Optional[str] = ...) -> None: ...

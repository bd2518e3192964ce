from protos.common.v1 import market_pb2 as _market_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PriceSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRICE_SOURCE_UNSPECIFIED: _ClassVar[PriceSource]
    PRICE_SOURCE_STREAM: _ClassVar[PriceSource]
    PRICE_SOURCE_REST: _ClassVar[PriceSource]
    PRICE_SOURCE_FALLBACK: _ClassVar[PriceSource]
PRICE_SOURCE_UNSPECIFIED: PriceSource
PRICE_SOURCE_STREAM: PriceSource
PRICE_SOURCE_REST: PriceSource
PRICE_SOURCE_FALLBACK: PriceSource

class GetMidPriceRequest(_message.Message):
    __slots__ = ("ticker", "session")
    TICKER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ticker: str
    session: str
    def __init__(self, ticker: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class GetMidPriceResponse(_message.Message):
    __slots__ = ("mid_price",)
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    mid_price: MidPrice
    def __init__(self, mid_price: _Optional[_Union[MidPrice, _Mapping]] = ...) -> None: ...

class MidPrice(_message.Message):
    __slots__ = ("ticker", "mid_price", "event_time_ns", "arrival_time_ns", "sequence", "mode")
    TICKER_FIELD_NUMBER: _ClassVar[int]
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ticker: str
    mid_price: float
    event_time_ns: int
    arrival_time_ns: int
    sequence: int
    mode: _market_pb2.Mode
    def __init__(self, ticker: _Optional[str] = ..., mid_price: _Optional[float] = ..., event_time_ns: _Optional[int] = ..., arrival_time_ns: _Optional[int] = ..., sequence: _Optional[int] = ..., mode: _Optional[_Union[_market_pb2.Mode, str]] = ...) -> None: ...

class StreamMidPricesRequest(_message.Message):
    __slots__ = ("session", "tickers", "after_sequence", "from_oldest", "latest_per_ticker", "from_arrival_time_ns", "epoch", "policy", "with_lag", "conflate_interval_ms", "lag_records_max", "partition", "after")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TICKERS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FROM_OLDEST_FIELD_NUMBER: _ClassVar[int]
    LATEST_PER_TICKER_FIELD_NUMBER: _ClassVar[int]
    FROM_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WITH_LAG_FIELD_NUMBER: _ClassVar[int]
    CONFLATE_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    session: str
    tickers: _containers.RepeatedScalarFieldContainer[str]
    after_sequence: int
    from_oldest: bool
    latest_per_ticker: bool
    from_arrival_time_ns: int
    epoch: str
    policy: _market_pb2.SubscriberPolicy
    with_lag: bool
    conflate_interval_ms: int
    lag_records_max: int
    partition: int
    after: _containers.RepeatedCompositeFieldContainer[_market_pb2.PartitionPosition]
    def __init__(self, session: _Optional[str] = ..., tickers: _Optional[_Iterable[str]] = ..., after_sequence: _Optional[int] = ..., from_oldest: _Optional[bool] = ..., latest_per_ticker: _Optional[bool] = ..., from_arrival_time_ns: _Optional[int] = ..., epoch: _Optional[str] = ..., policy: _Optional[_Union[_market_pb2.SubscriberPolicy, str]] = ..., with_lag: _Optional[bool] = ..., conflate_interval_ms: _Optional[int] = ..., lag_records_max: _Optional[int] = ..., partition: _Optional[int] = ..., after: _Optional[_Iterable[_Union[_market_pb2.PartitionPosition, _Mapping]]] = ...) -> None: ...

class StreamMidPricesResponse(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _market_pb2.MidBatch
    def __init__(self, batch: _Optional[_Union[_market_pb2.MidBatch, _Mapping]] = ...) -> None: ...

class ComputeMidPricesRequest(_message.Message):
    __slots__ = ("bid_price", "ask_price", "bid_amount", "ask_amount")
    BID_PRICE_FIELD_NUMBER: _ClassVar[int]
    ASK_PRICE_FIELD_NUMBER: _ClassVar[int]
    BID_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASK_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    bid_price: _containers.RepeatedScalarFieldContainer[float]
    ask_price: _containers.RepeatedScalarFieldContainer[float]
    bid_amount: _containers.RepeatedScalarFieldContainer[float]
    ask_amount: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, bid_price: _Optional[_Iterable[float]] = ..., ask_price: _Optional[_Iterable[float]] = ..., bid_amount: _Optional[_Iterable[float]] = ..., ask_amount: _Optional[_Iterable[float]] = ...) -> None: ...

class ComputeMidPricesResponse(_message.Message):
    __slots__ = ("mid_price", "missing_side")
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    MISSING_SIDE_FIELD_NUMBER: _ClassVar[int]
    mid_price: _containers.RepeatedScalarFieldContainer[float]
    missing_side: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, mid_price: _Optional[_Iterable[float]] = ..., missing_side: _Optional[_Iterable[int]] = ...) -> None: ...

class GetPriceRequest(_message.Message):
    __slots__ = ("symbol", "exchange", "max_age_ms")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    exchange: str
    max_age_ms: int
    def __init__(self, symbol: _Optional[str] = ..., exchange: _Optional[str] = ..., max_age_ms: _Optional[int] = ...) -> None: ...

class GetPriceResponse(_message.Message):
    __slots__ = ("price",)
    PRICE_FIELD_NUMBER: _ClassVar[int]
    price: ExchangePrice
    def __init__(self, price: _Optional[_Union[ExchangePrice, _Mapping]] = ...) -> None: ...

class ExchangePrice(_message.Message):
    __slots__ = ("exchange", "market", "symbol", "price", "basis", "bid_price", "bid_quantity", "ask_price", "ask_quantity", "event_time_ns", "receive_time_ns", "age_ms", "source", "stale", "attempts")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    BID_PRICE_FIELD_NUMBER: _ClassVar[int]
    BID_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ASK_PRICE_FIELD_NUMBER: _ClassVar[int]
    ASK_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    market: str
    symbol: str
    price: str
    basis: str
    bid_price: str
    bid_quantity: str
    ask_price: str
    ask_quantity: str
    event_time_ns: int
    receive_time_ns: int
    age_ms: int
    source: PriceSource
    stale: bool
    attempts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, exchange: _Optional[str] = ..., market: _Optional[str] = ..., symbol: _Optional[str] = ..., price: _Optional[str] = ..., basis: _Optional[str] = ..., bid_price: _Optional[str] = ..., bid_quantity: _Optional[str] = ..., ask_price: _Optional[str] = ..., ask_quantity: _Optional[str] = ..., event_time_ns: _Optional[int] = ..., receive_time_ns: _Optional[int] = ..., age_ms: _Optional[int] = ..., source: _Optional[_Union[PriceSource, str]] = ..., stale: _Optional[bool] = ..., attempts: _Optional[_Iterable[str]] = ...) -> None: ...

class ListExchangePricesRequest(_message.Message):
    __slots__ = ("symbols", "exchange", "max_age_ms")
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    symbols: _containers.RepeatedScalarFieldContainer[str]
    exchange: str
    max_age_ms: int
    def __init__(self, symbols: _Optional[_Iterable[str]] = ..., exchange: _Optional[str] = ..., max_age_ms: _Optional[int] = ...) -> None: ...

class ListExchangePricesResponse(_message.Message):
    __slots__ = ("prices", "failures", "closed")
    PRICES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[ExchangePrice]
    failures: _containers.RepeatedCompositeFieldContainer[PriceFailure]
    closed: _containers.RepeatedCompositeFieldContainer[ClosedExchange]
    def __init__(self, prices: _Optional[_Iterable[_Union[ExchangePrice, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[PriceFailure, _Mapping]]] = ..., closed: _Optional[_Iterable[_Union[ClosedExchange, _Mapping]]] = ...) -> None: ...

class ClosedExchange(_message.Message):
    __slots__ = ("exchange", "closed_on")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_ON_FIELD_NUMBER: _ClassVar[int]
    exchange: str
    closed_on: str
    def __init__(self, exchange: _Optional[str] = ..., closed_on: _Optional[str] = ...) -> None: ...

class PriceFailure(_message.Message):
    __slots__ = ("symbol", "reason")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    reason: str
    def __init__(self, symbol: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_BUY: _ClassVar[Direction]
    DIRECTION_SELL: _ClassVar[Direction]

class ReferenceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFERENCE_STATE_UNSPECIFIED: _ClassVar[ReferenceState]
    REFERENCE_STATE_NONE: _ClassVar[ReferenceState]
    REFERENCE_STATE_CURRENT: _ClassVar[ReferenceState]
    REFERENCE_STATE_STALE: _ClassVar[ReferenceState]
    REFERENCE_STATE_FINAL: _ClassVar[ReferenceState]
DIRECTION_UNSPECIFIED: Direction
DIRECTION_BUY: Direction
DIRECTION_SELL: Direction
REFERENCE_STATE_UNSPECIFIED: ReferenceState
REFERENCE_STATE_NONE: ReferenceState
REFERENCE_STATE_CURRENT: ReferenceState
REFERENCE_STATE_STALE: ReferenceState
REFERENCE_STATE_FINAL: ReferenceState

class ListDealsRequest(_message.Message):
    __slots__ = ("delivery_day", "delivery_hour", "trader_id", "page_size", "page_token")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    delivery_hour: str
    trader_id: str
    page_size: int
    page_token: str
    def __init__(self, delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., trader_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDealsResponse(_message.Message):
    __slots__ = ("deals", "next_page_token")
    DEALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deals: _containers.RepeatedCompositeFieldContainer[Deal]
    next_page_token: str
    def __init__(self, deals: _Optional[_Iterable[_Union[Deal, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Deal(_message.Message):
    __slots__ = ("id", "delivery_day", "delivery_hour", "trader_id", "direction", "price", "quantity", "execution_time_ns", "received_time_ns", "flags")
    ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    delivery_day: str
    delivery_hour: str
    trader_id: str
    direction: Direction
    price: str
    quantity: str
    execution_time_ns: int
    received_time_ns: int
    flags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., trader_id: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., price: _Optional[str] = ..., quantity: _Optional[str] = ..., execution_time_ns: _Optional[int] = ..., received_time_ns: _Optional[int] = ..., flags: _Optional[_Iterable[str]] = ...) -> None: ...

class GetPerformanceRequest(_message.Message):
    __slots__ = ("delivery_day", "trader_id", "include_empty_hours")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMPTY_HOURS_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    trader_id: str
    include_empty_hours: bool
    def __init__(self, delivery_day: _Optional[str] = ..., trader_id: _Optional[str] = ..., include_empty_hours: _Optional[bool] = ...) -> None: ...

class GetPerformanceResponse(_message.Message):
    __slots__ = ("performance",)
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    performance: Performance
    def __init__(self, performance: _Optional[_Union[Performance, _Mapping]] = ...) -> None: ...

class WatchPerformanceRequest(_message.Message):
    __slots__ = ("delivery_day", "trader_id", "include_empty_hours")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMPTY_HOURS_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    trader_id: str
    include_empty_hours: bool
    def __init__(self, delivery_day: _Optional[str] = ..., trader_id: _Optional[str] = ..., include_empty_hours: _Optional[bool] = ...) -> None: ...

class WatchPerformanceResponse(_message.Message):
    __slots__ = ("performance",)
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    performance: Performance
    def __init__(self, performance: _Optional[_Union[Performance, _Mapping]] = ...) -> None: ...

class Performance(_message.Message):
    __slots__ = ("hours", "days", "reference", "as_of_time_ns", "stale", "version")
    HOURS_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    hours: _containers.RepeatedCompositeFieldContainer[HourPerformance]
    days: _containers.RepeatedCompositeFieldContainer[DayPerformance]
    reference: ReferenceStatus
    as_of_time_ns: int
    stale: bool
    version: str
    def __init__(self, hours: _Optional[_Iterable[_Union[HourPerformance, _Mapping]]] = ..., days: _Optional[_Iterable[_Union[DayPerformance, _Mapping]]] = ..., reference: _Optional[_Union[ReferenceStatus, _Mapping]] = ..., as_of_time_ns: _Optional[int] = ..., stale: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class Figures(_message.Message):
    __slots__ = ("deals", "bought", "sold", "average_price", "average_bought_price", "average_sold_price", "performance", "performance_per_mwh")
    DEALS_FIELD_NUMBER: _ClassVar[int]
    BOUGHT_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_BOUGHT_PRICE_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_SOLD_PRICE_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_PER_MWH_FIELD_NUMBER: _ClassVar[int]
    deals: int
    bought: str
    sold: str
    average_price: str
    average_bought_price: str
    average_sold_price: str
    performance: str
    performance_per_mwh: str
    def __init__(self, deals: _Optional[int] = ..., bought: _Optional[str] = ..., sold: _Optional[str] = ..., average_price: _Optional[str] = ..., average_bought_price: _Optional[str] = ..., average_sold_price: _Optional[str] = ..., performance: _Optional[str] = ..., performance_per_mwh: _Optional[str] = ...) -> None: ...

class HourPerformance(_message.Message):
    __slots__ = ("delivery_day", "delivery_hour", "ambiguous", "figures", "reference_price", "reference_update_time_ns", "reference_state")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_PRICE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_UPDATE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_STATE_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    delivery_hour: str
    ambiguous: bool
    figures: Figures
    reference_price: str
    reference_update_time_ns: int
    reference_state: ReferenceState
    def __init__(self, delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., ambiguous: _Optional[bool] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ..., reference_price: _Optional[str] = ..., reference_update_time_ns: _Optional[int] = ..., reference_state: _Optional[_Union[ReferenceState, str]] = ...) -> None: ...

class DayPerformance(_message.Message):
    __slots__ = ("delivery_day", "figures", "deals_without_reference")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    DEALS_WITHOUT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    figures: Figures
    deals_without_reference: int
    def __init__(self, delivery_day: _Optional[str] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ..., deals_without_reference: _Optional[int] = ...) -> None: ...

class ReferenceStatus(_message.Message):
    __slots__ = ("next_due_time_ns", "late", "last_answer_time_ns", "trouble")
    NEXT_DUE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    LAST_ANSWER_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    next_due_time_ns: int
    late: bool
    last_answer_time_ns: int
    trouble: str
    def __init__(self, next_due_time_ns: _Optional[int] = ..., late: _Optional[bool] = ..., last_answer_time_ns: _Optional[int] = ..., trouble: _Optional[str] = ...) -> None: ...

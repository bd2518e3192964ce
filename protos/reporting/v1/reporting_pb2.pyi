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
    REFERENCE_STATE_CLOSED: _ClassVar[ReferenceState]

class DealStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEAL_STATUS_UNSPECIFIED: _ClassVar[DealStatus]
    DEAL_STATUS_ACTIVE: _ClassVar[DealStatus]
    DEAL_STATUS_CORRECTED: _ClassVar[DealStatus]
    DEAL_STATUS_CANCELED: _ClassVar[DealStatus]
    DEAL_STATUS_SUPERSEDED: _ClassVar[DealStatus]

class ListenerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LISTENER_STATE_UNSPECIFIED: _ClassVar[ListenerState]
    LISTENER_STATE_RECEIVING: _ClassVar[ListenerState]
    LISTENER_STATE_SILENT: _ClassVar[ListenerState]
    LISTENER_STATE_DISCONNECTED: _ClassVar[ListenerState]
    LISTENER_STATE_AWAY: _ClassVar[ListenerState]
    LISTENER_STATE_NEVER: _ClassVar[ListenerState]

class AlertKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_KIND_UNSPECIFIED: _ClassVar[AlertKind]
    ALERT_KIND_SILENT_FEED: _ClassVar[AlertKind]
    ALERT_KIND_LATE_PRICE: _ClassVar[AlertKind]
    ALERT_KIND_LOSS_LIMIT: _ClassVar[AlertKind]
    ALERT_KIND_UNUSABLE_MESSAGES: _ClassVar[AlertKind]
    ALERT_KIND_SPOOLED_DEALS: _ClassVar[AlertKind]

class AlertSeverity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALERT_SEVERITY_UNSPECIFIED: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_WARNING: _ClassVar[AlertSeverity]
    ALERT_SEVERITY_CRITICAL: _ClassVar[AlertSeverity]
DIRECTION_UNSPECIFIED: Direction
DIRECTION_BUY: Direction
DIRECTION_SELL: Direction
REFERENCE_STATE_UNSPECIFIED: ReferenceState
REFERENCE_STATE_NONE: ReferenceState
REFERENCE_STATE_CURRENT: ReferenceState
REFERENCE_STATE_STALE: ReferenceState
REFERENCE_STATE_FINAL: ReferenceState
REFERENCE_STATE_CLOSED: ReferenceState
DEAL_STATUS_UNSPECIFIED: DealStatus
DEAL_STATUS_ACTIVE: DealStatus
DEAL_STATUS_CORRECTED: DealStatus
DEAL_STATUS_CANCELED: DealStatus
DEAL_STATUS_SUPERSEDED: DealStatus
LISTENER_STATE_UNSPECIFIED: ListenerState
LISTENER_STATE_RECEIVING: ListenerState
LISTENER_STATE_SILENT: ListenerState
LISTENER_STATE_DISCONNECTED: ListenerState
LISTENER_STATE_AWAY: ListenerState
LISTENER_STATE_NEVER: ListenerState
ALERT_KIND_UNSPECIFIED: AlertKind
ALERT_KIND_SILENT_FEED: AlertKind
ALERT_KIND_LATE_PRICE: AlertKind
ALERT_KIND_LOSS_LIMIT: AlertKind
ALERT_KIND_UNUSABLE_MESSAGES: AlertKind
ALERT_KIND_SPOOLED_DEALS: AlertKind
ALERT_SEVERITY_UNSPECIFIED: AlertSeverity
ALERT_SEVERITY_WARNING: AlertSeverity
ALERT_SEVERITY_CRITICAL: AlertSeverity

class ListDealsRequest(_message.Message):
    __slots__ = ("delivery_day", "delivery_hour", "trader_id", "page_size", "page_token", "market", "include_superseded")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    delivery_hour: str
    trader_id: str
    page_size: int
    page_token: str
    market: str
    include_superseded: bool
    def __init__(self, delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., trader_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., market: _Optional[str] = ..., include_superseded: _Optional[bool] = ...) -> None: ...

class ListDealsResponse(_message.Message):
    __slots__ = ("deals", "next_page_token")
    DEALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    deals: _containers.RepeatedCompositeFieldContainer[Deal]
    next_page_token: str
    def __init__(self, deals: _Optional[_Iterable[_Union[Deal, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Deal(_message.Message):
    __slots__ = ("id", "delivery_day", "delivery_hour", "trader_id", "direction", "price", "quantity", "execution_time_ns", "received_time_ns", "flags", "energy", "period_minutes", "status", "revision", "market", "superseded_time_ns")
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
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MINUTES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
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
    energy: str
    period_minutes: int
    status: DealStatus
    revision: int
    market: str
    superseded_time_ns: int
    def __init__(self, id: _Optional[str] = ..., delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., trader_id: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., price: _Optional[str] = ..., quantity: _Optional[str] = ..., execution_time_ns: _Optional[int] = ..., received_time_ns: _Optional[int] = ..., flags: _Optional[_Iterable[str]] = ..., energy: _Optional[str] = ..., period_minutes: _Optional[int] = ..., status: _Optional[_Union[DealStatus, str]] = ..., revision: _Optional[int] = ..., market: _Optional[str] = ..., superseded_time_ns: _Optional[int] = ...) -> None: ...

class GetPerformanceRequest(_message.Message):
    __slots__ = ("delivery_day", "trader_id", "include_empty_hours", "market")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMPTY_HOURS_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    trader_id: str
    include_empty_hours: bool
    market: str
    def __init__(self, delivery_day: _Optional[str] = ..., trader_id: _Optional[str] = ..., include_empty_hours: _Optional[bool] = ..., market: _Optional[str] = ...) -> None: ...

class GetPerformanceResponse(_message.Message):
    __slots__ = ("performance",)
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    performance: Performance
    def __init__(self, performance: _Optional[_Union[Performance, _Mapping]] = ...) -> None: ...

class WatchPerformanceRequest(_message.Message):
    __slots__ = ("delivery_day", "trader_id", "include_empty_hours", "market")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMPTY_HOURS_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    trader_id: str
    include_empty_hours: bool
    market: str
    def __init__(self, delivery_day: _Optional[str] = ..., trader_id: _Optional[str] = ..., include_empty_hours: _Optional[bool] = ..., market: _Optional[str] = ...) -> None: ...

class WatchPerformanceResponse(_message.Message):
    __slots__ = ("performance",)
    PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    performance: Performance
    def __init__(self, performance: _Optional[_Union[Performance, _Mapping]] = ...) -> None: ...

class Performance(_message.Message):
    __slots__ = ("hours", "days", "reference", "as_of_time_ns", "stale", "version", "listener", "alerts", "markets")
    HOURS_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LISTENER_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    MARKETS_FIELD_NUMBER: _ClassVar[int]
    hours: _containers.RepeatedCompositeFieldContainer[HourPerformance]
    days: _containers.RepeatedCompositeFieldContainer[DayPerformance]
    reference: ReferenceStatus
    as_of_time_ns: int
    stale: bool
    version: str
    listener: ListenerStatus
    alerts: _containers.RepeatedCompositeFieldContainer[Alert]
    markets: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hours: _Optional[_Iterable[_Union[HourPerformance, _Mapping]]] = ..., days: _Optional[_Iterable[_Union[DayPerformance, _Mapping]]] = ..., reference: _Optional[_Union[ReferenceStatus, _Mapping]] = ..., as_of_time_ns: _Optional[int] = ..., stale: _Optional[bool] = ..., version: _Optional[str] = ..., listener: _Optional[_Union[ListenerStatus, _Mapping]] = ..., alerts: _Optional[_Iterable[_Union[Alert, _Mapping]]] = ..., markets: _Optional[_Iterable[str]] = ...) -> None: ...

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
    __slots__ = ("delivery_day", "delivery_hour", "ambiguous", "figures", "reference_price", "reference_update_time_ns", "reference_state", "reference_confirmed", "reference_observed_time_ns", "reference_of_hour", "period_minutes", "delivery_start_time_ns", "delivery_end_time_ns", "gate_closure_time_ns", "net_energy", "net_power", "net_power_with_hour", "cumulated_performance", "markets", "canceled_deals", "corrected_deals")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    AMBIGUOUS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_PRICE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_UPDATE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_STATE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_OBSERVED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_OF_HOUR_FIELD_NUMBER: _ClassVar[int]
    PERIOD_MINUTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_START_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_END_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    GATE_CLOSURE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    NET_ENERGY_FIELD_NUMBER: _ClassVar[int]
    NET_POWER_FIELD_NUMBER: _ClassVar[int]
    NET_POWER_WITH_HOUR_FIELD_NUMBER: _ClassVar[int]
    CUMULATED_PERFORMANCE_FIELD_NUMBER: _ClassVar[int]
    MARKETS_FIELD_NUMBER: _ClassVar[int]
    CANCELED_DEALS_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_DEALS_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    delivery_hour: str
    ambiguous: bool
    figures: Figures
    reference_price: str
    reference_update_time_ns: int
    reference_state: ReferenceState
    reference_confirmed: bool
    reference_observed_time_ns: int
    reference_of_hour: bool
    period_minutes: int
    delivery_start_time_ns: int
    delivery_end_time_ns: int
    gate_closure_time_ns: int
    net_energy: str
    net_power: str
    net_power_with_hour: str
    cumulated_performance: str
    markets: _containers.RepeatedScalarFieldContainer[str]
    canceled_deals: int
    corrected_deals: int
    def __init__(self, delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., ambiguous: _Optional[bool] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ..., reference_price: _Optional[str] = ..., reference_update_time_ns: _Optional[int] = ..., reference_state: _Optional[_Union[ReferenceState, str]] = ..., reference_confirmed: _Optional[bool] = ..., reference_observed_time_ns: _Optional[int] = ..., reference_of_hour: _Optional[bool] = ..., period_minutes: _Optional[int] = ..., delivery_start_time_ns: _Optional[int] = ..., delivery_end_time_ns: _Optional[int] = ..., gate_closure_time_ns: _Optional[int] = ..., net_energy: _Optional[str] = ..., net_power: _Optional[str] = ..., net_power_with_hour: _Optional[str] = ..., cumulated_performance: _Optional[str] = ..., markets: _Optional[_Iterable[str]] = ..., canceled_deals: _Optional[int] = ..., corrected_deals: _Optional[int] = ...) -> None: ...

class DayPerformance(_message.Message):
    __slots__ = ("delivery_day", "figures", "deals_without_reference", "net_energy")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    DEALS_WITHOUT_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    NET_ENERGY_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    figures: Figures
    deals_without_reference: int
    net_energy: str
    def __init__(self, delivery_day: _Optional[str] = ..., figures: _Optional[_Union[Figures, _Mapping]] = ..., deals_without_reference: _Optional[int] = ..., net_energy: _Optional[str] = ...) -> None: ...

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

class ListenerStatus(_message.Message):
    __slots__ = ("state", "connected", "since_time_ns", "last_message_time_ns", "last_deal_time_ns", "spooled", "unusable_today", "unusable_total", "trouble", "updated_time_ns")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_MESSAGE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_DEAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SPOOLED_FIELD_NUMBER: _ClassVar[int]
    UNUSABLE_TODAY_FIELD_NUMBER: _ClassVar[int]
    UNUSABLE_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    state: ListenerState
    connected: bool
    since_time_ns: int
    last_message_time_ns: int
    last_deal_time_ns: int
    spooled: int
    unusable_today: int
    unusable_total: int
    trouble: str
    updated_time_ns: int
    def __init__(self, state: _Optional[_Union[ListenerState, str]] = ..., connected: _Optional[bool] = ..., since_time_ns: _Optional[int] = ..., last_message_time_ns: _Optional[int] = ..., last_deal_time_ns: _Optional[int] = ..., spooled: _Optional[int] = ..., unusable_today: _Optional[int] = ..., unusable_total: _Optional[int] = ..., trouble: _Optional[str] = ..., updated_time_ns: _Optional[int] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("kind", "severity", "text", "since_time_ns", "trader_id", "delivery_day")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    kind: AlertKind
    severity: AlertSeverity
    text: str
    since_time_ns: int
    trader_id: str
    delivery_day: str
    def __init__(self, kind: _Optional[_Union[AlertKind, str]] = ..., severity: _Optional[_Union[AlertSeverity, str]] = ..., text: _Optional[str] = ..., since_time_ns: _Optional[int] = ..., trader_id: _Optional[str] = ..., delivery_day: _Optional[str] = ...) -> None: ...

class GetPositionsRequest(_message.Message):
    __slots__ = ("delivery_day", "market")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    market: str
    def __init__(self, delivery_day: _Optional[str] = ..., market: _Optional[str] = ...) -> None: ...

class GetPositionsResponse(_message.Message):
    __slots__ = ("traders", "rows", "days", "as_of_time_ns", "stale", "version")
    TRADERS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    traders: _containers.RepeatedScalarFieldContainer[str]
    rows: _containers.RepeatedCompositeFieldContainer[PositionRow]
    days: _containers.RepeatedCompositeFieldContainer[DayPosition]
    as_of_time_ns: int
    stale: bool
    version: str
    def __init__(self, traders: _Optional[_Iterable[str]] = ..., rows: _Optional[_Iterable[_Union[PositionRow, _Mapping]]] = ..., days: _Optional[_Iterable[_Union[DayPosition, _Mapping]]] = ..., as_of_time_ns: _Optional[int] = ..., stale: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class NetPosition(_message.Message):
    __slots__ = ("energy", "power")
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    energy: str
    power: str
    def __init__(self, energy: _Optional[str] = ..., power: _Optional[str] = ...) -> None: ...

class PositionRow(_message.Message):
    __slots__ = ("delivery_day", "delivery_hour", "positions", "team")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    delivery_hour: str
    positions: _containers.RepeatedCompositeFieldContainer[NetPosition]
    team: NetPosition
    def __init__(self, delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., positions: _Optional[_Iterable[_Union[NetPosition, _Mapping]]] = ..., team: _Optional[_Union[NetPosition, _Mapping]] = ...) -> None: ...

class DayPosition(_message.Message):
    __slots__ = ("delivery_day", "positions", "team")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    positions: _containers.RepeatedCompositeFieldContainer[NetPosition]
    team: NetPosition
    def __init__(self, delivery_day: _Optional[str] = ..., positions: _Optional[_Iterable[_Union[NetPosition, _Mapping]]] = ..., team: _Optional[_Union[NetPosition, _Mapping]] = ...) -> None: ...

class GetHistoryRequest(_message.Message):
    __slots__ = ("delivery_day", "delivery_hour", "trader_id", "market")
    DELIVERY_DAY_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_HOUR_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    MARKET_FIELD_NUMBER: _ClassVar[int]
    delivery_day: str
    delivery_hour: str
    trader_id: str
    market: str
    def __init__(self, delivery_day: _Optional[str] = ..., delivery_hour: _Optional[str] = ..., trader_id: _Optional[str] = ..., market: _Optional[str] = ...) -> None: ...

class GetHistoryResponse(_message.Message):
    __slots__ = ("reference_prices", "deals", "more_deals", "gate_closure_time_ns", "reference_of_hour")
    REFERENCE_PRICES_FIELD_NUMBER: _ClassVar[int]
    DEALS_FIELD_NUMBER: _ClassVar[int]
    MORE_DEALS_FIELD_NUMBER: _ClassVar[int]
    GATE_CLOSURE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_OF_HOUR_FIELD_NUMBER: _ClassVar[int]
    reference_prices: _containers.RepeatedCompositeFieldContainer[ReferencePoint]
    deals: _containers.RepeatedCompositeFieldContainer[DealPoint]
    more_deals: bool
    gate_closure_time_ns: int
    reference_of_hour: bool
    def __init__(self, reference_prices: _Optional[_Iterable[_Union[ReferencePoint, _Mapping]]] = ..., deals: _Optional[_Iterable[_Union[DealPoint, _Mapping]]] = ..., more_deals: _Optional[bool] = ..., gate_closure_time_ns: _Optional[int] = ..., reference_of_hour: _Optional[bool] = ...) -> None: ...

class ReferencePoint(_message.Message):
    __slots__ = ("time_ns", "price", "observed_time_ns")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    price: str
    observed_time_ns: int
    def __init__(self, time_ns: _Optional[int] = ..., price: _Optional[str] = ..., observed_time_ns: _Optional[int] = ...) -> None: ...

class DealPoint(_message.Message):
    __slots__ = ("id", "time_ns", "price", "quantity", "direction", "trader_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    TRADER_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    time_ns: int
    price: str
    quantity: str
    direction: Direction
    trader_id: str
    def __init__(self, id: _Optional[str] = ..., time_ns: _Optional[int] = ..., price: _Optional[str] = ..., quantity: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., trader_id: _Optional[str] = ...) -> None: ...

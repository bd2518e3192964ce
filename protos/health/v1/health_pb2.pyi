from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_OK: _ClassVar[Status]
    STATUS_DEGRADED: _ClassVar[Status]
    STATUS_DOWN: _ClassVar[Status]
STATUS_UNSPECIFIED: Status
STATUS_OK: Status
STATUS_DEGRADED: Status
STATUS_DOWN: Status

class GetReportRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetReportResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: Report
    def __init__(self, report: _Optional[_Union[Report, _Mapping]] = ...) -> None: ...

class WatchReportRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchReportResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: Report
    def __init__(self, report: _Optional[_Union[Report, _Mapping]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("status", "checks", "queues", "report_time_ns", "exchanges", "sinks")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    QUEUES_FIELD_NUMBER: _ClassVar[int]
    REPORT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    SINKS_FIELD_NUMBER: _ClassVar[int]
    status: Status
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    queues: _containers.RepeatedCompositeFieldContainer[QueueLag]
    report_time_ns: int
    exchanges: _containers.RepeatedCompositeFieldContainer[ExchangeHealth]
    sinks: _containers.RepeatedCompositeFieldContainer[SinkLag]
    def __init__(self, status: _Optional[_Union[Status, str]] = ..., checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ..., queues: _Optional[_Iterable[_Union[QueueLag, _Mapping]]] = ..., report_time_ns: _Optional[int] = ..., exchanges: _Optional[_Iterable[_Union[ExchangeHealth, _Mapping]]] = ..., sinks: _Optional[_Iterable[_Union[SinkLag, _Mapping]]] = ...) -> None: ...

class ExchangeHealth(_message.Message):
    __slots__ = ("target", "group", "process", "status", "latency_p50_ms", "latency_p99_ms", "breaker_state", "limiter_fill", "clock_offset_ms", "clock_error_ms", "stream_age_ms", "last_error", "age_ms")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P50_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P99_MS_FIELD_NUMBER: _ClassVar[int]
    BREAKER_STATE_FIELD_NUMBER: _ClassVar[int]
    LIMITER_FILL_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_MS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    STREAM_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    target: str
    group: str
    process: str
    status: Status
    latency_p50_ms: float
    latency_p99_ms: float
    breaker_state: str
    limiter_fill: float
    clock_offset_ms: float
    clock_error_ms: float
    stream_age_ms: int
    last_error: str
    age_ms: int
    def __init__(self, target: _Optional[str] = ..., group: _Optional[str] = ..., process: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., latency_p50_ms: _Optional[float] = ..., latency_p99_ms: _Optional[float] = ..., breaker_state: _Optional[str] = ..., limiter_fill: _Optional[float] = ..., clock_offset_ms: _Optional[float] = ..., clock_error_ms: _Optional[float] = ..., stream_age_ms: _Optional[int] = ..., last_error: _Optional[str] = ..., age_ms: _Optional[int] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("name", "status", "detail", "last_error", "age_ms", "duration_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    status: Status
    detail: str
    last_error: str
    age_ms: int
    duration_us: int
    def __init__(self, name: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., detail: _Optional[str] = ..., last_error: _Optional[str] = ..., age_ms: _Optional[int] = ..., duration_us: _Optional[int] = ...) -> None: ...

class QueueLag(_message.Message):
    __slots__ = ("session", "group", "lag_records", "lag_bytes", "lag_data_time_ns", "active", "standing_ms", "partition")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    LAG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAG_DATA_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    STANDING_MS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    session: str
    group: str
    lag_records: int
    lag_bytes: int
    lag_data_time_ns: int
    active: bool
    standing_ms: int
    partition: int
    def __init__(self, session: _Optional[str] = ..., group: _Optional[str] = ..., lag_records: _Optional[int] = ..., lag_bytes: _Optional[int] = ..., lag_data_time_ns: _Optional[int] = ..., active: _Optional[bool] = ..., standing_ms: _Optional[int] = ..., partition: _Optional[int] = ...) -> None: ...

class SinkLag(_message.Message):
    __slots__ = ("session", "sink", "sequence", "lag_records", "lag_data_time_ns", "standing_ms", "other_epoch", "error", "partition")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SINK_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    LAG_DATA_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STANDING_MS_FIELD_NUMBER: _ClassVar[int]
    OTHER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    session: str
    sink: str
    sequence: int
    lag_records: int
    lag_data_time_ns: int
    standing_ms: int
    other_epoch: bool
    error: str
    partition: int
    def __init__(self, session: _Optional[str] = ..., sink: _Optional[str] = ..., sequence: _Optional[int] = ..., lag_records: _Optional[int] = ..., lag_data_time_ns: _Optional[int] = ..., standing_ms: _Optional[int] = ..., other_epoch: _Optional[bool] = ..., error: _Optional[str] = ..., partition: _Optional[int] = ...) -> None: ...

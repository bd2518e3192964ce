from protos.common.v1 import market_pb2 as _market_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_STARTING: _ClassVar[SessionState]
    SESSION_STATE_RUNNING: _ClassVar[SessionState]
    SESSION_STATE_PAUSED: _ClassVar[SessionState]
    SESSION_STATE_BACKPRESSURED: _ClassVar[SessionState]
    SESSION_STATE_COMPLETED: _ClassVar[SessionState]
    SESSION_STATE_FAILED: _ClassVar[SessionState]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_STARTING: SessionState
SESSION_STATE_RUNNING: SessionState
SESSION_STATE_PAUSED: SessionState
SESSION_STATE_BACKPRESSURED: SessionState
SESSION_STATE_COMPLETED: SessionState
SESSION_STATE_FAILED: SessionState

class StreamTicksRequest(_message.Message):
    __slots__ = ("session", "tickers", "after_sequence", "from_now", "latest_per_ticker", "from_arrival_time_ns", "epoch", "policy", "with_lag", "conflate_interval_ms", "lag_records_max", "partition", "after", "merge_wait_ms")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TICKERS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FROM_NOW_FIELD_NUMBER: _ClassVar[int]
    LATEST_PER_TICKER_FIELD_NUMBER: _ClassVar[int]
    FROM_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WITH_LAG_FIELD_NUMBER: _ClassVar[int]
    CONFLATE_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MERGE_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    session: str
    tickers: _containers.RepeatedScalarFieldContainer[str]
    after_sequence: int
    from_now: bool
    latest_per_ticker: bool
    from_arrival_time_ns: int
    epoch: str
    policy: _market_pb2.SubscriberPolicy
    with_lag: bool
    conflate_interval_ms: int
    lag_records_max: int
    partition: int
    after: _containers.RepeatedCompositeFieldContainer[_market_pb2.PartitionPosition]
    merge_wait_ms: int
    def __init__(self, session: _Optional[str] = ..., tickers: _Optional[_Iterable[str]] = ..., after_sequence: _Optional[int] = ..., from_now: _Optional[bool] = ..., latest_per_ticker: _Optional[bool] = ..., from_arrival_time_ns: _Optional[int] = ..., epoch: _Optional[str] = ..., policy: _Optional[_Union[_market_pb2.SubscriberPolicy, str]] = ..., with_lag: _Optional[bool] = ..., conflate_interval_ms: _Optional[int] = ..., lag_records_max: _Optional[int] = ..., partition: _Optional[int] = ..., after: _Optional[_Iterable[_Union[_market_pb2.PartitionPosition, _Mapping]]] = ..., merge_wait_ms: _Optional[int] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class SessionDefinition(_message.Message):
    __slots__ = ("files", "live_url", "mode", "speed", "start_arrival_time_ns", "end_arrival_time_ns", "tickers", "latency", "sinks", "private", "partitions", "created_time_ns", "gap_cap_ns", "rate", "delay_ns", "time_debt", "time_debt_limit_ns")
    FILES_FIELD_NUMBER: _ClassVar[int]
    LIVE_URL_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    START_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    END_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TICKERS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    SINKS_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    GAP_CAP_NS_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    TIME_DEBT_FIELD_NUMBER: _ClassVar[int]
    TIME_DEBT_LIMIT_NS_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedScalarFieldContainer[str]
    live_url: str
    mode: _market_pb2.Mode
    speed: float
    start_arrival_time_ns: int
    end_arrival_time_ns: int
    tickers: _containers.RepeatedScalarFieldContainer[str]
    latency: _containers.RepeatedScalarFieldContainer[str]
    sinks: _containers.RepeatedScalarFieldContainer[str]
    private: bool
    partitions: int
    created_time_ns: int
    gap_cap_ns: int
    rate: float
    delay_ns: int
    time_debt: TimeDebt.Policy
    time_debt_limit_ns: int
    def __init__(self, files: _Optional[_Iterable[str]] = ..., live_url: _Optional[str] = ..., mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., speed: _Optional[float] = ..., start_arrival_time_ns: _Optional[int] = ..., end_arrival_time_ns: _Optional[int] = ..., tickers: _Optional[_Iterable[str]] = ..., latency: _Optional[_Iterable[str]] = ..., sinks: _Optional[_Iterable[str]] = ..., private: _Optional[bool] = ..., partitions: _Optional[int] = ..., created_time_ns: _Optional[int] = ..., gap_cap_ns: _Optional[int] = ..., rate: _Optional[float] = ..., delay_ns: _Optional[int] = ..., time_debt: _Optional[_Union[TimeDebt.Policy, str]] = ..., time_debt_limit_ns: _Optional[int] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("session", "definition")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    session: str
    definition: SessionDefinition
    def __init__(self, session: _Optional[str] = ..., definition: _Optional[_Union[SessionDefinition, _Mapping]] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ("logs",)
    LOGS_FIELD_NUMBER: _ClassVar[int]
    logs: _containers.RepeatedCompositeFieldContainer[SinkLogs]
    def __init__(self, logs: _Optional[_Iterable[_Union[SinkLogs, _Mapping]]] = ...) -> None: ...

class SinkLogs(_message.Message):
    __slots__ = ("sink", "directory", "host")
    SINK_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    sink: str
    directory: str
    host: str
    def __init__(self, sink: _Optional[str] = ..., directory: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class ListPartitionsRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class ListPartitionsResponse(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[Partition]
    def __init__(self, partitions: _Optional[_Iterable[_Union[Partition, _Mapping]]] = ...) -> None: ...

class Partition(_message.Message):
    __slots__ = ("partition", "owner", "host", "pid", "state", "epoch", "last_sequence", "watermark_time_ns", "sinks", "error", "oldest_sequence")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SINKS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    owner: str
    host: str
    pid: int
    state: SessionState
    epoch: str
    last_sequence: int
    watermark_time_ns: int
    sinks: _containers.RepeatedCompositeFieldContainer[SinkPosition]
    error: str
    oldest_sequence: int
    def __init__(self, partition: _Optional[int] = ..., owner: _Optional[str] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ..., state: _Optional[_Union[SessionState, str]] = ..., epoch: _Optional[str] = ..., last_sequence: _Optional[int] = ..., watermark_time_ns: _Optional[int] = ..., sinks: _Optional[_Iterable[_Union[SinkPosition, _Mapping]]] = ..., error: _Optional[str] = ..., oldest_sequence: _Optional[int] = ...) -> None: ...

class SinkPosition(_message.Message):
    __slots__ = ("sink", "owner", "sequence", "host", "pid")
    SINK_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    sink: str
    owner: str
    sequence: int
    host: str
    pid: int
    def __init__(self, sink: _Optional[str] = ..., owner: _Optional[str] = ..., sequence: _Optional[int] = ..., host: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...

class Pacing(_message.Message):
    __slots__ = ("batches", "late_batches", "late_p50_ns", "late_p99_ns", "late_p999_ns", "late_max_ns", "achieved_speed", "records_per_second", "replayed_ns", "records", "elapsed_ns", "gap_cap_ns", "rate", "delay_ns")
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    LATE_BATCHES_FIELD_NUMBER: _ClassVar[int]
    LATE_P50_NS_FIELD_NUMBER: _ClassVar[int]
    LATE_P99_NS_FIELD_NUMBER: _ClassVar[int]
    LATE_P999_NS_FIELD_NUMBER: _ClassVar[int]
    LATE_MAX_NS_FIELD_NUMBER: _ClassVar[int]
    ACHIEVED_SPEED_FIELD_NUMBER: _ClassVar[int]
    RECORDS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_NS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_NS_FIELD_NUMBER: _ClassVar[int]
    GAP_CAP_NS_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    DELAY_NS_FIELD_NUMBER: _ClassVar[int]
    batches: int
    late_batches: int
    late_p50_ns: int
    late_p99_ns: int
    late_p999_ns: int
    late_max_ns: int
    achieved_speed: float
    records_per_second: float
    replayed_ns: int
    records: int
    elapsed_ns: int
    gap_cap_ns: int
    rate: float
    delay_ns: int
    def __init__(self, batches: _Optional[int] = ..., late_batches: _Optional[int] = ..., late_p50_ns: _Optional[int] = ..., late_p99_ns: _Optional[int] = ..., late_p999_ns: _Optional[int] = ..., late_max_ns: _Optional[int] = ..., achieved_speed: _Optional[float] = ..., records_per_second: _Optional[float] = ..., replayed_ns: _Optional[int] = ..., records: _Optional[int] = ..., elapsed_ns: _Optional[int] = ..., gap_cap_ns: _Optional[int] = ..., rate: _Optional[float] = ..., delay_ns: _Optional[int] = ...) -> None: ...

class TimeDebt(_message.Message):
    __slots__ = ("policy", "behind_ns", "behind_max_ns", "stretched_ns", "limit_ns")
    class Policy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POLICY_UNSPECIFIED: _ClassVar[TimeDebt.Policy]
        POLICY_CATCH_UP: _ClassVar[TimeDebt.Policy]
        POLICY_STRETCH: _ClassVar[TimeDebt.Policy]
        POLICY_FAIL: _ClassVar[TimeDebt.Policy]
    POLICY_UNSPECIFIED: TimeDebt.Policy
    POLICY_CATCH_UP: TimeDebt.Policy
    POLICY_STRETCH: TimeDebt.Policy
    POLICY_FAIL: TimeDebt.Policy
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BEHIND_NS_FIELD_NUMBER: _ClassVar[int]
    BEHIND_MAX_NS_FIELD_NUMBER: _ClassVar[int]
    STRETCHED_NS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_NS_FIELD_NUMBER: _ClassVar[int]
    policy: TimeDebt.Policy
    behind_ns: int
    behind_max_ns: int
    stretched_ns: int
    limit_ns: int
    def __init__(self, policy: _Optional[_Union[TimeDebt.Policy, str]] = ..., behind_ns: _Optional[int] = ..., behind_max_ns: _Optional[int] = ..., stretched_ns: _Optional[int] = ..., limit_ns: _Optional[int] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("name", "epoch", "state", "mode", "revision", "paused", "speed", "last_sequence", "oldest_sequence", "backlog_records", "backlog_bytes", "last_arrival_time_ns", "skipped", "live_configured", "live_connected", "error", "reported_time_ns", "historical_configured", "damaged_sources", "pacing", "time_debt", "position_arrival_time_ns", "range", "loop", "scheduled", "definition", "private", "hand_over", "proof", "partitions", "acknowledged")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    LIVE_CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    LIVE_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REPORTED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    HISTORICAL_CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_SOURCES_FIELD_NUMBER: _ClassVar[int]
    PACING_FIELD_NUMBER: _ClassVar[int]
    TIME_DEBT_FIELD_NUMBER: _ClassVar[int]
    POSITION_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    name: str
    epoch: str
    state: SessionState
    mode: _market_pb2.Mode
    revision: int
    paused: bool
    speed: float
    last_sequence: int
    oldest_sequence: int
    backlog_records: int
    backlog_bytes: int
    last_arrival_time_ns: int
    skipped: int
    live_configured: bool
    live_connected: bool
    error: str
    reported_time_ns: int
    historical_configured: bool
    damaged_sources: int
    pacing: Pacing
    time_debt: TimeDebt
    position_arrival_time_ns: int
    range: _market_pb2.TimeRange
    loop: bool
    scheduled: int
    definition: SessionDefinition
    private: bool
    hand_over: _market_pb2.HandOver
    proof: _market_pb2.OrderProof
    partitions: int
    acknowledged: str
    def __init__(self, name: _Optional[str] = ..., epoch: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., revision: _Optional[int] = ..., paused: _Optional[bool] = ..., speed: _Optional[float] = ..., last_sequence: _Optional[int] = ..., oldest_sequence: _Optional[int] = ..., backlog_records: _Optional[int] = ..., backlog_bytes: _Optional[int] = ..., last_arrival_time_ns: _Optional[int] = ..., skipped: _Optional[int] = ..., live_configured: _Optional[bool] = ..., live_connected: _Optional[bool] = ..., error: _Optional[str] = ..., reported_time_ns: _Optional[int] = ..., historical_configured: _Optional[bool] = ..., damaged_sources: _Optional[int] = ..., pacing: _Optional[_Union[Pacing, _Mapping]] = ..., time_debt: _Optional[_Union[TimeDebt, _Mapping]] = ..., position_arrival_time_ns: _Optional[int] = ..., range: _Optional[_Union[_market_pb2.TimeRange, _Mapping]] = ..., loop: _Optional[bool] = ..., scheduled: _Optional[int] = ..., definition: _Optional[_Union[SessionDefinition, _Mapping]] = ..., private: _Optional[bool] = ..., hand_over: _Optional[_Union[_market_pb2.HandOver, _Mapping]] = ..., proof: _Optional[_Union[_market_pb2.OrderProof, _Mapping]] = ..., partitions: _Optional[int] = ..., acknowledged: _Optional[str] = ...) -> None: ...

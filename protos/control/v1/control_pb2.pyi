from protos.common.v1 import market_pb2 as _market_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class When(_message.Message):
    __slots__ = ("at_arrival_time_ns", "after_sequence", "at_end")
    AT_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    AT_END_FIELD_NUMBER: _ClassVar[int]
    at_arrival_time_ns: int
    after_sequence: int
    at_end: bool
    def __init__(self, at_arrival_time_ns: _Optional[int] = ..., after_sequence: _Optional[int] = ..., at_end: _Optional[bool] = ...) -> None: ...

class SetModeRequest(_message.Message):
    __slots__ = ("session", "mode", "request_id", "when", "hand_over")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    session: str
    mode: _market_pb2.Mode
    request_id: str
    when: When
    hand_over: _market_pb2.HandOver.Kind
    def __init__(self, session: _Optional[str] = ..., mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., request_id: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ..., hand_over: _Optional[_Union[_market_pb2.HandOver.Kind, str]] = ...) -> None: ...

class SetModeResponse(_message.Message):
    __slots__ = ("previous_mode", "mode", "revision")
    PREVIOUS_MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    previous_mode: _market_pb2.Mode
    mode: _market_pb2.Mode
    revision: int
    def __init__(self, previous_mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetStateRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class GetStateResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: ControlState
    def __init__(self, state: _Optional[_Union[ControlState, _Mapping]] = ...) -> None: ...

class WatchStateRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class WatchStateResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: ControlState
    def __init__(self, state: _Optional[_Union[ControlState, _Mapping]] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("session", "request_id", "when")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    when: When
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ...) -> None: ...

class PauseResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("session", "request_id", "when")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    when: When
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class SetSpeedRequest(_message.Message):
    __slots__ = ("session", "speed", "request_id", "when")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    speed: float
    request_id: str
    when: When
    def __init__(self, session: _Optional[str] = ..., speed: _Optional[float] = ..., request_id: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ...) -> None: ...

class SetSpeedResponse(_message.Message):
    __slots__ = ("speed", "revision")
    SPEED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    speed: float
    revision: int
    def __init__(self, speed: _Optional[float] = ..., revision: _Optional[int] = ...) -> None: ...

class SeekRequest(_message.Message):
    __slots__ = ("session", "request_id", "arrival_time_ns", "by_ns", "begin", "end", "sequence", "when")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    BY_NS_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    arrival_time_ns: int
    by_ns: int
    begin: bool
    end: bool
    sequence: int
    when: When
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., arrival_time_ns: _Optional[int] = ..., by_ns: _Optional[int] = ..., begin: _Optional[bool] = ..., end: _Optional[bool] = ..., sequence: _Optional[int] = ..., when: _Optional[_Union[When, _Mapping]] = ...) -> None: ...

class SeekResponse(_message.Message):
    __slots__ = ("revision", "position_arrival_time_ns", "sequence")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    POSITION_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    revision: int
    position_arrival_time_ns: int
    sequence: int
    def __init__(self, revision: _Optional[int] = ..., position_arrival_time_ns: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class StepRequest(_message.Message):
    __slots__ = ("session", "request_id", "ticks", "ticker", "when")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TICKS_FIELD_NUMBER: _ClassVar[int]
    TICKER_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    ticks: int
    ticker: str
    when: When
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., ticks: _Optional[int] = ..., ticker: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ...) -> None: ...

class StepResponse(_message.Message):
    __slots__ = ("revision", "ticks", "position_arrival_time_ns")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TICKS_FIELD_NUMBER: _ClassVar[int]
    POSITION_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    ticks: int
    position_arrival_time_ns: int
    def __init__(self, revision: _Optional[int] = ..., ticks: _Optional[int] = ..., position_arrival_time_ns: _Optional[int] = ...) -> None: ...

class SetRangeRequest(_message.Message):
    __slots__ = ("session", "request_id", "range", "loop", "when")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    range: _market_pb2.TimeRange
    loop: bool
    when: When
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., range: _Optional[_Union[_market_pb2.TimeRange, _Mapping]] = ..., loop: _Optional[bool] = ..., when: _Optional[_Union[When, _Mapping]] = ...) -> None: ...

class SetRangeResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class ListScheduledRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class ListScheduledResponse(_message.Message):
    __slots__ = ("scheduled",)
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    scheduled: _containers.RepeatedCompositeFieldContainer[ScheduledCommand]
    def __init__(self, scheduled: _Optional[_Iterable[_Union[ScheduledCommand, _Mapping]]] = ...) -> None: ...

class ScheduledCommand(_message.Message):
    __slots__ = ("revision", "kind", "when", "what")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    revision: int
    kind: str
    when: When
    what: str
    def __init__(self, revision: _Optional[int] = ..., kind: _Optional[str] = ..., when: _Optional[_Union[When, _Mapping]] = ..., what: _Optional[str] = ...) -> None: ...

class CancelScheduledRequest(_message.Message):
    __slots__ = ("session", "request_id", "revision")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    revision: int
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class CancelScheduledResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class ControlState(_message.Message):
    __slots__ = ("session", "intended_mode", "mode", "intended_revision", "revision", "paused", "speed", "state", "last_sequence", "reported_time_ns", "error", "redis_url", "live_connected", "position_arrival_time_ns", "range", "loop", "scheduled", "hand_over", "pace", "acknowledged", "partitions")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    INTENDED_MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    INTENDED_REVISION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPORTED_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REDIS_URL_FIELD_NUMBER: _ClassVar[int]
    LIVE_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    POSITION_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    LOOP_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    session: str
    intended_mode: _market_pb2.Mode
    mode: _market_pb2.Mode
    intended_revision: int
    revision: int
    paused: bool
    speed: float
    state: str
    last_sequence: int
    reported_time_ns: int
    error: str
    redis_url: str
    live_connected: bool
    position_arrival_time_ns: int
    range: _market_pb2.TimeRange
    loop: bool
    scheduled: _containers.RepeatedCompositeFieldContainer[ScheduledCommand]
    hand_over: _market_pb2.HandOver
    pace: str
    acknowledged: str
    partitions: int
    def __init__(self, session: _Optional[str] = ..., intended_mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., mode: _Optional[_Union[_market_pb2.Mode, str]] = ..., intended_revision: _Optional[int] = ..., revision: _Optional[int] = ..., paused: _Optional[bool] = ..., speed: _Optional[float] = ..., state: _Optional[str] = ..., last_sequence: _Optional[int] = ..., reported_time_ns: _Optional[int] = ..., error: _Optional[str] = ..., redis_url: _Optional[str] = ..., live_connected: _Optional[bool] = ..., position_arrival_time_ns: _Optional[int] = ..., range: _Optional[_Union[_market_pb2.TimeRange, _Mapping]] = ..., loop: _Optional[bool] = ..., scheduled: _Optional[_Iterable[_Union[ScheduledCommand, _Mapping]]] = ..., hand_over: _Optional[_Union[_market_pb2.HandOver, _Mapping]] = ..., pace: _Optional[str] = ..., acknowledged: _Optional[str] = ..., partitions: _Optional[int] = ...) -> None: ...

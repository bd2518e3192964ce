from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_HISTORICAL: _ClassVar[Mode]
    MODE_LIVE: _ClassVar[Mode]

class SubscriberPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBSCRIBER_POLICY_UNSPECIFIED: _ClassVar[SubscriberPolicy]
    SUBSCRIBER_POLICY_BLOCK: _ClassVar[SubscriberPolicy]
    SUBSCRIBER_POLICY_CONFLATE: _ClassVar[SubscriberPolicy]
    SUBSCRIBER_POLICY_SKIP: _ClassVar[SubscriberPolicy]
    SUBSCRIBER_POLICY_DISCONNECT: _ClassVar[SubscriberPolicy]
MODE_UNSPECIFIED: Mode
MODE_HISTORICAL: Mode
MODE_LIVE: Mode
SUBSCRIBER_POLICY_UNSPECIFIED: SubscriberPolicy
SUBSCRIBER_POLICY_BLOCK: SubscriberPolicy
SUBSCRIBER_POLICY_CONFLATE: SubscriberPolicy
SUBSCRIBER_POLICY_SKIP: SubscriberPolicy
SUBSCRIBER_POLICY_DISCONNECT: SubscriberPolicy

class Skipped(_message.Message):
    __slots__ = ("records", "first_sequence", "last_sequence", "from_arrival_time_ns", "to_arrival_time_ns")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FROM_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TO_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    records: int
    first_sequence: int
    last_sequence: int
    from_arrival_time_ns: int
    to_arrival_time_ns: int
    def __init__(self, records: _Optional[int] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., from_arrival_time_ns: _Optional[int] = ..., to_arrival_time_ns: _Optional[int] = ...) -> None: ...

class Lag(_message.Message):
    __slots__ = ("records", "bytes", "data_time_ns")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    records: int
    bytes: int
    data_time_ns: int
    def __init__(self, records: _Optional[int] = ..., bytes: _Optional[int] = ..., data_time_ns: _Optional[int] = ...) -> None: ...

class TickBatch(_message.Message):
    __slots__ = ("epoch", "mode", "first_sequence", "last_sequence", "tickers", "ticker_index", "event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount", "rejections", "markers", "cursor", "publish_time_ns", "tick_sequence", "skipped", "proof", "lag", "tie_order", "positions")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TICKERS_FIELD_NUMBER: _ClassVar[int]
    TICKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    BID_PRICE_FIELD_NUMBER: _ClassVar[int]
    BID_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASK_PRICE_FIELD_NUMBER: _ClassVar[int]
    ASK_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    MARKERS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TICK_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    TIE_ORDER_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    epoch: str
    mode: Mode
    first_sequence: int
    last_sequence: int
    tickers: _containers.RepeatedScalarFieldContainer[str]
    ticker_index: _containers.RepeatedScalarFieldContainer[int]
    event_time_ns: _containers.RepeatedScalarFieldContainer[int]
    arrival_time_ns: _containers.RepeatedScalarFieldContainer[int]
    bid_price: _containers.RepeatedScalarFieldContainer[float]
    bid_amount: _containers.RepeatedScalarFieldContainer[float]
    ask_price: _containers.RepeatedScalarFieldContainer[float]
    ask_amount: _containers.RepeatedScalarFieldContainer[float]
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    markers: _containers.RepeatedCompositeFieldContainer[Marker]
    cursor: HistoricalCursor
    publish_time_ns: int
    tick_sequence: _containers.RepeatedScalarFieldContainer[int]
    skipped: Skipped
    proof: OrderProof
    lag: Lag
    tie_order: _containers.RepeatedScalarFieldContainer[int]
    positions: _containers.RepeatedCompositeFieldContainer[PartitionPosition]
    def __init__(self, epoch: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., tickers: _Optional[_Iterable[str]] = ..., ticker_index: _Optional[_Iterable[int]] = ..., event_time_ns: _Optional[_Iterable[int]] = ..., arrival_time_ns: _Optional[_Iterable[int]] = ..., bid_price: _Optional[_Iterable[float]] = ..., bid_amount: _Optional[_Iterable[float]] = ..., ask_price: _Optional[_Iterable[float]] = ..., ask_amount: _Optional[_Iterable[float]] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., markers: _Optional[_Iterable[_Union[Marker, _Mapping]]] = ..., cursor: _Optional[_Union[HistoricalCursor, _Mapping]] = ..., publish_time_ns: _Optional[int] = ..., tick_sequence: _Optional[_Iterable[int]] = ..., skipped: _Optional[_Union[Skipped, _Mapping]] = ..., proof: _Optional[_Union[OrderProof, _Mapping]] = ..., lag: _Optional[_Union[Lag, _Mapping]] = ..., tie_order: _Optional[_Iterable[int]] = ..., positions: _Optional[_Iterable[_Union[PartitionPosition, _Mapping]]] = ...) -> None: ...

class PartitionPosition(_message.Message):
    __slots__ = ("partition", "epoch", "sequence")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    epoch: str
    sequence: int
    def __init__(self, partition: _Optional[int] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class OrderProof(_message.Message):
    __slots__ = ("last_sequence", "records", "digest", "first_sequence", "window_first_sequence", "window_digest", "version")
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_DIGEST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    last_sequence: int
    records: int
    digest: str
    first_sequence: int
    window_first_sequence: int
    window_digest: str
    version: int
    def __init__(self, last_sequence: _Optional[int] = ..., records: _Optional[int] = ..., digest: _Optional[str] = ..., first_sequence: _Optional[int] = ..., window_first_sequence: _Optional[int] = ..., window_digest: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("sequence", "arrival_time_ns", "source", "line", "reason", "raw", "tie_order")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    TIE_ORDER_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    arrival_time_ns: int
    source: str
    line: int
    reason: str
    raw: bytes
    tie_order: int
    def __init__(self, sequence: _Optional[int] = ..., arrival_time_ns: _Optional[int] = ..., source: _Optional[str] = ..., line: _Optional[int] = ..., reason: _Optional[str] = ..., raw: _Optional[bytes] = ..., tie_order: _Optional[int] = ...) -> None: ...

class Marker(_message.Message):
    __slots__ = ("sequence", "kind", "previous_mode", "mode", "last_key", "first_key", "time_ns", "reason", "lost_frames", "next_sequence", "revision", "overlap_removed", "gap_ns", "state", "position_arrival_time_ns")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Marker.Kind]
        KIND_SEAM: _ClassVar[Marker.Kind]
        KIND_DISCONNECTED: _ClassVar[Marker.Kind]
        KIND_RECONNECTED: _ClassVar[Marker.Kind]
        KIND_GAP: _ClassVar[Marker.Kind]
        KIND_DISCONTINUITY: _ClassVar[Marker.Kind]
    KIND_UNSPECIFIED: Marker.Kind
    KIND_SEAM: Marker.Kind
    KIND_DISCONNECTED: Marker.Kind
    KIND_RECONNECTED: Marker.Kind
    KIND_GAP: Marker.Kind
    KIND_DISCONTINUITY: Marker.Kind
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_MODE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    LAST_KEY_FIELD_NUMBER: _ClassVar[int]
    FIRST_KEY_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOST_FRAMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_REMOVED_FIELD_NUMBER: _ClassVar[int]
    GAP_NS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    POSITION_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    kind: Marker.Kind
    previous_mode: Mode
    mode: Mode
    last_key: RecordKey
    first_key: RecordKey
    time_ns: int
    reason: str
    lost_frames: int
    next_sequence: int
    revision: int
    overlap_removed: int
    gap_ns: int
    state: _containers.RepeatedCompositeFieldContainer[Quote]
    position_arrival_time_ns: int
    def __init__(self, sequence: _Optional[int] = ..., kind: _Optional[_Union[Marker.Kind, str]] = ..., previous_mode: _Optional[_Union[Mode, str]] = ..., mode: _Optional[_Union[Mode, str]] = ..., last_key: _Optional[_Union[RecordKey, _Mapping]] = ..., first_key: _Optional[_Union[RecordKey, _Mapping]] = ..., time_ns: _Optional[int] = ..., reason: _Optional[str] = ..., lost_frames: _Optional[int] = ..., next_sequence: _Optional[int] = ..., revision: _Optional[int] = ..., overlap_removed: _Optional[int] = ..., gap_ns: _Optional[int] = ..., state: _Optional[_Iterable[_Union[Quote, _Mapping]]] = ..., position_arrival_time_ns: _Optional[int] = ...) -> None: ...

class HandOver(_message.Message):
    __slots__ = ("kind", "phase", "buffered_frames", "overlap_removed", "gap_ns", "rejoins")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[HandOver.Kind]
        KIND_AT_ONCE: _ClassVar[HandOver.Kind]
        KIND_AT_END: _ClassVar[HandOver.Kind]
        KIND_JOIN: _ClassVar[HandOver.Kind]
    KIND_UNSPECIFIED: HandOver.Kind
    KIND_AT_ONCE: HandOver.Kind
    KIND_AT_END: HandOver.Kind
    KIND_JOIN: HandOver.Kind
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PHASE_UNSPECIFIED: _ClassVar[HandOver.Phase]
        PHASE_CATCHING_UP: _ClassVar[HandOver.Phase]
        PHASE_MEETING: _ClassVar[HandOver.Phase]
        PHASE_JOINED: _ClassVar[HandOver.Phase]
    PHASE_UNSPECIFIED: HandOver.Phase
    PHASE_CATCHING_UP: HandOver.Phase
    PHASE_MEETING: HandOver.Phase
    PHASE_JOINED: HandOver.Phase
    KIND_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_REMOVED_FIELD_NUMBER: _ClassVar[int]
    GAP_NS_FIELD_NUMBER: _ClassVar[int]
    REJOINS_FIELD_NUMBER: _ClassVar[int]
    kind: HandOver.Kind
    phase: HandOver.Phase
    buffered_frames: int
    overlap_removed: int
    gap_ns: int
    rejoins: int
    def __init__(self, kind: _Optional[_Union[HandOver.Kind, str]] = ..., phase: _Optional[_Union[HandOver.Phase, str]] = ..., buffered_frames: _Optional[int] = ..., overlap_removed: _Optional[int] = ..., gap_ns: _Optional[int] = ..., rejoins: _Optional[int] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("start_arrival_time_ns", "end_arrival_time_ns")
    START_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    END_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    start_arrival_time_ns: int
    end_arrival_time_ns: int
    def __init__(self, start_arrival_time_ns: _Optional[int] = ..., end_arrival_time_ns: _Optional[int] = ...) -> None: ...

class Quote(_message.Message):
    __slots__ = ("ticker", "event_time_ns", "arrival_time_ns", "bid_price", "bid_amount", "ask_price", "ask_amount")
    TICKER_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    BID_PRICE_FIELD_NUMBER: _ClassVar[int]
    BID_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ASK_PRICE_FIELD_NUMBER: _ClassVar[int]
    ASK_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    ticker: str
    event_time_ns: int
    arrival_time_ns: int
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float
    def __init__(self, ticker: _Optional[str] = ..., event_time_ns: _Optional[int] = ..., arrival_time_ns: _Optional[int] = ..., bid_price: _Optional[float] = ..., bid_amount: _Optional[float] = ..., ask_price: _Optional[float] = ..., ask_amount: _Optional[float] = ...) -> None: ...

class RecordKey(_message.Message):
    __slots__ = ("arrival_time_ns", "source_rank", "row")
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_RANK_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    arrival_time_ns: int
    source_rank: int
    row: int
    def __init__(self, arrival_time_ns: _Optional[int] = ..., source_rank: _Optional[int] = ..., row: _Optional[int] = ...) -> None: ...

class HistoricalCursor(_message.Message):
    __slots__ = ("last_key", "sources")
    LAST_KEY_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    last_key: RecordKey
    sources: _containers.RepeatedCompositeFieldContainer[SourceCursor]
    def __init__(self, last_key: _Optional[_Union[RecordKey, _Mapping]] = ..., sources: _Optional[_Iterable[_Union[SourceCursor, _Mapping]]] = ...) -> None: ...

class SourceCursor(_message.Message):
    __slots__ = ("offset", "line", "previous_arrival_time_ns", "skipped", "previous_event_time_ns", "order", "channel_arrival_time_ns")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    offset: int
    line: int
    previous_arrival_time_ns: int
    skipped: int
    previous_event_time_ns: int
    order: int
    channel_arrival_time_ns: int
    def __init__(self, offset: _Optional[int] = ..., line: _Optional[int] = ..., previous_arrival_time_ns: _Optional[int] = ..., skipped: _Optional[int] = ..., previous_event_time_ns: _Optional[int] = ..., order: _Optional[int] = ..., channel_arrival_time_ns: _Optional[int] = ...) -> None: ...

class MidBatch(_message.Message):
    __slots__ = ("epoch", "mode", "first_sequence", "last_sequence", "tickers", "ticker_index", "sequence", "event_time_ns", "arrival_time_ns", "mid_price", "state", "skipped", "lag", "partition")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TICKERS_FIELD_NUMBER: _ClassVar[int]
    TICKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    epoch: str
    mode: Mode
    first_sequence: int
    last_sequence: int
    tickers: _containers.RepeatedScalarFieldContainer[str]
    ticker_index: _containers.RepeatedScalarFieldContainer[int]
    sequence: _containers.RepeatedScalarFieldContainer[int]
    event_time_ns: _containers.RepeatedScalarFieldContainer[int]
    arrival_time_ns: _containers.RepeatedScalarFieldContainer[int]
    mid_price: _containers.RepeatedScalarFieldContainer[float]
    state: MidState
    skipped: Skipped
    lag: Lag
    partition: int
    def __init__(self, epoch: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., tickers: _Optional[_Iterable[str]] = ..., ticker_index: _Optional[_Iterable[int]] = ..., sequence: _Optional[_Iterable[int]] = ..., event_time_ns: _Optional[_Iterable[int]] = ..., arrival_time_ns: _Optional[_Iterable[int]] = ..., mid_price: _Optional[_Iterable[float]] = ..., state: _Optional[_Union[MidState, _Mapping]] = ..., skipped: _Optional[_Union[Skipped, _Mapping]] = ..., lag: _Optional[_Union[Lag, _Mapping]] = ..., partition: _Optional[int] = ...) -> None: ...

class MidState(_message.Message):
    __slots__ = ("mids", "position_arrival_time_ns", "continues")
    class Mid(_message.Message):
        __slots__ = ("ticker", "event_time_ns", "arrival_time_ns", "mid_price")
        TICKER_FIELD_NUMBER: _ClassVar[int]
        EVENT_TIME_NS_FIELD_NUMBER: _ClassVar[int]
        ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
        MID_PRICE_FIELD_NUMBER: _ClassVar[int]
        ticker: str
        event_time_ns: int
        arrival_time_ns: int
        mid_price: float
        def __init__(self, ticker: _Optional[str] = ..., event_time_ns: _Optional[int] = ..., arrival_time_ns: _Optional[int] = ..., mid_price: _Optional[float] = ...) -> None: ...
    MIDS_FIELD_NUMBER: _ClassVar[int]
    POSITION_ARRIVAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    CONTINUES_FIELD_NUMBER: _ClassVar[int]
    mids: _containers.RepeatedCompositeFieldContainer[MidState.Mid]
    position_arrival_time_ns: int
    continues: bool
    def __init__(self, mids: _Optional[_Iterable[_Union[MidState.Mid, _Mapping]]] = ..., position_arrival_time_ns: _Optional[int] = ..., continues: _Optional[bool] = ...) -> None: ...

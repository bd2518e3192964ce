# distutils: language = c++
"""Columns to and from the wire bytes of midstream.common.v1 messages. No protobuf runtime is needed to encode or decode here."""

from fastpath.records import Cursor, FrameError, FrameHead, Marker, Rejection, SourceCursor

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport Block, Rows, TickerTable, string_view

cdef extern from "tick_batch.hpp" namespace "midstream" nogil:
    const int32_t C_HISTORICAL "midstream::MODE_HISTORICAL"
    const int32_t C_LIVE "midstream::MODE_LIVE"
    const int32_t C_GAP "midstream::MARKER_GAP"
    const int32_t C_DISCONTINUITY "midstream::MARKER_DISCONTINUITY"
    const size_t C_ROWS_MAX "midstream::BATCH_ROWS_MAX"
    const size_t C_BYTES_MAX "midstream::BATCH_BYTES_MAX"

cdef extern from "tick_reader.hpp" namespace "midstream" nogil:
    cdef cppclass BatchHead:
        string epoch
        int32_t mode
        uint64_t first_sequence, last_sequence
        size_t tick_count
        int64_t last_arrival, publish_time
        uint64_t next_sequence

    void read_tick_batch(const char*, size_t, TickBatch&) except +raise_frame_error
    void read_head(const char*, size_t, BatchHead&) except +raise_frame_error
    void read_cursor(const char*, size_t, CursorRecord&) except +raise_frame_error

cdef extern from "tick_writer.hpp" namespace "midstream" nogil:
    cdef cppclass BatchPlan:
        string epoch
        int32_t mode
        uint64_t first_sequence, last_sequence
        int64_t publish_time
        vector[MarkerRecord] markers
        cbool has_cursor
        string cursor
        cbool tied
        size_t rows

    string c_encode_cursor "midstream::encode_cursor"(const CursorRecord&) except +
    void plan_rows(
        BatchPlan&, const Rows&, const TickerTable&, size_t, size_t, uint64_t, const vector[string]&, string_view
    ) except +
    cbool plan_selection(const TickBatch&, const vector[cbool]&, BatchPlan&) except +
    size_t size_batch(const BatchPlan&) except +
    void fill_batch(const BatchPlan&, char*)


MODE_HISTORICAL = C_HISTORICAL
MODE_LIVE = C_LIVE
MARKER_SEAM = 1
MARKER_DISCONNECTED = 2
MARKER_RECONNECTED = 3
MARKER_GAP = C_GAP
MARKER_DISCONTINUITY = C_DISCONTINUITY
BATCH_ROWS_MAX = C_ROWS_MAX
BATCH_BYTES_MAX = C_BYTES_MAX

cdef object SEQUENCE_MAX = 2**64 - 1


cdef int raise_frame_error() except -1:
    # Runs while a C++ exception is handled. What the reader threw about the bytes is a ValueError for Cython; memory may be short, too.
    try:
        throw_again()
    except ValueError as error:
        raise FrameError(str(error)) from None
    return 0


cdef tuple _from_key(const RecordKey& key):
    # Converted to objects first: a tuple of C numbers alone would be a C tuple.
    cdef object arrival = key.arrival
    cdef object rank = key.rank
    cdef object row = key.row
    return arrival, rank, row


cdef RecordKey _to_key(object key) except *:
    cdef RecordKey out
    out.arrival, out.rank, out.row = key
    return out


# Cursors ---------------------------------------------------------------------------------------------------------------


def encode_cursor(cursor):
    """Encode a HistoricalCursor."""
    cdef CursorRecord record
    cdef SourceCursorRecord place
    if cursor.last_key is not None:
        record.has_last_key = True
        record.last_key = _to_key(cursor.last_key)
    for source in cursor.sources:
        place.offset = source.offset
        place.line = source.line
        place.previous_arrival = source.previous_arrival_time_ns
        place.skipped = source.skipped
        place.previous_event = source.previous_event_time_ns
        place.order = source.order
        place.channel_arrival = source.channel_arrival_time_ns
        record.sources.push_back(place)
    return <bytes>c_encode_cursor(record)


def decode_cursor(encoded):
    """Decode a HistoricalCursor. Raises FrameError."""
    cdef CursorRecord record
    cdef HeldBytes held
    cdef size_t i
    held.hold(encoded)
    read_cursor(held.data(), held.size(), record)
    sources = []
    for i in range(record.sources.size()):
        sources.append(SourceCursor(
            record.sources[i].offset, record.sources[i].line, record.sources[i].previous_arrival,
            record.sources[i].skipped, record.sources[i].previous_event, record.sources[i].order,
            record.sources[i].channel_arrival,
        ))
    return Cursor(_from_key(record.last_key) if record.has_last_key else None, tuple(sources))


# Encoding --------------------------------------------------------------------------------------------------------------


cdef MarkerRecord _to_marker(object marker, uint64_t sequence) except *:
    cdef MarkerRecord record
    if not 1 <= marker.kind <= C_DISCONTINUITY:
        raise ValueError(f"`markers` has kind {marker.kind}; use one of the MARKER_ constants")
    if marker.next_sequence and (marker.kind != C_GAP or marker.next_sequence <= sequence):
        raise ValueError(
            f"marker {sequence} has next_sequence {marker.next_sequence}; only a gap has one, and it lies beyond the marker"
        )
    record.sequence = sequence
    record.kind = marker.kind
    record.previous_mode = marker.previous_mode
    record.mode = marker.mode
    if marker.last_key is not None:
        record.has_last_key = True
        record.last_key = _to_key(marker.last_key)
    if marker.first_key is not None:
        record.has_first_key = True
        record.first_key = _to_key(marker.first_key)
    record.time = marker.time_ns
    record.reason = marker.reason.encode()
    record.lost_frames = marker.lost_frames
    record.next_sequence = marker.next_sequence
    record.revision = marker.revision
    record.overlap_removed = marker.overlap_removed
    record.gap = marker.gap_ns
    record.state = <bytes?>marker.state
    record.position_arrival = marker.position_arrival_time_ns
    return record


# Names of the sources that have a rejected row in start..stop, each at its rank; the other elements stay empty.
cdef int _name_sources(Block block, size_t start, size_t stop, object sources, vector[string]& names) except -1:
    cdef size_t i
    cdef size_t count = len(sources)
    cdef uint32_t rank
    if block.rows.rejected.empty():
        return 0
    for i in range(start, stop):
        if not block.rows[i].is_rejected():
            continue
        rank = block.rows[i].rank
        if names.size() == 0:
            names.resize(count)
        if rank < count and names[rank].empty():
            # A path with undecodable bytes carries lone surrogates; readable is all that is needed here.
            names[rank] = (<str?>sources[rank]).encode("utf-8", "backslashreplace")
    return 0


def encode_batch(
    Block block not None, size_t start, size_t stop, *, str epoch not None, int32_t mode, uint64_t first_sequence, sources,
    markers=(), bytes cursor_sources not None=b"", last_key=None, int64_t publish_time_ns=0,
    cbool tie_order=False,
):
    """Encode `markers` (first) and then rows start..stop of `block`; return (bytes, rows encoded, last sequence)."""
    cdef BatchPlan plan
    cdef CursorRecord cursor
    cdef vector[string] names
    cdef string_view cursor_view = string_view(PyBytes_AS_STRING(cursor_sources), len(cursor_sources))
    cdef uint64_t sequence = first_sequence
    cdef object next_sequence = first_sequence
    cdef size_t size
    cdef bytes encoded
    cdef char* target

    if not start <= stop <= block.rows.size():
        raise IndexError(f"rows {start}..{stop} are not within the {block.rows.size()} rows of the block")
    if mode != C_HISTORICAL and mode != C_LIVE:
        raise ValueError(f"`mode` is {mode}; use MODE_HISTORICAL or MODE_LIVE")
    if first_sequence == 0:
        raise ValueError("`first_sequence` is 0; sequences start at 1")
    if start == stop and not markers:
        raise ValueError("there is nothing to encode: no rows and no markers")
    if len(markers) + (start < stop) > C_ROWS_MAX:
        raise ValueError(f"{len(markers)} markers do not fit into one batch of {C_ROWS_MAX} records")

    plan.epoch = epoch.encode()
    plan.mode = mode
    plan.first_sequence = first_sequence
    plan.publish_time = publish_time_ns
    plan.tied = tie_order
    for marker in markers:
        if next_sequence > SEQUENCE_MAX:
            raise ValueError(f"marker {marker!r} has no sequence left; start a new epoch")
        sequence = next_sequence
        plan.markers.push_back(_to_marker(marker, sequence))
        next_sequence = marker.next_sequence or next_sequence + 1
    plan.last_sequence = sequence

    if start == stop or mode == C_LIVE:
        if last_key is not None:
            cursor.has_last_key = True
            cursor.last_key = _to_key(last_key)
            plan.cursor = c_encode_cursor(cursor)
        plan.cursor.append(<string>cursor_sources)
        plan.has_cursor = not plan.cursor.empty()
    if start < stop:
        if next_sequence + min(stop - start, C_ROWS_MAX) - 1 > SEQUENCE_MAX:
            raise ValueError(f"`first_sequence` {first_sequence} leaves no numbers for the rows; start a new epoch")
        sequence = next_sequence
        _name_sources(block, start, min(stop, start + C_ROWS_MAX), sources, names)
        with nogil:
            plan_rows(plan, block.rows, block.tickers.table, start, stop, sequence, names, cursor_view)
        plan.last_sequence = sequence + plan.rows - 1

    size = size_batch(plan)
    encoded = PyBytes_FromStringAndSize(NULL, size)
    target = PyBytes_AS_STRING(encoded)
    with nogil:
        fill_batch(plan, target)
    return encoded, plan.rows, plan.last_sequence


# Decoding --------------------------------------------------------------------------------------------------------------


def peek(buffer):
    """Read the head, and the markers, without reading columns. Raises FrameError."""
    cdef BatchHead head
    cdef HeldBytes held
    held.hold(buffer)
    read_head(held.data(), held.size(), head)
    return FrameHead(
        head.epoch.decode(), head.mode, head.first_sequence, head.last_sequence, head.tick_count,
        head.last_arrival, head.publish_time, head.next_sequence,
    )


cdef list texts_of(const vector[string]& texts):
    cdef size_t i
    return [texts[i].decode() for i in range(texts.size())]


@cython.final
cdef class TickFrame:
    """One decoded TickBatch. Columns are copied out of the buffer, so that it may go."""

    def __cinit__(self, buffer):
        cdef HeldBytes held
        held.hold(buffer)
        with nogil:
            read_tick_batch(held.data(), held.size(), self.batch)

    @property
    def epoch(self):
        return self.batch.epoch.decode()

    @property
    def mode(self):
        return self.batch.mode

    @property
    def first_sequence(self):
        return self.batch.first_sequence

    @property
    def last_sequence(self):
        return self.batch.last_sequence

    @property
    def publish_time_ns(self):
        return self.batch.publish_time

    @property
    def tick_count(self):
        return self.batch.tick_count()

    @property
    def cursor(self):
        return <bytes>self.batch.cursor

    @property
    def tickers(self):
        if self._tickers is None:
            self._tickers = texts_of(self.batch.tickers)
        return self._tickers

    @property
    def rejections(self):
        cdef size_t i
        if self._rejections is None:
            records = []
            for i in range(self.batch.rejections.size()):
                records.append(Rejection(
                    self.batch.rejections[i].sequence, self.batch.rejections[i].arrival,
                    self.batch.rejections[i].source.decode(), self.batch.rejections[i].line,
                    self.batch.rejections[i].reason.decode(), <bytes>self.batch.rejections[i].raw,
                    self.batch.rejections[i].tie_order,
                ))
            self._rejections = records
        return self._rejections

    @property
    def markers(self):
        cdef size_t i
        if self._markers is None:
            records = []
            for i in range(self.batch.markers.size()):
                records.append(_from_marker(self.batch.markers[i]))
            self._markers = records
        return self._markers

    @property
    def tie_order(self):
        cdef size_t size = self.batch.tie_order.size() * sizeof(uint64_t)
        if self._tie_order is None:
            self._tie_order = memoryview(PyBytes_FromStringAndSize(<const char*>self.batch.tie_order.data(), size)).cast("Q")
        return self._tie_order

    def ticks(self):
        """Copy the ticks out, for tests and slow paths."""
        cdef TickBatch* batch = &self.batch
        cdef size_t i
        cdef size_t special = 0
        cdef uint64_t next_sequence = batch.first_sequence
        cdef uint64_t sequence
        cdef list tickers = self.tickers
        cdef list out = []
        for i in range(batch.tick_count()):
            while special < batch.specials.size() and batch.specials[special].ticks_before == i:
                next_sequence = batch.after(batch.specials[special])
                special += 1
            if batch.filtered:
                sequence = batch.tick_sequence[i]
            else:
                sequence = next_sequence
                next_sequence += 1
            out.append((
                sequence, tickers[batch.ticker_index[i]], batch.event[i], batch.arrival[i],
                batch.bid_price[i], batch.bid_amount[i], batch.ask_price[i], batch.ask_amount[i],
            ))
        return out


cdef object _from_marker(const MarkerRecord& record):
    return Marker(
        kind=record.kind,
        sequence=record.sequence,
        previous_mode=record.previous_mode,
        mode=record.mode,
        last_key=_from_key(record.last_key) if record.has_last_key else None,
        first_key=_from_key(record.first_key) if record.has_first_key else None,
        time_ns=record.time,
        reason=record.reason.decode(),
        lost_frames=record.lost_frames,
        next_sequence=record.next_sequence,
        revision=record.revision,
        overlap_removed=record.overlap_removed,
        gap_ns=record.gap,
        state=<bytes>record.state,
        position_arrival_time_ns=record.position_arrival,
    )


# Which tickers of a batch to keep; True when that is all of them.
cdef cbool choose_tickers(const vector[string]& tickers, object wanted, vector[cbool]& keep) except *:
    cdef size_t i
    cdef cbool everything = True
    for name in texts_of(tickers):
        chosen = name in wanted
        keep.push_back(chosen)
        everything = everything and chosen
    return everything


def select_tickers(buffer, tickers):
    """Re-encode a batch with the ticks of these tickers, all rejections and all markers; None when nothing is left."""
    cdef TickFrame frame = TickFrame(buffer)
    cdef BatchPlan plan
    cdef vector[cbool] keep
    cdef cbool something
    cdef bytes encoded
    cdef char* target
    cdef cbool everything = choose_tickers(frame.batch.tickers, tickers, keep)
    with nogil:
        something = plan_selection(frame.batch, keep, plan)
    if not something:
        return None
    if everything:
        return bytes(buffer)
    encoded = PyBytes_FromStringAndSize(NULL, size_batch(plan))
    target = PyBytes_AS_STRING(encoded)
    with nogil:
        fill_batch(plan, target)
    return encoded

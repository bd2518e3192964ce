# What other kernels may use of a decoded batch.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "held_bytes.hpp" namespace "midstream" nogil:
    cdef cppclass HeldBytes:
        int hold(object) except -1 with gil
        const char* data()
        size_t size()

    void throw_again() except +


cdef extern from "tick_batch.hpp" namespace "midstream" nogil:
    # A std::vector that does not clear what it grows by.
    cdef cppclass Column[T]:
        size_t size()
        T* data()
        T& operator[](size_t)
        void resize(size_t) except +

    cdef cppclass RecordKey:
        int64_t arrival
        uint32_t rank
        uint64_t row

    cdef cppclass MarkerRecord:
        uint64_t sequence
        int32_t kind, previous_mode, mode
        cbool has_last_key, has_first_key
        RecordKey last_key, first_key
        int64_t time
        string reason
        uint64_t lost_frames, next_sequence, revision, overlap_removed
        int64_t gap
        string state
        int64_t position_arrival

    cdef cppclass RejectionRecord:
        uint64_t sequence
        int64_t arrival
        string source
        uint64_t line
        string reason
        string raw
        uint64_t tie_order

    cdef cppclass SourceCursorRecord:
        uint64_t offset, line
        int64_t previous_arrival
        uint64_t skipped
        int64_t previous_event
        uint32_t order
        int64_t channel_arrival

    cdef cppclass CursorRecord:
        cbool has_last_key
        RecordKey last_key
        vector[SourceCursorRecord] sources

    cdef cppclass Special:
        uint64_t sequence
        size_t ticks_before
        uint32_t index
        cbool is_marker

    cdef cppclass TickBatch:
        string epoch
        int32_t mode
        uint64_t first_sequence, last_sequence
        int64_t publish_time
        vector[string] tickers
        Column[uint32_t] ticker_index
        Column[int64_t] event, arrival
        Column[double] bid_price, bid_amount, ask_price, ask_amount
        Column[uint64_t] tick_sequence
        cbool filtered
        Column[uint64_t] tie_order
        vector[RejectionRecord] rejections
        vector[MarkerRecord] markers
        string cursor
        vector[Special] specials
        size_t tick_count()
        uint64_t after(const Special&)


cdef class TickFrame:
    # Filled and checked by the constructor, and never changed afterwards.
    cdef TickBatch batch
    cdef object _tickers, _rejections, _markers, _tie_order


# The handler of the C++ exceptions of everything that reads a message.
cdef int raise_frame_error() except -1

cdef list texts_of(const vector[string]& texts)

# Which tickers of a batch to keep; True when that is all of them.
cdef cbool choose_tickers(const vector[string]& tickers, object wanted, vector[cbool]& keep) except *

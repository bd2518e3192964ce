# For the decoder: lines to rows.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string

from fastpath.columns cimport string_view
from fastpath.latency cimport Channel, LatencyModelCore
from fastpath.text cimport Line, LineCutter, RowWriter, Text, TimeParser


cdef extern from "parts.hpp" namespace "midstream" nogil:
    enum Part:
        PARTS

    cdef cppclass Shape:
        size_t columns
        uint16_t column[8]

    cdef cppclass Values:
        int64_t event_ns
        int64_t delay_ns
        Text ticker
        Text exchange
        double numbers[4]


cdef extern from "names.hpp" namespace "midstream" nogil:
    cdef cppclass NameCache:
        cbool find(string_view, uint32_t&)
        cbool find(string_view, string_view, uint32_t&)
        void add(string_view, uint32_t) except +


cdef extern from "rows.hpp" namespace "midstream" nogil:
    enum Outcome:
        RAISED
        BLANK
        ROW
        UNSORTED
        BELOW_BOUND

    const uint32_t LEFT_OUT
    const uint32_t ELSEWHERE

    cdef cppclass Timing:
        int64_t event_ns
        int64_t latency_ns
        int64_t unclamped_ns
        int64_t arrival_ns

    enum TimingFault:
        TIMING_GOOD

    const char* timing_reason(TimingFault)

    cdef cppclass RowPolicy:
        cbool delay_is_time
        cbool clamp
        cbool check_order
        int64_t start_time_ns
        int64_t end_time_ns
        int64_t shift_ns
        int64_t latency_bound_ns
        cbool rejections_elsewhere
        cbool skips_elsewhere
        LatencyModelCore model
        TimingFault time_row(int64_t, int64_t, uint64_t, Timing&)

    cdef cppclass RowState:
        uint64_t line
        uint64_t skipped
        uint64_t elsewhere
        uint64_t negative_latencies
        int order
        int64_t latency_ns_min
        int64_t previous_arrival_ns
        int64_t previous_event_ns
        Channel channel

    cdef cppclass RowRules:
        RowPolicy policy
        RowState state
        Timing broken
        uint64_t rejected
        uint64_t first_rejected_line
        string first_rejected_reason
        Outcome take(const Timing&, const double*, uint32_t, RowWriter&) except +
        void reject(RowWriter&, string, string_view) except +
        void reject_frame(RowWriter&, int64_t, uint64_t, string, string_view) except +
        int64_t bound()


cdef extern from "readers.hpp" namespace "midstream" nogil:
    cdef cppclass LineReaders:
        Shape shape
        TimeParser events
        TimeParser arrivals
        NameCache names


cdef extern from "plain_lines.hpp" namespace "midstream" nogil:
    cdef cppclass PlainLines:
        void start(const char*, const char*)
        Outcome read(const char*&, size_t, size_t&, LineReaders&, RowRules&, RowWriter&) except +


cdef extern from "quick.hpp" namespace "midstream" nogil:
    cdef cppclass QuickReader:
        void prepare(const Shape&, cbool) except +
        cbool read(LineCutter&, TimeParser&, TimeParser&, Line&, Values&)


cdef extern from "elsewhere.hpp" namespace "midstream" nogil:
    cbool skip_elsewhere(LineCutter&, RowRules&, LineReaders&)


cdef extern from "thorough.hpp" namespace "midstream" nogil:
    cdef cppclass LineLayout:
        size_t needed_count
        cbool delay_is_time
        cbool fraction_unit_us

    string read_thoroughly(Line&, const LineLayout&, LineReaders&, Values&) except +


cdef extern from "cpu.hpp" namespace "midstream" nogil:
    cdef enum class Simd:
        PORTABLE

    const Simd SIMD


cdef extern from "minus_signs.hpp" namespace "midstream" nogil:
    cbool has_negative_field(const uint8_t*, size_t, int)

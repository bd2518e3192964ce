from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport Rows, string_view


cdef extern from "text.hpp" namespace "midstream" nogil:
    cdef cppclass Text:
        const char* begin
        const char* end
        size_t size()
        cbool empty()
        string_view view()

    Text trimmed(Text)

    enum NumberFault:
        NUMBER_GOOD
        NUMBER_EMPTY

    enum TimeFault:
        TIME_GOOD

    NumberFault parse_number_text "midstream::parse_number"(Text, cbool, double&)
    NumberFault parse_latency_text "midstream::parse_latency"(Text, cbool, int64_t&)

    cdef cppclass TimeParser:
        TimeParser()
        TimeParser(cbool)
        TimeFault parse(Text, int64_t&)

    cbool is_utf8(Text)
    string quoted(Text) except +
    string number_reason(const char*, NumberFault, Text) except +
    string time_reason(const char*, TimeFault, Text, cbool) except +


cdef extern from "lines.hpp" namespace "midstream" nogil:
    const size_t LINE_SIZE_MAX
    const size_t RAW_SIZE_MAX
    const size_t TICKER_SIZE_MAX
    const char* const QUOTE_COLUMNS[4]

    cdef cppclass Line:
        const char* begin
        const char* end
        size_t raw_size
        size_t count
        vector[Text] fields
        size_t size()
        Text text()
        cbool blank()

    cdef cppclass LineCutter:
        const char* position
        void start(const char*, const char*)
        cbool next(Line&, cbool)

    enum QuoteFault:
        QUOTES_GOOD

    QuoteFault split(Line&) except +


cdef extern from "row_writer.hpp" namespace "midstream" nogil:
    cdef cppclass RowWriter:
        RowWriter(Rows*, uint32_t)
        void tick(int64_t, int64_t, const double*, uint32_t, uint64_t) except +
        void rejection(int64_t, uint64_t, string, string_view) except +
        void trim() except +

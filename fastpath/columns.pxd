from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view()
        string_view(const char*, size_t)


cdef extern from "columns.hpp" namespace "midstream" nogil:
    const int64_t C_BEFORE_EVERYTHING "midstream::BEFORE_EVERYTHING"
    const int64_t C_AFTER_EVERYTHING "midstream::AFTER_EVERYTHING"

    cdef cppclass Rejected:
        string reason
        string raw

    cdef cppclass TickerTable:
        TickerTable()
        uint32_t intern(string_view) except +
        cbool has(string_view)
        const string& name(uint32_t)
        size_t size()

    cdef cppclass Row:
        int64_t arrival, event
        double bid_price, bid_amount, ask_price, ask_amount
        uint64_t row
        uint32_t rank
        cbool is_rejected()
        uint32_t ticker()
        size_t rejection()

    cdef cppclass Rows:
        vector[Rejected] rejected
        size_t size()
        Row& operator[](size_t)
        void clear()
        void drop(size_t)
        size_t count_due(size_t, int64_t)
        size_t count_due_capped(size_t, int64_t, int64_t)
        uint64_t beyond_gaps(size_t, size_t, int64_t)
        void push_tick(int64_t, int64_t, double, double, double, double, uint32_t, uint32_t, uint64_t) except +
        void push_rejection(int64_t, uint32_t, uint64_t, string, string_view) except +


cdef class Tickers:
    cdef TickerTable table
    cdef size_t live_names_max
    cdef cbool is_full(self) noexcept


cdef class Block:
    cdef Rows rows
    cdef readonly Tickers tickers
    cdef tuple _key(self, size_t index)
    cdef int _check(self, size_t index) except -1

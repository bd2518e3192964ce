# For what makes mids: the columns of a MidBatch.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.frame cimport Column

cdef extern from "mid_batch.hpp" namespace "midstream" nogil:
    cdef cppclass MidBatch:
        string epoch
        int32_t mode
        uint64_t first_sequence, last_sequence
        vector[string] tickers
        Column[uint32_t] ticker_index
        Column[uint64_t] sequence
        Column[int64_t] event, arrival
        Column[double] mid_price
        size_t size()
        void clear()

    cbool is_missing(double, double)
    size_t size_mid_batch(const MidBatch&)
    void fill_mid_batch(const MidBatch&, char*)

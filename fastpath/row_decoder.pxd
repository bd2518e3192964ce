# For decoders: what those of lines and those of recorded frames have in common.
from libc.stdint cimport uint32_t, uint64_t

from fastpath.columns cimport Block, Tickers
from fastpath.decoding cimport RowRules
from fastpath.text cimport RowWriter


cdef class RowDecoder:
    cdef readonly uint64_t offset
    cdef readonly uint64_t blank

    cdef RowRules rules
    cdef Tickers tickers
    cdef frozenset only_tickers  # of bytes; empty: all
    cdef object in_partition  # tells of a name whether it is to be read here; None: all are
    cdef uint32_t source_rank

    cdef RowWriter* _writer(self, Block into) except NULL
    cdef int _reject_row(self, RowWriter* writer, str reason, bytes raw) except -1
    cdef int _end_held(self, RowWriter* writer) except -1

# distutils: language = c++
"""What the bytes of a file tell without its rows being read."""

from fastpath.header import Layout

cimport cython
from libc.stdint cimport uint8_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.decoding cimport PARTS, Shape
from fastpath.header cimport Header


cdef extern from "file_tickers.hpp" namespace "midstream" nogil:
    cdef cppclass FileTickers:
        FileTickers(const Shape&, cbool, size_t) except +
        void add(const char*, size_t) except +
        void finish()
        cbool is_certain
        uint64_t lines
        vector[string] names


@cython.final
cdef class TickerSkim:
    """Finds the tickers of one file's lines, and counts these."""

    cdef unique_ptr[FileTickers] core

    def __init__(self, Header header not None, *, size_t names_max):
        cdef Shape shape
        shape.columns = len(header.columns)
        for part in range(<int>PARTS):
            shape.column[part] = header.position[part]
        self.core.reset(new FileTickers(shape, header.layout == Layout.TARDIS, names_max))

    def add(self, const uint8_t[::1] chunk):
        """Look at the next bytes, from the first line behind the header on; they may end anywhere. The GIL is released."""
        cdef size_t size = chunk.shape[0]
        cdef FileTickers* core = self.core.get()
        cdef const char* begin
        if size == 0:
            return core.is_certain
        begin = <const char*>&chunk[0]
        with nogil:
            core.add(begin, size)
        return core.is_certain

    def finish(self):
        """Return the tickers and the number of lines, once all bytes were added; None when that is not certain."""
        cdef FileTickers* core = self.core.get()
        core.finish()
        if not core.is_certain:
            return None
        return tuple([(<bytes>name).decode("ascii") for name in core.names]), core.lines

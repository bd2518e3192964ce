# distutils: language = c++
"""Arrival order: rows of many sources, each nearly sorted, into the one total order (arrival time, source rank, row)."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool as cpp_bool
from libcpp.memory cimport unique_ptr
from libcpp.unordered_map cimport unordered_map

from fastpath.columns cimport Block, Rows, Tickers


cdef extern from "merger.hpp" namespace "midstream" nogil:
    void sort_columns "midstream::sort_rows"(const Rows&, Rows&) except +

    cdef cppclass MergerCore "midstream::Merger":
        MergerCore(size_t) except +
        void add_source(Rows*) except +
        void resume_after(int64_t, uint32_t, uint64_t)
        void advance(size_t, int64_t, cpp_bool) except +
        int64_t laggard()
        size_t take(Rows&, size_t) except +
        int64_t lowest()
        size_t in_flight()
        size_t in_flight_max()
        int64_t oldest_row(size_t) except +
        size_t prepare_spill() except +
        void write_spill(char*) except +
        size_t add_run(uint64_t, unordered_map[uint32_t, uint64_t]) except +
        size_t feed_run(size_t, const char*, size_t, cpp_bool, size_t) except +


@cython.final
cdef class Merger:
    """Merges any number of sources."""

    cdef unique_ptr[MergerCore] core
    cdef Tickers tickers
    cdef list blocks  # owns the rows that the core points to
    cdef size_t source_count

    def __cinit__(self, Tickers tickers not None, size_t source_count, *, object resume_after=None):
        cdef Block block
        self.tickers = tickers
        self.source_count = source_count
        self.blocks = []
        self.core.reset(new MergerCore(source_count))
        for _ in range(source_count):
            block = Block(tickers)
            self.blocks.append(block)
            self.core.get().add_source(&block.rows)
        if resume_after is not None:
            arrival, rank, row = resume_after
            self.core.get().resume_after(arrival, rank, row)

    @property
    def lowest_ns(self):
        return self.core.get().lowest()

    @property
    def in_flight(self):
        return self.core.get().in_flight()

    @property
    def in_flight_max(self):
        return self.core.get().in_flight_max()

    def pending(self, size_t rank):
        """The block into which the rows of this source are decoded, in row order. Only append to it; it empties itself."""
        self._check_rank(rank)
        return self.blocks[rank]

    def advance(self, size_t rank, int64_t bound_ns, *, cpp_bool finished=False):
        """Tell the lowest arrival time that a row still to come can have."""
        self._check_rank(rank)
        with nogil:
            self.core.get().advance(rank, bound_ns, finished)

    def laggard(self):
        """The unfinished source (a spilled run counts, with its own number) with the lowest bound; -1: all are finished."""
        return self.core.get().laggard()

    def take(self, Block into not None, size_t limit):
        """Append at most `limit` settled rows to `into` in total order; return how many were settled (0: feed the laggard)."""
        cdef size_t settled
        if limit == 0:
            raise ValueError("`limit` is 0, which no row fits; give at least 1")
        self._check_into(into)
        with nogil:
            settled = self.core.get().take(into.rows, limit)
        return settled

    def oldest_row(self, size_t rank):
        """Smallest row number of this source still held (in memory or spilled); -1 when none is."""
        self._check_rank(rank)
        return self.core.get().oldest_row(rank)

    def spill(self):
        """Take every row in flight (`in_flight` of them) out of memory as one serialised sorted run."""
        cdef size_t size
        cdef bytes run
        cdef char* out
        with nogil:
            size = self.core.get().prepare_spill()
        run = PyBytes_FromStringAndSize(NULL, size)
        out = PyBytes_AS_STRING(run)
        with nogil:
            self.core.get().write_spill(out)
        return run

    def add_run(self, uint64_t row_count, *, dict oldest_rows not None):
        """Register a run whose bytes will be fed back; returns its number, which counts like a source's (see laggard)."""
        cdef unordered_map[uint32_t, uint64_t] oldest
        for rank, row in oldest_rows.items():
            self._check_rank(rank)
            # -1 is what `oldest_row` answers for a source that holds nothing.
            if row >= 0:
                oldest[<uint32_t>rank] = row
        return self.core.get().add_run(row_count, oldest)

    def feed_run(self, size_t number, const unsigned char[::1] serialised not None, *, cpp_bool final):
        """Feed the next bytes of a run; returns how many were used (whole rows only), the rest comes with the next feed."""
        cdef size_t used, size = serialised.shape[0], ticker_count = self.tickers.table.size()
        cdef const char* first = <const char*>&serialised[0] if size > 0 else NULL
        with nogil:
            used = self.core.get().feed_run(number, first, size, final, ticker_count)
        return used

    cdef int _check_rank(self, size_t rank) except -1:
        if rank >= self.source_count:
            raise IndexError(f"source rank {rank} is out of range; there are {self.source_count} sources")
        return 0

    cdef int _check_into(self, Block into) except -1:
        if into.tickers is not self.tickers:
            raise ValueError("`into` has another ticker table than the merger; make it with the same Tickers")
        for block in self.blocks:
            if block is into:
                raise ValueError("`into` is one of the merger's own pending blocks; take into a block of your own")
        return 0


def sort_rows(Block block not None, Block into not None):
    """Append the rows of `block` to `into` in total order (for external sorting)."""
    if into is block or into.tickers is not block.tickers:
        raise ValueError("`into` must be another block with the same ticker table; make it with the Tickers of `block`")
    with nogil:
        sort_columns(block.rows, into.rows)

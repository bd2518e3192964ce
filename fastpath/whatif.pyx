# distutils: language = c++
"""What two latency models make of the same rows."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport C_AFTER_EVERYTHING as AFTER, C_BEFORE_EVERYTHING as BEFORE, Block, Rows
from fastpath.latency cimport LatencyModel, LatencyModelCore


cdef extern from "whatif.hpp" namespace "midstream" nogil:
    cdef cppclass Ages:
        uint64_t total()
        int64_t max()
        int64_t at_rank(uint64_t)

    cdef cppclass Histogram:
        int64_t at_rank(uint64_t)
        uint64_t total()

    cdef cppclass Compared:
        int64_t event
        int64_t arrival[2]
        double mid
        uint32_t ticker

    cdef cppclass TickerCounts:
        uint64_t ticks
        uint64_t late[2]
        uint64_t mids[2]

    cdef cppclass ComparisonCore:
        ComparisonCore(int64_t, int64_t, int64_t) except +
        void add_source(const LatencyModelCore&, const LatencyModelCore&) except +
        void add(const Rows&, const vector[uint8_t]&) except +
        void finish() except +
        vector[uint64_t] inversions(const vector[uint32_t]&, size_t) except +
        Ages ages(uint32_t, size_t) except +
        vector[int64_t] latest(uint32_t, size_t, const vector[int64_t]&) except +
        vector[Compared] ticks
        vector[uint32_t] orders[2]
        Histogram latencies[2]
        int64_t latency_min[2]
        int64_t latency_max[2]
        uint64_t waited[2]
        uint64_t late[2]
        uint64_t late_in_both, rejected, unusable, skipped, moved
        vector[TickerCounts] tickers


@cython.final
cdef class Comparison:
    """Rows of files under two latency models, the first with the number 0 and the second with 1."""

    cdef unique_ptr[ComparisonCore] core
    cdef frozenset only_tickers  # of bytes; empty: all
    cdef vector[uint8_t] wanted
    cdef cbool finished

    def __cinit__(
        self, *, int64_t latency_threshold_ns, int64_t start_time_ns=BEFORE, int64_t end_time_ns=AFTER, only_tickers=()
    ):
        if isinstance(only_tickers, (str, bytes)):
            raise TypeError("`only_tickers` takes a sequence of names, not one name")
        self.core.reset(new ComparisonCore(latency_threshold_ns, start_time_ns, end_time_ns))
        self.only_tickers = frozenset(name.encode() for name in only_tickers)
        self.finished = False

    def add_source(self, LatencyModel first not None, LatencyModel second not None):
        """Begin with the next file, under the models that it has."""
        self._check(False)
        self.core.get().add_source(first.core, second.core)

    def add(self, Block block not None):
        """Add the rows of the next block, which come as they are recorded."""
        cdef string name
        self._check(False)
        if self.only_tickers:
            while self.wanted.size() < block.tickers.table.size():
                name = block.tickers.table.name(<uint32_t>self.wanted.size())
                self.wanted.push_back(<bytes>name in self.only_tickers)
        with nogil:
            self.core.get().add(block.rows, self.wanted)

    def finish(self):
        """Put all rows in order; nothing can be added any more, and everything else can be asked."""
        self._check(False)
        with nogil:
            self.core.get().finish()
        self.finished = True

    def __len__(self):
        return self.core.get().ticks.size()

    def left_out(self):
        """Rows that were rejected when they were read, ticks that could not be used, and rows of either kind that the filters leave out."""
        cdef ComparisonCore* core = self.core.get()
        return core.rejected, core.unusable, core.skipped

    def counts(self):
        """Ticks that came late under each model, under both, and that waited for the row before them."""
        cdef ComparisonCore* core = self.core.get()
        return (core.late[0], core.late[1]), core.late_in_both, (core.waited[0], core.waited[1])

    def ticker_counts(self):
        """By ticker number: ticks, late ticks under each model, mids under each model."""
        cdef ComparisonCore* core = self.core.get()
        cdef TickerCounts counts
        cdef dict found = {}
        for number in range(core.tickers.size()):
            counts = core.tickers[number]
            if counts.ticks:
                found[number] = (counts.ticks, (counts.late[0], counts.late[1]), (counts.mids[0], counts.mids[1]))
        return found

    def inversions(self, group_of_ticker, size_t groups):
        """Pairs of ticks whose order differs, by the group of the one that was first and then of the other, and how many ticks moved."""
        cdef vector[uint32_t] group_of = group_of_ticker
        cdef vector[uint64_t] pairs
        self._check(True)
        if groups == 0 or any(group >= groups for group in group_of):
            raise ValueError(f"there are {groups} groups, and a ticker is in a further one")
        with nogil:
            pairs = self.core.get().inversions(group_of, groups)
        return list(pairs), self.core.get().moved

    def latency_quantile(self, size_t model, double share):
        """Latency that `share` of the ticks do not exceed, within 0.1 % of itself; both ends are exact."""
        cdef ComparisonCore* core = self.core.get()
        self._check_model(model)
        cdef uint64_t total = core.latencies[model].total()
        if total == 0 or not 0 <= share <= 1:
            raise ValueError(f"there is no quantile at {share} of {total} ticks")
        if share == 1:
            return core.latency_max[model]
        rank = min(total - 1, <uint64_t>(share * total))
        return min(max(core.latencies[model].at_rank(rank), core.latency_min[model]), core.latency_max[model])

    def ages(self, uint32_t ticker, size_t model, shares):
        """How old the latest mid of a ticker was: for each (numerator, denominator) the age that this share of the time does not exceed."""
        self._check(True)
        self._check_ticker(ticker)
        self._check_model(model)
        cdef Ages ages
        with nogil:
            ages = self.core.get().ages(ticker, model)
        total = ages.total()
        if total == 0:
            return None
        found = [ages.at_rank(min(total - 1, total * numerator // denominator)) for numerator, denominator in shares]
        return total, tuple(found), ages.max()

    def latest(self, uint32_t ticker, size_t model, times_ns):
        """(event time, mid) of the latest mid of a ticker at each of the times, which must not fall; None before the first."""
        cdef ComparisonCore* core = self.core.get()
        cdef vector[int64_t] times = times_ns
        self._check(True)
        self._check_ticker(ticker)
        self._check_model(model)
        return [
            None if index < 0 else (core.ticks[index].event, core.ticks[index].mid)
            for index in core.latest(ticker, model, times)
        ]

    def span_ns(self):
        """First and last arrival under either model; None when there is no tick."""
        cdef ComparisonCore* core = self.core.get()
        self._check(True)
        if core.ticks.size() == 0:
            return None
        first = [core.ticks[core.orders[model].front()].arrival[model] for model in range(2)]
        last = [core.ticks[core.orders[model].back()].arrival[model] for model in range(2)]
        return min(first), max(last)

    def order(self, size_t model):
        """Numbers of the ticks, from 0 in the order of files and rows, in the order in which they arrive (for tests)."""
        self._check(True)
        self._check_model(model)
        return list(self.core.get().orders[model])

    def arrivals_ns(self, size_t model):
        """Arrival of each tick, in the order of files and rows (for tests)."""
        cdef ComparisonCore* core = self.core.get()
        self._check_model(model)
        return [core.ticks[index].arrival[model] for index in range(core.ticks.size())]

    cdef int _check(self, cbool finished) except -1:
        if self.finished != finished:
            raise ValueError("rows are compared once all were added: call `finish` once, behind the last `add`")
        return 0

    cdef int _check_model(self, size_t model) except -1:
        if model > 1:
            raise IndexError(f"model {model} is out of range; there are two")
        return 0

    cdef int _check_ticker(self, uint32_t ticker) except -1:
        if ticker >= self.core.get().tickers.size():
            raise IndexError(f"no tick has the ticker number {ticker}")
        return 0

# distutils: language = c++
"""Figures about rows, for reports that must not hold the rows in memory."""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libcpp.map cimport map as cpp_map
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport Block, Rows


cdef extern from "survey.hpp" namespace "midstream" nogil:
    cdef cppclass Histogram:
        int64_t at_rank(uint64_t)
        uint64_t total()

    cdef struct OrderBreak:
        uint64_t row
        int64_t before, now

    cdef cppclass RejectionKind:
        uint64_t count
        vector[uint64_t] first_rows

    cdef cppclass SurveyCore:
        SurveyCore(int64_t) except +
        void add(const Rows&) except +
        void absorb(const SurveyCore&) except +
        uint64_t ticks, rejected, over_threshold, negative_latency
        uint64_t bid_missing, ask_missing, both_missing, crossed, locked, event_ties
        int64_t event_min, event_max, arrival_min, arrival_max, latency_min, latency_max
        OrderBreak event_break, arrival_break, both_break
        Histogram latencies
        vector[uint64_t] tickers
        cpp_map[string, RejectionKind] kinds

    cdef cppclass TieCore:
        TieCore()
        void add(const Rows&)
        uint64_t ties, largest


cdef object _break(OrderBreak found):
    return (found.row, found.before, found.now) if found.row else None


@cython.final
cdef class Survey:
    """Adds up the rows of one source, block by block in the order of the file. Ticker numbers must be of one table."""

    cdef unique_ptr[SurveyCore] core

    def __cinit__(self, *, int64_t latency_threshold_ns):
        self.core.reset(new SurveyCore(latency_threshold_ns))

    def add(self, Block block not None):
        """Add the rows of the next block."""
        with nogil:
            self.core.get().add(block.rows)

    def absorb(self, Survey other not None):
        """Add the figures of another survey; breaks stay those of this one."""
        if other is self:
            raise ValueError("a survey cannot absorb itself")
        self.core.get().absorb(other.core.get()[0])

    def counts(self):
        """Counts by name."""
        cdef SurveyCore* core = self.core.get()
        return {
            "ticks": core.ticks,
            "rejected": core.rejected,
            "over_threshold": core.over_threshold,
            "negative_latency": core.negative_latency,
            "bid_missing": core.bid_missing,
            "ask_missing": core.ask_missing,
            "both_missing": core.both_missing,
            "crossed": core.crossed,
            "locked": core.locked,
            "event_ties": core.event_ties,
        }

    def spans(self):
        """Event times, arrival times and latencies; None when there is no tick."""
        cdef SurveyCore* core = self.core.get()
        if core.ticks == 0:
            return None
        return (core.event_min, core.event_max), (core.arrival_min, core.arrival_max), (core.latency_min, core.latency_max)

    def breaks(self):
        """The first tick that goes back in event time, the first in arrival time, and the one after which neither order holds."""
        cdef SurveyCore* core = self.core.get()
        return _break(core.event_break), _break(core.arrival_break), _break(core.both_break)

    def latency_quantile(self, double share):
        """Latency that `share` of the ticks do not exceed, within 0.1 % of itself; exact below 2,048 ns and at both ends."""
        cdef uint64_t total = self.core.get().latencies.total()
        if not 0 <= share <= 1:
            raise ValueError(f"`share` {share} is not between 0 and 1")
        if total == 0:
            raise ValueError("there is no row, so there is no quantile")
        rank = min(total - 1, <uint64_t>(share * total))
        middle = self.core.get().latencies.at_rank(rank)
        return min(max(middle, self.core.get().latency_min), self.core.get().latency_max)

    def ticker_rows(self):
        """Ticks by ticker number."""
        cdef SurveyCore* core = self.core.get()
        return {number: core.tickers[number] for number in range(core.tickers.size()) if core.tickers[number]}

    def rejections(self):
        """(reason without the offending text, count, first rows) per kind; at most 64 kinds, the rest as `other reasons`."""
        cdef list found = []
        for kind in self.core.get().kinds:
            found.append(((<bytes>kind.first).decode("utf-8", "replace"), kind.second.count, tuple(kind.second.first_rows)))
        return found


@cython.final
cdef class ArrivalTies:
    """Counts ticks that share their arrival time with the tick before, in blocks that come in arrival order."""

    cdef TieCore core

    def add(self, Block block not None):
        """Add the rows of the next block."""
        with nogil:
            self.core.add(block.rows)

    @property
    def ties(self):
        return self.core.ties

    @property
    def largest(self):
        return self.core.largest

# distutils: language = c++
"""The last quote of every ticker as the records arrived: what a replay tells where its time is moved."""

from typing import NamedTuple

cimport cython
from libc.stdint cimport int64_t, uint32_t
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport Block, Row, Rows, Tickers, TickerTable
from fastpath.frame cimport HeldBytes, raise_frame_error

cdef extern from "quotes.hpp" namespace "midstream" nogil:
    cdef cppclass QuoteRecord:
        string ticker
        int64_t event, arrival
        double bid_price, bid_amount, ask_price, ask_amount

    cdef cppclass Core "midstream::LastQuotes":
        void note(const Rows&, size_t, size_t, size_t) except +
        vector[uint32_t] tickers(const TickerTable&) except +
        const Row& operator[](uint32_t)
        size_t bytes()

    void append_quote(const Row&, const string&, string&) except +
    void c_read_quotes "midstream::read_quotes"(const char*, size_t, vector[QuoteRecord]&) except +raise_frame_error


class Quote(NamedTuple):
    """A quote of one ticker; NaN is what its source did not give."""

    ticker: str
    event_time_ns: int
    arrival_time_ns: int
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


@cython.final
cdef class LastQuotes:
    """The last quote of every ticker among the rows that were noted. Rejected rows are none."""

    cdef Core core
    cdef Tickers names

    def __cinit__(self, Tickers tickers not None):
        self.names = tickers

    @property
    def tickers(self):
        return self.names

    @property
    def size(self):
        return self.core.bytes()

    def note(self, Block block not None, size_t start, size_t stop):
        """Take rows start..stop of `block`, which come behind all that were noted before."""
        if not start <= stop <= block.rows.size():
            raise IndexError(f"rows {start}..{stop} are not within the {block.rows.size()} rows of the block")
        if block.tickers is not self.names:
            raise ValueError("`block` has another ticker table; make it with the Tickers of these quotes")
        self.core.note(block.rows, start, stop, self.names.table.size())

    def copy(self):
        """Return the same quotes, which stay as they are while more are noted here."""
        cdef LastQuotes same = LastQuotes(self.names)
        same.core = self.core
        return same

    def encode(self, size_t bytes_max):
        """Return the quotes as `Marker.state` lies on the wire, in the order of the tickers' bytes, in parts of about `bytes_max` at most."""
        cdef list parts = []
        cdef string part
        cdef uint32_t ticker
        for ticker in self.core.tickers(self.names.table):
            if part.size() >= bytes_max:
                parts.append(<bytes>part)
                part.clear()
            append_quote(self.core[ticker], self.names.table.name(ticker), part)
        if part.size() or not parts:
            parts.append(<bytes>part)
        return parts


def read_quotes(state):
    """Return the quotes of a `Marker.state` as it lies on the wire. Raises FrameError."""
    cdef HeldBytes held
    cdef vector[QuoteRecord] found
    cdef size_t i
    cdef list quotes = []
    held.hold(state)
    c_read_quotes(held.data(), held.size(), found)
    for i in range(found.size()):
        quotes.append(Quote(
            found[i].ticker.decode(), found[i].event, found[i].arrival,
            found[i].bid_price, found[i].bid_amount, found[i].ask_price, found[i].ask_amount,
        ))
    return quotes

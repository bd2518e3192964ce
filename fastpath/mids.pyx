# distutils: language = c++
"""Mid prices outside of the logs: the MidBatch on the wire, and the mids of columns that a caller has."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport NAN, isfinite
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

from fastpath.frame cimport HeldBytes, choose_tickers, raise_frame_error, texts_of

cdef extern from "mid_batch.hpp" namespace "midstream" nogil:
    void read_mid_batch(const char*, size_t, MidBatch&) except +raise_frame_error
    void c_select_mids "midstream::select_mids"(const MidBatch&, const vector[cbool]&, MidBatch&) except +


@cython.final
cdef class MidFrame:
    """One decoded MidBatch."""

    cdef MidBatch batch

    def __cinit__(self, buffer):
        cdef HeldBytes held
        held.hold(buffer)
        with nogil:
            read_mid_batch(held.data(), held.size(), self.batch)

    @property
    def epoch(self):
        return self.batch.epoch.decode()

    @property
    def mode(self):
        return self.batch.mode

    @property
    def first_sequence(self):
        return self.batch.first_sequence

    @property
    def last_sequence(self):
        return self.batch.last_sequence

    @property
    def last_arrival_time_ns(self):
        return self.batch.arrival[self.batch.size() - 1] if self.batch.size() else None

    def __len__(self):
        return self.batch.size()

    def mids(self):
        """(sequence, ticker, event ns, arrival ns, mid) per mid."""
        cdef size_t i
        cdef MidBatch* batch = &self.batch
        cdef list tickers = texts_of(batch.tickers)
        cdef list out = []
        for i in range(batch.size()):
            out.append((
                batch.sequence[i], tickers[batch.ticker_index[i]], batch.event[i], batch.arrival[i], batch.mid_price[i],
            ))
        return out

    def latest(self):
        """Last (sequence, event ns, arrival ns, mid) per ticker in this batch."""
        cdef MidBatch* batch = &self.batch
        cdef vector[size_t] last
        cdef size_t none = <size_t>-1
        cdef size_t i, place
        last.resize(batch.tickers.size(), none)
        for i in range(batch.size()):
            last[batch.ticker_index[i]] = i
        cdef list tickers = texts_of(batch.tickers)
        cdef dict out = {}
        for i in range(last.size()):
            place = last[i]
            # A foreign encoder may name a ticker twice; the later mid counts.
            if place != none and (tickers[i] not in out or out[tickers[i]][0] < batch.sequence[place]):
                out[tickers[i]] = (batch.sequence[place], batch.event[place], batch.arrival[place], batch.mid_price[place])
        return out


def select_mids(buffer, tickers):
    """Re-encode a MidBatch with these tickers only; None when nothing is left."""
    cdef MidFrame frame = MidFrame(buffer)
    cdef MidBatch chosen
    cdef vector[cbool] keep
    cdef bytes encoded
    cdef char* target
    if frame.batch.size() == 0:
        return None
    if choose_tickers(frame.batch.tickers, tickers, keep):
        return bytes(buffer)
    with nogil:
        c_select_mids(frame.batch, keep, chosen)
    if chosen.size() == 0:
        return None
    encoded = PyBytes_FromStringAndSize(NULL, size_mid_batch(chosen))
    target = PyBytes_AS_STRING(encoded)
    with nogil:
        fill_mid_batch(chosen, target)
    return encoded


# A buffer of float64, held until the object goes.
cdef class _Doubles:
    cdef Py_buffer view
    cdef cbool held
    cdef readonly size_t count

    def __cinit__(self, obj, str name):
        PyObject_GetBuffer(obj, &self.view, PyBUF_ND | PyBUF_FORMAT)
        self.held = True
        format = (<bytes>self.view.format).decode() if self.view.format != NULL else "B"
        if format.lstrip("@=<") != "d" or self.view.itemsize != 8 or self.view.ndim != 1:
            raise TypeError(f"`{name}` must be one contiguous column of float64 (format 'd'), not format {format!r} in {self.view.ndim} dimensions")
        self.count = self.view.len // 8

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    # By memcpy, because a cast memoryview may be misaligned.
    cdef inline double at(self, size_t i) noexcept nogil:
        cdef double value
        memcpy(&value, <const char*>self.view.buf + 8 * i, 8)
        return value


def compute_mids(bid_price, ask_price, bid_amount=None, ask_amount=None):
    """Mids of float64 columns as float64 bytes, and the positions at which there is none (NaN there)."""
    cdef _Doubles bids = _Doubles(bid_price, "bid_price")
    cdef _Doubles asks = _Doubles(ask_price, "ask_price")
    cdef _Doubles bid_amounts = None if bid_amount is None else _Doubles(bid_amount, "bid_amount")
    cdef _Doubles ask_amounts = None if ask_amount is None else _Doubles(ask_amount, "ask_amount")
    cdef cbool with_bid_amounts = bid_amounts is not None
    cdef cbool with_ask_amounts = ask_amounts is not None
    cdef size_t count = bids.count
    cdef vector[size_t] missing
    cdef double bid, ask, mid
    cdef size_t i
    cdef bytes mids
    cdef char* target
    for name, column in (("ask_price", asks), ("bid_amount", bid_amounts), ("ask_amount", ask_amounts)):
        if column is not None and (<_Doubles>column).count != count:
            raise ValueError(f"`{name}` has {(<_Doubles>column).count} values, but `bid_price` has {count}")
    mids = PyBytes_FromStringAndSize(NULL, 8 * count)
    target = PyBytes_AS_STRING(mids)
    with nogil:
        for i in range(count):
            bid = bids.at(i)
            ask = asks.at(i)
            mid = 0.5 * (bid + ask)
            # Without amounts a price of 0 counts as a price.
            if (
                is_missing(bid, bid_amounts.at(i) if with_bid_amounts else NAN)
                or is_missing(ask, ask_amounts.at(i) if with_ask_amounts else NAN)
                or not isfinite(mid)
            ):
                mid = NAN
                missing.push_back(i)
            memcpy(target + 8 * i, &mid, 8)
    return mids, list(missing)

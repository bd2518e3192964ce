# distutils: language = c++
"""From a frame to mids and log text."""

import struct
import zlib
from typing import NamedTuple

from fastpath.values import format_latency

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport C_BEFORE_EVERYTHING as BEFORE_EVERYTHING, string_view
from fastpath.frame cimport HeldBytes, RejectionRecord, Special, TickBatch, TickFrame
from fastpath.mids cimport MidBatch, fill_mid_batch, is_missing, size_mid_batch

cdef extern from "mid_batch.hpp" namespace "midstream" nogil:
    const int32_t MODE_HISTORICAL

cdef extern from "sha256.hpp" namespace "midstream" nogil:
    cdef cppclass Sha256:
        Sha256()
        Sha256(cbool portable)
        void update(string_view)
        void update_number[T](T)
        void update_tick(int64_t, int64_t, double, double, string_view)
        void flush()
        string digest() except +
        uint32_t word(size_t)
        uint64_t compressed()
        string tail() except +
        void restore(const uint32_t*, uint64_t, string_view)

cdef extern from "log_lines.hpp" namespace "midstream" nogil:
    const size_t MID_LINE_MAX
    const size_t ERROR_LINE_MAX

    cdef cppclass TextBuffer:
        const char* data()
        size_t size()
        void clear()
        char* room(size_t) except +
        void wrote(const char*)
        void append(string_view) except +

    cdef cppclass Clock "midstream::format::Clock":
        pass

    cbool is_late(int64_t, int64_t, int64_t)
    char* put_mid_line(char*, Clock&, int64_t, double, uint8_t&)
    char* put_late_line(char*, Clock&, int64_t, int64_t, int64_t, const string&)
    char* put_missing_line(char*, Clock&, int64_t, cbool, cbool)
    char* put_overflow_line(char*, Clock&, int64_t)
    void append_rejected_line(TextBuffer&, string_view, uint64_t, string_view) except +
    string csv_field(string_view) except +
    void append_csv_line(TextBuffer&, Clock&, int64_t, int64_t, const string&, uint64_t, double, uint8_t&) except +


cdef uint32_t NO_NUMBER = <uint32_t>-1

# Magic, version, counts, first and last arrival, the digest's words, bytes compressed, length of the tail, tail; then a CRC-32.
_STATE = struct.Struct("<4sI7Q2q8IQB63s")
_MAGIC = b"MSPK"
_VERSION = 1


class PriceCounts(NamedTuple):
    """How many records were accounted for, by what became of them."""

    mids: int
    latency_filtered: int
    missing_side: int
    rejected: int
    crossed: int
    locked: int
    markers: int


cdef struct Counts:
    uint64_t mids, latency_filtered, missing_side, rejected, crossed, locked, markers


cdef inline string_view view_of(const string& text) noexcept nogil:
    return string_view(text.data(), text.size())


cdef bytes take(TextBuffer& text):
    cdef bytes taken = PyBytes_FromStringAndSize(text.data(), text.size()) if text.size() else b""
    text.clear()
    return taken


@cython.final
cdef class PriceKernel:
    """Filters, computes and formats. Text collects in buffers that `take_...` hands over; counts and digest are cumulative."""

    cdef int64_t threshold_ns
    cdef string threshold_text
    cdef cbool log_arrival, with_csv, with_mids
    cdef cbool busy
    cdef Counts tally
    cdef readonly int64_t first_arrival_time_ns, last_arrival_time_ns
    cdef Sha256 order
    cdef Clock clock, arrival_clock
    cdef TextBuffer mid_text, error_text, csv_text
    cdef MidBatch mids
    # Of the frame at hand, by its ticker index: decimals of the last price, number in the MidBatch, and the CSV field.
    cdef vector[uint8_t] decimals
    cdef vector[uint32_t] mid_numbers
    cdef vector[string] csv_tickers

    def __cinit__(
        self, *, int64_t latency_threshold_ns, bint log_arrival=False, bint with_csv=False, bint with_mids=True, bytes state not None=b""
    ):
        self.threshold_ns = latency_threshold_ns
        self.threshold_text = format_latency(latency_threshold_ns).encode()
        self.log_arrival = log_arrival
        self.with_csv = with_csv
        self.with_mids = with_mids
        self.first_arrival_time_ns = BEFORE_EVERYTHING
        self.last_arrival_time_ns = BEFORE_EVERYTHING
        if state:
            self._restore(state)

    @property
    def counts(self):
        cdef Counts* tally = &self.tally
        return PriceCounts(
            tally.mids, tally.latency_filtered, tally.missing_side, tally.rejected, tally.crossed, tally.locked, tally.markers
        )

    def process(self, TickFrame frame not None, *, uint64_t after_sequence=0):
        """Account for the records of `frame` with a sequence above `after_sequence`; return how many there were."""
        cdef size_t done
        self._check_idle()
        self.busy = True
        try:
            with nogil:
                done = self._records(frame.batch, after_sequence)
        finally:
            self.busy = False
        return done

    def take_mid_text(self):
        """Hand over the lines of mid_prices.log since the last time."""
        self._check_idle()
        return take(self.mid_text)

    def take_error_text(self):
        """Hand over the lines of errors.log since the last time."""
        self._check_idle()
        return take(self.error_text)

    def take_csv_text(self):
        """`timestamp,arrival,ticker,sequence,mid` lines, quoted as RFC 4180 where needed (without a header)."""
        self._check_idle()
        return take(self.csv_text)

    def take_mid_batch(self):
        """The MidBatch of the last processed frame; empty when it had no mid or `with_mids` is off."""
        cdef bytes encoded
        self._check_idle()
        if self.mids.size() == 0:
            return b""
        encoded = PyBytes_FromStringAndSize(NULL, size_mid_batch(self.mids))
        fill_mid_batch(self.mids, PyBytes_AS_STRING(encoded))
        self.mids.clear()
        return encoded

    def state(self):
        """Counts, arrivals and the digest's inner state, to store beside the logs. Versioned; a damaged state raises ValueError."""
        cdef size_t i
        self._check_idle()
        self.order.flush()
        tail = <bytes>self.order.tail()
        packed = _STATE.pack(
            _MAGIC, _VERSION, *self.counts, self.first_arrival_time_ns, self.last_arrival_time_ns,
            *[self.order.word(i) for i in range(8)], self.order.compressed(), len(tail), tail,
        )
        return packed + zlib.crc32(packed).to_bytes(4, "little")

    def digest(self):
        """SHA-256 (hex) over every tick and rejection so far, in sequence order."""
        self._check_idle()
        return (<bytes>self.order.digest()).hex()

    # One thread at a time: `process` lets go of the GIL while it writes into the buffers.
    cdef int _check_idle(self) except -1:
        if self.busy:
            raise RuntimeError("another thread is using this PriceKernel; give each thread one of its own")
        return 0

    cdef int _restore(self, bytes state) except -1:
        cdef uint32_t words[8]
        cdef bytes tail
        cdef size_t i
        packed, crc = state[:_STATE.size], state[_STATE.size:]
        if len(packed) != _STATE.size or zlib.crc32(packed).to_bytes(4, "little") != crc:
            raise ValueError(f"`state` ({len(state)} bytes) is damaged; start over without it")
        fields = _STATE.unpack(packed)
        if fields[0] != _MAGIC or fields[1] != _VERSION:
            raise ValueError(f"`state` is of version {fields[1]}, this program reads {_VERSION}; start over without it")
        (self.tally.mids, self.tally.latency_filtered, self.tally.missing_side, self.tally.rejected,
         self.tally.crossed, self.tally.locked, self.tally.markers) = fields[2:9]
        self.first_arrival_time_ns, self.last_arrival_time_ns = fields[9:11]
        for i in range(8):
            words[i] = fields[11 + i]
        tail = fields[21][:fields[20]]
        self.order.restore(words, fields[19], string_view(PyBytes_AS_STRING(tail), len(tail)))
        return 0

    # Everything below runs without the GIL and touches no Python object.

    cdef size_t _records(self, const TickBatch& batch, uint64_t after_sequence) except? 0 nogil:
        cdef size_t done = 0
        cdef size_t begin = 0
        cdef size_t i
        cdef uint64_t sequence = batch.first_sequence
        self._start(batch)
        for i in range(batch.specials.size()):
            done += self._ticks(batch, begin, batch.specials[i].ticks_before, sequence, after_sequence)
            begin = batch.specials[i].ticks_before
            if batch.specials[i].sequence > after_sequence:
                self._special(batch, batch.specials[i])
                done += 1
            sequence = batch.after(batch.specials[i])
        done += self._ticks(batch, begin, batch.tick_count(), sequence, after_sequence)
        return done

    cdef int _start(self, const TickBatch& batch) except -1 nogil:
        cdef size_t i
        cdef size_t count = batch.tickers.size()
        self.decimals.assign(count, 0)
        self.mid_numbers.assign(count, NO_NUMBER)
        self.mids.clear()
        if self.with_mids:
            self.mids.epoch = batch.epoch
            self.mids.mode = batch.mode
            self.mids.first_sequence = batch.first_sequence
            self.mids.last_sequence = batch.last_sequence
        if self.with_csv:
            self.csv_tickers.clear()
            for i in range(count):
                self.csv_tickers.push_back(csv_field(view_of(batch.tickers[i])))
        return 0

    cdef int _special(self, const TickBatch& batch, const Special& special) except -1 nogil:
        cdef const RejectionRecord* rejection
        if special.is_marker:
            self.tally.markers += 1
            return 0
        rejection = &batch.rejections[special.index]
        self.tally.rejected += 1
        self.order.update_number(rejection.arrival)
        self.order.update_number(rejection.line)
        self.order.update(view_of(rejection.reason))
        self.order.update(string_view("\0", 1))
        append_rejected_line(self.error_text, view_of(rejection.source), rejection.line, view_of(rejection.reason))
        return 0

    # Ticks begin..end, numbered from `sequence` on (a filtered batch has numbers of its own). Returns how many were due.
    cdef size_t _ticks(
        self, const TickBatch& batch, size_t begin, size_t end, uint64_t sequence, uint64_t after_sequence
    ) except? 0 nogil:
        cdef size_t i
        cdef size_t mid_count = self.mids.size()
        cdef uint32_t ticker
        cdef int64_t event, arrival, time
        cdef double bid, ask, mid
        cdef cbool no_bid, no_ask
        cdef cbool historical = batch.mode == MODE_HISTORICAL
        cdef const int64_t* events = batch.event.data()
        cdef const int64_t* arrivals = batch.arrival.data()
        cdef char* mid_end
        cdef char* error_end
        cdef Counts tally

        if batch.filtered:
            while begin < end and batch.tick_sequence[begin] <= after_sequence:
                begin += 1
        elif sequence <= after_sequence:
            i = <size_t>min(after_sequence - sequence + 1, <uint64_t>(end - begin))
            begin += i
            sequence += i
        if begin == end:
            return 0

        # Room for the worst case, so that the loop needs no checks. What is not used costs address space only.
        mid_end = self.mid_text.room((end - begin) * MID_LINE_MAX)
        error_end = self.error_text.room((end - begin) * ERROR_LINE_MAX)
        if self.with_mids:
            self._resize_mids(mid_count + (end - begin))
        if self.first_arrival_time_ns == BEFORE_EVERYTHING:
            self.first_arrival_time_ns = arrivals[begin]
        self.last_arrival_time_ns = arrivals[end - 1]
        tally = self.tally

        for i in range(begin, end):
            ticker = batch.ticker_index[i]
            event = events[i]
            arrival = arrivals[i]
            bid = batch.bid_price[i]
            ask = batch.ask_price[i]
            self.order.update_tick(event, arrival, bid, ask, view_of(batch.tickers[ticker]))
            time = arrival if self.log_arrival else event
            if historical and is_late(arrival, event, self.threshold_ns):
                tally.latency_filtered += 1
                error_end = put_late_line(error_end, self.clock, time, arrival, event, self.threshold_text)
                continue
            no_bid = is_missing(bid, batch.bid_amount[i])
            no_ask = is_missing(ask, batch.ask_amount[i])
            if no_bid or no_ask:
                tally.missing_side += 1
                error_end = put_missing_line(error_end, self.clock, time, no_bid, no_ask)
                continue
            mid = 0.5 * (bid + ask)
            if not isfinite(mid):
                # Two finite prices whose sum is not: the rule gives no number, and no other rule is ours to choose.
                tally.missing_side += 1
                error_end = put_overflow_line(error_end, self.clock, time)
                continue
            tally.mids += 1
            tally.crossed += bid > ask
            tally.locked += bid == ask
            mid_end = put_mid_line(mid_end, self.clock, time, mid, self.decimals[ticker])
            if self.with_csv:
                append_csv_line(
                    self.csv_text, self.arrival_clock, event, arrival, self.csv_tickers[ticker],
                    batch.tick_sequence[i] if batch.filtered else sequence + (i - begin), mid, self.decimals[ticker],
                )
            if self.with_mids:
                if self.mid_numbers[ticker] == NO_NUMBER:
                    self.mid_numbers[ticker] = <uint32_t>self.mids.tickers.size()
                    self.mids.tickers.push_back(batch.tickers[ticker])
                self.mids.ticker_index[mid_count] = self.mid_numbers[ticker]
                self.mids.sequence[mid_count] = batch.tick_sequence[i] if batch.filtered else sequence + (i - begin)
                self.mids.event[mid_count] = event
                self.mids.arrival[mid_count] = arrival
                self.mids.mid_price[mid_count] = mid
                mid_count += 1

        self.tally = tally
        self.mid_text.wrote(mid_end)
        self.error_text.wrote(error_end)
        if self.with_mids:
            self._resize_mids(mid_count)
        return end - begin

    cdef int _resize_mids(self, size_t count) except -1 nogil:
        self.mids.ticker_index.resize(count)
        self.mids.sequence.resize(count)
        self.mids.event.resize(count)
        self.mids.arrival.resize(count)
        self.mids.mid_price.resize(count)
        return 0


def sha256(payload, *, bint portable=False):
    """Hash (hex) with the kernel's own SHA-256; `portable` keeps it from using the processor's SHA instructions. For tests."""
    cdef HeldBytes held
    cdef Sha256* running = new Sha256(<cbool>portable)
    try:
        held.hold(payload)
        running.update(string_view(held.data(), held.size()))
        return (<bytes>running.digest()).hex()
    finally:
        del running

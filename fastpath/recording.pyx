# distutils: language = c++
"""Recorded frames to columns: each record of a recording is a frame as it was received, or a marker of what happened between two."""

import binascii

import orjson

from fastpath.live import decode_live_frame
from fastpath.rules import UnsortedSource

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from fastpath.columns cimport C_AFTER_EVERYTHING as AFTER, C_BEFORE_EVERYTHING as BEFORE, Block, Row, Tickers, string_view
from fastpath.decoding cimport ELSEWHERE, LEFT_OUT, TIMING_GOOD, RowRules, Timing, timing_reason
from fastpath.row_decoder cimport RowDecoder
from fastpath.text cimport RowWriter

RECORD_BYTES_MAX = 96 << 20


@cython.final
cdef class RecordingDecoder(RowDecoder):
    """Decodes the records of one recording, from `offset` on, into a Block."""

    cdef readonly uint64_t disconnects, gaps, lost_frames
    cdef readonly uint64_t more_rows

    # Of one frame. Its names have a table of their own: that of the session may be full for feeds, never for what was recorded.
    cdef Block scratch
    cdef vector[uint32_t] numbers
    # A record that no chunk held whole; of one that is too long only how long it is.
    cdef bytearray held
    cdef uint64_t long_size

    def __init__(self, Tickers tickers not None, **rules):
        RowDecoder.__init__(self, tickers, **rules)
        self.rules.policy.delay_is_time = True
        self.scratch = Block(Tickers())
        self.held = bytearray()

    def feed(self, const uint8_t[::1] chunk, Block into not None, *, size_t row_limit, bint final=False):
        """Decode whole records of `chunk` until `row_limit` rows (skipped and rejected ones too) were read; return the bytes used."""
        cdef const char* begin = NULL
        cdef const char* at
        cdef const char* end
        cdef const char* newline
        cdef size_t size = chunk.shape[0]
        cdef uint64_t line = self.rules.state.line
        cdef RowWriter* writer
        if row_limit == 0:
            raise ValueError("`row_limit` must be at least 1")
        writer = self._writer(into)
        if size > 0:
            begin = <const char*>&chunk[0]
        at = begin
        end = begin + size
        try:
            while at != end and self.rules.state.line - line < row_limit:
                newline = <const char*>memchr(at, c"\n", end - at)
                if newline == NULL:
                    # One that is longer than what was read is held until its end comes, and its offset stays at its begin.
                    if at == begin and not final:
                        self._hold(at, size)
                        at = end
                    break
                self.offset += self._take(at, newline - at, writer) + 1
                at = newline + 1
        finally:
            writer.trim()
            del writer
        return at - begin

    @property
    def held_bytes(self):
        return len(self.held) + self.long_size

    cdef int _hold(self, const char* begin, size_t size) except -1:
        if self.long_size or len(self.held) + size > <size_t>RECORD_BYTES_MAX:
            self.long_size += len(self.held) + size
            self.held = bytearray()
        else:
            self.held += begin[:size]
        return 0

    cdef uint64_t _take(self, const char* begin, size_t size, RowWriter* writer) except? 0:
        """Decode the record that ends here; return its size."""
        cdef uint64_t whole = self.long_size + len(self.held) + size
        cdef uint64_t line = self.rules.state.line
        if self.long_size:
            self._reject_row(writer, f"the record is longer than {RECORD_BYTES_MAX:,} bytes", b"")
        else:
            self._decode(bytes(self.held) + begin[:size] if self.held else begin[:size], writer)
        if self.rules.state.line == line:
            self.blank += 1
        else:
            self.more_rows += self.rules.state.line - line - 1
        # Only now: a frame that breaks the order is met again.
        self.held.clear()
        self.long_size = 0
        return whole

    cdef int _decode(self, bytes record, RowWriter* writer) except -1:
        cdef const char* at = record
        cdef const char* end = at + len(record)
        cdef char kind = at[0] if end - at > 1 and at[1] == c" " else 0
        cdef int64_t receive_ns
        cdef int64_t number
        at += 2
        if kind == c"F" or kind == c"B":
            receive_ns = _whole(&at, end)
            number = _whole(&at, end) if receive_ns >= 0 else -1
            if number >= 0:
                payload = at[:end - at]
                if kind == c"B":
                    try:
                        payload = binascii.a2b_base64(payload, strict_mode=True)
                    except ValueError:
                        return self._reject_row(writer, "the record of a frame is damaged", record)
                return self._frame(payload, receive_ns, number, writer)
        elif kind == c"M" and _whole(&at, end) >= 0 and self._marker(at[:end - at]):
            return 0
        return self._reject_row(writer, "the line is no record of a recording", record)

    cdef bint _marker(self, bytes text) except -1:
        try:
            marker = orjson.loads(text)
            kind = marker["kind"]
            lost_frames = int(marker.get("lost_frames") or 0)
        except (ValueError, TypeError, KeyError, AttributeError):
            return False
        self.disconnects += kind == "disconnected"
        self.gaps += kind == "gap"
        self.lost_frames += max(0, lost_frames)
        return True

    cdef int _frame(self, bytes payload, int64_t receive_ns, uint64_t number, RowWriter* writer) except -1:
        cdef RowRules* rules = &self.rules
        cdef Block scratch = self.scratch
        cdef Row* row
        cdef size_t i
        # With a model the order of the file is that of the receive times as they are: a shift is the model's.
        cdef int64_t shift_ns = 0 if rules.policy.model.changes() else rules.policy.shift_ns
        cdef int64_t shifted_ns = receive_ns + min(shift_ns, INT64_MAX - receive_ns)
        if shifted_ns < rules.state.previous_arrival_ns:
            rules.state.order |= 2
            if rules.policy.check_order:
                raise UnsortedSource(rules.state.line, "arrival", shifted_ns, rules.state.previous_arrival_ns, by_arrival=True)
        decode_live_frame(payload, scratch, receive_time_ns=receive_ns, source_rank=0, frame_number=number)
        try:
            for i in range(scratch.rows.size()):
                row = &scratch.rows[i]
                if row.is_rejected():
                    rules.reject_frame(
                        writer[0], shifted_ns, number, scratch.rows.rejected[row.rejection()].reason,
                        string_view(scratch.rows.rejected[row.rejection()].raw.data(), scratch.rows.rejected[row.rejection()].raw.size()))
                else:
                    self._tick(row, shifted_ns, number, writer)
                rules.state.line += 1
        finally:
            scratch.rows.clear()
        return 0

    cdef int _tick(self, Row* row, int64_t shifted_ns, uint64_t number, RowWriter* writer) except -1:
        cdef RowRules* rules = &self.rules
        cdef Timing timing
        cdef double quote[4]
        fault = rules.policy.time_row(row.event, row.arrival, rules.state.line, timing)
        if fault != TIMING_GOOD:
            if rules.policy.model.changes() or rules.policy.clamp or shifted_ns != row.arrival:
                rules.reject_frame(writer[0], shifted_ns, number, string(timing_reason(fault)), string_view())
                return 0
            # As the feed has it, whatever the distance: nothing is added to the event time.
            timing.event_ns = row.event
            timing.latency_ns = BEFORE if row.event > row.arrival else AFTER
            timing.unclamped_ns = timing.arrival_ns = row.arrival
        quote[0], quote[1], quote[2], quote[3] = row.bid_price, row.bid_amount, row.ask_price, row.ask_amount
        rules.take(timing, quote, self._number(row.ticker()), writer[0])
        return 0

    cdef uint32_t _number(self, uint32_t scratch_number) except? 0:
        cdef string name
        while self.numbers.size() <= scratch_number:
            name = self.scratch.tickers.table.name(<uint32_t>self.numbers.size())
            if self.in_partition is not None and not self.in_partition((<bytes>name).decode()):
                self.numbers.push_back(ELSEWHERE)
            elif self.only_tickers and <bytes>name not in self.only_tickers:
                self.numbers.push_back(LEFT_OUT)
            else:
                self.numbers.push_back(self.tickers.table.intern(string_view(name.data(), name.size())))
        return self.numbers[scratch_number]


# Digits and the space behind them; -1: there is no such number.
cdef int64_t _whole(const char** at, const char* end) noexcept:
    cdef int64_t number = 0
    cdef const char* begin = at[0]
    cdef const char* here = begin
    while here != end and c"0" <= here[0] <= c"9" and here - begin < 18 + 1:
        if number > (INT64_MAX - 9) // 10:
            return -1
        number = number * 10 + (here[0] - c"0")
        here += 1
    if here == begin or here == end or here[0] != c" ":
        return -1
    at[0] = here + 1
    return number

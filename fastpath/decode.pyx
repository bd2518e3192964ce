# distutils: language = c++
"""Text to columns: delimited text lines become rows of a Block; what cannot be used becomes a rejection.

Plain lines become rows many at a time in plain_lines.hpp; every other line is read in thorough.hpp. What a row means is in rows.hpp.
Here is what needs Python: options, names and errors.
"""

from fastpath.header import Layout
from fastpath.rules import LatencyBoundBroken, UnsortedSource

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr
from libcpp cimport bool as cbool
from libcpp.string cimport string

from fastpath.columns cimport Block, Tickers, string_view
from fastpath.decoding cimport (
    BELOW_BOUND, BLANK, ELSEWHERE, LEFT_OUT, PARTS, RAISED, ROW, SIMD, TIMING_GOOD, UNSORTED, LineLayout, LineReaders, Outcome, PlainLines,
    QuickReader, RowRules, Simd, Timing, TimingFault, Values, has_negative_field, read_thoroughly,
    skip_elsewhere, timing_reason,
)
from fastpath.header cimport Header
from fastpath.row_decoder cimport RowDecoder
from fastpath.text cimport LINE_SIZE_MAX, RAW_SIZE_MAX, Line, LineCutter, RowWriter, Text, TimeParser, quoted, trimmed
from fastpath.values cimport name_fault

cdef extern from "line_ends.hpp" namespace "midstream" nogil:
    size_t c_count_line_ends "midstream::count_line_ends"(const uint8_t* bytes, size_t size)

cdef const char* LINE_TOO_LONG = b"line is longer than 65536 bytes"


@cython.final
cdef class Decoder(RowDecoder):
    """Decodes the lines of one file, from `offset` on, into a Block."""

    cdef LineLayout layout

    cdef LineReaders readers
    cdef QuickReader quick
    cdef LineCutter lines
    cdef Line current
    cdef Values values
    # A line that is too long and whose end was not seen yet.
    cdef cbool in_long_line
    cdef uint64_t long_line_size
    cdef string long_line_head

    def __init__(
        self, Header header not None, Tickers tickers not None, *, bint fraction_unit_us=False, int64_t latency_bound_ns=0, **rules,
    ):
        RowDecoder.__init__(self, tickers, **rules)
        self.rules.policy.latency_bound_ns = latency_bound_ns
        self.rules.policy.delay_is_time = self.layout.delay_is_time = header.layout == Layout.TARDIS
        # Under a latency model a row may wait for any row before it.
        self.rules.policy.skips_elsewhere = (
            self.in_partition is not None and self.rules.policy.rejections_elsewhere and not self.rules.policy.model.changes()
        )
        self.readers.events = TimeParser(fraction_unit_us)
        self.readers.arrivals = TimeParser(fraction_unit_us)
        self.current.fields.resize(len(header.columns))
        self.layout.fraction_unit_us = fraction_unit_us
        self.layout.needed_count = header.needed_count
        self.readers.shape.columns = len(header.columns)
        for part in range(<int>PARTS):
            self.readers.shape.column[part] = header.position[part]
        self.quick.prepare(self.readers.shape, self.layout.delay_is_time)
        self.in_long_line = False

    def feed(self, const uint8_t[::1] chunk, Block into not None, *, size_t row_limit, bint final=False):
        """Decode whole lines of `chunk` until `row_limit` rows (skipped and rejected ones too) were read; return the number of bytes used."""
        cdef const char* begin = NULL
        cdef const char* used = NULL
        cdef size_t size = chunk.shape[0]
        cdef RowWriter* writer
        cdef Outcome outcome
        if row_limit == 0:
            raise ValueError("`row_limit` must be at least 1")
        writer = self._writer(into)
        if size > 0:
            begin = <const char*>&chunk[0]
        try:
            with nogil:
                outcome = self._decode(begin, begin + size, final, row_limit, writer, &used)
        finally:
            writer.trim()
            del writer
        if outcome == UNSORTED:
            raise self._unsorted()
        if outcome == BELOW_BOUND:
            latency_ns = self.rules.broken.arrival_ns - self.rules.broken.event_ns
            raise LatencyBoundBroken(
                self.rules.state.line, latency_ns, self.rules.policy.latency_bound_ns, modelled=self.rules.policy.model.changes()
            )
        return used - begin

    cdef Outcome _decode(
        self, const char* begin, const char* end, cbool final, size_t row_limit, RowWriter* writer, const char** used
    ) except RAISED nogil:
        cdef PlainLines plain
        cdef size_t rows = 0
        cdef Outcome outcome
        cdef const char* newline
        cdef const char* line_begin = begin
        if self.in_long_line:
            newline = <const char*>memchr(begin, c"\n", end - begin) if begin != end else NULL
            self.long_line_size += (newline if newline != NULL else end) - begin
            used[0] = newline + 1 if newline != NULL else end
            if newline == NULL and not final:
                return BLANK
            self._finish_long_line(writer, 1 if newline != NULL else 0)
            rows = 1
            line_begin = used[0]

        self.lines.start(line_begin, end)
        plain.start(line_begin, end)
        while True:
            line_begin = self.lines.position
            outcome = plain.read(self.lines.position, row_limit, rows, self.readers, self.rules, writer[0])
            self.offset += self.lines.position - line_begin
            used[0] = line_begin = self.lines.position
            if outcome >= UNSORTED:
                return outcome
            if rows >= row_limit:
                break
            if SIMD == Simd.PORTABLE and self.rules.policy.skips_elsewhere and skip_elsewhere(self.lines, self.rules, self.readers):
                outcome = ROW
            elif SIMD == Simd.PORTABLE and self._read_quickly():
                outcome = self._accept(writer)
            elif self.lines.next(self.current, final):
                outcome = self._judge(writer)
            else:
                break
            if outcome >= UNSORTED:
                return outcome
            self.blank += outcome == BLANK
            rows += outcome
            self.rules.state.line += 1
            self.offset += self.lines.position - line_begin
        if rows < row_limit and <size_t>(end - line_begin) > LINE_SIZE_MAX:
            # Only its head is kept. `offset` and `line` stay at its begin until its end is found.
            self.in_long_line = True
            self.long_line_size = end - line_begin
            self.long_line_head.assign(line_begin, RAW_SIZE_MAX)
            used[0] = end
        return BLANK

    cdef cbool _read_quickly(self) noexcept nogil:
        return self.quick.read(self.lines, self.readers.events, self.readers.arrivals, self.current, self.values)

    cdef Outcome _judge(self, RowWriter* writer) except RAISED nogil:
        """Read a line thoroughly: what is wrong with it becomes the reason of a rejection."""
        cdef string reason
        if self.current.raw_size > LINE_SIZE_MAX:
            return self._reject(writer, string(LINE_TOO_LONG))
        if self.current.blank():
            return BLANK
        reason = read_thoroughly(self.current, self.layout, self.readers, self.values)
        return self._reject(writer, reason) if not reason.empty() else self._accept(writer)

    cdef Outcome _accept(self, RowWriter* writer) except RAISED nogil:
        """Time, name, order and filters: what becomes of a row whose values could be read."""
        cdef Timing timing
        cdef uint32_t ticker = 0
        cdef TimingFault fault = self.rules.policy.time_row(
            self.values.event_ns, self.values.delay_ns, self.rules.state.line, timing
        )
        if fault != TIMING_GOOD:
            return self._reject(writer, string(timing_reason(fault)))
        if not self._ticker(ticker):
            return self._reject_ticker(writer)
        return self.rules.take(timing, self.values.numbers, ticker, writer[0])

    cdef int _ticker(self, uint32_t& number) except -1 nogil:
        """Find the number of the row's ticker; False: it has none that can be used."""
        cdef Text first = trimmed(self.values.ticker)
        cdef Text second
        if first.empty():
            return False
        if not self.layout.delay_is_time:
            if self.readers.names.find(first.view(), number):
                return True
            with gil:
                return self._intern(first, b"", number)
        second = trimmed(self.values.exchange)
        if second.empty():
            return False
        if self.readers.names.find(first.view(), second.view(), number):
            return True
        with gil:
            return self._intern(first, b"@" + second.begin[:second.size()], number)

    cdef int _intern(self, Text first, bytes rest, uint32_t& number) except -1:
        # The table is shared by the decoders of other threads: it is only touched while the GIL is held.
        cdef bytes name = first.begin[:first.size()] + rest
        cdef string_view view = string_view(<const char*>name, len(name))
        if name_fault(name) is not None:
            return False
        if self.in_partition is not None and not self.in_partition(name.decode()):
            (&number)[0] = ELSEWHERE
        elif self.only_tickers and name not in self.only_tickers:
            (&number)[0] = LEFT_OUT
        else:
            (&number)[0] = self.tickers.table.intern(view)
        self.readers.names.add(view, number)
        return True

    cdef Outcome _reject(self, RowWriter* writer, string reason) except RAISED nogil:
        self.rules.reject(writer[0], reason, self.current.text().view())
        return ROW

    cdef Outcome _reject_ticker(self, RowWriter* writer) except RAISED with gil:
        cdef Text text = trimmed(self.values.ticker)
        name = b"symbol" if self.layout.delay_is_time else b"ticker"
        fault = name_fault(text.begin[:text.size()])
        if fault is None:
            text = trimmed(self.values.exchange)
            name = b"exchange"
            fault = name_fault(text.begin[:text.size()])
        if fault is None:
            # Each of the two may be one: it is the name that they make together that may not.
            text = trimmed(self.values.ticker)
            name = b"symbol"
            fault = b"and `exchange` are longer than 256 bytes together"
        shown = b"" if text.empty() else b": " + <bytes>quoted(text)
        return self._reject(writer, b"`" + name + b"` " + fault + shown)

    cdef int _end_held(self, RowWriter* writer) except -1:
        return self._finish_long_line(writer, 0) if self.in_long_line else 0

    cdef int _finish_long_line(self, RowWriter* writer, uint64_t line_end_size) except -1 nogil:
        self.rules.reject(
            writer[0], string(LINE_TOO_LONG), string_view(self.long_line_head.data(), self.long_line_head.size())
        )
        self.in_long_line = False
        self.long_line_head.clear()
        self.rules.state.line += 1
        self.offset += self.long_line_size + line_end_size
        return 0

    cdef object _unsorted(self):
        cdef RowRules* rules = &self.rules
        cdef int64_t event_ns = rules.broken.event_ns
        if event_ns < rules.state.previous_event_ns and not rules.policy.delay_is_time:
            return UnsortedSource(rules.state.line, "event", event_ns, rules.state.previous_event_ns, by_arrival=False)
        return UnsortedSource(
            rules.state.line, "arrival", rules.broken.unclamped_ns, rules.state.previous_arrival_ns, by_arrival=rules.policy.delay_is_time
        )


def count_line_ends(const uint8_t[::1] chunk):
    """Count the line ends of some bytes, whatever the lines hold. SIMD speed."""
    return c_count_line_ends(&chunk[0], chunk.shape[0]) if chunk.shape[0] > 0 else 0


def may_have_negative_field(const uint8_t[::1] chunk, int previous_byte):
    """Tell whether a `-` stands at the start of a field: behind a delimiter, a quote, a space or a line end. SIMD speed."""
    cdef size_t size = chunk.shape[0]
    cdef const uint8_t* begin
    cdef cbool found
    if size == 0:
        return False
    begin = &chunk[0]
    with nogil:
        found = has_negative_field(begin, size, previous_byte)
    return found

# distutils: language = c++
"""Text to columns: delimited text lines become rows of a Block; what cannot be used becomes a rejection.

Numbers and times are parsed in numbers.hpp and times.hpp, lines and fields in lines.hpp; here is what a row means: layouts, policies,
order and filters.
"""

from fastpath.header import Layout
from fastpath.rules import LatencyBoundBroken, NegativeLatency, UnsortedSource

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy
from libcpp cimport bool as cbool
from libcpp.string cimport string

from fastpath.columns cimport C_AFTER_EVERYTHING as AFTER, C_BEFORE_EVERYTHING as BEFORE, Block, Tickers, string_view
from fastpath.header cimport Header
from fastpath.text cimport (
    BID_PRICE, DELAY, EVENT, EXCHANGE, LINE_SIZE_MAX, NAME_SIZE_MAX, NOTHING, NUMBER_EMPTY, NUMBER_GOOD, NUMBER_NEGATIVE, PARTS,
    QUOTE_COLUMNS, QUOTE_FOLLOWED, QUOTE_UNCLOSED, RAW_SIZE_MAX, TICKER, TIME_GOOD, Line, LineCutter, NameCache, NumberFault, Part,
    QuickReader, QuoteFault, RowWriter, Text, TimeFault, TimeParser, Values, arrival_time, has_negative_field, number_reason,
    parse_latency_text, parse_number_text, quoted, saturated_sum, split, time_difference, time_reason, trimmed,
)
from fastpath.values cimport name_fault

# What a line turned out to be.
cdef enum Outcome:
    RAISED = -1
    BLANK = 0
    ROW = 1
    UNSORTED = 2
    BELOW_BOUND = 3

cdef enum Order:
    EVENT_BROKEN = 1
    ARRIVAL_BROKEN = 2

# Stands in the name cache for a ticker that the filter leaves out.
cdef uint32_t LEFT_OUT = 0xFFFFFFFF


@cython.final
cdef class Decoder:
    """Decodes the lines of one file, from `offset` on, into a Block."""

    cdef readonly uint64_t line
    cdef readonly uint64_t offset
    cdef readonly uint64_t skipped
    # Before clamping: what the order is checked on. See _place for what rejections get.
    cdef readonly int64_t previous_arrival_time_ns
    cdef readonly int64_t previous_event_time_ns
    cdef readonly int order
    cdef readonly int64_t latency_ns_min
    cdef readonly uint64_t negative_latencies
    cdef readonly uint64_t rejected

    cdef Header header
    cdef Tickers tickers
    cdef object only_tickers  # frozenset of bytes; empty: all
    cdef uint32_t source_rank
    cdef cbool tardis, fraction_unit_us, clamp, check_order
    cdef int64_t start_time_ns, end_time_ns, shift_ns, latency_bound_ns

    cdef TimeParser event_times, arrival_times
    cdef NameCache names
    cdef QuickReader quick
    cdef LineCutter lines
    cdef Line current
    cdef Values values
    # A line that is too long and whose end was not seen yet.
    cdef cbool in_long_line
    cdef uint64_t long_line_size
    cdef string long_line_head
    cdef uint64_t first_rejected_line
    cdef string first_rejected_reason
    # What the row that raises had; for the message only.
    cdef int64_t broken_event_ns, broken_arrival_ns, broken_latency_ns
    cdef cbool event_went_back

    def __init__(
        self, Header header not None, Tickers tickers not None, *, uint32_t source_rank, uint64_t offset, uint64_t line,
        int64_t previous_arrival_time_ns=BEFORE, int64_t previous_event_time_ns=BEFORE, uint64_t skipped=0, int order=0,
        bint fraction_unit_us=False, int64_t start_time_ns=BEFORE, int64_t end_time_ns=AFTER, only_tickers=(),
        negative_latency=NegativeLatency.KEEP, int64_t shift_ns=0, int64_t latency_bound_ns=0, bint check_order=True,
    ):
        if isinstance(only_tickers, (str, bytes)):
            raise TypeError("`only_tickers` takes a sequence of names, not one name")
        policy = NegativeLatency(negative_latency)
        self.header = header
        self.tickers = tickers
        self.tardis = header.layout == Layout.TARDIS
        self.only_tickers = frozenset(name.encode() for name in only_tickers)
        self.source_rank = source_rank
        self.offset = offset
        self.line = line
        self.previous_arrival_time_ns = previous_arrival_time_ns
        self.previous_event_time_ns = previous_event_time_ns
        self.skipped = skipped
        self.order = order
        self.latency_ns_min = AFTER
        self.negative_latencies = 0
        self.rejected = 0
        self.fraction_unit_us = fraction_unit_us
        self.start_time_ns = start_time_ns
        self.end_time_ns = end_time_ns
        self.clamp = policy is NegativeLatency.CLAMP
        self.shift_ns = shift_ns if policy is NegativeLatency.SHIFT else 0
        self.latency_bound_ns = latency_bound_ns
        self.check_order = check_order
        self.event_times = TimeParser(fraction_unit_us)
        self.arrival_times = TimeParser(fraction_unit_us)
        self.current.fields.resize(len(header.columns))
        self.quick.delay_is_time = self.tardis
        self.quick.parts.assign(len(header.columns), NOTHING)
        for part in range(<int>PARTS):
            if part != <int>EXCHANGE or self.tardis:
                self.quick.parts[header.position[part]] = <Part>part
        self.in_long_line = False

    @property
    def bound_ns(self):
        if not self.check_order or self.previous_arrival_time_ns == BEFORE:
            return BEFORE
        if self.tardis or self.order & EVENT_BROKEN:
            return self.previous_arrival_time_ns
        return saturated_sum(self.previous_event_time_ns, self.latency_bound_ns)

    @property
    def first_rejection(self):
        return (self.first_rejected_line, self.first_rejected_reason.decode("utf-8", "replace")) if self.rejected else None

    def feed(self, const uint8_t[::1] chunk, Block into not None, *, size_t row_limit, bint final=False):
        """Decode whole lines of `chunk` until `row_limit` rows (skipped and rejected ones too) were read; return the number of bytes used."""
        cdef const char* begin = NULL
        cdef const char* used = NULL
        cdef size_t size = chunk.shape[0]
        cdef RowWriter* writer
        cdef Outcome outcome
        if into.tickers is not self.tickers:
            raise ValueError("`into` uses another ticker table than the decoder")
        if row_limit == 0:
            raise ValueError("`row_limit` must be at least 1")
        if size > 0:
            begin = <const char*>&chunk[0]
        writer = new RowWriter(&into.rows, self.source_rank)
        try:
            with nogil:
                outcome = self._decode(begin, begin + size, final, row_limit, writer, &used)
        finally:
            writer.trim()
            del writer
        if outcome == UNSORTED:
            raise self._unsorted()
        if outcome == BELOW_BOUND:
            raise LatencyBoundBroken(self.line, self.broken_latency_ns, self.latency_bound_ns)
        return used - begin

    def reject(self, Block into not None, str reason not None, bytes raw=b""):
        """Append a rejection at the current place and count a line (a truncated compressed file, for example)."""
        cdef RowWriter* writer
        if into.tickers is not self.tickers:
            raise ValueError("`into` uses another ticker table than the decoder")
        writer = new RowWriter(&into.rows, self.source_rank)
        try:
            if self.in_long_line:
                self._finish_long_line(writer, 0)
            self._reject_raw(writer, reason.encode("utf-8", "replace"), string_view(<const char*>raw, len(raw)))
            self.line += 1
        finally:
            writer.trim()
            del writer

    cdef Outcome _decode(
        self, const char* begin, const char* end, cbool final, size_t row_limit, RowWriter* writer, const char** used
    ) except RAISED nogil:
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
        while rows < row_limit:
            line_begin = self.lines.position
            if self.quick.read(self.lines, self.event_times, self.arrival_times, self.current, self.values):
                outcome = self._accept(writer)
            elif self.lines.next(self.current, final):
                outcome = self._judge(writer)
            else:
                if <size_t>(end - line_begin) > LINE_SIZE_MAX:
                    # Only its head is kept. `offset` and `line` stay at its begin until its end is found.
                    self.in_long_line = True
                    self.long_line_size = end - line_begin
                    self.long_line_head.assign(line_begin, RAW_SIZE_MAX)
                    used[0] = end
                    return BLANK
                break
            if outcome >= UNSORTED:
                used[0] = line_begin
                return outcome
            rows += outcome
            self.line += 1
            self.offset += self.lines.position - line_begin
        used[0] = self.lines.position
        return BLANK

    cdef Outcome _judge(self, RowWriter* writer) except RAISED nogil:
        """Split and read a line thoroughly: what is wrong with it becomes the reason of a rejection."""
        cdef Line* line = &self.current
        cdef size_t* position = self.header.position
        cdef QuoteFault quote_fault
        cdef TimeFault time_fault
        cdef NumberFault number_fault
        cdef Text text
        cdef int i

        if line.raw_size > LINE_SIZE_MAX:
            return self._reject(writer, string(<const char*>b"line is longer than 65536 bytes"))
        if line.blank():
            return BLANK
        quote_fault = split(line[0])
        if quote_fault == QUOTE_UNCLOSED:
            return self._reject(writer, string(<const char*>b"a quote is not closed"))
        if quote_fault == QUOTE_FOLLOWED:
            return self._reject(writer, string(<const char*>b"text stands behind a closing quote"))
        if line.count < self.header.needed_count or not line.surplus_blank:
            return self._reject_count(writer)

        text = line.fields[position[<int>EVENT]]
        time_fault = self.event_times.parse(text, self.values.event_ns)
        if time_fault != TIME_GOOD:
            return self._reject(writer, time_reason(b"timestamp", time_fault, text, self.fraction_unit_us))
        text = line.fields[position[<int>DELAY]]
        if self.tardis:
            time_fault = self.arrival_times.parse(text, self.values.delay_ns)
            if time_fault != TIME_GOOD:
                return self._reject(writer, time_reason(b"local_timestamp", time_fault, text, self.fraction_unit_us))
        else:
            number_fault = parse_latency_text(text, line.padded, self.values.delay_ns)
            if number_fault != NUMBER_GOOD:
                return self._reject(writer, number_reason(b"latency", number_fault, text))
        for i in range(4):
            text = line.fields[position[<int>BID_PRICE + i]]
            number_fault = parse_number_text(text, line.padded, self.values.numbers[i])
            if number_fault == NUMBER_GOOD and i & 1 and self.values.numbers[i] < 0:
                number_fault = NUMBER_NEGATIVE
            if number_fault != NUMBER_GOOD and number_fault != NUMBER_EMPTY:
                return self._reject(writer, number_reason(QUOTE_COLUMNS[i], number_fault, text))
        self.values.ticker = line.fields[position[<int>TICKER]]
        self.values.exchange = line.fields[position[<int>EXCHANGE]]
        return self._accept(writer)

    cdef Outcome _accept(self, RowWriter* writer) except RAISED nogil:
        """Order, policy, filters: what becomes of a row whose values could be read."""
        cdef int64_t event_ns = self.values.event_ns
        cdef int64_t latency_ns = self.values.delay_ns
        cdef int64_t arrival_ns = 0, unclamped_ns = 0
        cdef uint32_t ticker = 0
        cdef Outcome broken

        if self.tardis and not time_difference(self.values.delay_ns, event_ns, latency_ns):
            return self._reject(writer, string(<const char*>b"the latency is too large"))
        if not arrival_time(event_ns, latency_ns, self.shift_ns, unclamped_ns):
            return self._reject(writer, string(<const char*>b"the arrival time is outside the years 1678 to 2261"))
        arrival_ns = event_ns if self.clamp and latency_ns < 0 else unclamped_ns
        if not self._ticker(ticker):
            return self._reject_ticker(writer)

        broken = self._check_order(event_ns, unclamped_ns, arrival_ns - event_ns)
        if broken != ROW:
            return broken
        if latency_ns < self.latency_ns_min:
            self.latency_ns_min = latency_ns
        if latency_ns < 0:
            self.negative_latencies += 1
        self.previous_event_time_ns = event_ns
        self.previous_arrival_time_ns = unclamped_ns
        if ticker == LEFT_OUT or arrival_ns < self.start_time_ns or arrival_ns >= self.end_time_ns:
            self.skipped += 1
        else:
            writer.tick(arrival_ns, event_ns, self.values.numbers, ticker, self.line)
        return ROW

    cdef Outcome _check_order(self, int64_t event_ns, int64_t unclamped_ns, int64_t latency_ns) noexcept nogil:
        # Only comparisons. The state changes but for `order`, which keeps what was learnt.
        self.event_went_back = event_ns < self.previous_event_time_ns
        if self.event_went_back:
            self.order |= EVENT_BROKEN
        if unclamped_ns < self.previous_arrival_time_ns:
            self.order |= ARRIVAL_BROKEN
        if not self.check_order:
            return ROW
        self.broken_event_ns = event_ns
        self.broken_arrival_ns = unclamped_ns
        self.broken_latency_ns = latency_ns
        if self.order & ARRIVAL_BROKEN and (self.tardis or self.order & EVENT_BROKEN):
            return UNSORTED
        if not self.tardis and latency_ns < self.latency_bound_ns:
            return BELOW_BOUND
        return ROW

    cdef int _ticker(self, uint32_t& number) except -1 nogil:
        """Find the number of the row's ticker; False: it has none that can be used."""
        cdef Text first = trimmed(self.values.ticker)
        cdef Text second
        cdef char joined[128]
        cdef size_t size
        cdef cbool usable
        if first.empty():
            return False
        if not self.tardis:
            if self.names.find(first.view(), number):
                return True
            with gil:
                return self._intern(first, b"", number)
        second = trimmed(self.values.exchange)
        if second.empty():
            return False
        size = first.size() + 1 + second.size()
        if size <= NAME_SIZE_MAX:
            memcpy(joined, first.begin, first.size())
            joined[first.size()] = c"@"
            memcpy(joined + first.size() + 1, second.begin, second.size())
            if self.names.find(string_view(joined, size), number):
                return True
        with gil:
            return self._intern(first, b"@" + second.begin[:second.size()], number)

    cdef int _intern(self, Text first, bytes rest, uint32_t& number) except -1:
        # The table is shared by the decoders of other threads: it is only touched while the GIL is held.
        cdef bytes name = first.begin[:first.size()] + rest
        cdef string_view view = string_view(<const char*>name, len(name))
        if name_fault(name) is not None:
            return False
        (&number)[0] = self.tickers.table.intern(view) if not self.only_tickers or name in self.only_tickers else LEFT_OUT
        self.names.add(view, number)
        return True

    cdef int64_t _place(self) noexcept nogil:
        """Give the arrival time of the last good row."""
        # A clamped row arrives at its event; the unclamped arrival lies before that.
        if self.clamp and self.previous_event_time_ns > self.previous_arrival_time_ns:
            return self.previous_event_time_ns
        return self.previous_arrival_time_ns

    cdef Outcome _reject(self, RowWriter* writer, string reason) except RAISED nogil:
        return self._reject_raw(writer, reason, self.current.text().view())

    cdef Outcome _reject_raw(self, RowWriter* writer, string reason, string_view raw) except RAISED nogil:
        cdef int64_t place = self._place()
        if self.rejected == 0:
            self.first_rejected_line = self.line
            self.first_rejected_reason = reason
        self.rejected += 1
        if place < self.start_time_ns or place >= self.end_time_ns:
            self.skipped += 1
        else:
            writer.rejection(place, self.line, reason, raw)
        return ROW

    cdef Outcome _reject_count(self, RowWriter* writer) except RAISED with gil:
        reason = f"line has {self.current.count} fields, the header {len(self.header.columns)}"
        return self._reject(writer, reason.encode())

    cdef Outcome _reject_ticker(self, RowWriter* writer) except RAISED with gil:
        cdef Text text = trimmed(self.values.ticker)
        name = b"symbol" if self.tardis else b"ticker"
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

    cdef int _finish_long_line(self, RowWriter* writer, uint64_t line_end_size) except -1 nogil:
        self._reject_raw(
            writer, string(<const char*>b"line is longer than 65536 bytes"),
            string_view(self.long_line_head.data(), self.long_line_head.size()),
        )
        self.in_long_line = False
        self.long_line_head.clear()
        self.line += 1
        self.offset += self.long_line_size + line_end_size
        return 0

    cdef object _unsorted(self):
        if self.event_went_back and not self.tardis:
            return UnsortedSource(self.line, "event", self.broken_event_ns, self.previous_event_time_ns, by_arrival=False)
        return UnsortedSource(self.line, "arrival", self.broken_arrival_ns, self.previous_arrival_time_ns, by_arrival=self.tardis)


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

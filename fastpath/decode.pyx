# distutils: language = c++
"""Text to columns: delimited text lines and live JSON frames become rows of a Block; what cannot be used becomes a rejection.

Parsing stands in text.hpp, lines and fields in lines.hpp; here is what a row means: layouts, policies, order and filters.
"""

import enum
from datetime import UTC as _UTC
from datetime import datetime

import orjson

cimport cython
from libc.math cimport isnan
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy
from libcpp cimport bool as cbool
from libcpp.string cimport string

from fastpath.columns cimport AFTER_EVERYTHING as AFTER, BEFORE_EVERYTHING as BEFORE, Block, Tickers, string_view
from fastpath.text cimport (
    BID_PRICE, DELAY, EVENT, EXCHANGE, LINE_SIZE_MAX, NAME_SIZE_MAX, NOTHING, NUMBER_EMPTY, NUMBER_GOOD, NUMBER_NEGATIVE, PARTS,
    QUOTE_COLUMNS, QUOTE_FOLLOWED, QUOTE_UNCLOSED, QUOTES_GOOD, RAW_SIZE_MAX, TICKER, TIME_GOOD, Line, LineCutter, NameCache,
    NumberFault, Part, QuickReader, QuoteFault, RowWriter, Text, TimeFault, TimeParser, Values, arrival_time, has_negative_field,
    is_utf8, number_reason, parse_latency_text, parse_number_text, quoted, saturated_sum, split, time_difference, time_reason,
    trimmed,
)

BEFORE_EVERYTHING = BEFORE
AFTER_EVERYTHING = AFTER


class HeaderError(ValueError):
    """The header lacks columns that its layout needs; the message names them and the columns that were found."""


class UnsortedSource(ValueError):
    """A file promised to be sorted and is not. The message names row, times and the fix."""

    line = 0


class LatencyBoundBroken(ValueError):
    """A row's latency is below the declared lower bound. The message names row and fix."""

    line = 0


class Layout(enum.IntEnum):
    """Which of the known layouts a header belongs to."""

    ASSIGNMENT = 1
    TARDIS = 2


class NegativeLatency(enum.IntEnum):
    """What happens to a latency below zero."""

    KEEP = 1
    CLAMP = 2
    SHIFT = 3


_QUOTE = ("bid_price", "bid_amount", "ask_price", "ask_amount")
# The columns of each layout's parts, in the order of `Part`.
_NEEDED = {
    Layout.ASSIGNMENT: ("timestamp", "latency", "ticker", None, *_QUOTE),
    Layout.TARDIS: ("timestamp", "local_timestamp", "symbol", "exchange", *_QUOTE),
}
_LAYOUT_NAMES = {Layout.ASSIGNMENT: "assignment", Layout.TARDIS: "Tardis"}


@cython.final
@cython.auto_pickle(False)
cdef class Header:
    cdef readonly object layout
    cdef readonly tuple columns
    cdef size_t position[8]  # of each part's column
    cdef size_t needed_count

    def __init__(self, bytes line not None):
        self.columns = _header_columns(line)
        named = [name for name in self.columns if name]
        for name in named:
            if named.count(name) > 1:
                raise HeaderError(f"the header names `{name}` twice; rename one of the columns")
        self.layout = _layout(set(named))
        needed = _NEEDED[self.layout]
        missing = [name for name in needed if name is not None and name not in named]
        if missing:
            found = ", ".join(f"`{name}`" for name in named)[:500]
            raise HeaderError(
                f"the header lacks {', '.join(f'`{name}`' for name in missing)}, which the {_LAYOUT_NAMES[self.layout]} layout"
                f" needs; it has {found or 'no named column'}"
            )
        for part, name in enumerate(needed):
            self.position[part] = self.columns.index(name) if name is not None else 0
        self.needed_count = 1 + max(self.columns.index(name) for name in needed if name is not None)


def _layout(set named):
    # Whole layouts first (the task's own wins), then the one that the header comes closest to, for a message that helps.
    for layout in Layout:
        if named.issuperset(name for name in _NEEDED[layout] if name is not None):
            return layout
    return Layout.TARDIS if named & {"local_timestamp", "symbol", "exchange"} else Layout.ASSIGNMENT


def _header_columns(bytes raw):
    cdef Line line
    cdef bytes text = raw.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    if len(text) > <Py_ssize_t>LINE_SIZE_MAX:
        raise HeaderError(f"the header is longer than {LINE_SIZE_MAX} bytes; is this a text file with one line per row?")
    if b"\0" in text or b"\n" in text:
        raise HeaderError("the header holds a NUL byte or a line end; only UTF-8 text with one line per row can be read")
    if not text.strip():
        raise HeaderError("the file has no header; its first line must name the columns")
    line.begin = <const char*>text
    line.end = line.begin + len(text)
    line.fields.resize(text.count(b",") + 1)
    if split(line) != QUOTES_GOOD:
        raise HeaderError("the header has a quote that is not closed, or text behind a closing quote")
    columns = []
    for i in range(line.count):
        name = line.fields[i].begin[:line.fields[i].size()]
        try:
            columns.append(name.decode("utf-8").strip(" "))
        except UnicodeDecodeError:
            raise HeaderError(f"the header's column {i + 1} is not valid UTF-8: {name[:40]!r}") from None
    return tuple(columns)


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
    cdef readonly uint64_t line
    cdef readonly uint64_t offset
    cdef readonly uint64_t skipped
    # Before clamping: what the order is checked on. See _place for what rejections get.
    cdef readonly int64_t previous_arrival_time_ns
    cdef readonly int64_t previous_event_time_ns
    cdef readonly int order
    cdef readonly int64_t latency_ns_min
    cdef readonly uint64_t negative_latencies

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

    def feed(self, const uint8_t[::1] chunk, Block into not None, *, size_t row_limit, bint final=False):
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
            raise self._below_bound()
        return used - begin

    def reject(self, Block into not None, str reason not None, bytes raw=b""):
        cdef RowWriter* writer
        cdef Text text
        if into.tickers is not self.tickers:
            raise ValueError("`into` uses another ticker table than the decoder")
        text.begin = <const char*>raw
        text.end = text.begin + len(raw)
        writer = new RowWriter(&into.rows, self.source_rank)
        try:
            if self.in_long_line:
                self._finish_long_line(writer, 0)
            self._reject_raw(writer, reason.encode("utf-8", "replace"), text.view())
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
        cdef Text text
        text.begin = <const char*>name
        text.end = text.begin + len(name)
        if b"\0" in name or not is_utf8(text):
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
        fault = _name_fault(text.begin[:text.size()])
        if fault is None:
            text = trimmed(self.values.exchange)
            name = b"exchange"
            fault = _name_fault(text.begin[:text.size()])
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
            kind, now, before = "event", self.broken_event_ns, self.previous_event_time_ns
        else:
            kind, now, before = "arrival", self.broken_arrival_ns, self.previous_arrival_time_ns
        promise = "arrival time" if self.tardis else "event time nor by arrival time"
        return _at_line(UnsortedSource(
            f"line {self.line}: {kind} time {_time_text(now)} is before {_time_text(before)} of the row before it; the file is"
            f" {'not sorted by' if self.tardis else 'sorted neither by'} {promise}; read it with `--unsorted sort`"
        ), self.line)

    cdef object _below_bound(self):
        return _at_line(LatencyBoundBroken(
            f"line {self.line}: latency {self.broken_latency_ns / 1e6!r} ms is below the lower bound of"
            f" {self.latency_bound_ns / 1e6!r} ms; declare a lower one with `--min-latency-ms`, or leave it out to have the file"
            f" scanned first"
        ), self.line)


def _name_fault(bytes name):
    cdef Text text
    text.begin = <const char*>name
    text.end = text.begin + len(name)
    if text.empty():
        return b"is empty"
    if b"\0" in name:
        return b"holds a NUL byte"
    return None if is_utf8(text) else b"is not valid UTF-8"


def _at_line(error, line):
    error.line = line
    return error


def _time_text(time_ns):
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    if time_ns == BEFORE:
        return "the beginning of time"
    return f"{datetime.fromtimestamp(seconds, _UTC):%Y-%m-%d %H:%M:%S}.{fraction:09d}"


def may_have_negative_field(const uint8_t[::1] chunk, int previous_byte):
    cdef size_t size = chunk.shape[0]
    cdef const uint8_t* begin
    cdef cbool found
    if size == 0:
        return False
    begin = &chunk[0]
    with nogil:
        found = has_negative_field(begin, size, previous_byte)
    return found


# ---- Live frames ------------------------------------------------------------------------------------------------------------
def decode_live_frame(
    payload, Block into not None, *, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, only_tickers=None
):
    cdef Py_ssize_t skipped = 0
    cdef bytes raw
    if isinstance(payload, str):
        raw = (<str>payload).encode("utf-8", "replace")
    else:
        raw = payload if isinstance(payload, bytes) else bytes(payload)
    try:
        frame = orjson.loads(payload if isinstance(payload, str) else raw)
    except orjson.JSONDecodeError:
        _reject_frame(into, receive_time_ns, source_rank, frame_number, "the frame is not valid JSON", raw)
        return 0
    if isinstance(frame, dict):
        objects = [frame]
    elif isinstance(frame, list):
        objects = frame
    else:
        _reject_frame(
            into, receive_time_ns, source_rank, frame_number, "the frame is neither an object nor an array of objects", raw)
        return 0
    for item in objects:
        try:
            skipped += _live_row(item, into, receive_time_ns, source_rank, frame_number, only_tickers)
        except _Unusable as unusable:
            if item is not frame:
                item_raw = _item_raw(item, raw)
            else:
                item_raw = raw
            _reject_frame(into, receive_time_ns, source_rank, frame_number, unusable.args[0], item_raw)
    return skipped


class _Unusable(Exception):
    """An object of a live frame cannot be used; the message is the reason."""


cdef object _live_row(
    object item, Block into, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, object only_tickers
):
    cdef double numbers[4]
    cdef int64_t event_ns
    cdef bytes name
    cdef uint32_t number
    cdef Py_ssize_t i
    if not isinstance(item, dict):
        raise _Unusable(f"the element is not an object: {_shown(item)}")
    event_ns = _live_time(_live_value(<dict>item, "timestamp"))
    ticker = _live_value(<dict>item, "ticker")
    if not isinstance(ticker, str):
        raise _Unusable(f"`ticker` is not a string: {_shown(ticker)}")
    ticker = (<str>ticker).strip(" ")
    name = (<str>ticker).encode("utf-8")
    if not name or b"\0" in name:
        fault = _name_fault(name).decode()
        raise _Unusable(f"`ticker` {fault}" + (f": {_shown(ticker)}" if name else ""))
    for i in range(4):
        numbers[i] = _live_number(<dict>item, <str>(<tuple>_QUOTE)[i], i & 1)
    if only_tickers is not None and ticker not in only_tickers:
        return 1
    number = into.tickers.table.intern(string_view(<const char*>name, len(name)))
    into.rows.push_tick(
        receive_time_ns, event_ns, numbers[0], numbers[1], numbers[2], numbers[3], number, source_rank, frame_number)
    return 0


cdef object _live_value(dict item, str key):
    try:
        return item[key]
    except KeyError:
        raise _Unusable(f"`{key}` is missing") from None


cdef int64_t _live_time(object value) except? -1:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise _Unusable(f"timestamp is not a time: {_shown(value)}")
    try:
        return parse_timestamp(value)
    except ValueError as error:
        raise _Unusable(error.args[0]) from None


cdef double _live_number(dict item, str key, bint is_amount) except? -1:
    cdef double number = 0.0
    cdef NumberFault fault
    cdef Text text
    cdef bytes encoded
    value = _live_value(item, key)
    if isinstance(value, float):
        number = value
    elif value is None:
        return float("nan")
    elif isinstance(value, str):
        encoded = (<str>value).encode("utf-8")
        text = _text(encoded)
        fault = parse_number_text(text, False, number)
        if fault != NUMBER_GOOD and fault != NUMBER_EMPTY:
            raise _Unusable((<bytes>number_reason(key.encode(), fault, text)).decode())
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise _Unusable(f"`{key}` is not a number: {_shown(value)}")
    if number in (float("inf"), float("-inf")):
        raise _Unusable(f"`{key}` is too large: {_shown(value)}")
    if is_amount and number < 0:
        raise _Unusable(f"`{key}` is negative: {_shown(value)}")
    return number


def _shown(value):
    """Show a JSON value as text in quotes, cut to 40 characters."""
    if isinstance(value, str):
        return f"'{value[:40]}'"
    return f"'{_item_raw(value, b'nested too deeply').decode()[:40]}'"


def _item_raw(item, bytes fallback):
    try:
        return orjson.dumps(item)
    except orjson.JSONEncodeError:  # nested more deeply than it writes
        return fallback


cdef int _reject_frame(
    Block into, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, str reason, bytes raw
) except -1:
    into.rows.push_rejection(
        receive_time_ns, source_rank, frame_number, reason.encode("utf-8", "replace"),
        string_view(<const char*>raw, min(len(raw), <Py_ssize_t>RAW_SIZE_MAX)),
    )
    return 0


# ---- Single values ----------------------------------------------------------------------------------------------------------
cdef Text _text(bytes encoded) noexcept:
    # Points into `encoded`: the caller keeps it.
    cdef Text text
    text.begin = <const char*>encoded
    text.end = text.begin + len(encoded)
    return trimmed(text)


def parse_timestamp(str text not None, *, bint fraction_unit_us=False):
    cdef bytes encoded = text.encode("utf-8", "replace")
    cdef Text field = _text(encoded)
    cdef TimeParser parser = TimeParser(fraction_unit_us)
    cdef int64_t time_ns = 0
    cdef TimeFault fault = parser.parse(field, time_ns)
    if fault != TIME_GOOD:
        raise ValueError((<bytes>time_reason(b"timestamp", fault, field, fraction_unit_us)).decode())
    return time_ns


def parse_number(str text not None):
    cdef bytes encoded = text.encode("utf-8", "replace")
    cdef Text field = _text(encoded)
    cdef double number = 0.0
    cdef NumberFault fault = parse_number_text(field, False, number)
    if fault != NUMBER_GOOD:
        raise ValueError((<bytes>number_reason(b"text", fault, field)).decode())
    return number


def parse_latency(str text not None):
    cdef bytes encoded = text.encode("utf-8", "replace")
    cdef Text field = _text(encoded)
    cdef int64_t latency_ns = 0
    cdef NumberFault fault = parse_latency_text(field, False, latency_ns)
    if fault != NUMBER_GOOD:
        raise ValueError((<bytes>number_reason(b"latency", fault, field)).decode())
    return latency_ns

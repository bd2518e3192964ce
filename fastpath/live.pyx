# distutils: language = c++
"""Live JSON frames to columns: each object of a websocket message becomes a row of a Block, or a rejection."""

import orjson

from fastpath.loose_json import array_elements, without_constants
from fastpath.values import parse_timestamp

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastpath.columns cimport Block, Rows, string_view
from fastpath.text cimport NUMBER_EMPTY, NUMBER_GOOD, QUOTE_COLUMNS, RAW_SIZE_MAX, TICKER_SIZE_MAX, NumberFault, Text, number_reason, parse_number_text
from fastpath.values cimport name_fault, text_of

cdef extern from "drop_rejections.hpp" namespace "midstream" nogil:
    void drop_rejections(Rows&, size_t, size_t) except +


_QUOTE = tuple([QUOTE_COLUMNS[i].decode() for i in range(4)])


def decode_live_frame(
    payload, Block into not None, *, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, only_tickers=None,
    bint rejections_elsewhere=False,
):
    """Decode one websocket message (an object or an array of objects) in the assignment's live layout."""
    cdef size_t start = into.rows.size(), rejected = into.rows.rejected.size()
    cdef Py_ssize_t skipped = _decode_frame(payload, into, receive_time_ns, source_rank, frame_number, only_tickers)
    if rejections_elsewhere and into.rows.rejected.size() > rejected:
        drop_rejections(into.rows, start, rejected)
    return skipped


cdef Py_ssize_t _decode_frame(
    object payload, Block into, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, object only_tickers
) except -1:
    cdef bytes raw
    if isinstance(payload, str):
        # Half a character stays one that nothing reads.
        raw = (<str>payload).encode("utf-8", "surrogatepass")
    else:
        raw = payload if isinstance(payload, bytes) else bytes(payload)
    try:
        frame = orjson.loads(payload if isinstance(payload, str) else raw)
    except orjson.JSONDecodeError:
        return _decode_loosely(raw, into, receive_time_ns, source_rank, frame_number, only_tickers)
    return _decode_objects(frame, raw, into, receive_time_ns, source_rank, frame_number, only_tickers)


cdef Py_ssize_t _decode_objects(
    object frame, bytes raw, Block into, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, object only_tickers
) except -1:
    cdef Py_ssize_t skipped = 0
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


cdef Py_ssize_t _decode_loosely(
    bytes raw, Block into, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, object only_tickers
) except -1:
    """Decode what is no JSON as a whole: with the numbers that JSON does not have taken for missing, and each element of an array by itself."""
    cdef Py_ssize_t skipped = 0
    elements, is_closed = array_elements(raw)
    parsed = [_parsed(text) for text in elements or [raw]]
    if all(item is _NO_JSON for item in parsed):
        _reject_frame(into, receive_time_ns, source_rank, frame_number, "the frame is not valid JSON", raw)
        return 0
    if not elements:
        return _decode_objects(parsed[0], raw, into, receive_time_ns, source_rank, frame_number, only_tickers)
    for text, item in zip(elements, parsed):
        if item is _NO_JSON:
            _reject_frame(
                into, receive_time_ns, source_rank, frame_number, "the element is not valid JSON", (<bytes>text).strip())
        else:
            skipped += _decode_objects([item], raw, into, receive_time_ns, source_rank, frame_number, only_tickers)
    if not is_closed:
        _reject_frame(into, receive_time_ns, source_rank, frame_number, "the frame does not end where its array does", raw)
    return skipped


_NO_JSON = object()


def _parsed(bytes text):
    try:
        return orjson.loads(without_constants(text))
    except orjson.JSONDecodeError:
        return _NO_JSON


class _Unusable(Exception):
    """An object of a live frame cannot be used; the message is the reason."""


cdef object _live_row(
    object item, Block into, int64_t receive_time_ns, uint32_t source_rank, uint64_t frame_number, object only_tickers
):
    cdef double numbers[4]
    cdef int64_t event_ns
    cdef bytes name
    cdef string_view view
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
    if not name or len(name) > <Py_ssize_t>TICKER_SIZE_MAX or b"\0" in name:
        fault = name_fault(name).decode()
        raise _Unusable(f"`ticker` {fault}" + (f": {_shown(ticker)}" if name else ""))
    for i in range(4):
        numbers[i] = _live_number(<dict>item, <str>(<tuple>_QUOTE)[i], i & 1)
    if only_tickers is not None and ticker not in only_tickers:
        return 1
    view = string_view(<const char*>name, len(name))
    if into.tickers.is_full() and not into.tickers.table.has(view):
        raise _Unusable(f"`ticker` is new, and the session has {len(into.tickers)} already: {_shown(ticker)}")
    number = into.tickers.table.intern(view)
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
        text = text_of(encoded)
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



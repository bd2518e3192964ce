# distutils: language = c++
"""Single values and their texts: times, numbers and latencies, read as the decoder reads them and written as the logs spell them."""

from fastpath import SIMD_LEVELS as _SIMD_LEVELS

from libc.stdint cimport int64_t, uint8_t

from fastpath.text cimport (
    NUMBER_GOOD, TICKER_SIZE_MAX, TIME_GOOD, NumberFault, Text, TimeFault, TimeParser, is_utf8, number_reason, parse_latency_text, parse_number_text,
    time_reason, trimmed,
)

cdef extern from "cpu.hpp" namespace "midstream" nogil:
    cdef enum class Simd:
        pass

    const Simd SIMD

cdef extern from "text_format.hpp" namespace "midstream::format" nogil:
    cdef cppclass Clock:
        char* put_time(char*, int64_t)

    cdef cppclass Difference:
        pass

    Difference difference(int64_t, int64_t)
    char* put_latency(char*, Difference)
    char* put_price(char*, double, uint8_t&)


def simd_level():
    """Return which of SIMD_LEVELS the kernels of this process use."""
    return _SIMD_LEVELS[<int>SIMD]


def parse_timestamp(str text not None, *, bint fraction_unit_us=False):
    """Parse one timestamp as the decoder does; UTC nanoseconds. Raises ValueError with the reason."""
    cdef bytes encoded = text.encode("utf-8", "replace")
    cdef Text field = text_of(encoded)
    cdef TimeParser parser = TimeParser(fraction_unit_us)
    cdef int64_t time_ns = 0
    cdef TimeFault fault = parser.parse(field, time_ns)
    if fault != TIME_GOOD:
        raise ValueError((<bytes>time_reason(b"timestamp", fault, field, fraction_unit_us)).decode())
    return time_ns


def parse_number(str text not None):
    """Parse one number as the decoder does; `nan` is NaN. Raises ValueError with the reason, also for an empty text."""
    cdef bytes encoded = text.encode("utf-8", "replace")
    cdef Text field = text_of(encoded)
    cdef double number = 0.0
    cdef NumberFault fault = parse_number_text(field, False, number)
    if fault != NUMBER_GOOD:
        raise ValueError((<bytes>number_reason(b"text", fault, field)).decode())
    return number


def parse_latency(str text not None):
    """Parse a latency in milliseconds as the decoder does: float64 times 1e6, rounded half to even, in nanoseconds."""
    cdef bytes encoded = text.encode("utf-8", "replace")
    cdef Text field = text_of(encoded)
    cdef int64_t latency_ns = 0
    cdef NumberFault fault = parse_latency_text(field, False, latency_ns)
    if fault != NUMBER_GOOD:
        raise ValueError((<bytes>number_reason(b"latency", fault, field)).decode())
    return latency_ns


def format_mid(double mid):
    """As Python's repr."""
    cdef char text[40]
    cdef uint8_t decimals = 0
    return text[:put_price(text, mid, decimals) - text].decode()


def format_timestamp(int64_t time_ns):
    """Spell a time in UTC with as many digits of the fraction as it has."""
    cdef char text[40]
    cdef Clock clock
    return text[:clock.put_time(text, time_ns) - text].decode()


def format_latency(int64_t latency_ns):
    """Exact milliseconds without trailing zeros, without the unit."""
    cdef char text[40]
    return text[:put_latency(text, difference(latency_ns, 0)) - text].decode()


cdef Text text_of(bytes encoded) noexcept:
    # Points into `encoded`: the caller keeps it.
    cdef Text text
    text.begin = <const char*>encoded
    text.end = text.begin + len(encoded)
    return trimmed(text)


# Why a name cannot be one; None: it can.
cdef bytes name_fault(bytes name):
    cdef Text text
    text.begin = <const char*>name
    text.end = text.begin + len(name)
    if text.empty():
        return b"is empty"
    if len(name) > <Py_ssize_t>TICKER_SIZE_MAX:
        return b"is longer than 256 bytes"
    if b"\0" in name:
        return b"holds a NUL byte"
    return None if is_utf8(text) else b"is not valid UTF-8"

"""Single values and their texts: times, numbers and latencies, read as the decoder reads them and written as the logs spell them.

Numbers match `[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?` in ASCII with spaces around them; they read as Python's `float` reads them and
must not overflow. Times have a space, `T` or `D` in the middle, at most 9 fraction digits, and `Z`, `+hh`, `+hhmm`, `+hh:mm` or nothing
behind; or they are epoch integers of 9-10 (s), 12-13 (ms), 15-16 (us) or 18-19 (ns) digits.
"""

def simd_level() -> str:
    """Return which of SIMD_LEVELS the kernels of this process use."""

def parse_timestamp(text: str, *, fraction_unit_us: bool = False) -> int:
    """Parse one timestamp as the decoder does; UTC nanoseconds. Raises ValueError with the reason."""

def parse_number(text: str) -> float:
    """Parse one number as the decoder does; `nan` is NaN. Raises ValueError with the reason, also for an empty text."""

def parse_latency(text: str) -> int:
    """Parse a latency in milliseconds as the decoder does: float64 times 1e6, rounded half to even, in nanoseconds."""

def format_mid(mid: float) -> str:
    """As Python's repr."""

def format_timestamp(time_ns: int) -> str:
    """Spell a time in UTC with as many digits of the fraction as it has."""

def format_latency(latency_ns: int) -> str:
    """Exact milliseconds without trailing zeros, without the unit."""

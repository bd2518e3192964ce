"""The decoder's twin: the same lines, slowly and readably, with `re`, `float` and Python integers.

It reads a whole file at once and knows nothing about chunks: that these make no difference is what the tests of the kernel show.
"""

import math
import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.reference.latency import AS_RECORDED, Model

BEFORE_EVERYTHING = -(2**63)
AFTER_EVERYTHING = 2**63 - 1
LINE_SIZE_MAX = 65536
RAW_SIZE_MAX = 1024
TICKER_SIZE_MAX = 256
READ_ANYWAY = 256
SHOWN_CHARACTERS = 40
TIME_MIN_NS = -9_214_560_000 * 10**9
TIME_MAX_NS = 9_214_646_400 * 10**9 - 1
EPOCH_UNIT_NS = {9: 10**9, 10: 10**9, 12: 10**6, 13: 10**6, 15: 10**3, 16: 10**3, 18: 1, 19: 1}

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[ TD]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]+))?(?:(Z)|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
QUOTE_COLUMNS = ("bid_price", "bid_amount", "ask_price", "ask_amount")


class Unusable(Exception):
    """A field or line cannot be used; the message is the reason."""


def shown(text: str) -> str:
    return f"'{text[:SHOWN_CHARACTERS]}'"


def parse_number(text: str, column: str = "text") -> float:
    text = text.strip(" ")
    if not text:
        raise Unusable(f"`{column}` is empty")
    if text.lower() == "nan" and text.isascii():
        return math.nan
    if not NUMBER.fullmatch(text):
        raise Unusable(f"`{column}` is not a number: {shown(text)}")
    number = float(text)
    if math.isinf(number):
        raise Unusable(f"`{column}` is too large: {shown(text)}")
    return number


def parse_latency(text: str) -> int:
    milliseconds = parse_number(text, "latency")
    if math.isnan(milliseconds):
        raise Unusable(f"`latency` is not a number: {shown(text.strip(' '))}")
    nanoseconds = milliseconds * 1e6
    if not abs(nanoseconds) < 9.2e18:
        raise Unusable(f"`latency` is too large: {shown(text.strip(' '))}")
    return round(nanoseconds)


def parse_timestamp(text: str, *, fraction_unit_us: bool = False, column: str = "timestamp") -> int:
    text = text.strip(" ")
    if not text:
        raise Unusable(f"{column} is empty")
    if text.isascii() and text.isdigit():
        return _parse_epoch(text, column)
    match = TIME.fullmatch(text)
    if match is None:
        raise Unusable(f"{column} is not a time: {shown(text)}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, _zulu, sign, offset_hours, offset_minutes = match.groups()[6:]
    fraction = fraction or ""
    if not 1678 <= year <= 2261:
        raise Unusable(f"{column} is outside the years 1678 to 2261")
    for part, value, low, high in (
        ("month", month, 1, 12),
        ("day", day, 1, monthrange(year, month)[1] if 1 <= month <= 12 else 31),
        ("hour", hour, 0, 23),
        ("minute", minute, 0, 59),
        ("second", second, 0, 59),
    ):
        if not low <= value <= high:
            raise Unusable(f"{column} has an invalid {part}")
    digits_max = 6 if fraction_unit_us else 9
    if len(fraction) > digits_max:
        raise Unusable(f"{column} has more than {digits_max} fraction digits")
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    if int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        raise Unusable(f"{column} has an invalid offset")
    whole = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    whole -= -offset if sign == "-" else offset
    time_ns = (whole // timedelta(seconds=1)) * 10**9
    time_ns += int(fraction or "0") * 1000 if fraction_unit_us else int(fraction.ljust(9, "0"))
    if not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
        raise Unusable(f"{column} is outside the years 1678 to 2261")
    return time_ns


def _parse_epoch(text: str, column: str) -> int:
    unit_ns = EPOCH_UNIT_NS.get(len(text))
    if unit_ns is None or text[0] == "0":
        raise Unusable(f"{column} is no epoch time in s, ms, us or ns: {shown(text)}")
    time_ns = int(text) * unit_ns
    if time_ns > TIME_MAX_NS:
        raise Unusable(f"{column} is outside the years 1678 to 2261")
    return time_ns


def split_line(line: bytes) -> list[bytes]:
    """Split at commas; a field that begins with a quote ends at its closing quote, doubled quotes inside stand for one."""
    if b'"' not in line:
        return line.split(b",")
    fields = []
    rest: bytes | None = line
    while rest is not None:
        if rest.startswith(b'"'):
            match = re.match(rb'"((?:[^"]|"")*)"(?!") *', rest, re.DOTALL)
            if match is None:
                raise Unusable("a quote is not closed")
            fields.append(match[1].replace(b'""', b'"'))
            rest = rest[match.end() :]
            if rest and not rest.startswith(b","):
                raise Unusable("text stands behind a closing quote")
            rest = rest[1:] if rest else None
        else:
            head, comma, tail = rest.partition(b",")
            fields.append(head)
            rest = tail if comma else None
    return fields


def check_name(raw: bytes, column: str) -> bytes:
    name = raw.strip(b" ")
    if not name:
        raise Unusable(f"`{column}` is empty")
    text = shown(name.decode("utf-8", "replace"))
    if len(name) > TICKER_SIZE_MAX:
        raise Unusable(f"`{column}` is longer than 256 bytes: {text}")
    if b"\0" in name:
        raise Unusable(f"`{column}` holds a NUL byte: {text}")
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise Unusable(f"`{column}` is not valid UTF-8: {text}") from None
    return name


@dataclass(frozen=True)
class Options:
    """What a Decoder takes, under the same names."""

    source_rank: int = 0
    fraction_unit_us: bool = False
    start_time_ns: int = BEFORE_EVERYTHING
    end_time_ns: int = AFTER_EVERYTHING
    only_tickers: Sequence[str] = ()
    negative_latency: str = "keep"
    shift_ns: int = 0
    latency_bound_ns: int = 0
    check_order: bool = True
    latency: Model = AS_RECORDED
    in_partition: Callable[[str], bool] | None = None
    rejections_elsewhere: bool = False


@dataclass
class Decoded:
    """What became of a file: rows in the form of Block.to_rows, counts, and the error that stopped it."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    skipped: int = 0
    elsewhere: int = 0
    line: int = 2
    order: int = 0
    latency_ns_min: int = AFTER_EVERYTHING
    negative_latencies: int = 0
    stopped_by: str = ""
    previous_event_ns: int = BEFORE_EVERYTHING
    previous_unclamped_ns: int = BEFORE_EVERYTHING
    place_ns: int = BEFORE_EVERYTHING


def decode_file(content: bytes, options: Options) -> Decoded:
    """Decode a whole file, header included."""
    header, _, body = content.partition(b"\n")
    columns = [
        name.decode().strip(" ") for name in split_line(header.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r"))
    ]
    decoded = Decoded()
    lines = body.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for raw_line in lines:
        _decode_line(raw_line, columns, options, decoded)
        if decoded.stopped_by:
            break
        decoded.line += 1
    return decoded


def _decode_line(raw_line: bytes, columns: list[str], options: Options, decoded: Decoded) -> None:
    line = raw_line.removesuffix(b"\r")
    if len(raw_line) <= LINE_SIZE_MAX and not line.strip(b" "):
        return
    try:
        if len(raw_line) > LINE_SIZE_MAX:
            raise Unusable("line is longer than 65536 bytes")
        event_ns, latency_ns, ticker, numbers = _decode_fields(line, columns, options)
        shift_ns = options.shift_ns if options.negative_latency == "shift" else 0
        modelled_ns = _modelled(event_ns, latency_ns, decoded.line, shift_ns, options)
        unclamped_ns = event_ns + latency_ns + (0 if options.latency.changes else shift_ns)
    except Unusable as reason:
        key = (decoded.place_ns, options.source_rank, decoded.line)
        if options.rejections_elsewhere:
            decoded.elsewhere += 1
        elif options.start_time_ns <= decoded.place_ns < options.end_time_ns:
            decoded.rows.append((key, str(reason), line[:RAW_SIZE_MAX]))
        else:
            decoded.skipped += 1
        return

    is_elsewhere = options.in_partition is not None and not options.in_partition(ticker)
    skips = options.rejections_elsewhere and not options.latency.changes and decoded.line % READ_ANYWAY != 0
    if is_elsewhere and skips:
        decoded.elsewhere += 1
        return
    clamped = options.negative_latency == "clamp" and modelled_ns < 0
    arrival_ns = event_ns if clamped else event_ns + modelled_ns + shift_ns
    decoded.stopped_by = _check_order(
        event_ns, unclamped_ns, arrival_ns, "local_timestamp" in columns, options, decoded
    )
    if decoded.stopped_by:
        return
    if options.latency.changes:
        overtakes_in_file = unclamped_ns < decoded.previous_unclamped_ns
        if not (overtakes_in_file and options.latency.follows_file):
            arrival_ns = max(arrival_ns, decoded.place_ns)
    decoded.latency_ns_min = min(decoded.latency_ns_min, latency_ns)
    decoded.negative_latencies += latency_ns < 0
    decoded.previous_event_ns, decoded.previous_unclamped_ns, decoded.place_ns = event_ns, unclamped_ns, arrival_ns
    wanted = not options.only_tickers or ticker in options.only_tickers
    if is_elsewhere:
        decoded.elsewhere += 1
    elif wanted and options.start_time_ns <= arrival_ns < options.end_time_ns:
        key = (arrival_ns, options.source_rank, decoded.line)
        decoded.rows.append((key, event_ns, ticker, *numbers))
    else:
        decoded.skipped += 1


def _modelled(event_ns: int, latency_ns: int, row: int, shift_ns: int, options: Options) -> int:
    """Return the latency of a row under the model."""
    if not options.latency.changes:
        return latency_ns
    modelled_ns = options.latency.latency_ns(latency_ns, row)
    if modelled_ns is None:
        raise Unusable("the latency is too large")
    if not TIME_MIN_NS <= event_ns + modelled_ns + shift_ns <= TIME_MAX_NS:
        raise Unusable("the arrival time is outside the years 1678 to 2261")
    return modelled_ns


def _decode_fields(line: bytes, columns: list[str], options: Options) -> tuple[int, int, str, list[float]]:
    fields = split_line(line)
    tardis = "local_timestamp" in columns
    needed = [
        "timestamp",
        *QUOTE_COLUMNS,
        *(["local_timestamp", "symbol", "exchange"] if tardis else ["latency", "ticker"]),
    ]
    surplus = [text for text in fields[len(columns) :] if text.strip(b" ")]
    if surplus or len(fields) <= max(columns.index(name) for name in needed):
        raise Unusable(f"line has {len(fields)} fields, the header {len(columns)}")
    raw = dict(zip(columns, fields, strict=False))
    texts = {name: raw[name].decode("utf-8", "replace") for name in needed}

    event_ns = parse_timestamp(texts["timestamp"], fraction_unit_us=options.fraction_unit_us)
    if tardis:
        local_ns = parse_timestamp(
            texts["local_timestamp"], fraction_unit_us=options.fraction_unit_us, column="local_timestamp"
        )
        latency_ns = local_ns - event_ns
    else:
        latency_ns = parse_latency(texts["latency"])
    numbers = []
    for column in QUOTE_COLUMNS:
        number = parse_number(texts[column], column) if texts[column].strip(" ") else math.nan
        if column.endswith("_amount") and number < 0:
            raise Unusable(f"`{column}` is negative: {shown(texts[column].strip(' '))}")
        numbers.append(number)
    if not -(2**63) <= latency_ns < 2**63:
        raise Unusable("the latency is too large")
    shift_ns = options.shift_ns if options.negative_latency == "shift" and not options.latency.changes else 0
    if not TIME_MIN_NS <= event_ns + latency_ns + shift_ns <= TIME_MAX_NS:
        raise Unusable("the arrival time is outside the years 1678 to 2261")

    if tardis:
        name = check_name(raw["symbol"], "symbol") + b"@" + check_name(raw["exchange"], "exchange")
        if len(name) > TICKER_SIZE_MAX:
            symbol = shown(raw["symbol"].strip(b" ").decode())
            raise Unusable(f"`symbol` and `exchange` are longer than 256 bytes together: {symbol}")
    else:
        name = check_name(raw["ticker"], "ticker")
    return event_ns, latency_ns, name.decode(), numbers


def _check_order(
    event_ns: int, unclamped_ns: int, arrival_ns: int, tardis: bool, options: Options, decoded: Decoded
) -> str:
    if event_ns < decoded.previous_event_ns:
        decoded.order |= 1
    if unclamped_ns < decoded.previous_unclamped_ns:
        decoded.order |= 2
    if not options.check_order:
        return ""
    if decoded.order == 3 or (tardis and decoded.order & 2):
        return "UnsortedSource"
    if not tardis and arrival_ns - event_ns < options.latency_bound_ns:
        return "LatencyBoundBroken"
    return ""

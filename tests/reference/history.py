"""The whole historical path, slowly: files in, both logs, counts, digest and order out.

Written from the description of the formats, in Python integers and with the standard library only. It imports nothing
of the project but the descriptions of the order digest and of latency models beside it, and shares no code with it, so
that both can only agree by being right. Everything is held in memory.

    expected = expected_outputs(["a.csv", "b.csv.gz"], HistoryOptions(threshold_ns=20_000_000))
    assert (out / "mid_prices.log").read_bytes() == expected.mid_log
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from tests.reference.latency import AS_RECORDED, Model
from tests.reference.order_digest import OrderDigest

BEFORE_EVERYTHING = -(2**63)
AFTER_EVERYTHING = 2**63 - 1
TIME_MIN = (date(1678, 1, 1) - date(1970, 1, 1)).days * 86_400 * 10**9
TIME_MAX = (date(2262, 1, 1) - date(1970, 1, 1)).days * 86_400 * 10**9 - 1
LINE_BYTES_MAX = 65_536
TICKER_SIZE_MAX = 256
ENDS_EARLY = "compressed data ends early"
CORRUPT = "compressed data is corrupt"
FOLLOWED = "compressed data is followed by something else"
ASSIGNMENT = ("timestamp", "ticker", "ask_amount", "ask_price", "bid_price", "bid_amount", "latency")
TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp", "ask_amount", "ask_price", "bid_price", "bid_amount")

_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TIMESTAMP = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})[ TD]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    rb"(?:\.([0-9]+))?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


@dataclass(frozen=True)
class HistoryOptions:
    """What changes the output. Times are arrival times in UTC nanoseconds, `start` inclusive and `end` exclusive."""

    threshold_ns: int = 20_000_000
    log_arrival: bool = False
    fraction_unit_us: bool = False
    negative_latency: str = "keep"
    start_time_ns: int = BEFORE_EVERYTHING
    end_time_ns: int = AFTER_EVERYTHING
    tickers: tuple[str, ...] = ()
    latencies: tuple[Model, ...] = ()
    """The model of each source; none: all arrive as recorded."""

    def model(self, rank: int) -> Model:
        """Return the model of a source."""
        return self.latencies[rank] if self.latencies else AS_RECORDED


@dataclass(frozen=True)
class ExpectedTick:
    """One usable row."""

    key: tuple[int, int, int]
    event_time_ns: int
    ticker: str
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


@dataclass(frozen=True)
class ExpectedRejection:
    """One unusable row."""

    key: tuple[int, int, int]
    source: str
    reason: str


ExpectedRecord = ExpectedTick | ExpectedRejection


@dataclass(frozen=True)
class ExpectedCounts:
    """Counts as the report names them."""

    rows_in: int = 0
    mids: int = 0
    latency_filtered: int = 0
    missing_side: int = 0
    rejected: int = 0
    skipped: int = 0
    crossed: int = 0
    locked: int = 0


@dataclass(frozen=True)
class Expected:
    """Everything that an undisturbed run leaves behind; `unsorted` has (path, line) of files sorted by neither time."""

    mid_log: bytes
    error_log: bytes
    counts: ExpectedCounts
    digest: str
    sequence: list[ExpectedRecord]
    unsorted: list[tuple[str, int]]
    first_arrival_time_ns: int
    last_arrival_time_ns: int
    damaged: list[str]


class Unusable(ValueError):
    """The row or header cannot be used; the text is the reason."""


def expected_outputs(paths: Sequence[str | Path], options: HistoryOptions | None = None) -> Expected:
    """Compute what replaying `paths` (rank = position) has to write."""
    options = HistoryOptions() if options is None else options
    records: list[ExpectedRecord] = []
    unsorted: list[tuple[str, int]] = []
    damaged: list[str] = []
    skipped = 0
    for rank, path in enumerate(paths):
        name = str(path)
        text, damage, doubted_from = _inflate(Path(path).read_bytes())
        if damage:
            damaged.append(name)
        reading = _read_file(text, damage, doubted_from, name, rank, options)
        records += reading.records
        skipped += reading.skipped
        if reading.unsorted_line:
            unsorted.append((name, reading.unsorted_line))
    records.sort(key=lambda record: record.key)
    mid_log, error_log, counts = _logs(records, options, skipped)
    arrivals = [record.key[0] for record in records if isinstance(record, ExpectedTick)]
    return Expected(
        mid_log=mid_log,
        error_log=error_log,
        counts=counts,
        digest=digest(records),
        sequence=records,
        unsorted=unsorted,
        first_arrival_time_ns=arrivals[0] if arrivals else BEFORE_EVERYTHING,
        last_arrival_time_ns=arrivals[-1] if arrivals else BEFORE_EVERYTHING,
        damaged=damaged,
    )


# Files


def read_bytes(content: bytes) -> tuple[bytes, str]:
    """Inflate gzip by its magic bytes, as far as it goes; also return what is wrong with it, empty when nothing is."""
    return _inflate(content)[:2]


def _inflate(content: bytes) -> tuple[bytes, str, int]:
    """Return text, damage, and where the member begins whose check sum is wrong; -1: none is."""
    if content[:2] != b"\x1f\x8b":
        return content, "", -1
    out = bytearray()
    rest = content
    while rest:
        if rest[:2] != b"\x1f\x8b":
            return bytes(out), FOLLOWED, -1
        member = zlib.decompressobj(wbits=31)
        member_begin = len(out)
        for i in range(len(rest)):
            # Byte by byte, so that nothing that was read before the damage is lost with the error.
            try:
                out += member.decompress(rest[i : i + 1])
            except zlib.error as error:
                return bytes(out), CORRUPT, -1 if "incorrect length check" in str(error) else member_begin
            if member.eof:
                rest = rest[i + 1 :].lstrip(b"\0")
                break
        else:
            return bytes(out), ENDS_EARLY, -1
    return bytes(out), "", -1


@dataclass
class _Reading:
    records: list[ExpectedRecord] = field(default_factory=list)
    skipped: int = 0
    unsorted_line: int = 0


@dataclass(frozen=True)
class _Row:
    event_ns: int
    latency_ns: int
    ticker: str
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


def _read_file(text: bytes, damage: str, doubted_from: int, name: str, rank: int, options: HistoryOptions) -> _Reading:
    lines = text.split(b"\n")
    last = lines.pop()
    too_long = len(last) > LINE_BYTES_MAX
    if last and (damage in ("", FOLLOWED) or too_long):
        lines.append(last)
        last = b""
    header = _parse_header(lines[0])
    tardis = not set(header).issuperset(ASSIGNMENT)
    parsed = _parse_lines(lines, header, tardis, options)
    if damage:
        lost = "1" if last else "no"
        end = len(parsed) if doubted_from < 0 else _believable(parsed, lines, tardis, doubted_from)
        if end < len(parsed):
            del parsed[end:]
            behind = parsed[-1][0] + 1 if parsed else 2
            parsed.append((behind, Unusable(f"{damage}: nothing from here on can be believed")))
        else:
            parsed.append((len(lines) + 1, Unusable(f"{damage}: {lost} partial line lost")))
    lowest = min((row.latency_ns for _line, row in parsed if isinstance(row, _Row)), default=0)
    model = options.model(rank)
    shift = max(0, -model.lowest_ns(min(0, lowest))) if options.negative_latency == "shift" else 0
    reading = _Reading()
    place = previous_arrival = previous_event = BEFORE_EVERYTHING
    event_sorted, arrival_sorted = not tardis, True
    for line, row in parsed:
        if isinstance(row, Unusable):
            if options.start_time_ns <= place < options.end_time_ns:
                reading.records.append(ExpectedRejection((place, rank, line), name, str(row)))
            else:
                reading.skipped += 1
            continue
        overtakes = row.event_ns + row.latency_ns < previous_arrival
        event_sorted = event_sorted and row.event_ns >= previous_event
        arrival_sorted = arrival_sorted and not overtakes
        if not event_sorted and not arrival_sorted and not reading.unsorted_line:
            reading.unsorted_line = line
        previous_event, previous_arrival = row.event_ns, row.event_ns + row.latency_ns
        modelled = model.latency_ns(row.latency_ns, line)
        assert modelled is not None
        latency = modelled + shift
        arrival = row.event_ns + (max(latency, 0) if options.negative_latency == "clamp" else latency)
        # Behind the row before it, unless the file says otherwise and is what counts.
        place = arrival if not model.changes or (overtakes and model.follows_file) else max(place, arrival)
        outside = not options.start_time_ns <= place < options.end_time_ns
        if outside or (options.tickers and row.ticker not in options.tickers):
            reading.skipped += 1
            continue
        prices = (row.bid_price, row.bid_amount, row.ask_price, row.ask_amount)
        reading.records.append(ExpectedTick((place, rank, line), row.event_ns, row.ticker, *prices))
    return reading


def _believable(parsed: list[tuple[int, _Row | Unusable]], lines: list[bytes], tardis: bool, doubted_from: int) -> int:
    """Count the rows up to the first one that shows the damage."""
    ends = [0]
    for line in lines:
        ends.append(ends[-1] + len(line) + 1)
    previous_arrival = previous_event = BEFORE_EVERYTHING
    event_sorted, arrival_sorted = not tardis, True
    for index, (line_number, row) in enumerate(parsed):
        if isinstance(row, Unusable):
            if ends[line_number] > doubted_from:
                return index
            continue
        event_sorted = event_sorted and row.event_ns >= previous_event
        arrival_sorted = arrival_sorted and row.event_ns + row.latency_ns >= previous_arrival
        if not event_sorted and not arrival_sorted:
            return max(0, index - 1)
        previous_event, previous_arrival = row.event_ns, row.event_ns + row.latency_ns
    return len(parsed)


def _parse_header(line: bytes) -> list[str]:
    return [name.decode().strip(" ") for name in _split(line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r"))]


def _parse_lines(
    lines: list[bytes], header: list[str], tardis: bool, options: HistoryOptions
) -> list[tuple[int, _Row | Unusable]]:
    parsed: list[tuple[int, _Row | Unusable]] = []
    for number, raw in enumerate(lines[1:], start=2):
        line = raw.removesuffix(b"\r")
        try:
            if len(raw) > LINE_BYTES_MAX:
                raise Unusable(f"line is longer than {LINE_BYTES_MAX} bytes")
            if line.strip(b" "):
                parsed.append((number, _parse_line(line, header, tardis, options)))
        except Unusable as unusable:
            parsed.append((number, unusable))
    return parsed


def _parse_line(line: bytes, header: list[str], tardis: bool, options: HistoryOptions) -> _Row:
    fields = [value.strip(b" ") for value in _split(line)]
    needed = TARDIS if tardis else ASSIGNMENT
    if len(fields) <= max(header.index(name) for name in needed) or any(fields[len(header) :]):
        raise Unusable(f"line has {len(fields)} fields, the header {len(header)}")
    values = {name: fields[header.index(name)] for name in needed}
    event = _time("timestamp", values["timestamp"], options.fraction_unit_us)
    if tardis:
        latency = _time("local_timestamp", values["local_timestamp"], options.fraction_unit_us) - event
    else:
        latency = _latency(values["latency"])
    if not TIME_MIN <= event + latency <= TIME_MAX:
        raise Unusable("the arrival time is outside the years 1678 to 2261")
    names = [_name(column, values[column]) for column in (("symbol", "exchange") if tardis else ("ticker",))]
    if len("@".join(names).encode()) > TICKER_SIZE_MAX:
        raise Unusable(f"`symbol` and `exchange` are longer than 256 bytes together: {_shown(values['symbol'])}")
    prices = [
        _quote_number(column, values[column]) for column in ("bid_price", "bid_amount", "ask_price", "ask_amount")
    ]
    return _Row(event, latency, "@".join(names), *prices)


def _split(line: bytes) -> list[bytes]:
    fields: list[bytes] = []
    rest = line
    while True:
        if rest.startswith(b'"'):
            quoted = re.match(rb'"((?:[^"]|"")*)"(?!")', rest)
            if quoted is None:
                raise Unusable("a quote is not closed")
            fields.append(quoted[1].replace(b'""', b'"'))
            behind, comma, rest = rest[quoted.end() :].partition(b",")
            if behind.strip(b" "):
                raise Unusable("text stands behind a closing quote")
        else:
            value, comma, rest = rest.partition(b",")
            fields.append(value)
        if not comma:
            return fields


# Values


def _shown(raw: bytes) -> str:
    return "'" + raw.decode(errors="replace")[:40] + "'"


def _name(column: str, raw: bytes) -> str:
    if not raw:
        raise Unusable(f"`{column}` is empty")
    if len(raw) > TICKER_SIZE_MAX:
        raise Unusable(f"`{column}` is longer than 256 bytes: {_shown(raw)}")
    if b"\0" in raw:
        raise Unusable(f"`{column}` holds a NUL byte: {_shown(raw)}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unusable(f"`{column}` is not valid UTF-8: {_shown(raw)}") from error


def _number(column: str, raw: bytes) -> float:
    if not _NUMBER.fullmatch(raw):
        raise Unusable(f"`{column}` is not a number: {_shown(raw)}")
    value = float(raw)
    if math.isinf(value):
        raise Unusable(f"`{column}` is too large: {_shown(raw)}")
    return value


def _quote_number(column: str, raw: bytes) -> float:
    if not raw or raw.lower() == b"nan":
        return math.nan
    value = _number(column, raw)
    if column.endswith("amount") and value < 0:
        raise Unusable(f"`{column}` is negative: {_shown(raw)}")
    return value


def _latency(raw: bytes) -> int:
    """Read milliseconds: float64, one multiplication by 1e6, half to even."""
    if not raw:
        raise Unusable("`latency` is empty")
    nanoseconds = _number("latency", raw) * 1e6
    if abs(nanoseconds) >= 9.2e18:
        raise Unusable(f"`latency` is too large: {_shown(raw)}")
    return round(nanoseconds)


def _time(column: str, raw: bytes, fraction_unit_us: bool) -> int:
    """Read a civil time (naive = UTC) or an epoch integer whose unit its size tells."""
    if not raw:
        raise Unusable(f"{column} is empty")
    if re.fullmatch(rb"[0-9]+", raw):
        units = {9: 10**9, 10: 10**9, 12: 10**6, 13: 10**6, 15: 10**3, 16: 10**3, 18: 1, 19: 1}
        if len(raw) not in units or raw.startswith(b"0"):
            raise Unusable(f"{column} is no epoch time in s, ms, us or ns: {_shown(raw)}")
        return _in_range(column, int(raw) * units[len(raw)])
    match = _TIMESTAMP.fullmatch(raw)
    if match is None:
        raise Unusable(f"{column} is not a time: {_shown(raw)}")
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    fraction, offset = match[7] or b"", match[8] or b"Z"
    offset_hour, offset_minute = (0, 0) if offset == b"Z" else (int(offset[1:3]), int(offset[3:].lstrip(b":") or b"0"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days_in_month = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    faults = (
        (not 1678 <= year <= 2261, "is outside the years 1678 to 2261"),
        (not 1 <= month <= 12, "has an invalid month"),
        (not 1 <= day <= days_in_month[(month - 1) % 12], "has an invalid day"),
        (hour > 23, "has an invalid hour"),
        (minute > 59, "has an invalid minute"),
        (second > 59, "has an invalid second"),
        (
            len(fraction) > (6 if fraction_unit_us else 9),
            f"has more than {6 if fraction_unit_us else 9} fraction digits",
        ),
        (offset_hour > 23 or offset_minute > 59, "has an invalid offset"),
    )
    for wrong, reason in faults:
        if wrong:
            raise Unusable(f"{column} {reason}")
    fraction_ns = int(fraction or b"0") * 1_000 if fraction_unit_us else int(fraction.ljust(9, b"0"))
    minutes = ((date(year, month, day) - date(1970, 1, 1)).days * 24 + hour) * 60 + minute
    minutes -= (offset_hour * 60 + offset_minute) * (-1 if offset.startswith(b"-") else 1)
    return _in_range(column, (minutes * 60 + second) * 10**9 + fraction_ns)


def _in_range(column: str, time_ns: int) -> int:
    if not TIME_MIN <= time_ns <= TIME_MAX:
        raise Unusable(f"{column} is outside the years 1678 to 2261")
    return time_ns


# Text


def format_timestamp(time_ns: int) -> str:
    """Spell UTC time with 3, 6 or 9 fractional digits, whichever is exact."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    days, second_of_day = divmod(seconds, 86_400)
    day = date(1970, 1, 1) + timedelta(days=days)
    hour, rest = divmod(second_of_day, 3600)
    minute, second = divmod(rest, 60)
    digits = f"{fraction:09d}"
    if digits.endswith("000000"):
        digits = digits[:3]
    elif digits.endswith("000"):
        digits = digits[:6]
    return f"{day.isoformat()} {hour:02d}:{minute:02d}:{second:02d}.{digits}"


def format_latency(latency_ns: int) -> str:
    """Spell nanoseconds as exact milliseconds without trailing zeros."""
    whole, fraction = divmod(abs(latency_ns), 1_000_000)
    digits = f"{fraction:06d}".rstrip("0")
    return ("-" if latency_ns < 0 else "") + str(whole) + ("." + digits if digits else "")


def escape_controls(text: str) -> str:
    """Spell control characters and the Unicode line ends so that one entry stays one line."""
    text = "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _is_missing(price: float, amount: float) -> bool:
    return math.isnan(price) or (price == 0 and amount == 0)


def _logs(records: list[ExpectedRecord], options: HistoryOptions, skipped: int) -> tuple[bytes, bytes, ExpectedCounts]:
    mids: list[str] = []
    errors: list[str] = []
    latency_filtered = missing_side = rejected = crossed = locked = 0
    for record in records:
        if isinstance(record, ExpectedRejection):
            rejected += 1
            source, reason = escape_controls(record.source), escape_controls(record.reason)
            errors.append(f"Rejected {source}:{record.key[2]}: {reason}\n")
            continue
        arrival = record.key[0]
        latency = arrival - record.event_time_ns
        stamp = format_timestamp(arrival if options.log_arrival else record.event_time_ns)
        bid_missing = _is_missing(record.bid_price, record.bid_amount)
        ask_missing = _is_missing(record.ask_price, record.ask_amount)
        if latency > options.threshold_ns:
            latency_filtered += 1
            spelled, limit = format_latency(latency), format_latency(options.threshold_ns)
            errors.append(f"No mid price at {stamp} as latency {spelled}ms is bigger than {limit}ms\n")
        elif bid_missing or ask_missing:
            missing_side += 1
            sides = " and ".join(name for name, gone in (("bid", bid_missing), ("ask", ask_missing)) if gone)
            errors.append(f"No mid price at {stamp} as {sides} price is missing\n")
        elif math.isinf(mid := 0.5 * (record.bid_price + record.ask_price)):
            missing_side += 1
            errors.append(f"No mid price at {stamp} as bid + ask is beyond the range of a float64\n")
        else:
            mids.append(f"{stamp}, {mid!r}\n")
            crossed += record.bid_price > record.ask_price
            locked += record.bid_price == record.ask_price
    counts = ExpectedCounts(
        rows_in=len(records),
        mids=len(mids),
        latency_filtered=latency_filtered,
        missing_side=missing_side,
        rejected=rejected,
        skipped=skipped,
        crossed=crossed,
        locked=locked,
    )
    return "".join(mids).encode(), "".join(errors).encode(), counts


def digest(records: Sequence[ExpectedRecord]) -> str:
    """Hash the records in order, as the report's `order_digest` does."""
    order = OrderDigest()
    for record in records:
        if isinstance(record, ExpectedRejection):
            order.add_rejection(record.key[0], record.key[2], record.reason)
        else:
            times_and_prices = (record.event_time_ns, record.key[0], record.bid_price, record.ask_price)
            order.add_tick(*times_and_prices, record.ticker)
    return order.hexdigest()

"""The whole historical path, slowly: files in, both logs, counts, digest and order out.

Written from the description of the formats, in Python integers and with the standard library only. It imports nothing
of the project and shares no code with it, so that both can only agree by being right. Everything is held in memory.

    expected = expected_outputs(["a.csv", "b.csv.gz"], HistoryOptions(threshold_ns=20_000_000))
    assert (out / "mid_prices.log").read_bytes() == expected.mid_log
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

BEFORE_EVERYTHING = -(2**63)
AFTER_EVERYTHING = 2**63 - 1
LINE_BYTES_MAX = 65_536
DAMAGED = "compressed data ends early: 1 partial line lost"

_ASSIGNMENT = ("timestamp", "ticker", "ask_amount", "ask_price", "bid_price", "bid_amount", "latency")
_TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp", "ask_amount", "ask_price", "bid_price", "bid_amount")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[ TD](\d{2}):(\d{2}):(\d{2})(?:\.(\d*))?\s*(Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})?", re.ASCII
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
        text, intact = read_bytes(Path(path).read_bytes())
        if not intact:
            damaged.append(name)
        reading = _read_file(text, intact, name, rank, options)
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


def read_bytes(content: bytes) -> tuple[bytes, bool]:
    """Inflate gzip by its magic bytes, as far as it goes; tell whether all of it was there."""
    if content[:2] != b"\x1f\x8b":
        return content, True
    out = bytearray()
    rest = content
    while rest:
        member = zlib.decompressobj(wbits=31)
        for start in range(0, len(rest), 1):
            try:
                out += member.decompress(rest[start : start + 1])
            except zlib.error:
                return bytes(out), False
            if member.eof:
                rest = rest[start + 1 :]
                break
        else:
            return bytes(out), False
        # Padding with zeros is legal behind a member; anything else has to be another member.
        rest = rest.lstrip(b"\0")
        if rest and rest[:2] != b"\x1f\x8b":
            return bytes(out), False
    return bytes(out), True


@dataclass
class _Reading:
    records: list[ExpectedRecord] = field(default_factory=list)
    skipped: int = 0
    unsorted_line: int = 0


@dataclass(frozen=True)
class _Row:
    line: int
    event_ns: int
    latency_ns: int
    ticker: str
    bid_price: float
    bid_amount: float
    ask_price: float
    ask_amount: float


def _read_file(text: bytes, intact: bool, name: str, rank: int, options: HistoryOptions) -> _Reading:
    lines = text.split(b"\n")
    last = lines.pop()
    if intact and last:
        lines.append(last)
    parsed = _parse_lines(lines, options)
    if not intact:
        parsed.append((len(lines) + 1, Unusable(DAMAGED)))
    rows = [row for _line, row in parsed if isinstance(row, _Row)]
    lowest = min((row.latency_ns for row in rows), default=0)
    shift = -lowest if options.negative_latency == "shift" and lowest < 0 else 0
    reading = _Reading()
    previous_arrival = previous_event = BEFORE_EVERYTHING
    event_sorted = arrival_sorted = True
    for line, row in parsed:
        if isinstance(row, Unusable):
            reading.records.append(ExpectedRejection((previous_arrival, rank, line), name, str(row)))
            continue
        latency = row.latency_ns + shift
        if options.negative_latency == "clamp":
            latency = max(latency, 0)
        arrival = row.event_ns + latency
        event_sorted = event_sorted and row.event_ns >= previous_event
        arrival_sorted = arrival_sorted and arrival >= previous_arrival
        if not event_sorted and not arrival_sorted and not reading.unsorted_line:
            reading.unsorted_line = line
        previous_event, previous_arrival = row.event_ns, arrival
        outside = not options.start_time_ns <= arrival < options.end_time_ns
        if outside or (options.tickers and row.ticker not in options.tickers):
            reading.skipped += 1
            continue
        reading.records.append(
            ExpectedTick(
                (arrival, rank, line),
                row.event_ns,
                row.ticker,
                row.bid_price,
                row.bid_amount,
                row.ask_price,
                row.ask_amount,
            )
        )
    return reading


def _parse_lines(lines: list[bytes], options: HistoryOptions) -> list[tuple[int, _Row | Unusable]]:
    header: list[str] | None = None
    parsed: list[tuple[int, _Row | Unusable]] = []
    for number, raw in enumerate(lines, start=1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            header = [_text(name).strip() for name in _split(raw.removesuffix(b"\r"))]
            continue
        assert header is not None
        line = raw.removesuffix(b"\r")
        if not line.strip(b" \t"):
            continue
        try:
            parsed.append((number, _parse_line(line, number, header, options)))
        except Unusable as unusable:
            parsed.append((number, unusable))
    return parsed


def _parse_line(line: bytes, number: int, header: list[str], options: HistoryOptions) -> _Row:
    if len(line) > LINE_BYTES_MAX:
        raise Unusable(f"line is longer than {LINE_BYTES_MAX} bytes")
    fields = _split(line)
    if len(fields) != len(header):
        raise Unusable(f"{len(fields)} fields where the header has {len(header)}")
    by_name = dict(zip(header, fields, strict=True))
    tardis = "local_timestamp" in by_name
    event = parse_timestamp(_text(by_name["timestamp"]), fraction_unit_us=options.fraction_unit_us)
    ticker = _text(by_name["symbol" if tardis else "ticker"]).strip(" \t")
    if not ticker:
        raise Unusable("ticker is empty")
    if tardis:
        arrival = parse_timestamp(_text(by_name["local_timestamp"]), fraction_unit_us=options.fraction_unit_us)
        latency = arrival - event
    else:
        latency = parse_latency(_text(by_name["latency"]))
    if not BEFORE_EVERYTHING < event + latency < AFTER_EVERYTHING:
        raise Unusable("arrival time is out of range")
    price_fields = ("bid_price", "bid_amount", "ask_price", "ask_amount")
    bid, bid_size, ask, ask_size = (_optional_number(name, _text(by_name[name])) for name in price_fields)
    return _Row(number, event, latency, ticker, bid, bid_size, ask, ask_size)


def _split(line: bytes) -> list[bytes]:
    fields: list[bytes] = []
    position = 0
    while True:
        start = position
        while start < len(line) and line[start : start + 1] in (b" ", b"\t"):
            start += 1
        if line[start : start + 1] == b'"':
            value = bytearray()
            position = start + 1
            while True:
                end = line.find(b'"', position)
                if end < 0:
                    raise Unusable("quoted field is not closed")
                value += line[position:end]
                if line[end + 1 : end + 2] != b'"':
                    position = end + 1
                    break
                value += b'"'
                position = end + 2
            rest, comma, _ = line[position:].partition(b",")
            if rest.strip(b" \t"):
                raise Unusable("text behind a quoted field")
            fields.append(bytes(value))
            position += len(rest)
        else:
            rest, comma, _ = line[position:].partition(b",")
            fields.append(rest)
            position += len(rest)
        if not comma:
            return fields
        position += 1


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unusable("text is not UTF-8") from error


# Numbers and times


def parse_number(text: str) -> float:
    """Parse a strict decimal number."""
    if not _NUMBER.fullmatch(text):
        raise Unusable(f"`{text}` is not a number")
    value = float(text)
    if math.isinf(value):
        raise Unusable(f"`{text}` is too large")
    return value


def _optional_number(name: str, text: str) -> float:
    text = text.strip(" \t")
    if not text or text.lower() == "nan":
        return math.nan
    try:
        return parse_number(text)
    except Unusable as problem:
        raise Unusable(f"{name}: {problem}") from problem


def parse_latency(text: str) -> int:
    """Parse milliseconds: float64, one multiplication by 1e6, half to even."""
    text = text.strip(" \t")
    if not text:
        raise Unusable("latency is empty")
    try:
        nanoseconds = parse_number(text) * 1e6
    except Unusable as problem:
        raise Unusable(f"latency: {problem}") from problem
    if math.isinf(nanoseconds) or not -(2**63) < round(nanoseconds) < 2**63:
        raise Unusable("latency is out of range")
    return round(nanoseconds)


def parse_timestamp(text: str, *, fraction_unit_us: bool = False) -> int:
    """Parse a civil time (naive = UTC) or an epoch integer whose unit its size tells."""
    text = text.strip(" \t")
    if not text:
        raise Unusable("timestamp is empty")
    if re.fullmatch(r"\d+", text, re.ASCII):
        return _epoch(text)
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise Unusable(f"`{text}` is not a timestamp")
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    fraction, zone = match[7] or "", match[8]
    if hour > 23 or minute > 59 or second > 59:
        raise Unusable(f"`{text}` is not a time of day")
    try:
        days = (date(year, month, day) - date(1970, 1, 1)).days
    except ValueError as error:
        raise Unusable(f"`{text}` is not a date") from error
    if len(fraction) > (6 if fraction_unit_us else 9):
        raise Unusable(f"`{text}` has too many fractional digits")
    fraction_ns = int(fraction) * 1_000 if fraction_unit_us and fraction else int(fraction.ljust(9, "0"))
    offset_s = 0
    if zone and zone not in "Zz":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset_s = (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * (-1 if zone[0] == "-" else 1)
    total = ((days * 24 + hour) * 60 + minute) * 60 + second - offset_s
    value = total * 1_000_000_000 + fraction_ns
    if not -(2**63) < value < 2**63 - 1:
        raise Unusable(f"`{text}` is out of range")
    return value


def _epoch(text: str) -> int:
    # 2001-09-09 to 2286-11-20 has 10 digits in seconds, 13 in ms, 16 in us, 19 in ns.
    factors = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
    if len(text) not in factors:
        raise Unusable(f"`{text}` has a unit that cannot be told")
    value = int(text) * factors[len(text)]
    if value >= 2**63 - 1:
        raise Unusable(f"`{text}` is out of range")
    return value


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
    """Spell control characters so that one entry stays one line."""
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)


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
        else:
            mids.append(f"{stamp}, {0.5 * (record.bid_price + record.ask_price)!r}\n")
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
    state = hashlib.sha256()
    for record in records:
        if isinstance(record, ExpectedRejection):
            state.update(struct.pack("<qQ", record.key[0], record.key[2]))
            state.update(record.reason.encode() + b"\0")
        else:
            times_and_prices = (record.event_time_ns, record.key[0], record.bid_price, record.ask_price)
            state.update(struct.pack("<qqdd", *times_and_prices))
            state.update(record.ticker.encode() + b"\0")
    return state.hexdigest()

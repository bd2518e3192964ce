"""The whole historical path, slowly: files in, both logs, counts, digest and order out.

Written from the description of the formats, in Python integers and with the standard library only. Of the project it imports the
description of latency models beside it, and from `services/verify`, which is as slow and as independent, what one line is
and what becomes of one row. It shares no code with what it judges, so that both can only agree by being right. All is held in memory.

    expected = expected_outputs(["a.csv", "b.csv.gz"], HistoryOptions(threshold_ns=20_000_000))
    assert (out / "mid_prices.log").read_bytes() == expected.mid_log
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.verify.lines import Row, is_tardis, parse_header, parse_line
from services.verify.order_digest import OrderDigest
from services.verify.outcome import Quote, of_rejection, of_tick
from services.verify.spelling import format_timestamp as format_timestamp
from services.verify.values import Unusable
from tests.reference.latency import AS_RECORDED, Model

BEFORE_EVERYTHING = -(2**63)
AFTER_EVERYTHING = 2**63 - 1
LINE_BYTES_MAX = 65_536
ENDS_EARLY = "compressed data ends early"
CORRUPT = "compressed data is corrupt"
FOLLOWED = "compressed data is followed by something else"


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


def _read_file(text: bytes, damage: str, doubted_from: int, name: str, rank: int, options: HistoryOptions) -> _Reading:
    lines = text.split(b"\n")
    last = lines.pop()
    too_long = len(last) > LINE_BYTES_MAX
    if last and (damage in ("", FOLLOWED) or too_long):
        lines.append(last)
        last = b""
    header = parse_header(lines[0])
    tardis = is_tardis(header)
    parsed = _parse_lines(lines, header, options)
    if damage:
        lost = "1" if last else "no"
        end = len(parsed) if doubted_from < 0 else _believable(parsed, lines, tardis, doubted_from)
        if end < len(parsed):
            del parsed[end:]
            behind = parsed[-1][0] + 1 if parsed else 2
            parsed.append((behind, Unusable(f"{damage}: nothing from here on can be believed")))
        else:
            parsed.append((len(lines) + 1, Unusable(f"{damage}: {lost} partial line lost")))
    lowest = min((row.latency_ns for _line, row in parsed if isinstance(row, Row)), default=0)
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


def _believable(parsed: list[tuple[int, Row | Unusable]], lines: list[bytes], tardis: bool, doubted_from: int) -> int:
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


def _parse_lines(lines: list[bytes], header: list[str], options: HistoryOptions) -> list[tuple[int, Row | Unusable]]:
    parsed: list[tuple[int, Row | Unusable]] = []
    for number, raw in enumerate(lines[1:], start=2):
        line = raw.removesuffix(b"\r")
        try:
            if len(raw) > LINE_BYTES_MAX:
                raise Unusable(f"line is longer than {LINE_BYTES_MAX} bytes")
            if line.strip(b" "):
                parsed.append((number, parse_line(line, header, fraction_unit_us=options.fraction_unit_us)))
        except Unusable as unusable:
            parsed.append((number, unusable))
    return parsed


def _logs(records: list[ExpectedRecord], options: HistoryOptions, skipped: int) -> tuple[bytes, bytes, ExpectedCounts]:
    lines: dict[bool, list[str]] = {True: [], False: []}
    counted: Counter[str] = Counter()
    for record in records:
        if isinstance(record, ExpectedRejection):
            outcome = of_rejection(record.source, record.key[2], record.reason)
        else:
            quote = Quote(record.bid_price, record.bid_amount, record.ask_price, record.ask_amount)
            outcome = of_tick(
                record.event_time_ns,
                record.key[0],
                quote,
                threshold_ns=options.threshold_ns,
                log_arrival=options.log_arrival,
            )
        lines[outcome.kind == "mids"].append(outcome.line)
        counted.update(name for name in (outcome.kind, outcome.also) if name)
    counts = ExpectedCounts(rows_in=len(records), skipped=skipped, **counted)
    return "".join(lines[True]).encode(), "".join(lines[False]).encode(), counts


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

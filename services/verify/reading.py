"""A file line by line: what each row is, and when it arrives."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, NamedTuple

from services.verify.latency import Model
from services.verify.lines import Row, is_known, parse_header, parse_line
from services.verify.outcome import Quote
from services.verify.values import TIME_MAX, TIME_MIN, Unusable

BEFORE_EVERYTHING = -(2**63)
AFTER_EVERYTHING = 2**63 - 1
LINE_BYTES_MAX = 65_536
GZIP_MAGIC = b"\x1f\x8b"


class Unreadable(Exception):
    """A file ended or broke where it should not; the text names it."""


@dataclass(frozen=True)
class ReadOptions:
    """What decides which rows there are, and when they arrive: UTC nanoseconds, `start_ns` inclusive and `end_ns` exclusive."""

    fraction_unit_us: bool = False
    negative_latency: str = "keep"
    start_ns: int = BEFORE_EVERYTHING
    end_ns: int = AFTER_EVERYTHING
    tickers: frozenset[str] = frozenset()
    min_latency_ns: int | None = None
    """A promise about the latencies of files; None: there was none."""


AS_IT_IS = ReadOptions()
"""How a file is read that only latencies are drawn from."""


class Record(NamedTuple):
    """One record. The first three are its key in the total order, and no two records share one."""

    arrival_ns: int
    rank: int
    line: int
    """Of a recording, where a line is any number of rows: the number of the row."""
    is_tick: bool
    event_ns: int
    text: str
    """Ticker, or why the row cannot be used."""
    bid_price: float = 0.0
    bid_amount: float = 0.0
    ask_price: float = 0.0
    ask_amount: float = 0.0
    frame: int = 0
    """Of a recording: number of the frame, which a rejection is called by; 0: it is called by its line."""

    @property
    def quote(self) -> Quote:
        """Return its prices."""
        return Quote(*self[6:10])

    @property
    def called(self) -> int:
        """Return the number that a rejection is called by."""
        return self.frame or self.line


@dataclass
class Lines:
    """How many lines were read of one file, and what became of them; counted as they are read."""

    lines_read: int = 0
    """The header included."""
    ticks: int = 0
    rejected: int = 0
    skipped: int = 0
    blank: int = 0
    more_rows: int = 0
    """Of a recording: rows beyond the first one of their line."""


def records(
    name: str, rank: int, options: ReadOptions, lines: Lines, model: Model | None = None, shift_ns: int = 0
) -> Iterator[Record]:
    """Yield the records of one CSV in its order, arriving by a model if there is one. Raises Unreadable."""
    place = in_file = BEFORE_EVERYTHING
    for number, row in _rows(name, options, lines, model, shift_ns):
        if isinstance(row, str):
            # Where the last good row before it arrived.
            if options.start_ns <= place < options.end_ns:
                lines.rejected += 1
                yield Record(place, rank, number, False, 0, row)
            else:
                lines.skipped += 1
            continue
        latency_ns = row.latency_ns + shift_ns
        arrival_ns = row.event_ns + (max(0, latency_ns) if options.negative_latency == "clamp" else latency_ns)
        overtakes, in_file = row.event_ns + row.of_file_ns < in_file, row.event_ns + row.of_file_ns
        # With a model a file is one channel: who was sent later does not arrive earlier, unless the file has it so.
        waits = model is not None and not (overtakes and model.follows_file)
        place = max(place, arrival_ns) if waits else arrival_ns
        if not options.start_ns <= place < options.end_ns or (options.tickers and row.ticker not in options.tickers):
            lines.skipped += 1
            continue
        lines.ticks += 1
        prices = (row.bid_price, row.bid_amount, row.ask_price, row.ask_amount)
        yield Record(place, rank, number, True, row.event_ns, row.ticker, *prices)


def file_latencies(name: str, options: ReadOptions) -> Iterator[int]:
    """Yield the latencies that the usable rows of a CSV say, in its order. Raises Unreadable."""
    for _number, row in _rows(name, options, Lines()):
        if isinstance(row, Row):
            yield row.of_file_ns


def _delay(model: Model, line: int, shift_ns: int, event_ns: int, of_file_ns: int) -> int:
    latency_ns = model.latency_ns(of_file_ns, line)
    if latency_ns is None:
        raise Unusable("the latency is too large")
    if not TIME_MIN <= event_ns + latency_ns + shift_ns <= TIME_MAX:
        raise Unusable("the arrival time is outside the years 1678 to 2261")
    return latency_ns


def _rows(
    name: str, options: ReadOptions, lines: Lines, model: Model | None = None, shift_ns: int = 0
) -> Iterator[tuple[int, Row | str]]:
    """Yield number and row, or number and reason, of every line that is not blank."""
    with opened(name) as file:
        header = parse_header(_line(file).removesuffix(b"\n"))
        if not is_known(header):
            raise Unreadable(
                f"{name} is neither a CSV of our columns nor of Tardis', nor a recording that this program reads, and such a file is not "
                "recomputed here; compare two such runs with --against"
            )
        lines.lines_read = 1
        while line := _line(file):
            lines.lines_read += 1
            text = line.removesuffix(b"\n")
            if len(text) > LINE_BYTES_MAX:
                yield lines.lines_read, f"line is longer than {LINE_BYTES_MAX} bytes"
                continue
            text = text.removesuffix(b"\r")
            if not text.strip(b" "):
                lines.blank += 1
                continue
            try:
                delay = None if model is None else functools.partial(_delay, model, lines.lines_read, shift_ns)
                row: Row | str = parse_line(text, header, fraction_unit_us=options.fraction_unit_us, delay=delay)
            except Unusable as unusable:
                row = str(unusable)
            yield lines.lines_read, row


def _line(file: IO[bytes]) -> bytes:
    """Return the next line with its end; of one that is too long only its head."""
    head = piece = file.readline(LINE_BYTES_MAX + 2)
    while len(piece) == LINE_BYTES_MAX + 2 and not piece.endswith(b"\n"):
        piece = file.readline(LINE_BYTES_MAX + 2)
    return head


@contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    try:
        with open(name, "rb") as file:
            is_compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            with gzip.open(file) if is_compressed else file as content:
                yield content  # type: ignore[misc]  # gzip's class has what is used of IO
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"{name}: its compressed data is damaged ({error}); get the file again") from error
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror or error}") from error

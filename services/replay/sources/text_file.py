"""Delimited text, plain or gzipped, with a header line: the format of most recordings."""

from __future__ import annotations

import os

from fastpath.columns import BEFORE_EVERYTHING, Block
from fastpath.decode import Decoder, count_line_ends, may_have_negative_field
from fastpath.header import Header, HeaderError, Layout, layout_columns
from fastpath.recording import RecordingDecoder
from fastpath.records import SourceCursor
from fastpath.skim import TickerSkim
from services.replay.sources.errors import UnusableInput
from services.replay.sources.foreign import header_advice, line_ends, what_it_is
from services.replay.sources.readers import GZIP_MAGIC, ByteReader, CutReader, open_reader
from services.replay.sources.row_reader import FileTickers, RawFile, Reading, Skim
from services.runtime.session.line_counts import LineCounts

HEADER_BYTES_MAX = 64 * 1024
SCAN_BYTES = 256 * 1024
"""Read at a time when only the bytes are looked at: two threads do that and should not wait for each other often."""
TICKERS_MAX = 64
"""A file with more is likely to have some of every partition."""


class LinesFile:
    """What all files of lines have in common, whatever their lines say: a head, and bytes behind it, plain or gzipped."""

    first_line = 2
    by_arrival = False

    def __init__(self, raw: RawFile) -> None:
        """Note how to read it; whoever reads the head sets `header_bytes`."""
        self.raw = raw
        self.compressed = raw.head.startswith(GZIP_MAGIC)
        self.header_bytes = 0

    @property
    def beginning(self) -> SourceCursor:
        """Return the place behind the header."""
        return SourceCursor(
            offset=self.header_bytes,
            line=self.first_line,
            previous_arrival_time_ns=BEFORE_EVERYTHING,
            skipped=0,
            previous_event_time_ns=BEFORE_EVERYTHING,
            order=0,
        )

    def reader(self, offset: int = 0) -> ByteReader:
        """Return a new reader of the decompressed bytes from `offset` on."""
        raw = self.raw
        reader = open_reader(raw.descriptor, raw.size, raw.name, compressed=self.compressed)
        reader.skip(offset)
        return reader

    def grown_bytes(self) -> int:
        """Return how much was appended since the file was opened."""
        return os.fstat(self.raw.descriptor).st_size - self.raw.size

    def skim(self, *, negatives: bool, tickers: bool = False) -> Skim:
        """Look for a field that starts with a `-` and for tickers, and read what is compressed to its end: its check sums come last."""
        negatives = negatives and not self.by_arrival
        reader = self.reader(self.header_bytes)
        block = memoryview(bytearray(SCAN_BYTES))
        previous = ord("\n")
        found = not negatives
        names = self.ticker_skim() if tickers else None
        while (not found or self.compressed or names is not None) and (count := reader.readinto(block)):
            found = found or may_have_negative_field(block[:count], previous)
            previous = block[count - 1]
            if names is not None and not names.add(block[:count]):
                names = None
        certain = None if names is None else names.finish()
        return Skim(not found, reader.damage, reader.doubted_from, None if certain is None else FileTickers(*certain))

    def ticker_skim(self) -> TickerSkim | None:
        """Return what finds the tickers of the lines; None: of such lines nothing does."""
        return None


class TextFile(LinesFile):
    """One file of lines; its first line names the columns. A row's number is that of its line."""

    source = ""

    def __init__(self, raw: RawFile) -> None:
        """Read the header."""
        super().__init__(raw)
        try:
            line, self.header_bytes = _read_header(self.reader(), raw.name)
            self.header = _parse_header(line, raw.name)
        except UnusableInput as error:
            # What a damaged file says of itself is not worth repeating.
            damage = self.skim(negatives=False).damage if self.compressed else ""
            if damage:
                raise UnusableInput(
                    f"{raw.name}: {damage}, and its header cannot be read; get the file again"
                ) from error
            raise
        # The lines carry the time of arrival: such files promise its order, whatever their event times do.
        self.by_arrival = self.header.layout is Layout.TARDIS

    @property
    def layout(self) -> str:
        """Return the name of the header's layout."""
        return self.header.layout.name.lower()

    def ticker_skim(self) -> TickerSkim | None:
        """Return what finds the tickers of the lines."""
        return TickerSkim(self.header, names_max=TICKERS_MAX)

    def read(self, reading: Reading) -> LineRows:
        """Return a reader of the rows from a place on."""
        place, options = reading.place, reading.options
        decoder = Decoder(
            self.header,
            reading.tickers,
            source_rank=reading.rank,
            offset=place.offset,
            line=place.line,
            previous_arrival_time_ns=place.previous_arrival_time_ns,
            previous_event_time_ns=place.previous_event_time_ns,
            skipped=place.skipped,
            order=place.order,
            fraction_unit_us=options.fraction_unit_us,
            start_time_ns=options.start_ns,
            end_time_ns=options.end_ns,
            only_tickers=options.tickers,
            negative_latency=options.policy,
            shift_ns=reading.shift_ns,
            latency_bound_ns=reading.latency_bound_ns,
            check_order=reading.check_order,
            latency=reading.latency,
            channel_arrival_time_ns=channel_arrival_ns(reading),
            in_partition=reading.in_partition,
            rejections_elsewhere=reading.rejections_elsewhere,
        )
        return LineRows(self, reading, decoder)


def channel_arrival_ns(reading: Reading) -> int:
    """Return what a decoder is told of the rows before the place under a latency model."""
    place = reading.place
    nothing_before = place.previous_event_time_ns == BEFORE_EVERYTHING
    return BEFORE_EVERYTHING if nothing_before else place.channel_arrival_time_ns


class LineRows:
    """Bytes through a reused buffer into a decoder. Its errors pass through."""

    def __init__(self, text: LinesFile, reading: Reading, decoder: Decoder | RecordingDecoder) -> None:
        self._is_modelled = reading.latency.changes
        self._rejections_elsewhere = reading.rejections_elsewhere
        self._passes_over = reading.in_partition is not None and reading.rejections_elsewhere
        self.decoder = decoder
        self.damage = ""
        self.remark = ""
        self.finished = False
        reader, end = text.reader(), reading.end
        self._reader: ByteReader = reader if end is None else CutReader(reader, end.offset, end.reason)
        self._reader.skip(reading.place.offset)
        self._cut = end is not None
        self._buffer = reading.buffer
        self._read_bytes = self._read_bytes_min = reading.read_bytes
        self._reads_longer = 1
        """So many times as much as `_read_bytes_min`, and as many rows, because the last reads left nothing."""
        self._is_at_end = False
        self._grown_bytes = text.grown_bytes
        self._is_cut_off = False
        """The last line was still being written when the file was opened."""
        self._place = reading.place
        self._is_first = reading.place.offset == text.header_bytes
        self._lines_read = int(self._is_first)
        self._ends_a_line = True
        self._rows = self._rejected = self._reported = 0

    @property
    def line(self) -> int:
        """Return the number of the next line."""
        return self.decoder.line

    @property
    def skipped(self) -> int:
        """Return how many rows the filters left out."""
        return self.decoder.skipped

    @property
    def bound_ns(self) -> int:
        """Return the lowest arrival time that a row still to come can have."""
        return self.decoder.bound_ns

    @property
    def latency_ns_min(self) -> int:
        """Return the lowest latency seen."""
        return self.decoder.latency_ns_min

    @property
    def negative_latencies(self) -> int:
        """Return how many latencies below zero were seen."""
        return self.decoder.negative_latencies

    @property
    def unusable(self) -> tuple[int, str] | None:
        """Return line and reason of the first line that could not be used, as long as none could.

        The partition that has the file's rejections knows: another one may have read none of the good rows.
        """
        if self._rejections_elsewhere:
            return None
        nothing = self.decoder.previous_event_time_ns == BEFORE_EVERYTHING and not self.damage
        return self.decoder.first_rejection if nothing else None

    @property
    def counts(self) -> LineCounts:
        """Return how many lines were read, by their ends, and what became of them."""
        return LineCounts(
            first_line=1 if self._is_first else self._place.line,
            lines_read=self._lines_read + (not self._ends_a_line),
            ticks=self._rows - self._rejected,
            rejected=self._rejected,
            skipped=self.decoder.skipped - self._place.skipped,
            blank=self.decoder.blank,
            elsewhere=self.decoder.elsewhere,
            reported=self._reported,
            note=self.remark,
        )

    def place(self) -> SourceCursor:
        """Return where reading stands: the row after it is the next one that `feed` decodes."""
        decoder = self.decoder
        return SourceCursor(
            offset=decoder.offset,
            line=decoder.line,
            previous_arrival_time_ns=decoder.previous_arrival_time_ns,
            skipped=decoder.skipped,
            previous_event_time_ns=decoder.previous_event_time_ns,
            order=decoder.order,
            channel_arrival_time_ns=decoder.channel_arrival_time_ns if self._is_modelled else 0,
        )

    def feed(self, into: Block, rows: int) -> None:
        """Append up to about `rows` rows; sets `finished` with the last one."""
        while not self.finished:
            chunk, is_last = self._read()
            final = is_last and not self.damage and not self._is_cut_off
            before = len(into), into.rejections
            used = self.decoder.feed(chunk, into, row_limit=rows * self._reads_longer, final=final)
            rest = chunk[used:]
            if used:
                self._lines_read += count_line_ends(chunk[:used])
                self._ends_a_line = chunk[used - 1] == ord("\n")
            is_end = is_last and (used == 0 or not rest)
            if is_end:
                self._finish(into, has_rest=bool(rest))
            self._rows += len(into) - before[0]
            self._rejected += into.rejections - before[1]
            if is_end:
                return
            # The beginning of a line is read again with the rest of it, so that nothing has to be kept in between.
            self._reader.unread(rest)
            if used:
                if self._passes_over:
                    self._adapt(is_empty=len(into) == before[0])
                return
            # Only a line as long as what was read gets here; the decoder gives up on it before the buffer is full.
            self._read_bytes = min(2 * self._read_bytes, len(self._buffer))

    def _adapt(self, *, is_empty: bool) -> None:
        """Read more at a time while nothing but lines of other partitions comes: what these cost is the calls."""
        longest = max(1, len(self._buffer) // self._read_bytes_min)
        self._reads_longer = min(2 * self._reads_longer, longest) if is_empty else 1
        self._read_bytes = self._read_bytes_min * self._reads_longer

    def _read(self) -> tuple[memoryview, bool]:
        """Return the next bytes, and whether they are the last ones."""
        view = self._buffer[: self._read_bytes]
        filled = self._reader.readinto(view)
        while 0 < filled < len(view):
            count = self._reader.readinto(view[filled:])
            if count == 0:
                break
            filled += count
        if filled == len(view):
            return view, False
        chunk = view[:filled]
        if not self._is_at_end:
            self._is_at_end = True
            self.damage = "" if self._reader.tail_is_whole else self._reader.damage
            self._note_end(has_tail=filled > 0 and chunk[-1] != ord("\n"))
        return chunk, True

    def _note_end(self, *, has_tail: bool) -> None:
        grown = self._grown_bytes()
        self._is_cut_off = has_tail and grown > 0
        if grown > 0:
            self.remark = f"it grew by {grown:,} bytes while it was read; what came after it was opened is not replayed"
        elif has_tail and not self._reader.damage:
            self.remark = "its last line has no line end, so it may have been cut off; it was taken as it is"

    def _finish(self, into: Block, *, has_rest: bool) -> None:
        self.finished = True
        if self._is_cut_off:
            self._report(into, "the line was still being written when the file was opened")
        if self._reader.damage:
            lost = "1" if has_rest else "no"
            self.damage = self._reader.damage if self._cut else f"{self._reader.damage}: {lost} partial line lost"
            self._report(into, self.damage)

    def _report(self, into: Block, reason: str) -> None:
        self.decoder.reject(into, reason)
        self._reported += 1


def _read_header(reader: ByteReader, name: str) -> tuple[bytes, int]:
    block = bytearray(HEADER_BYTES_MAX)
    view = memoryview(block)
    filled = 0
    while filled < len(block):
        count = reader.readinto(view[filled:])
        if count == 0:
            break
        filled += count
        end = block.find(b"\n", 0, filled)
        if end >= 0:
            _check_text(bytes(block[:filled]), name)
            return bytes(block[:end]).removesuffix(b"\r"), end + 1
    if reader.damage:
        raise UnusableInput(f"{name}: {reader.damage}")
    if filled == 0:
        raise UnusableInput(f"{name} holds no data, not even a header; leave it out or write it again")
    _check_text(bytes(block[:filled]), name)
    if filled == len(block):
        raise UnusableInput(f"{name}: no line end within the first {HEADER_BYTES_MAX:,} bytes; name a CSV file")
    return bytes(block[:filled]).removesuffix(b"\r"), filled


def _check_text(head: bytes, name: str) -> None:
    """Raise UnusableInput when the file cannot be text with one row per line."""
    what = what_it_is(head, name)
    if what:
        raise UnusableInput(what)
    wrong = line_ends(head)
    if wrong:
        raise UnusableInput(f"{name}: {wrong.format(name=name)}")


def _parse_header(line: bytes, name: str) -> Header:
    try:
        return Header(line)
    except HeaderError as error:
        fix = header_advice(line, [layout_columns(layout) for layout in Layout])
        raise UnusableInput(f"{name}: {fix or error}") from error

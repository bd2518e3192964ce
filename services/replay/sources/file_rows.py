"""One file as rows: bytes through a reused buffer into a decoder."""

from __future__ import annotations

from fastpath.columns import BEFORE_EVERYTHING, Block, Tickers
from fastpath.decode import Decoder
from fastpath.records import SourceCursor
from services.replay.sources.inputs import InputFile
from services.replay.sources.options import HistoricalOptions

BLOCK_BYTES_MAX = 256 * 1024
BLOCK_BYTES_MIN = 32 * 1024
BLOCKS_BYTES = 32 * 1024 * 1024
"""What the buffers of all files take together, as far as the smallest block allows."""
LINE_ROOM_BYTES = 128 * 1024
"""What a buffer grows to when one line fills it: the decoder gives up on a line at 64 KiB."""


def block_bytes(file_count: int) -> int:
    """Return the size of each file's buffer when `file_count` files are read at once."""
    return max(BLOCK_BYTES_MIN, min(BLOCK_BYTES_MAX, BLOCKS_BYTES // max(1, file_count)))


def beginning_of(opened: InputFile) -> SourceCursor:
    """Return the place behind the header."""
    return SourceCursor(
        offset=opened.header_bytes,
        line=2,
        previous_arrival_time_ns=BEFORE_EVERYTHING,
        skipped=0,
        previous_event_time_ns=BEFORE_EVERYTHING,
        order=0,
    )


class FileRows:
    """Reads one file from a place on. `feed` appends its next rows to a block.

    Errors of the decoder (UnsortedSource, LatencyBoundBroken) pass through.
    """

    def __init__(
        self,
        opened: InputFile,
        tickers: Tickers,
        options: HistoricalOptions,
        *,
        rank: int,
        place: SourceCursor,
        shift_ns: int,
        latency_bound_ns: int,
        check_order: bool = True,
        buffer_bytes: int = BLOCK_BYTES_MAX,
    ) -> None:
        self.decoder = Decoder(
            opened.header,
            tickers,
            source_rank=rank,
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
            shift_ns=shift_ns,
            latency_bound_ns=latency_bound_ns,
            check_order=check_order,
        )
        self.damage = ""
        self.finished = False
        self._reader = opened.reader(place.offset)
        self._buffer = memoryview(bytearray(buffer_bytes))
        self._start = self._end = 0
        self._at_end = False

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
        )

    def feed(self, into: Block, rows: int) -> None:
        """Append up to about `rows` rows; sets `finished` with the last one."""
        while not self.finished:
            chunk = self._buffer[self._start : self._end]
            used = self.decoder.feed(chunk, into, row_limit=rows, final=self._at_end and not self.damage)
            self._start += used
            if self._at_end and (self._start == self._end or used == 0):
                self._finish(into)
            elif used == 0:
                self._fill()
                continue
            return

    def _fill(self) -> None:
        # What is left is the beginning of a line.
        left = self._end - self._start
        if left == len(self._buffer):
            # Only a line as long as the buffer gets here.
            larger = memoryview(bytearray(max(LINE_ROOM_BYTES, 2 * len(self._buffer))))
            larger[:left] = self._buffer[self._start : self._end]
            self._buffer = larger
        elif self._start:
            self._buffer[:left] = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, left
        while self._end < len(self._buffer):
            count = self._reader.readinto(self._buffer[self._end :])
            if count == 0:
                self._at_end = True
                self.damage = "" if self._reader.tail_is_whole else self._reader.damage
                return
            self._end += count

    def _finish(self, into: Block) -> None:
        self.finished = True
        if self._reader.damage:
            lost = "no" if self._start == self._end else "1"
            self.damage = f"{self._reader.damage}: {lost} partial line lost"
            self.decoder.reject(into, self.damage)

"""A segment of a recording of a live feed, plain or gzipped: what was received, when, and what happened meanwhile."""

from __future__ import annotations

from dataclasses import replace

from fastpath.columns import Block
from fastpath.recording import RecordingDecoder
from services.replay.recording.records import NotAHead, parse_head
from services.replay.sources.errors import UnusableInput
from services.replay.sources.row_reader import RawFile, Reading
from services.replay.sources.text_file import LineRows, LinesFile, channel_arrival_ns
from services.runtime.session.line_counts import LineCounts

HEAD_BYTES_MAX = 64 * 1024


class RecordingFile(LinesFile):
    """One segment. Its rows are numbered from 1; those that cannot be used are called by the numbers of their frames."""

    first_line = 1
    by_arrival = True
    layout = "recording"

    def __init__(self, raw: RawFile) -> None:
        """Read the head."""
        super().__init__(raw)
        head = bytearray(HEAD_BYTES_MAX)
        reader = self.reader()
        filled = reader.readinto(memoryview(head))
        line = bytes(head[:filled]).partition(b"\n")[0]
        try:
            self.source = parse_head(line).source
        except NotAHead as error:
            raise UnusableInput(f"{raw.name} is no recording that can be read: {error}; leave it out") from error
        self.header_bytes = len(line) + 1

    def read(self, reading: Reading) -> RecordingRows:
        """Return a reader of the rows from a place on."""
        return RecordingRows(self, reading)


class RecordingRows(LineRows):
    """The rows of a recording. A record that was being written when its recorder died, or when the file was opened, is none."""

    def __init__(self, recording: RecordingFile, reading: Reading) -> None:
        place, options = reading.place, reading.options
        self._recording = RecordingDecoder(
            reading.tickers,
            source_rank=reading.rank,
            offset=place.offset,
            line=place.line,
            previous_arrival_time_ns=place.previous_arrival_time_ns,
            previous_event_time_ns=place.previous_event_time_ns,
            skipped=place.skipped,
            order=place.order,
            start_time_ns=options.start_ns,
            end_time_ns=options.end_ns,
            only_tickers=options.tickers,
            negative_latency=options.policy,
            shift_ns=reading.shift_ns,
            check_order=reading.check_order,
            latency=reading.latency,
            channel_arrival_time_ns=channel_arrival_ns(reading),
            in_partition=reading.in_partition,
            rejections_elsewhere=reading.rejections_elsewhere,
        )
        super().__init__(recording, reading, self._recording)
        self._end_remark = ""

    @property
    def counts(self) -> LineCounts:
        """Return how many records were read, by their ends, and what became of them. A row has no line of its own here."""
        recording = self._recording
        counts = super().counts
        return replace(
            counts,
            first_line=counts.first_line if self._is_first else max(2, counts.first_line),
            lines_read=counts.lines_read - (recording.held_bytes > 0),
            blank=recording.blank,
            more_rows=recording.more_rows,
        )

    def _note_end(self, *, has_tail: bool) -> None:
        grown = self._grown_bytes()
        if grown > 0:
            self._end_remark = (
                f"it grew by {grown:,} bytes while it was read; what came after it was opened is not replayed"
            )
        elif (has_tail or self._recording.held_bytes) and not self._reader.damage:
            self._end_remark = "its last record was cut off while it was written, and is left out"

    def _finish(self, into: Block, *, has_rest: bool) -> None:
        super()._finish(into, has_rest=has_rest)
        self.remark = "; ".join(filter(None, (self._happened(), self._end_remark)))

    def _happened(self) -> str:
        told = []
        if self._recording.disconnects:
            told.append(f"the feed was lost {_times(self._recording.disconnects)}")
        if self._recording.gaps:
            known = f", with {self._recording.lost_frames:,} frames that are known to be missing"
            told.append(
                f"it has {self._recording.gaps:,} gap{'s' * (self._recording.gaps > 1)}{known * (self._recording.lost_frames > 0)}"
            )
        return "while it was recorded " + " and ".join(told) if told else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"

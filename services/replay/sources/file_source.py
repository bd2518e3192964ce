"""One file on its way through a replay: what was found out about it, its rows, and where to read again."""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.columns import AFTER_EVERYTHING, Tickers
from fastpath.latency import LatencyModel
from fastpath.merge import Merger
from fastpath.records import SourceCursor
from services.replay.sources.inputs import InputFile
from services.replay.sources.marks import Marks
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.prescan import LatencyPlan
from services.replay.sources.row_reader import BUFFER_BYTES, Reading, RowReader
from services.runtime.session.line_counts import LineCounts
from services.runtime.session.partitions import Partition

READ_BYTES_MIN = 8 * 1024
READ_BYTES = 1024 * 1024
"""What is read of all files together, where the least is less: the rows of more would leave the processor's second cache."""
MARK_ROWS = 2048
"""Rows between two marks at least: a mark costs as much as some twenty rows."""


def read_bytes(file_count: int) -> int:
    """Return how much is read at a time of each of `file_count` files."""
    return max(READ_BYTES_MIN, min(BUFFER_BYTES, READ_BYTES // max(1, file_count)))


@dataclass(frozen=True)
class SourceNote:
    """What was found out and done about one file, for the report."""

    path: str
    layout: str
    latency_ns_min: int | None
    """Lowest latency in the file; among the rows read so far when no scan was needed. None: no row was read."""
    policy: str
    shift_ns: int
    negative_rows: int
    """Rows with a negative latency, which were kept, clamped or shifted; read so far or scanned, as above."""
    sorted_on_disk: bool
    damage: str


class FileSource:
    """One file, from a place on. It owns the open file."""

    def __init__(self, opened: InputFile, plan: LatencyPlan, place: SourceCursor, latency: LatencyModel) -> None:
        self.opened = opened
        self.plan = plan
        self.latency = latency
        self.place = place
        self.skipped_on_disk = 0
        """Set by the one who sorts the file on disk; as it was at the place, where the file is passed over."""
        self.damage = ""
        self.damage_line = 0
        self.unusable: tuple[int, str] | None = None
        """First row that could not be used, where no row of the whole file could."""
        self.remark = ""
        self.counts: LineCounts | None = None
        """Of the reading that came to the file's end; None before."""
        self._rows: RowReader | None = None
        self._marks = Marks(place)
        self._marked_line = place.line

    @property
    def needs_sorting(self) -> bool:
        """Tell whether the rows are sorted by neither time and are to be sorted first."""
        return bool(self.plan.scanned.unsorted_line)

    @property
    def skipped(self) -> int:
        """Return how many rows the filters left out."""
        return self.skipped_on_disk if self._rows is None else self._rows.skipped

    def is_elsewhere(self, partition: Partition, rank: int) -> bool:
        """Tell whether nothing of the file is in a partition, neither a ticker nor what cannot be used.

        That is certain for as long as the file is as it was when it was looked through.
        """
        tickers = self.plan.scanned.tickers
        return (
            tickers is not None
            and len(tickers.names) > 0
            and (not partition.has_source(rank) or (tickers.are_usable and self._arrives_as_recorded))
            and not any(partition.has_ticker(name) for name in tickers.names)
            and self.opened.is_unchanged
        )

    @property
    def _arrives_as_recorded(self) -> bool:
        # A row can be usable and the arrival that a model or a shift gives it be none.
        return not self.plan.shift_ns and not self.latency.changes

    def found_all_usable(self, options: HistoricalOptions, rank: int) -> bool:
        """Tell whether it was read from beginning to end by the one who has what cannot be used of it, and there was no such thing."""
        counts = self.counts
        return (
            counts is not None
            and options.partition.has_source(rank)
            and self._arrives_as_recorded
            and not self.needs_sorting
            # Of what lies outside of a window it is not known whether it could be used.
            and options.start_time_ns is None
            and options.end_time_ns is None
            and counts.first_line == 1
            and counts.rejected == counts.blank == counts.reported == 0
        )

    def pass_over(self) -> None:
        """Take a file of which nothing is wanted as read to its end, as if each of its lines had been looked at.

        The place stays: there is nothing before any other one that would have to be left out.
        """
        tickers, place, beginning = self.plan.scanned.tickers, self.place, self.opened.content.beginning
        assert tickers is not None
        rows = tickers.rows - (place.line - beginning.line)
        is_first = place.offset == beginning.offset
        self.skipped_on_disk = place.skipped
        self.counts = LineCounts(
            first_line=1 if is_first else place.line,
            lines_read=rows + is_first,
            ticks=0,
            rejected=0,
            skipped=0,
            blank=0,
            reported=0,
            elsewhere=rows,
        )

    def begin(
        self, tickers: Tickers, options: HistoricalOptions, *, rank: int, file_count: int, buffer: memoryview
    ) -> None:
        """Prepare to read from the place on, as one of `file_count` files that share `buffer`."""
        self._rows = self.opened.content.read(
            Reading(
                tickers,
                options,
                self.place,
                rank=rank,
                shift_ns=self.plan.shift_ns,
                latency_bound_ns=self.plan.latency_bound_ns,
                latency=self.latency,
                end=self.plan.scanned.damage,
                read_bytes=read_bytes(file_count),
                buffer=buffer,
            )
        )

    def read(self, merger: Merger, rank: int, rows_max: int) -> int:
        """Hand the rows that come next over, at most about `rows_max`; return how many lines that took, at least 1."""
        rows = self._rows
        assert rows is not None
        line = rows.line
        if line - self._marked_line >= MARK_ROWS:
            self._marks.add(rows.place())
            self._marked_line = line
        rows.feed(merger.pending(rank), rows_max)
        if rows.finished:
            self.note_end(rows)
            merger.advance(rank, AFTER_EVERYTHING, finished=True)
        else:
            merger.advance(rank, rows.bound_ns)
        return max(1, rows.line - line)

    def note_end(self, rows: RowReader) -> None:
        """Keep what is known once the last row was read."""
        # The damage last: another thread that sees it reads the line, too.
        self.damage_line, self.unusable, self.remark = rows.line - 1, rows.unusable, rows.remark
        self.damage, self.counts = rows.damage, rows.counts

    def place_before(self, line: int) -> SourceCursor:
        """Return a place from which `line` and all after it are read again; -1: only what was not read yet."""
        if self._rows is None:
            return self.place
        if line >= 0:
            return self._marks.before(line)
        # Behind a damaged end nothing can be read, and the rejection that reports it must be met again.
        if not self.damage:
            self._marks.add(self._rows.place())
            self._marked_line = self._rows.line
        return self._marks.last()

    def note(self, options: HistoricalOptions) -> SourceNote:
        """Describe what was found out and done."""
        lowest, negative_rows = self.plan.scanned.latency_ns_min, self.plan.scanned.negative_rows
        # A scan that met no `-` proved that nothing is negative, and looked no further.
        if self._rows is not None and not lowest:
            seen = self._rows.latency_ns_min
            lowest = None if seen == AFTER_EVERYTHING else seen
            negative_rows = self._rows.negative_latencies
        return SourceNote(
            path=self.opened.name,
            layout=self.opened.content.layout,
            latency_ns_min=lowest,
            policy=options.negative_latency,
            shift_ns=self.plan.shift_ns,
            negative_rows=negative_rows or 0,
            sorted_on_disk=self.needs_sorting,
            damage=self.damage,
        )

    def close(self) -> None:
        """Close the file; what is known of it stays."""
        self.opened.close()

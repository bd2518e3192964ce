"""One file on its way through a replay: what was found out about it, its rows, and where to read again."""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.columns import AFTER_EVERYTHING, Block, Tickers
from fastpath.records import SourceCursor
from services.replay.sources.inputs import InputFile
from services.replay.sources.marks import Marks
from services.replay.sources.options import HistoricalOptions
from services.replay.sources.prescan import LatencyPlan
from services.replay.sources.row_reader import BUFFER_BYTES_MAX, Reading, RowReader

BUFFER_BYTES_MIN = 32 * 1024
BUFFERS_BYTES = 32 * 1024 * 1024
"""What the buffers of all files take together, as far as the smallest buffer allows."""
MARK_ROWS = 512
"""Rows between two marks at least: a mark costs as much as some twenty rows."""


def buffer_bytes(file_count: int) -> int:
    """Return the size of each file's buffer when `file_count` files are read at once."""
    return max(BUFFER_BYTES_MIN, min(BUFFER_BYTES_MAX, BUFFERS_BYTES // max(1, file_count)))


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

    def __init__(self, opened: InputFile, plan: LatencyPlan, place: SourceCursor) -> None:
        self.opened = opened
        self.plan = plan
        self.place = place
        self.skipped_on_disk = 0
        """Set by the one who sorts the file on disk."""
        self.damage = ""
        self.damage_line = 0
        self.unusable: tuple[int, str] | None = None
        """First row that could not be used, where no row of the whole file could."""
        self.remark = ""
        self._rows: RowReader | None = None
        self._marks = Marks(place)
        self._marked_line = place.line

    @property
    def needs_sorting(self) -> bool:
        """Tell whether the rows are sorted by neither time and are to be sorted first."""
        return bool(self.plan.scanned.unsorted_line)

    @property
    def finished(self) -> bool:
        """Tell whether the last row was read."""
        return self._rows is not None and self._rows.finished

    @property
    def bound_ns(self) -> int:
        """Return the lowest arrival time that a row still to be read can have."""
        assert self._rows is not None
        return AFTER_EVERYTHING if self._rows.finished else self._rows.bound_ns

    @property
    def skipped(self) -> int:
        """Return how many rows the filters left out."""
        return self.skipped_on_disk if self._rows is None else self._rows.skipped

    def begin(self, tickers: Tickers, options: HistoricalOptions, *, rank: int, file_count: int) -> None:
        """Prepare to read from the place on; `file_count` files share the memory for buffers."""
        self._rows = self.opened.content.read(
            Reading(
                tickers,
                options,
                self.place,
                rank=rank,
                shift_ns=self.plan.shift_ns,
                latency_bound_ns=self.plan.latency_bound_ns,
                end=self.plan.scanned.damage,
                buffer_bytes=buffer_bytes(file_count),
            )
        )

    def read(self, into: Block, rows: int) -> int:
        """Append up to about `rows` rows; return how many lines that took, at least 1."""
        assert self._rows is not None
        line = self._rows.line
        if line - self._marked_line >= MARK_ROWS:
            self._marks.add(self._rows.place())
            self._marked_line = line
        self._rows.feed(into, rows)
        if self._rows.finished:
            self.note_end(self._rows)
        return max(1, self._rows.line - line)

    def note_end(self, rows: RowReader) -> None:
        """Keep what is known once the last row was read."""
        # The damage last: another thread that sees it reads the line, too.
        self.damage_line, self.unusable, self.remark = rows.line - 1, rows.unusable, rows.remark
        self.damage = rows.damage

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

"""How many lines were read of a file, counted apart from what became of them, so that the two can disagree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LineCounts:
    """One reading of a file, to its end. `lines_read` comes from the bytes alone; each of the others from where such a row goes."""

    first_line: int
    """Where it began; 1: with the header, which is a line."""
    lines_read: int
    ticks: int
    rejected: int
    skipped: int
    """Left out by a filter, of those of this partition."""
    blank: int
    reported: int
    """Rejections that are no line: they say how the file ends."""
    more_rows: int = 0
    """Of a recording of frames: rows beyond the first one of their line."""
    elsewhere: int = 0
    """Ticks and rejections of other partitions. Each is elsewhere in all partitions but its own, so over all of them ticks, rejected and
    skipped add up to what they are in a session of one partition."""
    note: str = ""
    """What is worth a word about the file's end; empty when nothing is."""

    @property
    def unaccounted(self) -> int:
        """Return how many lines were read of which nothing became; below zero: what became of them is more than was read."""
        header = int(self.first_line == 1)
        return (
            self.lines_read
            + self.more_rows
            + self.reported
            - header
            - self.ticks
            - self.rejected
            - self.skipped
            - self.elsewhere
            - self.blank
        )

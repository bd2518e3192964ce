"""Places in a file from which reading can start again."""

from __future__ import annotations

from collections import deque

from fastpath.records import SourceCursor

MARKS_MAX = 4096
"""A row that waits an hour pins the marks behind it. Then every second one goes: a resume reads a little more again."""


class Marks:
    """Marks of one source, oldest first: each stands before every row that was read after it was set."""

    def __init__(self, first: SourceCursor) -> None:
        self._marks: deque[SourceCursor] = deque([first])

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, mark: SourceCursor) -> None:
        """Remember where reading stands, before the rows from there on are read."""
        if mark.line == self._marks[-1].line:
            return
        self._marks.append(mark)
        if len(self._marks) > MARKS_MAX:
            # The first one is the only one that is surely needed, the last one the only one that is surely cheap.
            kept = list(self._marks)
            self._marks = deque(kept[:-1:2])
            self._marks.append(kept[-1])

    def before(self, line: int) -> SourceCursor:
        """Return the last mark at or before `line`, and forget the ones before it."""
        while len(self._marks) > 1 and self._marks[1].line <= line:
            self._marks.popleft()
        return self._marks[0]

    def last(self) -> SourceCursor:
        """Return the newest mark, and forget the others."""
        while len(self._marks) > 1:
            self._marks.popleft()
        return self._marks[0]

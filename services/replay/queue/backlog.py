"""Account for what the stream holds, what of it is unread, and what may go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from services.replay.queue.model import QueueLimits

EVERYTHING: Final = (1 << 64) - 1
"""A committed position beyond every entry."""
_TRIM_STEP_MAX: Final = 8 << 20
_TRIM_STEP_MIN: Final = 1 << 20


class BacklogEntry(NamedTuple):
    """One entry of the stream, without its payload."""

    first: int
    last: int
    size: int
    arrival_time_ns: int


class Backlog:
    """Entries in the order of the stream: committed ones on the left, unread ones on the right.

    A position is the first sequence of the newest entry that every group is done with. It may move back (a group that
    was created later and starts at the beginning), so the border moves both ways.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._committed: deque[BacklogEntry] = deque()
        self._unread: deque[BacklogEntry] = deque()
        self._position = 0
        self._committed_bytes = 0
        self._unread_bytes = 0
        self._trim_step = max(_TRIM_STEP_MIN, min(_TRIM_STEP_MAX, limits.retain_bytes // 8))

    @property
    def records(self) -> int:
        """Unread records."""
        # Other threads read this, so a look before the access would not help.
        try:
            return self._unread[-1].last - self._unread[0].first + 1
        except IndexError:
            return 0

    @property
    def size(self) -> int:
        """Unread bytes."""
        return self._unread_bytes

    @property
    def oldest_sequence(self) -> int:
        """Return the oldest sequence retained; 0 when there is none."""
        for entries in (self._committed, self._unread):
            try:
                return entries[0].first
            except IndexError:
                continue
        return 0

    @property
    def room(self) -> int:
        """Bytes that may be added before the producer waits; never negative."""
        return max(0, self._limits.high_bytes - self._unread_bytes)

    def restart(self, entries: Iterable[BacklogEntry]) -> None:
        """Forget everything; the stream holds `entries`, all of them unread until groups tell otherwise."""
        self._committed.clear()
        self._unread = deque(entries)
        self._position = 0
        self._committed_bytes = 0
        self._unread_bytes = sum(entry.size for entry in self._unread)

    def append(self, entry: BacklogEntry) -> None:
        self._unread.append(entry)
        self._unread_bytes += entry.size

    def has_room(self, entry: BacklogEntry) -> bool:
        """Tell whether `entry` may be appended now. With nothing unread it always may."""
        if not self._unread:
            return True
        limits = self._limits
        if self._unread_bytes + entry.size > limits.high_bytes:
            return False
        oldest = self._unread[0]
        if entry.last - oldest.first + 1 > limits.high_records:
            return False
        data_time_ns = limits.high_data_time_ns
        return data_time_ns is None or entry.arrival_time_ns - oldest.arrival_time_ns <= data_time_ns

    def commit(self, position: int) -> None:
        """Take over the position of the slowest group."""
        self._position = position
        while self._unread and self._unread[0].first <= position:
            entry = self._unread.popleft()
            self._committed.append(entry)
            self._unread_bytes -= entry.size
            self._committed_bytes += entry.size
        while self._committed and self._committed[-1].first > position:
            entry = self._committed.pop()
            self._unread.appendleft(entry)
            self._committed_bytes -= entry.size
            self._unread_bytes += entry.size

    def trim_floor(self, *, thrifty: bool = False) -> int:
        """Return the sequence from which entries stay; 0 means that it is not worth a trim yet.

        The newest committed entries stay up to `retain_bytes`, everything unread stays, and the newest entry of all
        stays in any case: it tells a restarted producer where to go on. `thrifty` trims even a single entry (memory is
        short).
        """
        excess = self._committed_bytes - self._limits.retain_bytes
        if excess <= 0 or (excess < self._trim_step and not thrifty):
            return 0
        spared = 0 if self._unread else 1
        floor = 0
        for index, entry in enumerate(self._committed):
            if excess <= 0 or index >= len(self._committed) - spared:
                floor = entry.first
                break
            excess -= entry.size
        else:
            floor = self._unread[0].first
        return floor if floor > self._committed[0].first else 0

    def trimmed(self, floor: int) -> None:
        """Drop the entries before `floor`, which are gone from the stream."""
        while self._committed and self._committed[0].first < floor:
            self._committed_bytes -= self._committed.popleft().size
        while self._unread and self._unread[0].first < floor:
            # Only somebody else's trim does this; ours never reaches what is unread.
            self._unread_bytes -= self._unread.popleft().size

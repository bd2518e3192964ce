"""Backpressure: whether there is room for more, who holds it, and what may be trimmed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from services.replay.queue.backlog import Backlog, BacklogEntry
from services.replay.queue.groups import GroupTracker
from services.replay.queue.model import QueueLimits
from services.replay.queue.stream import read_groups
from services.replay.queue.wire import Wire

POLL_NS: Final = 500_000_000
"""How old the knowledge about consumer groups may be."""


class Backpressure:
    """The backlog, kept up to date with the consumer groups.

    The groups are asked twice a second, and earlier when half of the room that there was has been used since.
    """

    def __init__(self, backlog: Backlog, groups: GroupTracker, limits: QueueLimits) -> None:
        self._backlog = backlog
        self._groups = groups
        self._records_max = limits.high_records
        self._polled_ns = 0
        self._bytes_since = 0
        self._records_since = 0
        self._poll_after_bytes = 0
        self._poll_after_records = 0

    @property
    def holding(self) -> str:
        """Say who holds the producer back, for people."""
        return self._groups.holding

    @property
    def ignored(self) -> list[bytes]:
        """Names of groups that a trim need not spare."""
        return self._groups.ignored

    def restart(self, entries: Iterable[BacklogEntry], now_ns: int) -> None:
        """Begin with what the stream holds; the first batch asks the groups."""
        self._backlog.restart(entries)
        self._polled_ns = now_ns
        self._bytes_since = self._records_since = 0
        self._poll_after_bytes = self._poll_after_records = 0

    def append(self, entry: BacklogEntry) -> None:
        """Account for an entry that is on its way."""
        self._backlog.append(entry)
        self._bytes_since += entry.size
        self._records_since += entry.last - entry.first + 1

    def poll_is_due(self, now_ns: int) -> bool:
        """Tell whether the groups should be asked again."""
        return (
            now_ns - self._polled_ns >= POLL_NS
            or self._bytes_since > self._poll_after_bytes
            or self._records_since > self._poll_after_records
        )

    def poll(self, wire: Wire, ticks: str, now_ns: int) -> None:
        """Ask how far the groups are. Nothing may be under way on the connection."""
        read_groups(wire, ticks, self._groups, now_ns)
        self._backlog.commit(self._groups.committed())
        self._polled_ns = now_ns
        self._bytes_since = self._records_since = 0
        self._poll_after_bytes = self._backlog.room // 2
        self._poll_after_records = max(0, self._records_max - self._backlog.records) // 2

    def trim_floor(self, tail: int, *, thrifty: bool) -> int:
        """Return up to where to trim, 0 for not now; never `tail`, the newest entry that is in: it tells how far we came."""
        floor = min(self._backlog.trim_floor(thrifty=thrifty), tail)
        return floor if floor > self._backlog.oldest_sequence else 0

    def trimmed(self, floor: int) -> None:
        """Drop the entries before `floor`, which are gone from the stream."""
        self._backlog.trimmed(floor)

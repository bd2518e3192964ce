"""Counters and latest values of a listener, for metrics and health."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

MINUTE_NS: Final = 60_000_000_000
RECENT_MESSAGES: Final = 20
"""As many tell whether a feed is usable: three minutes of an ordinary one."""
RECENT_MESSAGES_MIN: Final = 5
"""Fewer tell nothing."""


@dataclass
class ListenerStats:
    """Counters since the start, and the latest of what changes. Written by the listener's tasks, read by anybody."""

    messages: int = 0
    deals: int = 0
    duplicates: int = 0
    unusable: int = 0
    gaps: int = 0
    flagged: int = 0
    fetched: int = 0
    repeated: int = 0
    revised: int = 0
    commits: int = 0
    spooled: int = 0
    outages: int = 0
    commit_lag_s: float | None = None
    """Oldest execution to commit in the last batch of live deals."""
    waiting: int = 0
    """Received, neither in the database nor in the spool."""
    spool_records: int = 0
    spool_bytes: int = 0
    database_trouble: str = ""
    """Why the database cannot be written; empty while it can."""
    spool_trouble: str = ""
    """Why the spool cannot be written; empty while it can."""
    last_message_ns: int = 0
    """When the last message of any kind came; 0: never."""
    last_deal_ns: int = 0
    last_reason: str = ""
    """Why the last message that could not be used could not."""
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT_MESSAGES), repr=False)
    _minute: deque[tuple[int, int]] = field(default_factory=deque, repr=False)

    def note_message(self, received_ns: int, unusable_because: str = "") -> None:
        """Take note of a message as it comes in."""
        self.last_message_ns = received_ns
        self._recent.append(not unusable_because)
        if unusable_because:
            self.last_reason = unusable_because
        else:
            self.last_deal_ns = received_ns

    @property
    def recently_unusable(self) -> tuple[int, int]:
        """How many of the latest messages could not be used, and how many those are."""
        return len(self._recent) - sum(self._recent), len(self._recent)

    @property
    def mostly_unusable(self) -> bool:
        """Whether most of the latest messages could not be used: then the feed is broken, not a message."""
        unusable, looked_at = self.recently_unusable
        return looked_at >= RECENT_MESSAGES_MIN and 2 * unusable > looked_at

    def note_deals(self, count: int, now_ns: int) -> None:
        """Count deals that were committed just now."""
        self.deals += count
        if count:
            second = now_ns // 1_000_000_000
            if self._minute and self._minute[-1][0] == second:
                count += self._minute.pop()[1]
            self._minute.append((second, count))
        self._forget(now_ns)

    def deals_per_minute(self, now_ns: int) -> int:
        """Return how many deals were committed in the last 60 s."""
        self._forget(now_ns)
        return sum(count for _, count in self._minute)

    def _forget(self, now_ns: int) -> None:
        oldest = (now_ns - MINUTE_NS) // 1_000_000_000
        while self._minute and self._minute[0][0] <= oldest:
            self._minute.popleft()

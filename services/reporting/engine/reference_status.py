"""Freshness of reference prices: when the next are due, whether they are late, which of them are stale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from clients.power.store.pace import Pace

SECOND_NS: Final = 1_000_000_000
PATIENCE_NS: Final = 10 * SECOND_NS
"""Prices are called late when this much more than they may take has passed."""
FETCH_NS: Final = 60 * SECOND_NS
"""With more than 35 hours on offer, the quota lets the last of them be asked for a minute after publication."""


@dataclass(frozen=True)
class ReferenceStatus:
    """The price process by its own account."""

    next_due_ns: int = 0
    """Latest moment at which the next prices should be there; 0 while unknown."""
    last_answer_ns: int = 0
    trouble: str = ""
    pace: Pace = field(default_factory=Pace)

    @classmethod
    def read(cls, next_due_ns: Any, last_answer_ns: Any, trouble: Any, schedule: Any) -> ReferenceStatus:
        """Take the columns of its row, all of them None where there is none."""
        return cls(int(next_due_ns or 0), int(last_answer_ns or 0), str(trouble or ""), Pace.read(schedule))

    def late(self, now_ns: int) -> bool:
        """Tell whether the next prices should be there and are not."""
        return bool(self.next_due_ns) and now_ns > self.next_due_ns + PATIENCE_NS

    def stale(self, update_ns: int, now_ns: int) -> bool:
        """Tell whether a price of this stamp should have been followed by another."""
        return now_ns > update_ns + self.pace.period_ns + self.pace.window_ns + FETCH_NS + PATIENCE_NS

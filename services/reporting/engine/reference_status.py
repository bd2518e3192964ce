"""Freshness of reference prices: when the next are due, whether they are late, which of them are stale."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

SECOND_NS: Final = 1_000_000_000
PERIOD_DEFAULT_NS: Final = 600 * SECOND_NS
"""Until a schedule is known: what the provider documents."""
WINDOW_DEFAULT_NS: Final = 30 * SECOND_NS
PATIENCE_NS: Final = 10 * SECOND_NS
"""Prices are called late when this much more than they may take has passed."""
FETCH_NS: Final = 60 * SECOND_NS
"""With more than 35 hours on offer, the quota lets the last of them be asked for a minute after publication."""


@dataclass(frozen=True)
class ReferenceStatus:
    """What the price process has written about itself."""

    next_due_ns: int = 0
    """Latest moment at which the next prices should be there; 0 while unknown."""
    last_answer_ns: int = 0
    trouble: str = ""
    period_ns: int = PERIOD_DEFAULT_NS
    window_ns: int = WINDOW_DEFAULT_NS

    @classmethod
    def read(cls, next_due_ns: Any, last_answer_ns: Any, trouble: Any, schedule: Any) -> ReferenceStatus:
        """Take the columns of its row, all of them None where there is none."""
        try:
            learned = json.loads(schedule or "{}")
            period_ns = int(learned.get("period_ns") or PERIOD_DEFAULT_NS)
            window_ns = int(learned.get("window_ns") or WINDOW_DEFAULT_NS)
        except (ValueError, TypeError, AttributeError):
            period_ns, window_ns = PERIOD_DEFAULT_NS, WINDOW_DEFAULT_NS
        return cls(int(next_due_ns or 0), int(last_answer_ns or 0), str(trouble or ""), period_ns, window_ns)

    def late(self, now_ns: int) -> bool:
        """Tell whether the next prices should be there and are not."""
        return bool(self.next_due_ns) and now_ns > self.next_due_ns + PATIENCE_NS

    def stale(self, update_ns: int, now_ns: int) -> bool:
        """Tell whether a price of this stamp should have been followed by another."""
        return now_ns > update_ns + self.period_ns + self.window_ns + FETCH_NS + PATIENCE_NS

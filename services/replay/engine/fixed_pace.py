"""Paces that ask records for nothing but their number: so many per second, or so long after the one before."""

from __future__ import annotations

from fastpath.columns import Block
from services.replay.engine.pacing import PacingClock


class FixedRateClock(PacingClock):
    """Record n is due n / rate after the first, at speed 1: what is late catches up. Replay time stands at the last record."""

    def __init__(self, speed: float, rate: float) -> None:
        super().__init__(speed)
        self._period_ns = 1e9 / rate
        self._records = 0

    @property
    def _next_ns(self) -> int:
        return round(self._records * self._period_ns)

    def begin(self, arrival_ns: int, now_ns: int) -> None:
        """Anchor at the next record, or where it was waited for."""
        super().begin(self._next_ns, now_ns)

    def stand_at(self, arrival_ns: int) -> None:
        """Have the next record be due at once: where replay time was moved does not matter."""
        self.release()

    def replay_time_ns(self, now_ns: int) -> int | None:
        """Return None: between two records replay time stands still."""
        return None

    def deadline_ns(self, arrival_ns: int) -> int:
        """Return when the next record is due; what comes before it is due with it."""
        return super().deadline_ns(self._next_ns)

    def count_due(self, block: Block, start: int, now_ns: int) -> int:
        """Count the records that are due, at least the first."""
        due = int(self.due_ns(now_ns) / self._period_ns) - self._records + 1
        return min(max(due, 1), len(block) - start)

    def sent(self, block: Block, start: int, stop: int, now_ns: int) -> None:
        """Account for rows that left now."""
        self._records += stop - start


class FixedDelayClock(FixedRateClock):
    """Each record is due so long after the one before it left, at speed 1: what is late is not caught up with."""

    def __init__(self, speed: float, delay_ns: int) -> None:
        super().__init__(speed, 1e9 / delay_ns)

    def count_due(self, block: Block, start: int, now_ns: int) -> int:
        """Count one: the next waits for it."""
        return 1

    def sent(self, block: Block, start: int, stop: int, now_ns: int) -> None:
        """Account for rows that left now: the delay of the next one begins."""
        super().sent(block, start, stop, now_ns)
        if self.anchored:
            self.anchor_at(round((self._records - 1) * self._period_ns), now_ns)

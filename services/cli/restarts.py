"""Decide whether and when a server that ended is started again. Nothing here starts anything, or knows what time it is."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from services.runtime.errors import StartPostponed, StartRefused

FRUITLESS_MAX: Final = 5
"""Restarts in a row that may come to nothing."""
STABLE_S: Final = 30.0
"""A server that served for this long made progress, whatever it does."""
SERVED_S: Final = 2.0
"""One that served this long is worth starting again soon, however often somebody kills it; but ever later, until it is stable."""

BASE_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0
"""Before another try where one may well help."""
REFUSED_PAUSE_S_MAX: Final = 30.0
"""Before another try of a server that refused: somebody has to mend something first."""
DOWN_PAUSE_S_MAX: Final = 60.0
"""Before another try of a server that is left down."""

POSTPONED: Final = StartPostponed.exit_code
REFUSED: Final = StartRefused.exit_code


@dataclass(frozen=True)
class End:
    """How one life of a server ended."""

    code: int
    """Its exit code; negative is the signal that killed it."""
    served_s: float = 0.0
    """How long it served."""
    progressed: bool = False
    """Whether what it works on has moved on since it ended the last time."""

    @property
    def postponed(self) -> bool:
        """Whether it could not start, and may by and by."""
        return self.code == POSTPONED

    @property
    def refused(self) -> bool:
        """Whether it would not start like this."""
        return self.code == REFUSED


class Restarts:
    """The count of one server, and the pauses that follow from it.

    They grow with every end until the server has been stable, or what it works on moves on. Ticks that flow through other
    servers say nothing about this one.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ends = 0
        self._fruitless = 0

    @property
    def down(self) -> bool:
        """Whether restarts have not helped: it is left down, and tried again now and then."""
        return self._fruitless > FRUITLESS_MAX

    @property
    def fruitless(self) -> int:
        """Deaths in a row, up to the last one, before which it did not serve for long."""
        return self._fruitless

    def pause_s(self, end: End) -> float:
        """Count `end`, and return how long to wait before the next start."""
        if end.served_s > STABLE_S or end.progressed:
            self._ends = self._fruitless = 0
        elif end.served_s >= SERVED_S:
            self._fruitless = 0
        self._ends += 1
        if not end.postponed and not end.refused:
            # What waits for something else, or for somebody, is not broken itself.
            self._fruitless += 1
        # Between half of it and all: what is started together shall not come back together, and the pauses shall grow.
        return min(self._pause_s_max(end), BASE_S * 2.0 ** min(self._ends, 32)) * self._random.uniform(0.5, 1.0)

    def _pause_s_max(self, end: End) -> float:
        if end.postponed:
            return PAUSE_S_MAX
        if end.refused:
            return REFUSED_PAUSE_S_MAX
        return DOWN_PAUSE_S_MAX if self.down else PAUSE_S_MAX

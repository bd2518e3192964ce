"""The line of placements: how many there may be, how long that takes, and what those are told for whom there is no room."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from clients.resilience.ports import MonotonicNs
from services.orders.errors import Reason, denied
from services.runtime.access.failures import RETRY_AFTER
from services.runtime.errors import MidstreamError
from services.runtime.room import PUSHBACK_KEY, arrived

PLACES: Final = 64
"""Placements between command and outcome; more are refused at once instead of being late. About a second's worth: an exchange takes
ten to thirty orders a second of one account, and what waits longer is likelier to be cancelled by its caller than to be of use."""
LINE_MIN: Final = 8
"""With fewer in the line there is no telling how long the next one takes to its turn: it may be the exchange."""
RECENT_NS: Final = 1_000_000_000
"""What was measured longer ago says nothing about now, so that whoever is refused by it is not refused for ever."""
COMING_NS_MAX: Final = 100_000_000
"""Whoever takes longer from its headers to the line keeps no place free: its request may never come."""
WEIGHT: Final = 0.1
"""Of the newest measurement in an average."""
AGAIN_S_MIN: Final = 0.05
AGAIN_S_MAX: Final = 10.0


class PlacementLine:
    """Bounded in number, and in time for those who say how long they have."""

    def __init__(
        self,
        *,
        monotonic_ns: MonotonicNs,
        places: int = PLACES,
        on_refused: Callable[[MidstreamError], None] = lambda error: None,
    ) -> None:
        """`on_refused` is told of each call that is refused before it is read; all others are counted by whoever raises."""
        self.places = places
        self.length = 0
        """Commands without an outcome."""
        self._coming: dict[object, int] = {}
        self._monotonic_ns = monotonic_ns
        self._on_refused = on_refused
        self._left_ns: int | None = None
        self._gap_ns = 0.0
        self._turn_ns: int | None = None
        self._turn_per_place_ns = 0.0

    # -- going through -------------------------------------------------------------------------------------------------

    def enter(self, deadline_ns: int | None = None) -> Callable[[], None]:
        """Take a place for somebody whose deadline (monotonic) this is; return what is called when its turn has come.

        Raises ResourceExhausted when there is no place, or none whose turn comes in time.
        """
        arrived()
        if self.length >= self.places:
            raise self._overloaded("")
        if (refusal := self._too_late(deadline_ns)) is not None:
            raise refusal
        entered_ns = self._monotonic_ns()
        if not self.length:
            # Between two orders of a quiet day nobody has been waiting.
            self._left_ns = entered_ns
        self.length += 1
        length = self.length

        def turn() -> None:
            self._turn_ns = self._monotonic_ns()
            self._turn_per_place_ns = _average(self._turn_per_place_ns, (self._turn_ns - entered_ns) / length)

        return turn

    def leave(self) -> None:
        """Give a place back: there is an outcome."""
        now_ns = self._monotonic_ns()
        if self._left_ns is not None:
            self._gap_ns = _average(self._gap_ns, now_ns - self._left_ns)
        self._left_ns = now_ns
        self.length -= 1

    # -- no room -------------------------------------------------------------------------------------------------------

    def refusal(self) -> MidstreamError | None:
        """Return what a placement is told for which there is no place; None while there is one."""
        if self.length + len(self._coming) < self.places:
            return None
        too_long_ago_ns = self._monotonic_ns() - COMING_NS_MAX
        while self._coming and self._coming[first := next(iter(self._coming))] < too_long_ago_ns:
            del self._coming[first]
        return self._overloaded("") if self.length + len(self._coming) >= self.places else None

    def refused(self, error: MidstreamError) -> None:
        """Count a call that was refused before it was read."""
        self._on_refused(error)

    def coming(self) -> Callable[[], object]:
        """Count a placement that is on its way to the line; return what ends that."""
        ticket = object()
        self._coming[ticket] = self._monotonic_ns()
        return lambda: self._coming.pop(ticket, None)

    def _too_late(self, deadline_ns: int | None) -> MidstreamError | None:
        if deadline_ns is None or self.length < LINE_MIN or self._turn_ns is None:
            return None
        now_ns = self._monotonic_ns()
        wait_ns = self._turn_per_place_ns * (self.length + 1)
        if now_ns - self._turn_ns > RECENT_NS or now_ns + wait_ns < deadline_ns:
            return None
        return self._overloaded(
            f"; its turn would come in {wait_ns / 1e9:.2f} s, after its deadline, so nothing was done"
        )

    def _overloaded(self, more: str) -> MidstreamError:
        again_s = min(max(self.length * self._gap_ns / 1e9, AGAIN_S_MIN), AGAIN_S_MAX)
        return denied(
            Reason.OVERLOADED,
            f"{self.length} placements are in flight{more}; try again in {again_s:.2f} s",
            metadata=((RETRY_AFTER, str(math.ceil(again_s))), (PUSHBACK_KEY, str(round(1000 * again_s)))),
        )


def _average(before: float, newest: float) -> float:
    return newest if not before else before + WEIGHT * (newest - before)

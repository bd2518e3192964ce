"""Choose the wait before a retry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum, unique

from clients.resilience.ports import RandomSource


@unique
class Jitter(StrEnum):
    """How delays are spread."""

    FULL = "full"
    """Anywhere from 0 to the nominal delay: spreads clients best."""
    DECORRELATED = "decorrelated"
    """From the base to three times the delay before."""
    PROPORTIONAL = "proportional"
    """The nominal delay, a fifth more or less."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Delays that double from `base_s` to `cap_s`, spread by jitter, on top of `floor_s`.

    The floor is for a server that asked for less: full jitter alone would come back at once every so often.
    """

    base_s: float
    cap_s: float
    floor_s: float = 0.0
    jitter: Jitter = Jitter.FULL

    def __post_init__(self) -> None:
        for name in ("base_s", "cap_s", "floor_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"`{name}` is {value!r}; give seconds, 0 or more")
        if self.cap_s < self.base_s:
            raise ValueError(f"`cap_s` is {self.cap_s!r}, below `base_s` {self.base_s!r}; raise it")

    def nominal_s(self, retry: int) -> float:
        """Return the delay before the nth retry, counted from 0, without floor and jitter."""
        # The exponent is cut where any base above a nanosecond has passed any cap: a larger one would only overflow.
        return min(self.cap_s, self.base_s * 2.0 ** min(retry, 63))

    def delay_s(self, retry: int, previous_s: float, random: RandomSource) -> float:
        """Return the delay before the nth retry; `previous_s` is what this returned for the one before (0 for the first)."""
        match self.jitter:
            case Jitter.FULL:
                spread_s = random.uniform(0.0, self.nominal_s(retry))
            case Jitter.DECORRELATED:
                before_s = max(self.base_s, previous_s - self.floor_s)
                spread_s = min(self.cap_s, random.uniform(self.base_s, 3 * before_s))
            case Jitter.PROPORTIONAL:
                spread_s = self.nominal_s(retry) * random.uniform(0.8, 1.2)
        return self.floor_s + spread_s

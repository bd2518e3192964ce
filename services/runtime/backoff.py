"""Delays between attempts, with full jitter."""

from __future__ import annotations

import os
from dataclasses import dataclass
from random import Random
from typing import Final

from clients.resilience.backoff import Backoff as JitteredDelays

_shared: Final = Random()
# Two that are forked from one process must not come back at the same moments.
os.register_at_fork(after_in_child=_shared.seed)


@dataclass(frozen=True)
class BackoffPolicy:
    """Bounds of the delays: the n-th is drawn from 0 to min(cap_s, base_s * 2**n)."""

    base_s: float = 0.1
    cap_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s:
            raise ValueError(f"0 < base_s <= cap_s does not hold: base_s={self.base_s}, cap_s={self.cap_s}")


class Backoff:
    """Draw one delay per failed attempt; `reset()` after a success.

    Full jitter: peers that lost the same dependency at the same moment come back spread over the whole interval.
    """

    def __init__(self, random: Random, policy: BackoffPolicy | None = None) -> None:
        self._random = random
        self._policy = BackoffPolicy() if policy is None else policy
        self._attempt = 0

    @property
    def attempt(self) -> int:
        """Number of delays drawn since the last reset."""
        return self._attempt

    def next_s(self) -> float:
        """Return the next delay in seconds."""
        delay_s = full_jitter(self._attempt, base_s=self._policy.base_s, cap_s=self._policy.cap_s, random=self._random)
        self._attempt += 1
        return delay_s

    def reset(self) -> None:
        """Start again from the shortest interval."""
        self._attempt = 0


def full_jitter(attempt: int, *, base_s: float, cap_s: float, random: Random | None = None) -> float:
    """Return the delay before attempt number `attempt` (0 is the first repetition)."""
    draw = _shared if random is None else random
    return JitteredDelays(base_s=base_s, cap_s=cap_s).delay_s(attempt, 0.0, draw)

"""The limiter and its rules: it reserves units of the other side's limits before a call leaves and learns from every answer's headers.

Limits that the other side counts together form a scope (one address at Binance, one account at BitMEX); a block (Retry-After, a ban)
stops a whole scope or one limit. The rules of a scope say how each of its limits counts; `limiter_state` does the counting,
`limiter_queue` the waiting, `limiter_memory` and `limiter_redis` the sharing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol

from clients.resilience.call import Cost, LimitPermit, Priority


@unique
class Counting(StrEnum):
    """How the other side counts."""

    WINDOW = "window"
    """So many units per interval, fixed or rolling: nobody needs to know which, or where a fixed one begins."""
    BUCKET = "bucket"
    """A bucket of tokens that refills continuously, full after one interval."""


@dataclass(frozen=True)
class LimitRule:
    """One limit. `size` is what is assumed until headers or the exchange's own list say otherwise."""

    name: str
    """From a fixed set: `binance:spot:weight`."""
    size: int
    interval_s: float
    counting: Counting = Counting.WINDOW
    headroom: float = 0.1
    """Share that only Priority.RECOVERY may use."""
    burst: float = 0.1
    """Share that may go out at once while nothing is known of what others used; the rest is spread over the interval."""


@dataclass(frozen=True)
class ScopeRules:
    """The limits that one side counts together; shared under the scope's name by all processes."""

    scope: str
    """From a fixed set: `binance:spot`."""
    limits: tuple[LimitRule, ...]
    flight_s: float = 30.0
    """When a call without any answer can no longer arrive."""

    def __post_init__(self) -> None:
        for rule in self.limits:
            if rule.size < 1 or rule.interval_s <= 0 or not 0 <= rule.headroom < 1 or not 0 < rule.burst <= 1:
                raise ValueError(f"limit `{rule.name}` is not usable: {rule!r}")
        if len({rule.name for rule in self.limits}) != len(self.limits):
            raise ValueError(f"scope `{self.scope}` names a limit twice")


class Limiter(Protocol):
    """Lets calls pass as the limits allow, first come first served among equals, recovery calls first."""

    async def acquire(self, costs: Sequence[Cost], *, priority: Priority, deadline_s: float) -> LimitPermit:
        """Reserve units of limits of one scope; wait for them if need be.

        A call that costs nothing but must respect blocks names its limit with 0 units. Raises LimitReached, with `retry_after_s`
        where known, at once when waiting would cross the deadline (seconds from now) or too many wait already.
        """
        ...

    async def resize(self, sizes: Mapping[str, int]) -> None:
        """Take the sizes that the other side states (Binance: `rateLimits` of exchangeInfo)."""
        ...

    async def block(self, name: str, seconds: float) -> None:
        """Send nothing of this scope or limit for so long."""
        ...

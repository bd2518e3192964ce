"""Configuration, states, events and counts of a circuit breaker."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum, unique
from fractions import Fraction
from typing import Final, Protocol

SECONDS_MAX: Final = 10 * 365 * 86_400.0
"""Longer durations are cut to this; ten years are as good as for ever, and nanoseconds of it still fit 64 bits."""


@unique
class BreakerState(StrEnum):
    """CLOSED lets calls pass and judges them; OPEN refuses them; HALF_OPEN admits a few probes and decides by them."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    """By hand: refuses everything until it is closed by hand."""
    DISABLED = "disabled"
    """By hand: lets everything pass and counts nothing."""
    METRICS_ONLY = "metrics_only"
    """By hand: counts and reports, never refuses."""


@unique
class Cause(StrEnum):
    """Why a breaker changed its state."""

    FAILURES = "failures"
    SLOW_CALLS = "slow_calls"
    FAILURES_AND_SLOW_CALLS = "failures_and_slow_calls"
    WAIT_ELAPSED = "wait_elapsed"
    PROBES_PASSED = "probes_passed"
    PROBES_FAILED = "probes_failed"
    PROBE_HUNG = "probe_hung"
    BY_HAND = "by_hand"


@dataclass(frozen=True)
class Transition:
    """The breaker changed its state. Events of one breaker arrive in order; `previous` is the `state` of the one before."""

    breaker: str
    previous: BreakerState
    state: BreakerState
    cause: Cause
    open_s: float | None = None
    """How long it stays open; None where it does not open, or is forced open."""


@dataclass(frozen=True)
class ThresholdExceeded:
    """A rate reached its threshold. One event even where both did; in METRICS_ONLY it comes again only after both fell below."""

    breaker: str
    cause: Cause
    failure_rate: float
    slow_rate: float


BreakerEvent = Transition | ThresholdExceeded
Listener = Callable[[BreakerEvent], None]
"""Called without any lock held, one event at a time, from whichever thread caused one. What it raises is logged, nothing else."""


class Timer(Protocol):
    """What `CallLater` returns."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]
"""Runs a callback after that many seconds; `loop.call_later` outside of tests."""


@dataclass(frozen=True)
class BreakerCounts:
    """Totals since the breaker was made. Every call that it admitted and that has ended, and every one that it refused, is in exactly
    one of them; calls of a DISABLED breaker are in none."""

    successes: int = 0
    failures: int = 0
    ignored: int = 0
    cancelled: int = 0
    late: int = 0
    """Ended after the state under which they were admitted: not judged any more."""
    rejected: int = 0
    slow: int = 0
    """Of the successes and failures, those above the slow limit."""


@dataclass(frozen=True)
class BreakerSnapshot:
    """A breaker at one moment, for metrics and health."""

    name: str
    state: BreakerState
    window_calls: int
    failure_rate: float
    """-1 below the minimum of calls."""
    slow_rate: float
    """-1 below the minimum of calls."""
    retry_after_s: float | None
    """When calls may pass again; None when they may now, or when nobody knows (forced open)."""
    counts: BreakerCounts
    outstanding_probes: int


@dataclass(frozen=True, kw_only=True)
class BreakerConfig:
    """When a breaker opens, for how long, and how it finds out that it may close. Wrong values raise ValueError naming the field."""

    window_calls: int = 50
    """Judge by the last so many calls. Sized so that a dead endpoint is noticed within seconds at a few calls per second."""
    window_s: float | None = None
    """Judge only by calls younger than this; None: by count alone. `window_calls` stays the bound of memory."""
    calls_min: int = 10
    """No verdict below so many calls in the window."""
    failure_rate: float = 0.5
    """Opens at this share of failures, inclusive; above 0, at most 1."""
    slow_rate: float = 1.0
    """Opens at this share of slow calls, inclusive."""
    slow_call_s: float = 60.0
    """A call that lasts longer than this is slow."""
    open_s: float = 5.0
    """How long it stays open the first time; each further time in a row twice as long."""
    open_s_max: float = 60.0
    """Before jitter."""
    open_jitter: float = 0.2
    """Share by which the open time is varied to both sides, so that clients do not come back together, nor always in the same
    phase of a side that flaps."""
    probes: int = 1
    """Calls admitted in HALF_OPEN; the rates' thresholds hold for them too. One, so that a side that flaps costs one call each time."""
    probe_lease_s: float = 30.0
    """A probe without a result for longer than this counts as a failed one, and opens the breaker."""

    def __post_init__(self) -> None:
        for name in ("window_calls", "calls_min", "probes"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"`{name}` is {value!r}; give a whole number of at least 1")
        for name in ("failure_rate", "slow_rate"):
            value = _number(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"`{name}` is {value!r}; give a share above 0, at most 1")
        for name in ("slow_call_s", "open_s", "open_s_max", "probe_lease_s"):
            if _number(self, name) <= 0:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; give seconds above 0")
        if self.window_s is not None and _number(self, "window_s") <= 0:
            raise ValueError(f"`window_s` is {self.window_s!r}; give seconds above 0, or None to judge by count alone")
        if not 0 <= _number(self, "open_jitter") < 1:
            raise ValueError(f"`open_jitter` is {self.open_jitter!r}; give a share from 0 to below 1")
        if self.calls_min > self.window_calls:
            raise ValueError(
                f"`calls_min` is {self.calls_min}, `window_calls` only {self.window_calls}: it could never open; lower `calls_min`"
            )
        if self.open_s_max < self.open_s:
            raise ValueError(f"`open_s_max` is {self.open_s_max!r}, below `open_s` {self.open_s!r}; raise it")

    def open_ns(self, times_in_a_row: int, jitter: float) -> int:
        """Return how long it stays open for the nth time in a row; `jitter` is from -1 to 1."""
        # 2**63 times anything above a nanosecond is beyond SECONDS_MAX; a larger exponent would only overflow.
        grown_s = min(self.open_s * 2.0 ** min(times_in_a_row - 1, 63), self.open_s_max, SECONDS_MAX)
        return max(1, to_ns(grown_s * (1 + self.open_jitter * jitter)))


def to_ns(seconds: float) -> int:
    """Return whole nanoseconds, cut to ten years."""
    return round(min(seconds, SECONDS_MAX) * 1e9)


def exact_share(share: float) -> Fraction:
    """Return the share as it was written: 0.1 is one tenth, not the float beside it, so that 3 of 30 reach it."""
    return Fraction(Decimal(repr(share)))


def _number(config: BreakerConfig, name: str) -> float:
    value = getattr(config, name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"`{name}` is {value!r}; give a finite number")
    return float(value)

"""What an alert is tried with: series from rest to the event and back, and when it has to fire and to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STEP_S: Final = 15
REST: Final = 8
"""Steps of rest that every case begins with: two minutes."""


@dataclass(frozen=True)
class Case:
    """One way in which an alert comes and goes."""

    alert: str
    series: Mapping[str, str]
    """Samples by selector, as promtool writes them, one each 15 s. Counters stand at zero before their first event."""
    fires: str
    """When it has to be firing; at rest (2 m) it must not."""
    ends: str
    """When it has to be over."""
    count: int = 1
    """How many are firing then."""


def once(steps: int = 400) -> str:
    """A counter that stands at zero, and counts the first event that there ever was."""
    return f"0x{REST} 1x{steps}"


def counted(events: int, steps: int = 400) -> str:
    """The same with several events at once."""
    return f"0x{REST} {events}x{steps}"


def state(value: float, lasts: int, rest: float = 0, after: int = 40) -> str:
    """A gauge that leaves its rest for some steps and comes back."""
    return f"{rest}x{REST} {value}x{lasts - 1} {rest}x{after}"


def rising(slope: float, lasts: int, after: int = 40) -> str:
    """A counter at zero that rises by `slope` each step for a while, and then stands."""
    return f"0x{REST} {slope}+{slope}x{lasts - 1} {slope * lasts}x{after}"


def steady(slope: float, steps: int = 400) -> str:
    """A counter that rises all the time."""
    return f"0+{slope}x{steps}"


def flat(value: float, steps: int = 400) -> str:
    """A gauge that stays."""
    return f"{value}x{steps}"

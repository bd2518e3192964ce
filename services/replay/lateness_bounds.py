"""Upper bounds by which an engine counts lateness and its server exposes it."""

from __future__ import annotations

from typing import Final

LATENESS_BOUNDS_S: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0),
)
"""From less than a wake-up of the system takes to a stall, in seconds."""

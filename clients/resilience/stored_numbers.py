"""Numbers out of what lies in a shared place: anything else is refused before it is counted with."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["finite", "whole"]


def whole(value: object) -> Any:
    """Return a whole number; raise ValueError for anything else."""
    if type(value) is not int:
        raise ValueError(f"a whole number is {value!r}")
    return value


def finite(value: object) -> Any:
    """Return a finite number; raise ValueError for anything else."""
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"a number is {value!r}")
    return value

"""The pace of publications: written by the price process into its row, read from there by whoever judges a price's age."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PERIOD_NS", "WINDOW_NS", "Pace"]

PERIOD_NS: Final = 600_000_000_000
"""Between two publications, as the provider documents it."""
WINDOW_NS: Final = 30_000_000_000
"""How late a publication may come, as documented."""


@dataclass(frozen=True)
class Pace:
    """The provider's pace as it was learned; as it is documented until then."""

    period_ns: int = PERIOD_NS
    window_ns: int = WINDOW_NS

    def fields(self) -> dict[str, Any]:
        """Return its part of the row's JSON."""
        return {"period_ns": self.period_ns, "window_ns": self.window_ns}

    @classmethod
    def read(cls, schedule: Any) -> Pace:
        """Read the row's JSON, None where there is no row yet; what cannot be read is as documented."""
        try:
            fields = json.loads(schedule or "{}")
            return cls(int(fields.get("period_ns") or PERIOD_NS), int(fields.get("window_ns") or WINDOW_NS))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()

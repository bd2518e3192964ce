"""How the listener stands: the row that it leaves in the database, and that reporting reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Standing", "standing_row"]


@dataclass(frozen=True)
class Standing:
    """One row of `listener_standing`. Times are the listener's, UTC nanoseconds; 0 is never."""

    connected: bool = False
    since_ns: int = 0
    """When it was connected, or ceased to be."""
    last_message_ns: int = 0
    last_deal_ns: int = 0
    spooled: int = 0
    """Received and not in the database yet."""
    unusable_today: int = 0
    unusable_total: int = 0
    mostly_unusable: bool = False
    """Most of the latest messages could not be used."""
    trouble: str = ""


def standing_row(standing: Standing) -> dict[str, int | str]:
    """Return the columns of the row."""
    return {name: int(value) if isinstance(value, bool) else value for name, value in asdict(standing).items()}

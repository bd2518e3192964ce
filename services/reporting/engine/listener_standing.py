"""What the listener says of itself, and what that is worth by our clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Final

from sqlalchemy import Row

from clients.power.store.standing import Standing

__all__ = ["FEED", "ListenerStanding", "ListenerState"]

FEED: Final = "deals"
AWAY_NS: Final = 10_000_000_000
"""It leaves a sign of life every two seconds; five missed ones are no coincidence."""
SETTLE_NS: Final = 15_000_000_000
"""Within this a message is expected on a new connection: a deal comes every ten seconds."""


@unique
class ListenerState(StrEnum):
    """Whether deals arrive."""

    NEVER = "never"
    """No listener has ever run on this database."""
    AWAY = "away"
    """It does not run, or cannot write to the database."""
    DISCONNECTED = "disconnected"
    SILENT = "silent"
    """Connected, but nothing comes."""
    RECEIVING = "receiving"


@dataclass(frozen=True)
class ListenerStanding(Standing):
    """The newest sign of life, and when it was left."""

    updated_ns: int = 0

    @classmethod
    def read(cls, row: Row[*tuple[Any, ...]] | None) -> ListenerStanding:
        """Take the columns of its row. One that cannot be read says so, and that it is not known when the listener wrote last."""
        if row is None:
            return cls()
        try:
            return cls._of(row)
        except (TypeError, ValueError, OverflowError) as exc:
            return cls(trouble=f"what the listener says of itself cannot be read ({type(exc).__name__})")

    @classmethod
    def _of(cls, row: Row[*tuple[Any, ...]]) -> ListenerStanding:
        return cls(
            connected=bool(row.connected),
            since_ns=int(row.since_ns),
            last_message_ns=int(row.last_message_ns),
            last_deal_ns=int(row.last_deal_ns),
            spooled=int(row.spooled),
            unusable_today=int(row.unusable_today),
            unusable_total=int(row.unusable_total),
            mostly_unusable=bool(row.mostly_unusable),
            trouble=str(row.trouble),
            updated_ns=int(row.updated_time_ns),
        )

    def state(self, now_ns: int, silent_after_ns: int) -> ListenerState:
        """Judge it by our clock."""
        if not self.updated_ns:
            return ListenerState.NEVER
        if now_ns - self.updated_ns > AWAY_NS:
            return ListenerState.AWAY
        if not self.connected:
            return ListenerState.DISCONNECTED
        # A connection that is new gets a moment, and no more: one that comes and goes without a word is silent, too.
        settled = now_ns - self.since_ns > min(SETTLE_NS, silent_after_ns)
        silent = now_ns - self.last_message_ns > silent_after_ns
        return ListenerState.SILENT if silent and settled else ListenerState.RECEIVING

    @property
    def quiet_since_ns(self) -> int:
        """Since when no deals come, where they do not."""
        if self.connected:
            return self.last_message_ns or self.since_ns
        return self.since_ns or self.last_message_ns or self.updated_ns

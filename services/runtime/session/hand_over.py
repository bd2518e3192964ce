"""How a session comes from history to live data, and how far it is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


class HandOverKind(enum.IntEnum):
    """When live data begins, as HandOver.Kind of market.proto numbers it."""

    AT_ONCE = 1
    """With the switch."""
    AT_END = 2
    """Where history ends."""
    JOIN = 3
    """Where history has caught up with the feed."""

    @classmethod
    def of(cls, value: int) -> HandOverKind:
        """Return the kind; 0 is at once. Raises ValueError."""
        return cls(value or cls.AT_ONCE)


HAND_OVERS: Final[Mapping[str, HandOverKind]] = {
    "at-once": HandOverKind.AT_ONCE,
    "at-end": HandOverKind.AT_END,
    "join": HandOverKind.JOIN,
}
"""What people call them."""


class HandOverPhase(enum.IntEnum):
    """How far a hand-over is, as HandOver.Phase of market.proto numbers it."""

    NONE = 0
    CATCHING_UP = 1
    """History is played, and the feed's messages wait."""
    MEETING = 2
    """History is at its end, and both have not met yet."""
    JOINED = 3


@dataclass(frozen=True)
class HandOverReport:
    """What is told of a hand-over."""

    kind: HandOverKind = HandOverKind.AT_ONCE
    phase: HandOverPhase = HandOverPhase.NONE
    buffered_frames: int = 0
    """Messages of the feed that wait."""
    overlap_removed: int = 0
    """Live records left out because they were published already."""
    gap_ns: int = 0
    """As the seam has it."""
    rejoins: int = 0
    """How often recorded files have filled what a lost feed left out."""

    @property
    def is_under_way(self) -> bool:
        """Whether the session is on its way to live data."""
        return self.phase in (HandOverPhase.CATCHING_UP, HandOverPhase.MEETING)

    def fields(self) -> dict[str, int]:
        """Return it as JSON values; empty when nobody asked for more than a switch."""
        if self.kind is HandOverKind.AT_ONCE:
            return {}
        return {name: int(value) for name, value in vars(self).items()}

    @classmethod
    def read(cls, fields: Mapping[str, Any] | None) -> HandOverReport:
        """Read JSON values. Raises what reading values that are none raises."""
        if not fields:
            return cls()
        return cls(
            kind=HandOverKind.of(int(fields.get("kind") or 0)),
            phase=HandOverPhase(int(fields.get("phase") or 0)),
            **{
                name: int(fields.get(name) or 0) for name in ("buffered_frames", "overlap_removed", "gap_ns", "rejoins")
            },
        )


NO_HAND_OVER: Final = HandOverReport()

"""What an operator can have happen once, and when: intents that are no settings, so that no sum of the journal restores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, get_args

STEPS_MAX: Final = 1_000_000
"""Ticks that one step may publish."""

SeekTo = Literal["time", "by", "begin", "end", "sequence", "key"]
"""What a position is named by; `key` is what a replay of a session names, exact among equal times."""


@dataclass(frozen=True)
class Seek:
    """Move replay time."""

    kind: ClassVar[str] = "seek"

    to: SeekTo
    at: int = 0
    """Arrival time in ns, nanoseconds from now, or a sequence."""
    key: tuple[int, int, int] | None = None
    """Of the last record before the position."""

    def fields(self) -> dict[str, Any]:
        return {"to": self.to, "at": self.at} | ({} if self.key is None else {"key": list(self.key)})

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Seek:
        to = fields["to"]
        if to not in get_args(SeekTo):
            raise ValueError(f"nothing is known to seek to by {to!r}")
        key = fields.get("key")
        if (key is None) is (to == "key"):
            raise ValueError("a key is missing, or one too many")
        return cls(to, int(fields.get("at") or 0), None if key is None else (int(key[0]), int(key[1]), int(key[2])))


@dataclass(frozen=True)
class Step:
    """Pause, and publish the next ticks at once: `ticks` of them, or all up to the next one of `ticker`."""

    kind: ClassVar[str] = "step"

    ticks: int = 1
    ticker: str = ""

    def fields(self) -> dict[str, Any]:
        return {"ticks": self.ticks} | ({"ticker": self.ticker} if self.ticker else {})

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Step:
        return cls(int(fields.get("ticks") or 1), str(fields.get("ticker") or ""))


@dataclass(frozen=True)
class Cancel:
    """Have a scheduled command not happen."""

    kind: ClassVar[str] = "cancel"

    revision: int

    def fields(self) -> dict[str, Any]:
        return {"revision": self.revision}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Cancel:
        return cls(int(fields["revision"]))


Event = Seek | Step | Cancel
EVENTS: Final[tuple[type[Event], ...]] = (Seek, Step, Cancel)


@dataclass(frozen=True)
class When:
    """Where in the records a command takes effect; one of the three is set."""

    arrival_time_ns: int | None = None
    """Behind every record that arrives before, and before all others."""
    after_sequence: int | None = None
    at_end: bool = False
    """Where the recorded files, or the range, end."""

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if self.arrival_time_ns is not None:
            return {"arrival_time_ns": self.arrival_time_ns}
        return {"at_end": True} if self.after_sequence is None else {"after_sequence": self.after_sequence}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> When:
        """Read JSON values. Raises ValueError unless one of the three is set."""
        at, after = fields.get("arrival_time_ns"), fields.get("after_sequence")
        at_end = bool(fields.get("at_end"))
        if (at is not None) + (after is not None) + at_end != 1:
            raise ValueError("a command is scheduled for one place")
        return cls(None if at is None else int(at), None if after is None else int(after), at_end)

    def __str__(self) -> str:
        if self.arrival_time_ns is not None:
            return f"at {self.arrival_time_ns}"
        return "at the end" if self.after_sequence is None else f"after {self.after_sequence}"

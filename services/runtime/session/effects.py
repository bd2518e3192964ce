"""Effects: where in the records each intent took effect. The engine writes them with its checkpoint, everybody reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.runtime.json_text import read_json
from services.runtime.session.intents import Intent
from services.runtime.session.versions import check_version

if TYPE_CHECKING:
    from fastpath.columns import Key

VERSION: Final = 1
EFFECTS_MAX: Final = 10_000
"""Effects kept in Redis; the oldest go."""


@dataclass(frozen=True)
class Effect:
    """One intent that was applied, or refused, and where."""

    number: int
    """From 1, without holes, as long as the session lasts."""
    revision: int
    intent: Intent | None
    """None: the entry of the journal could not be read."""
    epoch: str
    sequence: int
    """The last record before it."""
    mode: int
    time_ns: int = 0
    last_key: Key | None = None
    """Of that record."""
    refused: str = ""
    """Why it had no effect; empty when it had one."""
    scheduled: bool = False
    """It was put on the list of those that wait for their place; its effect is told when it has one."""
    steps: int = 0
    """Ticks that a step has published."""
    marker_sequence: int = 0
    """Where replay time was moved: sequence of the marker that tells it."""
    position: Key | None = None
    """Where to: the record whose key is this one and all before it come before the position."""
    position_arrival_time_ns: int = 0
    """Replay time there; 0 is the very beginning."""

    def fields(self) -> dict[str, Any]:
        """Return the effect as JSON values; what is not known is left out."""
        fields = {
            "version": VERSION,
            "number": self.number,
            "revision": self.revision,
            "intent": None if self.intent is None else self.intent.fields(),
            "epoch": self.epoch,
            "sequence": self.sequence,
            "mode": self.mode,
            "time_ns": self.time_ns,
            "last_key": self.last_key,
            "refused": self.refused,
            "scheduled": self.scheduled,
            "steps": self.steps,
            "marker_sequence": self.marker_sequence,
            "position": self.position,
            "position_arrival_time_ns": self.position_arrival_time_ns,
        }
        return {name: value for name, value in fields.items() if value not in (None, "") and value is not False}

    def encode(self) -> str:
        """Return the effect as it lies in Redis."""
        return json.dumps(self.fields(), separators=(",", ":"))

    @classmethod
    def decode(cls, stored: bytes | str) -> Effect:
        """Read an effect. Raises NewerVersion, and ValueError on what cannot be read."""
        try:
            fields: dict[str, Any] = read_json(stored)
            check_version("an effect in the journal", fields.get("version"), VERSION)
            intent = fields.get("intent")
            return cls(
                number=int(fields["number"]),
                revision=int(fields["revision"]),
                intent=None if intent is None else Intent.read(intent),
                epoch=str(fields["epoch"]),
                sequence=int(fields["sequence"]),
                mode=int(fields["mode"]),
                time_ns=int(fields.get("time_ns") or 0),
                last_key=_key(fields.get("last_key")),
                refused=str(fields.get("refused") or ""),
                scheduled=bool(fields.get("scheduled")),
                steps=int(fields.get("steps") or 0),
                marker_sequence=int(fields.get("marker_sequence") or 0),
                position=_key(fields.get("position")),
                position_arrival_time_ns=int(fields.get("position_arrival_time_ns") or 0),
            )
        except (KeyError, TypeError, AttributeError, OverflowError, IndexError) as exc:
            raise ValueError(f"the effect cannot be read ({type(exc).__name__})") from exc


def _key(stored: Any) -> Key | None:
    return None if stored is None else (int(stored[0]), int(stored[1]), int(stored[2]))

"""Intents of an operator, in one vocabulary from the gRPC call to the engine's loop.

Another intent is another class here, a member of `Setting` with the field of `Effective` that it changes, or of `Event`.
Control makes it from a request, the journal carries it as JSON, the engine's `steering` applies it, and mypy names what was forgotten.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, get_args

from fastpath.frame import MODE_HISTORICAL, MODE_LIVE
from services.runtime.json_text import read_json
from services.runtime.session.versions import check_version

VERSION: Final = 1

MODE_NAMES: Final[Mapping[int, str]] = {MODE_HISTORICAL: "historical", MODE_LIVE: "live"}
"""The modes and what people call them."""
SPEED_MAX: Final = 1e6


@dataclass(frozen=True)
class RefusedIntent:
    """The last intent that could not be applied, and why."""

    revision: int
    reason: str


@dataclass(frozen=True)
class Effective:
    """What operators decide; replaced as a whole, so that a report never mixes two revisions."""

    mode: int = 0
    """0 while the engine has not decided."""
    revision: int = 0
    """Of the last intent that was applied or refused."""
    paused: bool = False
    speed: float = 0.0
    """Factor of real time; 0 is as fast as possible."""
    refused: RefusedIntent | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is in effect as JSON values; `refused` has another form in each place that tells it."""
        return {"mode": self.mode, "revision": self.revision, "paused": self.paused, "speed": self.speed}

    def texts(self) -> dict[str, str]:
        """Return the same as values of a Redis hash."""
        return {name: repr(int(value) if isinstance(value, bool) else value) for name, value in self.fields().items()}

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, refused: RefusedIntent | None = None) -> Effective:
        """Read JSON values or those of a hash. Raises KeyError, TypeError and ValueError."""
        return cls(
            mode=int(fields["mode"]),
            revision=int(fields["revision"]),
            paused=fields["paused"] in (True, "1"),
            speed=float(fields["speed"]),
            refused=refused,
        )


@dataclass(frozen=True)
class SetMode:
    """Take ticks from another kind of source."""

    kind: ClassVar[str] = "mode"
    setting: ClassVar[str] = "mode"

    mode: int
    previous_mode: int = 0
    """In effect when it was asked for, which is what a repeated request is told; 0 when that was not known."""

    @property
    def value(self) -> str:
        return str(self.mode)

    def fields(self) -> dict[str, Any]:
        return {"mode": self.mode, "previous_mode": self.previous_mode}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> SetMode:
        return cls(int(fields.get("mode") or 0), int(fields.get("previous_mode") or 0))

    @classmethod
    def of_value(cls, value: str) -> SetMode | None:
        return cls(int(value)) if int(value) else None

    @classmethod
    def value_in(cls, effective: Effective) -> str:
        return str(effective.mode)


@dataclass(frozen=True)
class Pause:
    """Publish nothing; the position is kept."""

    kind: ClassVar[str] = "pause"
    setting: ClassVar[str] = "paused"
    value: ClassVar[str] = "1"

    def fields(self) -> dict[str, Any]:
        return {}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Pause:
        return cls()

    @classmethod
    def of_value(cls, value: str) -> Pause | None:
        return cls() if value == cls.value else None

    @classmethod
    def value_in(cls, effective: Effective) -> str:
        return "1" if effective.paused else "0"


@dataclass(frozen=True)
class Resume:
    """Publish again."""

    kind: ClassVar[str] = "resume"
    setting: ClassVar[str] = "paused"
    value: ClassVar[str] = "0"

    def fields(self) -> dict[str, Any]:
        return {}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Resume:
        return cls()

    @classmethod
    def of_value(cls, value: str) -> Resume | None:
        return cls() if value == cls.value else None

    @classmethod
    def value_in(cls, effective: Effective) -> str:
        return Pause.value_in(effective)


@dataclass(frozen=True)
class SetSpeed:
    """Replay history at another factor of real time; 0 is as fast as possible."""

    kind: ClassVar[str] = "speed"
    setting: ClassVar[str] = "speed"

    speed: float

    @property
    def value(self) -> str:
        return repr(float(self.speed))

    @property
    def in_range(self) -> bool:
        return math.isfinite(self.speed) and 0 <= self.speed <= SPEED_MAX

    def fields(self) -> dict[str, Any]:
        return {"speed": float(self.speed)}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> SetSpeed:
        return cls(float(fields.get("speed") or 0.0))

    @classmethod
    def of_value(cls, value: str) -> SetSpeed | None:
        return cls(float(value))

    @classmethod
    def value_in(cls, effective: Effective) -> str:
        return repr(float(effective.speed))


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


Setting = SetMode | Pause | Resume | SetSpeed
"""What stays as it was asked for until something else is. `setting` names the field of `Effective`."""
Event = Seek
"""What takes effect once. The sum of the journal knows nothing of it."""
Change = Setting | Event
"""One thing that an operator can ask for. `kind` names it in the journal."""
SETTINGS: Final[tuple[type[Setting], ...]] = (SetMode, Pause, Resume, SetSpeed)
EVENTS: Final[tuple[type[Event], ...]] = (Seek,)
_BY_KIND: Final[Mapping[str, type[Change]]] = {change.kind: change for change in (*SETTINGS, *EVENTS)}


@dataclass(frozen=True)
class Intent:
    """One change, and who asked for it when: an entry of the control journal."""

    change: Change
    request_id: str = ""
    correlation_id: str = ""
    time_ns: int = 0
    traceparent: str = ""
    """The span of the call that asked for it, as W3C writes it; empty where nothing is traced."""

    def fields(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {
            "version": VERSION,
            "request_id": self.request_id,
            "time_ns": self.time_ns,
            "correlation_id": self.correlation_id,
            "kind": self.change.kind,
            **({"traceparent": self.traceparent} if self.traceparent else {}),
            **self.change.fields(),
        }

    def encode(self) -> str:
        """Return the entry as it lies in the journal."""
        return json.dumps(self.fields())

    @classmethod
    def decode(cls, entry: bytes) -> Intent:
        """Read an entry. Raises NewerVersion, and ValueError on what cannot be read."""
        try:
            return cls.read(read_json(entry))
        except UnknownIntent:
            raise
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as exc:
            raise ValueError(f"the entry cannot be read ({type(exc).__name__})") from exc

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Intent:
        """Read JSON values. Raises NewerVersion, and what reading values that are none raises."""
        check_version("an intent in the control journal", fields.get("version"), VERSION)
        kind = str(fields["kind"])
        change = _BY_KIND.get(kind)
        if change is None:
            raise UnknownIntent(kind)
        return cls(
            change.read(fields),
            request_id=str(fields.get("request_id") or ""),
            correlation_id=str(fields.get("correlation_id") or ""),
            time_ns=int(fields.get("time_ns") or 0),
            traceparent=str(fields.get("traceparent") or ""),
        )


class UnknownIntent(ValueError):
    """An entry of this version asks for something that nobody knows."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"intent {kind[:64]!r} is unknown")


@dataclass(frozen=True)
class Intended:
    """What a journal adds up to: what was asked for last, setting by setting."""

    revision: int = 0
    changes: tuple[Setting, ...] = ()
    revisions: Mapping[str, int] = field(default_factory=dict)
    """By setting, the revision of the intent that asked for it."""

    @property
    def mode(self) -> int:
        """The mode last asked for; 0 when none was."""
        return next((change.mode for change in self.changes if isinstance(change, SetMode)), 0)

    @classmethod
    def decode(cls, stored: Mapping[bytes, bytes]) -> Intended:
        """Read the hash that Control's script keeps. Raises NewerVersion, and ValueError on what cannot be read."""
        fields = {name.decode(): value.decode() for name, value in stored.items()}
        version = fields.get("version")
        check_version("the sum of the control journal", None if version is None else int(version), VERSION)
        changes = [kind.of_value(fields[kind.setting]) for kind in SETTINGS if kind.setting in fields]
        return cls(
            revision=int(fields.get("revision", 0)),
            changes=tuple(change for change in changes if change is not None),
            revisions={
                kind.setting: int(fields[f"{kind.setting}_revision"])
                for kind in SETTINGS
                if f"{kind.setting}_revision" in fields
            },
        )

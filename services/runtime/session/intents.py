"""Intents of an operator, in one vocabulary from the gRPC call to the engine's loop.

Another intent is another class here, a member of `Setting` with the field of `Effective` that it changes, or of `Event`.
Control makes it from a request, the journal carries it as JSON, the engine's `steering` applies it, and mypy names what was forgotten.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from fastpath.frame import MODE_HISTORICAL, MODE_LIVE
from services.runtime.json_text import read_json
from services.runtime.session.events import EVENTS, Event, When
from services.runtime.session.hand_over import HandOverKind
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
class Range:
    """Which records are played, by arrival time; None is unbounded."""

    start_ns: int | None = None
    end_ns: int | None = None
    """The first arrival time that is not played any more."""
    loop: bool = False
    """Begin again at the end, instead of stopping there."""

    def __str__(self) -> str:
        bounds = ("" if bound is None else str(bound) for bound in (self.start_ns, self.end_ns))
        return f"{':'.join(bounds)}:{'loop' if self.loop else 'stop'}"

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read what `str` wrote. Raises ValueError."""
        start, end, then = text.split(":")
        if then not in ("loop", "stop"):
            raise ValueError(f"a range ends with loop or stop, not {then!r}")
        return cls(int(start) if start else None, int(end) if end else None, then == "loop")


EVERYTHING: Final = Range()


HAND_OVER_REVISION: Final = "hand_over_revision"
"""Field of the journal's sum: a hand-over is no setting, and what was asked for last nevertheless."""


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
    range: Range = EVERYTHING
    hand_over: HandOverKind = HandOverKind.AT_ONCE
    """How live data was come to: a session that joined its feed joins it again when it was lost."""
    refused: RefusedIntent | None = None

    def fields(self) -> dict[str, Any]:
        """Return what is in effect as JSON values; `refused` has another form in each place that tells it."""
        return {
            "mode": self.mode,
            "revision": self.revision,
            "paused": self.paused,
            "speed": self.speed,
            "range": str(self.range),
            "hand_over": int(self.hand_over),
        }

    def texts(self) -> dict[str, str]:
        """Return the same as values of a Redis hash."""
        return {
            name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in self.fields().items()
        }

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, refused: RefusedIntent | None = None) -> Effective:
        """Read JSON values or those of a hash. Raises KeyError, TypeError and ValueError."""
        return cls(
            mode=int(fields["mode"]),
            revision=int(fields["revision"]),
            paused=fields["paused"] in (True, "1"),
            speed=float(fields["speed"]),
            range=Range.parse(str(fields.get("range") or EVERYTHING)),
            hand_over=HandOverKind.of(int(fields.get("hand_over") or 0)),
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
    hand_over: HandOverKind = HandOverKind.AT_ONCE

    @property
    def waits(self) -> bool:
        """Whether it takes effect later, where history and the feed meet: no setting until then."""
        return self.mode == MODE_LIVE and self.hand_over is not HandOverKind.AT_ONCE

    @property
    def value(self) -> str:
        return str(self.mode)

    def fields(self) -> dict[str, Any]:
        later = {"hand_over": int(self.hand_over)} if self.hand_over is not HandOverKind.AT_ONCE else {}
        return {"mode": self.mode, "previous_mode": self.previous_mode} | later

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> SetMode:
        kind = HandOverKind.of(int(fields.get("hand_over") or 0))
        return cls(int(fields.get("mode") or 0), int(fields.get("previous_mode") or 0), kind)

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


@dataclass(frozen=True)
class SetRange:
    """Play a part of the recorded files."""

    kind: ClassVar[str] = "range"
    setting: ClassVar[str] = "range"

    range: Range

    @property
    def value(self) -> str:
        return str(self.range)

    @property
    def in_order(self) -> bool:
        start_ns, end_ns = self.range.start_ns, self.range.end_ns
        return start_ns is None or end_ns is None or start_ns < end_ns

    def fields(self) -> dict[str, Any]:
        return {"range": self.value}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> SetRange:
        return cls(Range.parse(str(fields["range"])))

    @classmethod
    def of_value(cls, value: str) -> SetRange | None:
        return cls(Range.parse(value))

    @classmethod
    def value_in(cls, effective: Effective) -> str:
        return str(effective.range)


Setting = SetMode | Pause | Resume | SetSpeed | SetRange
"""What stays as it was asked for until something else is. `setting` names the field of `Effective`."""
Change = Setting | Event
"""One thing that an operator can ask for. `kind` names it in the journal."""
SETTINGS: Final[tuple[type[Setting], ...]] = (SetMode, Pause, Resume, SetSpeed, SetRange)
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
    when: When | None = None
    """None is at once."""
    partition: int | None = None
    """The only partition that it is for; None: all of them. A rerun repeats each partition by itself."""

    @property
    def setting(self) -> Setting | None:
        """What stays as it is asked for here until something else is; None for what happens once."""
        if self.when is not None or isinstance(self.change, Event):
            return None
        return None if isinstance(self.change, SetMode) and self.change.waits else self.change

    def fields(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {
            "version": VERSION,
            "request_id": self.request_id,
            "time_ns": self.time_ns,
            "correlation_id": self.correlation_id,
            "kind": self.change.kind,
            **({"traceparent": self.traceparent} if self.traceparent else {}),
            **({} if self.when is None else {"when": self.when.fields()}),
            **({} if self.partition is None else {"partition": self.partition}),
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
            when=None if fields.get("when") is None else When.read(fields["when"]),
            partition=None if fields.get("partition") is None else int(fields["partition"]),
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
    hand_over_revision: int = 0
    """Of the intent that asked for a hand-over last; 0 when none did."""

    @property
    def mode(self) -> int:
        """The mode last asked for; 0 when none was."""
        if self.hand_over_revision > self.revisions.get(SetMode.setting, 0):
            return MODE_LIVE
        return next((change.mode for change in self.changes if isinstance(change, SetMode)), 0)

    @property
    def mode_revision(self) -> int:
        """Of the intent that asked for `mode`."""
        return max(self.hand_over_revision, self.revisions.get(SetMode.setting, 0))

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
            hand_over_revision=int(fields.get(HAND_OVER_REVISION, 0)),
        )

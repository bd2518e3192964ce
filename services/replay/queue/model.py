"""Values that the publisher takes and gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastpath.records import Marker
from services.runtime.json_text import read_json, short_reason
from services.runtime.session.effects import Effect
from services.runtime.session.intents import Effective
from services.runtime.session.versions import check_version

CHECKPOINT_VERSION: Final = 1


@dataclass(frozen=True)
class QueueLimits:
    """How much may be unread, and how much is kept for late readers."""

    high_bytes: int = 32 << 20
    """Unread bytes at which the producer waits. One batch always fits."""
    high_records: int = 512 << 10
    high_data_time_ns: int | None = None
    """Span of arrival times that may be unread; None is no limit."""
    retain_bytes: int = 64 << 20
    """The newest committed entries stay up to this."""
    group_lease_s: float = 3600.0
    """A consumer group without any call for so long does not hold the producer back any more."""

    def __post_init__(self) -> None:
        for name in ("high_bytes", "high_records", "group_lease_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive (got {getattr(self, name)})")
        if self.retain_bytes < 0:
            raise ValueError(f"`retain_bytes` must not be negative (got {self.retain_bytes})")


@dataclass(frozen=True)
class SinkExpectation:
    """The sinks (and consumer groups of the same name) that belong to this session."""

    names: tuple[str, ...] = ()
    """Until such a group exists, everything counts as unread."""
    grace_s: float = 5.0
    """How long a missing announcement is waited for before its absence is believed."""


@dataclass(frozen=True)
class Watermark:
    """Behind the records up to `sequence` nothing arrives before `arrival_time_ns`, unless a marker of a move or a switch comes first."""

    sequence: int
    arrival_time_ns: int

    def encode(self, epoch: str) -> str:
        """Return what `SessionKeys.watermark` holds."""
        return f"{epoch} {self.sequence} {self.arrival_time_ns}"


@dataclass(frozen=True)
class Checkpoint:
    """What the engine has applied; stored together with the entries it covers."""

    effective: Effective
    seams: tuple[dict[str, Any], ...]
    inputs: str
    sequence: int
    unrepeatable: int = 0
    """The last number in the epoch under which replay time was moved; 0 is none. What is before it cannot be numbered again by counting."""
    moving: bool = False
    """Only some of the markers of a move are out: it has to be told anew."""
    position_arrival_time_ns: int = 0
    """Replay time behind `sequence`; 0 is not known."""
    countable: bool = False
    """Every number of the epoch is that of a row, counted from the beginning of the files."""
    effect_number: int = 0
    """Of the last effect that is known."""
    scheduled: tuple[dict[str, Any], ...] = ()
    """Commands that wait for their place, by revision."""
    step: dict[str, Any] | None = None
    """What is left of a step."""
    effects: tuple[Effect, ...] = ()
    """Those that may not be in Redis yet: they are written with the checkpoint, each once."""

    def fields(self) -> list[str]:
        """Return field, value, field, value as HSET takes them."""
        fields = self.effective.texts() | {
            "version": str(CHECKPOINT_VERSION),
            "seams": json.dumps(self.seams, separators=(",", ":")),
            "inputs": self.inputs,
            "sequence": str(self.sequence),
            "unrepeatable": str(self.unrepeatable),
            "moving": str(int(self.moving)),
            "position_arrival_time_ns": str(self.position_arrival_time_ns),
            "countable": str(int(self.countable)),
            "effect_number": str(self.effect_number),
            "scheduled": json.dumps(self.scheduled, separators=(",", ":")),
            "step": json.dumps(self.step, separators=(",", ":")),
        }
        return [text for field in fields.items() for text in field]


@dataclass(frozen=True)
class Adopted:
    """Where the engine goes on."""

    epoch: str
    next_sequence: int
    cursor: bytes
    """Encoded HistoricalCursor; empty is the beginning."""
    checkpoint: Checkpoint | None
    gap: Marker | None
    """Due with the next live record (lost live ticks: at `next_sequence`, before anything else)."""
    fresh: bool
    """Nothing of this session was there."""
    order_state: bytes = b""
    """What was stored with the record before `next_sequence` about the order so far; empty: nothing, or with another record."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """The checkpoint hash as found in Redis."""

    epoch: str
    run_id: str
    checkpoint: Checkpoint
    replicated: bool = False
    """The process that stored it had replicas, or was one before."""


@dataclass(frozen=True)
class RedisProcess:
    """Who answers."""

    run_id: str
    replicated: bool
    """It has replicas, was one, or is part of a cluster: where another process answers, what this one has acknowledged may be gone."""
    promoted: bool
    """It was a replica."""


@dataclass(frozen=True)
class Tail:
    """The newest entry of the stream."""

    epoch: str
    mode: int
    first: int
    last: int
    cursor: bytes
    arrival_time_ns: int
    repeatable: bool = True
    """It holds nothing but records that are found again by counting from the beginning."""


@dataclass(frozen=True)
class Memory:
    """How far this process itself came before the queue was lost."""

    epoch: str
    sequence: int
    live_sequence: int
    """Last sequence that cannot be published again: of a live record, or of a discontinuity; 0 is none."""


def parse_checkpoint(fields: Mapping[bytes, bytes]) -> StoredCheckpoint | None:
    """Return the stored checkpoint; None when there is none. Raises NewerVersion, and ValueError on one that cannot be read."""
    if not fields:
        return None
    text = {key.decode(): value.decode() for key, value in fields.items()}
    try:
        version = text.get("version")
        check_version("the checkpoint in Redis", None if version is None else int(version), CHECKPOINT_VERSION)
        seams = read_json(text["seams"])
        checkpoint = Checkpoint(
            effective=Effective.read(text),
            seams=tuple(seams),
            inputs=text["inputs"],
            sequence=int(text["sequence"]),
            unrepeatable=int(text.get("unrepeatable", 0)),
            moving=text.get("moving") == "1",
            position_arrival_time_ns=int(text.get("position_arrival_time_ns", 0)),
            countable=text.get("countable") == "1",
            effect_number=int(text.get("effect_number", 0)),
            scheduled=tuple(read_json(text.get("scheduled", "[]"))),
            step=read_json(text.get("step", "null")),
        )
    except (KeyError, ValueError, TypeError) as exc:
        raise ValueError(f"the checkpoint in Redis cannot be read ({short_reason(exc)}): {str(text)[:500]}") from exc
    return StoredCheckpoint(
        epoch=text.get("epoch", ""),
        run_id=text.get("run_id", ""),
        checkpoint=checkpoint,
        replicated=text.get("replicated") == "1",
    )

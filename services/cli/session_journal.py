"""The journal of a session as a file: what was played in which way, and where each command took effect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fastpath.frame import MODE_LIVE
from services.runtime.errors import InvalidRequest, StartRefused
from services.runtime.json_text import read_json
from services.runtime.private_files import private_opener
from services.runtime.session.effects import Effect
from services.runtime.session.events import Seek, When
from services.runtime.session.intents import Intent, Pause, SetMode, SetRange
from services.runtime.session.partitions import Partition, Partitioning
from services.runtime.session.versions import NewerVersion, check_version

VERSION: Final = 1


@dataclass(frozen=True)
class Played:
    """The first line: what a session played, and what its logs held when the journal was written."""

    session: str
    epoch: str
    last_sequence: int
    """The logs hold the records up to this one."""
    files: tuple[str, ...]
    """As they were named."""
    reading: dict[str, Any]
    """How they were read: the settings of it, as they were given."""
    inputs: str
    """Their fingerprint, and that of the reading."""
    latency_threshold_ns: int
    log_timestamp: str
    order_digest: str
    mid_bytes: int
    error_bytes: int
    exported_time_ns: int = 0
    proofs_every: int = 0
    """Records between two of `proofs`; 0: there are none."""
    proofs: tuple[str, ...] = ()
    """The digest behind so many records, behind twice as many, and so on."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What became of the records; empty where it is not told."""
    version: int = VERSION
    partition: int = 0
    """Which one of `partitions` played this."""
    partitions: int = 1
    assigned: Mapping[str, int] = field(default_factory=dict)
    """Tickers that were given a partition."""

    @property
    def place(self) -> Partition:
        """Return which part of the session's records these are."""
        return Partition(self.partition, Partitioning(self.partitions, self.assigned))

    @property
    def named(self) -> str:
        """Say whose this is, to begin a sentence with; nothing where there is one partition."""
        return "" if self.partitions == 1 else f"partition {self.partition}: "

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values: first the partition, where there are several."""
        fields = asdict(self)
        parts = {name: fields.pop(name) for name in ("partition", "partitions", "assigned")}
        return fields if self.partitions == 1 else parts | fields


@dataclass(frozen=True)
class SessionJournal:
    """What a session played, or one of its partitions, and the effects up to where its logs end."""

    played: Played
    effects: tuple[Effect, ...]

    def plan(self) -> list[Intent]:
        """Return what has to be asked for, behind which record, so that the same records are published in the same order.

        Pauses, speeds and steps change only when they are. Raises StartRefused where that cannot be.
        """
        self._check()
        asked: list[Intent] = []
        for effect in self.effects:
            intent = effect.intent
            if effect.refused or effect.scheduled or intent is None:
                continue
            when = When(after_sequence=effect.sequence)
            match intent.change:
                case SetMode(mode=mode) if mode == MODE_LIVE:
                    raise StartRefused(
                        f"{self.played.named}the session was switched to live behind record {effect.sequence}, and live records come once: "
                        "only what is played from files can be repeated"
                    )
                case Seek() if effect.position is not None:
                    place = Seek("key", at=effect.position_arrival_time_ns, key=effect.position)
                    asked.append(Intent(place, when=when))
                case SetRange():
                    asked.append(replace(intent, when=when))
        asked.append(Intent(Pause(), when=When(after_sequence=self.played.last_sequence)))
        if self.played.partitions == 1:
            return asked
        return [replace(intent, partition=self.played.partition) for intent in asked]

    def _check(self) -> None:
        numbers = [effect.number for effect in self.effects]
        if numbers != list(range(1, len(numbers) + 1)):
            raise StartRefused(
                f"{self.played.named}the journal is not whole: its {len(numbers)} effects begin with number {min(numbers)} and end with "
                f"{max(numbers)}; older ones are not kept any more, so write journals more often"
            )
        others = {effect.epoch for effect in self.effects} - {self.played.epoch}
        if others:
            raise StartRefused(
                f"{self.played.named}the session lost its queue and its numbering began anew while it was played, so the places of its "
                "commands cannot be told any more"
            )


@dataclass(frozen=True)
class WholeJournal:
    """The file: the journal of every partition, of which most sessions have one."""

    parts: tuple[SessionJournal, ...]
    """By partition."""

    @property
    def session(self) -> str:
        return self.parts[0].played.session

    @property
    def partitioning(self) -> Partitioning:
        """Return how the session's records are spread."""
        return self.parts[0].played.place.of

    @property
    def last_sequence(self) -> int:
        """Of the last record in the logs, counted over all partitions."""
        return sum(part.played.last_sequence for part in self.parts)

    @property
    def effects(self) -> list[tuple[int, Effect]]:
        """Every effect, and the partition that had it. What is one command is behind each other: each has it at a place of its own."""
        found = [(part.played.partition, effect) for part in self.parts for effect in part.effects]
        if len(self.parts) > 1:
            found.sort(key=lambda each: (each[1].revision, each[0], each[1].number))
        return found

    def lines(self) -> Iterator[str]:
        """Return the lines of the file."""
        for part in self.parts:
            yield json.dumps(part.played.fields())
        for partition, effect in self.effects:
            yield effect.encode() if len(self.parts) == 1 else json.dumps({"partition": partition, **effect.fields()})

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        temporary = path.with_name(path.name + ".tmp")
        with open(temporary, "w", encoding="utf-8", opener=private_opener) as file:
            file.writelines(f"{line}\n" for line in self.lines())
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: Path) -> WholeJournal:
        """Read the file. Raises StartRefused for one that is none, or newer."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            count = _played(read_json(lines[0])).partitions
            played = [_played(read_json(line)) for line in lines[:count]]
            places = [each.place for each in played]
            if [(place.number, place.of) for place in places] != [(number, places[0].of) for number in range(count)]:
                raise ValueError(f"it begins with something else than a line for each of {count} partitions")
            effects: list[list[Effect]] = [[] for _ in played]
            for line in lines[count:]:
                effects[int(read_json(line).get("partition") or 0)].append(Effect.decode(line))
        except OSError as exc:
            raise StartRefused(f"{path} cannot be read: {exc.strerror}") from exc
        except NewerVersion as exc:
            raise StartRefused(f"{path}: {exc}") from exc
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, InvalidRequest) as exc:
            raise StartRefused(f"{path} is no journal of a session ({exc}); `midstream journal` writes one") from exc
        return cls(
            tuple(
                SessionJournal(each, tuple(sorted(found, key=lambda effect: effect.number)))
                for each, found in zip(played, effects, strict=True)
            )
        )


def _played(fields: dict[str, Any]) -> Played:
    if "partition" in fields and "partitions" not in fields:
        raise ValueError("it lists what a session of several partitions did, and not what it played")
    check_version("the journal", fields["version"], VERSION)
    known = Played.__dataclass_fields__
    tuples = {"files": tuple(fields["files"]), "proofs": tuple(fields.get("proofs") or ())}
    return Played(**{name: value for name, value in fields.items() if name in known} | tuples)

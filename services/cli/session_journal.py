"""The journal of a session as a file: what was played in which way, and where each command took effect."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from fastpath.frame import MODE_LIVE
from services.runtime.errors import StartRefused
from services.runtime.json_text import read_json
from services.runtime.private_files import private_opener
from services.runtime.session.effects import Effect
from services.runtime.session.events import Seek, When
from services.runtime.session.intents import Intent, Pause, SetMode, SetRange
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
    version: int = VERSION


@dataclass(frozen=True)
class SessionJournal:
    """What a session played, and the effects up to where its logs end."""

    played: Played
    effects: tuple[Effect, ...]

    def lines(self) -> Iterator[str]:
        """Return the lines of the file."""
        yield json.dumps(asdict(self.played))
        for effect in self.effects:
            yield effect.encode()

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        temporary = path.with_name(path.name + ".tmp")
        with open(temporary, "w", encoding="utf-8", opener=private_opener) as file:
            file.writelines(f"{line}\n" for line in self.lines())
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: Path) -> SessionJournal:
        """Read the file. Raises StartRefused for one that is none, or newer."""
        try:
            first, *rest = path.read_text(encoding="utf-8").splitlines()
            return cls(_played(read_json(first)), tuple(Effect.decode(line) for line in rest))
        except OSError as exc:
            raise StartRefused(f"{path} cannot be read: {exc.strerror}") from exc
        except NewerVersion as exc:
            raise StartRefused(f"{path}: {exc}") from exc
        except (ValueError, TypeError, KeyError) as exc:
            raise StartRefused(f"{path} is no journal of a session ({exc}); `midstream journal` writes one") from exc

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
                        f"the session was switched to live behind record {effect.sequence}, and live records come once: "
                        "only what is played from files can be repeated"
                    )
                case Seek() if effect.position is not None:
                    place = Seek("key", at=effect.position_arrival_time_ns, key=effect.position)
                    asked.append(Intent(place, when=when))
                case SetRange():
                    asked.append(replace(intent, when=when))
        return [*asked, Intent(Pause(), when=When(after_sequence=self.played.last_sequence))]

    def _check(self) -> None:
        numbers = [effect.number for effect in self.effects]
        if numbers != list(range(1, len(numbers) + 1)):
            raise StartRefused(
                f"the journal is not whole: its {len(numbers)} effects begin with number {min(numbers)} and end with "
                f"{max(numbers)}; older ones are not kept any more, so write journals more often"
            )
        others = {effect.epoch for effect in self.effects} - {self.played.epoch}
        if others:
            raise StartRefused(
                "the session lost its queue and its numbering began anew while it was played, so the places of its "
                "commands cannot be told any more"
            )


def _played(fields: dict[str, Any]) -> Played:
    if "partition" in fields:
        raise ValueError("it lists what a session of several partitions did")
    check_version("the journal", fields["version"], VERSION)
    known = Played.__dataclass_fields__
    return Played(
        **{name: value for name, value in fields.items() if name in known} | {"files": tuple(fields["files"])}
    )

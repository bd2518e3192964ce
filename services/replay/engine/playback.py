"""The playback of a session: what is in effect, and which number comes next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from fastpath.frame import MARKER_DISCONTINUITY, MODE_LIVE
from fastpath.records import Marker
from services.replay.engine import markers as marking
from services.replay.engine.journal import JournalEntry
from services.replay.engine.pacing import PacingClock
from services.replay.queue.model import Checkpoint
from services.replay.sources import Poll
from services.runtime.session.effects import Effect
from services.runtime.session.intents import EVERYTHING, Effective

if TYPE_CHECKING:
    from fastpath.columns import Key

SENT_MARKERS_MAX: Final = 256
"""Markers remembered, to publish them again at their place when Redis loses its last second."""


@dataclass(frozen=True)
class Move:
    """Where replay time is moved to."""

    key: Key
    """Records up to this key come before the position."""
    arrival_time_ns: int
    """Replay time there; 0 is the very beginning."""


@dataclass(frozen=True)
class StepUnderWay:
    """What is left of a step, and where it began."""

    entry: JournalEntry
    left: int
    """Ticks to publish."""
    ticker: str
    """Only those of this one count; empty is all."""
    done: int
    """Ticks published."""
    epoch: str
    sequence: int
    """The last record before it."""
    last_key: Key | None

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values, for the checkpoint."""
        assert self.entry.intent is not None
        return asdict(self) | {"entry": self.entry.fields()}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> StepUnderWay:
        """Read JSON values. Raises what reading values that are none raises."""
        key = fields["last_key"]
        return cls(
            entry=JournalEntry.read(fields["entry"]),
            left=int(fields["left"]),
            ticker=str(fields["ticker"]),
            done=int(fields["done"]),
            epoch=str(fields["epoch"]),
            sequence=int(fields["sequence"]),
            last_key=None if key is None else (int(key[0]), int(key[1]), int(key[2])),
        )


class Repeats:
    """Historical records that have numbers already and go out again, under the same numbers, before anything else."""

    def __init__(self) -> None:
        self.until = 0
        """The last number that goes out again."""
        self._markers: deque[Marker] = deque()
        self._sent: deque[Marker] = deque(maxlen=SENT_MARKERS_MAX)

    def note(self, markers: Iterable[Marker], first_sequence: int) -> None:
        """Remember markers that went out, the first of them under `first_sequence`."""
        for offset, marker in enumerate(markers):
            if marker.kind == MARKER_DISCONTINUITY:
                continue  # never goes out again: what is before it cannot be read again by counting
            self._sent.append(replace(marker, sequence=first_sequence + offset))

    def reset(self) -> None:
        """Forget everything: another numbering begins."""
        self.until, self._markers = 0, deque()
        self._sent.clear()

    def restart(self, next_sequence: int, until: int) -> None:
        """Have `next_sequence` to `until` go out again; 0 when what was lost cannot be read again."""
        sent = {marker.sequence: marker for marker in (*self._markers, *self._sent)}
        self.reset()
        self._sent.extend(sent[sequence] for sequence in sorted(sent) if sequence < next_sequence)
        if until:
            self.until = until
            self._markers.extend(sent[sequence] for sequence in sorted(sent) if sequence >= next_sequence)

    def take(self, next_sequence: int) -> tuple[list[Marker], int]:
        """Take the markers that come next; also return how many rows may follow them."""
        due: list[Marker] = []
        again = self._markers
        while again and again[0].sequence == next_sequence + len(due):
            due.append(again.popleft())
        following = again[0].sequence if again else self.until + 1
        return due, following - next_sequence - len(due)

    def put_back(self, markers: list[Marker]) -> None:
        """Have the markers that were taken come next after all."""
        self._markers.extendleft(reversed(markers))


@dataclass
class Playback:
    """What the parts of the engine share; its thread alone reads and writes it."""

    decided: Effective
    """What operators decided, without the speed: the pacing has it."""
    pacing: PacingClock

    epoch: str = ""
    next: int = 1
    numbered: int = 0
    """Highest number ever given in this epoch."""
    unrepeatable: int = 0
    """The last number in this epoch under which replay time was moved; 0 is none."""
    last_key: Key | None = None
    """Of the last record that was published."""
    position_arrival_time_ns: int = 0
    """Replay time: of the last historical record that was published, or where it was moved to since."""
    repeats: Repeats = field(default_factory=Repeats)

    markers: list[Marker] = field(default_factory=list)
    """Due with the next record."""
    urgent: bool = False
    """The markers go out now, without a record."""
    markers_stored: bool = False
    """The checkpoint in Redis names markers, so the batch that carries them has to renew it."""

    moving: bool = False
    """Only some of the markers of a move are out."""
    countable: bool = False
    """Every number of this epoch so far is that of a row of the files, counted from their beginning."""
    scheduled: tuple[JournalEntry, ...] = ()
    """Commands that wait for their place, by revision."""
    step: StepUnderWay | None = None
    loop_sequence: int = 0
    """The next number when the range last began again: when it is so still at its end, there is nothing in it."""
    effect_number: int = 0
    """Of the last effect."""
    effects: list[Effect] = field(default_factory=list)
    """Not known to be in Redis yet."""

    @property
    def repeating(self) -> bool:
        """Tell whether the next number was given before."""
        return self.next <= self.repeats.until

    @property
    def bounded(self) -> bool:
        """Whether there are boundaries that publishing must not run over."""
        return bool(self.scheduled) or self.step is not None or self.decided.range != EVERYTHING

    @property
    def mode(self) -> int:
        return self.decided.mode

    @property
    def paused(self) -> bool:
        return self.decided.paused

    @property
    def revision(self) -> int:
        """Of the last intent that was applied or refused."""
        return self.decided.revision

    def decide(self, **changes: Any) -> None:
        """Put fields of what is in effect to other values."""
        self.decided = replace(self.decided, **changes)

    def effective(self) -> Effective:
        """Return what is in effect, for the report and the checkpoint."""
        return replace(self.decided, speed=self.pacing.speed)

    def checkpoint(self, inputs: str) -> Checkpoint:
        """Return what a restarted engine has to know; `inputs` is the fingerprint of what is read."""
        return Checkpoint(
            self.effective(),
            seams=marking.to_json(self.markers),
            inputs=inputs,
            sequence=self.next - 1,
            unrepeatable=self.unrepeatable,
            moving=self.moving,
            position_arrival_time_ns=self.position_arrival_time_ns,
            countable=self.countable,
            effect_number=self.effect_number,
            scheduled=tuple(entry.fields() for entry in self.scheduled),
            step=None if self.step is None else self.step.fields(),
            effects=tuple(self.effects),
        )

    def replay_time_ns(self, now_ns: int) -> int:
        """Return the replay time of the moment: between two records it goes on with the clock."""
        return max(self.position_arrival_time_ns, self.pacing.replay_time_ns(now_ns) or 0)

    def end_step(self, time_ns: int, *, behind_ns: int | None = None) -> None:
        """Have the next checkpoint write down what a step did; nothing happens without one. `behind_ns` is the replay time behind it."""
        step, self.step = self.step, None
        if step is not None:
            self.note_effect(step.entry, time_ns=time_ns)
            self.effects[-1] = replace(
                self.effects[-1],
                epoch=step.epoch,
                sequence=step.sequence,
                last_key=step.last_key,
                steps=step.done,
                position_arrival_time_ns=self.position_arrival_time_ns if behind_ns is None else behind_ns,
            )

    def note_effect(
        self,
        entry: JournalEntry,
        *,
        time_ns: int,
        refused: str = "",
        scheduled: bool = False,
        moved: Move | None = None,
    ) -> None:
        """Have the next checkpoint write down what became of an intent, here."""
        self.effect_number += 1
        self.effects.append(
            Effect(
                number=self.effect_number,
                revision=entry.revision,
                intent=entry.intent,
                epoch=self.epoch,
                sequence=self.next - 1,
                mode=self.mode,
                time_ns=time_ns,
                last_key=self.last_key,
                refused=refused,
                scheduled=scheduled,
                marker_sequence=0 if moved is None else self.next,
                position=None if moved is None else moved.key,
                position_arrival_time_ns=0 if moved is None else moved.arrival_time_ns,
            )
        )

    def add_seam(self, previous_mode: int, *, time_ns: int, revision: int = 0, reason: str = "") -> None:
        """Have the next record say that the mode was another one before it."""
        self.markers.append(
            marking.seam(
                previous_mode=previous_mode,
                mode=self.mode,
                last_key=self.last_key,
                time_ns=time_ns,
                revision=revision,
                reason=reason,
            )
        )

    def take_markers(self, poll: Poll) -> None:
        """Have the markers of a live poll go out: with its rows, or at once when they are urgent."""
        if poll.markers:
            self.markers += [
                replace(marker, previous_mode=MODE_LIVE, mode=MODE_LIVE, last_key=self.last_key)
                for marker in poll.markers
            ]
        self.urgent = poll.urgent and poll.rows == 0

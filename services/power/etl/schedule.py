"""Learn from stamps when the provider publishes: how often, how far behind the full interval, and whether all hours at once.

A publication comes up to WINDOW_NS after its nominal moment. From stamps that all fit into one such window (modulo the period) the
nominal moment is known to lie between the last stamp less the window and the first stamp; where exactly one whole minute, or more,
lies in between, the latest of them is taken, because schedules are made by people. Stamps that fit no common window mean that hours
publish at different times: then each day's stamps are looked at, then each hour's.
"""

from __future__ import annotations

import json
import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from clients.power.calendar import DeliveryHour
from clients.power.store.pace import PERIOD_NS, WINDOW_NS, Pace
from services.runtime.json_text import read_json

__all__ = ["PublicationWindow", "Schedule"]

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
PERIOD_NS_MIN, PERIOD_NS_MAX = 2 * SECOND_NS, 86_400 * SECOND_NS
REMEMBERED: Final = 24
"""Publications per level; four hours of the documented schedule."""
DIFFERENCES_REMEMBERED: Final = 5
"""Few, so that a provider that changes its pace is followed soon."""
DIFFERENCES_AGREEING: Final = 3
"""Before they are believed against the documentation: a missed publication, or one that is late, makes one or two odd ones."""
FITTING: Final = 0.7
"""Share of stamps that have to fit one window: the others were late."""
SEVERAL: Final = 0.3
"""Where too few fit: share that is more than a coincidence."""
SLACK_NS: Final = 2 * SECOND_NS
"""Stamps are in whole seconds, and clocks differ a little."""
LEVELS_MAX: Final = 256
CLOCKS_REMEMBERED: Final = 12
CLOCKS_MIN: Final = 3

Level = tuple[str, ...]


@dataclass(frozen=True)
class PublicationWindow:
    """When the next price is expected, in our clock."""

    begin_ns: int
    end_ns: int


@dataclass
class Schedule:
    """The times of publication as learned. Feed it every new stamp once; it keeps a bounded past."""

    period_ns: int = PERIOD_NS
    """As documented, until several stamps of an hour, one after the other, say otherwise."""
    clock_difference_ns: int = 0
    """What to add to the provider's stamps to get our time; 0 while everything seen allows that."""
    _differences: deque[int] = field(default_factory=lambda: deque(maxlen=DIFFERENCES_REMEMBERED))
    _seen: dict[Level, deque[int]] = field(default_factory=dict)
    _settled: bool = False
    _measured_to_ns: int = 0
    """End of the last distance that was measured. Hours that publish apart all tell of the same missed publication: it counts once."""
    _clocks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=CLOCKS_REMEMBERED))
    _pairs: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _phases: dict[DeliveryHour, tuple[int, int]] = field(default_factory=dict)
    """What was worked out from the above; empty after each change of it."""

    @property
    def period_known(self) -> bool:
        """False while the period is only what the documentation says."""
        return self._settled

    def learn(self, hour: DeliveryHour, stamp_ns: int, *, before_ns: int | None) -> None:
        """Take note of a new stamp of an hour, and of the one that it replaced."""
        if before_ns is not None and stamp_ns > before_ns and (before_ns, stamp_ns) not in self._pairs:
            self._pairs.append((before_ns, stamp_ns))
            if before_ns >= self._measured_to_ns:
                self._measured_to_ns = stamp_ns
                self._differences.append(stamp_ns - before_ns)
                self._settle_period()
        for level in _levels(hour):
            stamps = self._seen.get(level)
            if stamps is None:
                if len(self._seen) >= LEVELS_MAX:
                    # The oldest level is of a day that is over.
                    self._seen.pop(next(name for name in self._seen if name))
                stamps = self._seen[level] = deque(maxlen=REMEMBERED)
            if stamp_ns not in stamps:
                stamps.append(stamp_ns)
                self._phases.clear()

    def learn_clock(self, stamp_ns: int, *, not_yet_ns: int, seen_ns: int) -> None:
        """Take note that a price of this stamp was not there at one moment of our clock and was at another."""
        self._clocks.append((not_yet_ns - stamp_ns - SECOND_NS, seen_ns - stamp_ns))
        self.clock_difference_ns = self._clock_difference_ns()

    def next_window(self, hour: DeliveryHour, stamp_ns: int) -> PublicationWindow:
        """Return when the price after this one is expected."""
        phase = self._phases.get(hour)
        if phase is None:
            phase = self._phases[hour] = self._phase(hour, stamp_ns)
        nominal_ns, width_ns = phase
        difference_ns = self.clock_difference_ns
        # The stamp belongs to the interval that it falls into, however late it came.
        number = (stamp_ns + SLACK_NS - nominal_ns) // self.period_ns
        begin_ns = nominal_ns + (number + 1) * self.period_ns + difference_ns
        return PublicationWindow(begin_ns, begin_ns + width_ns)

    def window_at(self, window: PublicationWindow, now_ns: int) -> PublicationWindow:
        """Return the latest window like this one that has begun, or this one if none has."""
        missed = max(0, (now_ns - window.begin_ns) // self.period_ns)
        shift_ns = missed * self.period_ns
        return PublicationWindow(window.begin_ns + shift_ns, window.end_ns + shift_ns)

    def to_json(self) -> str:
        """Return what a restart should not have to learn again, with what a dashboard wants to know."""
        return json.dumps(
            {
                **Pace(self.period_ns).fields(),
                "stamps": {"/".join(level): list(stamps) for level, stamps in self._seen.items() if len(level) < 2},
                "differences": list(self._differences),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        """Return what was saved; whatever cannot be read is learned again."""
        schedule = cls()
        try:
            saved: dict[str, Any] = read_json(text or "{}")
            for name, stamps in list(saved.get("stamps", {}).items())[-LEVELS_MAX:]:
                level = tuple(part for part in name.split("/") if part)
                schedule._seen[level] = deque((int(stamp) for stamp in stamps), maxlen=REMEMBERED)
            schedule._differences.extend(int(number) for number in saved.get("differences", ()))
            if len(schedule._differences) >= DIFFERENCES_AGREEING:
                schedule.period_ns = Pace.read(text).period_ns
            schedule._settle_period()
        except (ValueError, TypeError, AttributeError):
            return cls()
        return schedule

    def _clock_difference_ns(self) -> int:
        if len(self._clocks) < CLOCKS_MIN:
            return 0
        low = max(low for low, _ in self._clocks)
        high = min(high for _, high in self._clocks)
        if low > high or low <= 0 <= high:
            # Where stamps are no publication times (but nominal ones, say), what was seen contradicts itself.
            return 0
        return low if low > 0 else high

    def _settle_period(self) -> None:
        # Where some publications were missed or did not take place, the shortest distances tell the pace.
        for shortest_ns in sorted(self._differences):
            middle_ns = statistics.median_low(
                [found for found in self._differences if shortest_ns <= found <= 1.5 * shortest_ns]
            )
            documented = abs(middle_ns - PERIOD_NS) <= WINDOW_NS
            tolerance_ns = min(WINDOW_NS, middle_ns // 4)
            agreeing = sum(abs(found - middle_ns) <= tolerance_ns for found in self._differences)
            if agreeing >= (1 if documented and self.period_ns == PERIOD_NS else DIFFERENCES_AGREEING):
                self._settled = True
                self._set_period(PERIOD_NS if documented else middle_ns)
                return

    def _set_period(self, middle_ns: int) -> None:
        for step_ns in (MINUTE_NS, 10 * SECOND_NS, SECOND_NS):
            # Delays blur single differences by up to a window; the finer step is for schedules faster than that.
            rounded_ns = round(middle_ns / step_ns) * step_ns
            if rounded_ns >= 5 * step_ns:
                break
        self.period_ns = min(max(rounded_ns, PERIOD_NS_MIN), PERIOD_NS_MAX)
        self._phases.clear()

    def _phase(self, hour: DeliveryHour, stamp_ns: int) -> tuple[int, int]:
        """Return a nominal moment (of any interval) and how long after it a publication may come."""
        window_ns = min(WINDOW_NS, self.period_ns // 2)
        for level in _levels(hour):
            fitting = self._fitting(self._seen.get(level, ()), window_ns)
            if fitting is not None:
                return self._nominal(*fitting, window_ns)
        first_ns, last_ns = self._earliest(self._seen.get(_levels(hour)[-1], (stamp_ns,)), window_ns)
        return self._nominal(first_ns, last_ns, window_ns)

    def _fitting(self, stamps: Iterable[int], window_ns: int) -> tuple[int, int] | None:
        """Return first and last residue of the fullest window; None when too few fit one."""
        residues = sorted(stamp % self.period_ns for stamp in stamps)
        if not residues:
            return None
        turned = residues + [residue + self.period_ns for residue in residues]
        best = (0, 0, 0)
        end = 0
        for begin in range(len(residues)):
            while end < len(turned) and turned[end] - turned[begin] <= window_ns + SLACK_NS:
                end += 1
            best = max(best, (end - begin, -turned[begin], turned[end - 1]))
        count, first, last = best
        return (-first, last) if count >= FITTING * len(residues) else None

    def _earliest(self, stamps: Iterable[int], window_ns: int) -> tuple[int, int]:
        """Return first and last residue of the earliest window that holds several: whatever comes after it was late."""
        residues = sorted(stamp % self.period_ns for stamp in stamps)
        gaps = [later - earlier for earlier, later in pairwise([*residues, residues[0] + self.period_ns])]
        # What follows the longest silence comes first.
        begin = gaps.index(max(gaps)) + 1
        ordered = residues[begin:] + [residue + self.period_ns for residue in residues[:begin]]
        for first_ns in ordered:
            fitting = [residue for residue in ordered if 0 <= residue - first_ns <= window_ns + SLACK_NS]
            if len(fitting) >= SEVERAL * len(ordered):
                return first_ns, fitting[-1]
        return ordered[0], ordered[0]

    def _nominal(self, first_ns: int, last_ns: int, window_ns: int) -> tuple[int, int]:
        earliest_ns = last_ns - window_ns
        if self.period_ns % MINUTE_NS == 0:
            minute_ns = first_ns // MINUTE_NS * MINUTE_NS
            if minute_ns >= earliest_ns - SLACK_NS:
                return minute_ns, window_ns
        return earliest_ns, max(first_ns - earliest_ns, 0) + window_ns


def _levels(hour: DeliveryHour) -> tuple[Level, ...]:
    return (), (hour.day_text,), (hour.day_text, hour.label)

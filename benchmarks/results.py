"""What a benchmark found, and how it is shown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.machine import Machine

HEADINGS: Final = ("id", "what", "against", "measured", "min - max", "n", "must", "aim", "verdict")

Verdict = Literal["meets aim", "meets must", "below must", "for information", "skipped"]


@dataclass(frozen=True)
class Goal:
    """What the project owes (`must`) and wants (`aim`)."""

    must: float
    aim: float
    lower_is_better: bool = False

    def is_met(self, value: float, limit: float) -> bool:
        """Tell whether `value` is as good as `limit`."""
        return value <= limit if self.lower_is_better else value >= limit


@dataclass(frozen=True)
class Result:
    """One line of the table. `values` holds one figure per pair of runs: a ratio, or seconds where nothing is compared."""

    id: str
    what: str
    against: str
    values: tuple[float, ...]
    goal: Goal | None
    unit: str = "x"
    note: str = ""
    skipped: str = ""
    """Why nothing was measured."""

    @property
    def median(self) -> float:
        """The figure that counts."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> Verdict:
        """How the median stands to the goal."""
        if self.skipped:
            return "skipped"
        if self.goal is None:
            return "for information"
        if self.goal.is_met(self.median, self.goal.aim):
            return "meets aim"
        return "meets must" if self.goal.is_met(self.median, self.goal.must) else "below must"

    def cells(self) -> tuple[str, ...]:
        """The texts of its columns."""
        goal = self.goal
        sign = "<= " if goal is not None and goal.lower_is_better else ""
        limits = (f"{sign}{goal.must:g}{self.unit}", f"{sign}{goal.aim:g}{self.unit}") if goal is not None else ("", "")
        if self.skipped:
            return (self.id, self.what, self.against, "-", "", "0", *limits, self.verdict)
        spread = f"{_shown(min(self.values))} - {_shown(max(self.values))}"
        measured = f"{_shown(self.median)}{self.unit}"
        return (self.id, self.what, self.against, measured, spread, str(len(self.values)), *limits, self.verdict)


def table(results: Sequence[Result], machine: Machine) -> str:
    """Lay the results out for a terminal."""
    rows = [HEADINGS, *(result.cells() for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *_notes(results), "", str(machine)])


def markdown(results: Sequence[Result], machine: Machine) -> str:
    """Lay the results out as a markdown table."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    lines += [f"| {' | '.join(result.cells())} |" for result in results]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(results)), "", str(machine), ""])


def write_json(path: Path, results: Sequence[Result], machine: Machine, options: dict[str, object]) -> None:
    """Write everything that was found, for machines."""
    found = [
        asdict(result) | {"median": None if result.skipped else result.median, "verdict": result.verdict}
        for result in results
    ]
    content = {"machine": asdict(machine), "options": options, "results": found}
    path.write_text(json.dumps(content, indent=2) + "\n")


def _notes(results: Sequence[Result]) -> list[str]:
    return [f"{result.id}: {text}" for result in results for text in (result.note, result.skipped) if text]


def _shown(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

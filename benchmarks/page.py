"""docs/speed.md, written from the results of the last whole run: `python -m benchmarks.page`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import Machine
from benchmarks.results import Goal, Result

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results.json"
PAGE: Final = ROOT / "docs" / "speed.md"


def load(path: Path = RESULTS) -> tuple[Mapping[str, Any], list[Result]]:
    """Read what `python -m benchmarks` wrote: all of it, and its results."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = Result.__dataclass_fields__
    results = []
    for row in content["results"]:
        fields = {name: row[name] for name in names}
        fields["values"] = tuple(fields["values"])
        fields["goal"] = Goal(**fields["goal"]) if fields["goal"] is not None else None
        results.append(Result(**fields))
    return content, results


def render(content: Mapping[str, Any], results: list[Result]) -> str:
    """Lay a run out for people who want to know how fast it is."""
    machine, options = Machine(**content["machine"]), content["options"]
    lines = [
        "# How fast it is",
        "",
        "The last whole run of `make bench`, which measures the same on your machine. A figure with an x is a ratio against the",
        "alternative beside it: both run in turn within the same minutes and give equal answers. `must` is what the project owes,",
        "`aim` what it wants. Figures without an alternative are this machine's alone. `python -m benchmarks --ticks 25000000 G8`",
        "goes to 100 million ticks.",
        "",
        f"{options['ticks']:,} ticks, up to {options['pairs']} pairs of runs, their median and spread. "
        + str(machine).replace("\n", "; ")
        + ".",
        "",
        "| id | what | against | measured | min - max | n | must | aim | verdict |",
        f"|{'---|' * 9}",
        *(f"| {' | '.join(result.cells())} |" for result in results),
        "",
        *(f"- {result.id}: {text}" for result in results for text in (result.note, result.skipped) if text),
    ]
    return "\n".join(lines) + "\n"


def sentence(results: list[Result]) -> str:
    """Say the most important ratios in the words of the README."""
    times = {result.id: f"{result.median:.1f}" for result in results}
    return (
        f"Files to durable logs, through Redis: {times['G1']} times as fast as polars spelled for speed ({times['G1b']} with four "
        f"times the ticks), {times['G1c']} times as polars with `try_parse_dates`; decoding alone {times['G3']} times as fast as "
        "pyarrow on one thread."
    )


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(render(*load()), encoding="utf-8")


if __name__ == "__main__":
    write()

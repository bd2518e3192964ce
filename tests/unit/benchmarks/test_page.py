"""What the pages say about speed is what the last whole run measured."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import page
from benchmarks.machine import Machine
from benchmarks.results import Goal, Result, write_json
from tests.support.imports import ROOT

MACHINE = Machine("a processor", 2, 4.0, "6.1", "3.11", "redis 7", {"polars": "2"}, 0.1)


def test_the_page_shows_the_results_of_the_last_whole_run() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.render(*page.load())


def test_the_readme_says_the_same() -> None:
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert page.sentence(page.load()[1]) in readme


def test_no_other_page_has_ratios_of_its_own() -> None:
    pages = [ROOT / "README.md", *(path for path in (ROOT / "docs").glob("*.md") if path != page.PAGE)]
    spoken = re.compile(r"against (?:polars|pandas|pyarrow|numpy)")

    assert [path.name for path in pages if spoken.search(path.read_text(encoding="utf-8"))] == []


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = [
        Result("G1", "a", "b", (1.0, 3.0, 2.0), Goal(2, 3), note="n"),
        Result("G2", "c", "", (4.0,), None, unit=" s"),
        Result("G3", "d", "", (), Goal(1, 2, lower_is_better=True), skipped="no tool"),
    ]
    path = tmp_path / "results.json"

    write_json(path, results, MACHINE, {"ticks": 5, "pairs": 3, "quick": False})

    content, found = page.load(path)
    assert found == results
    assert "| G1 | a | b | 2.00x | 1.00 - 3.00 | 3 | 2x | 3x | meets must |" in page.render(content, found)

"""No module needs itself, not even for its annotations: whatever is read first can be understood first."""

from __future__ import annotations

from pathlib import Path

from tests.support.imports import ROOT, Import, circles, circles_in, imports_of


def test_no_module_needs_itself() -> None:
    assert circles(ROOT) == []


def test_a_circle_of_annotations_is_found_like_any_other(tmp_path: Path) -> None:
    room = tmp_path / "services" / "room"
    room.mkdir(parents=True)
    (room / "__init__.py").write_text("from services.room.table import Table\n")
    (room / "table.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from services.room.chair import Chair\n"
    )
    (room / "chair.py").write_text("def sit():\n    from services.room import table\n")
    (room / "lamp.py").write_text("import services.room.table\n")

    found = circles(tmp_path)

    assert found == [["services.room.chair", "services.room.table"]]


def test_groups_that_touch_one_way_stay_apart() -> None:
    graph = {"a": ["b"], "b": ["a", "c"], "c": ["d"], "d": ["c"], "e": ["e"], "f": ["a"]}

    assert circles_in(graph) == [["a", "b"], ["c", "d"], ["e"]]


def test_imports_come_with_the_line_they_stand_on(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("import a.b, c\n\nfrom d.e import (\n    f,\n    g as h,\n)\n")

    assert imports_of(file) == [Import(1, "a.b"), Import(1, "c"), Import(3, "d.e", "f"), Import(3, "d.e", "g")]

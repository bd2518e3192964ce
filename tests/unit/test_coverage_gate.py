"""The gate of `make coverage` is shut by what is below the README's figures, and by what was not measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import coverage_gate
from tests.coverage_gate import Floors, Lines, by_package, main, package_of, packages_on_disk, problems, stated_floors
from tests.support.pages import ROOT

FLOORS = Floors(overall=90, package=85)


def _report(**files: tuple[int, int]) -> dict[str, Any]:
    """Return a report of files of `services`, given as code and run; `__` stands for a slash."""
    return {
        "files": {
            f"services/{name.replace('__', '/')}.py": {"summary": {"num_statements": code, "covered_lines": run}}
            for name, (code, run) in files.items()
        }
    }


def test_the_readme_states_at_least_what_was_agreed() -> None:
    stated = stated_floors((ROOT / "README.md").read_text())

    assert stated.overall >= 90
    assert stated.package >= 85
    assert stated.folders["clients"] >= 95
    assert stated.folders["services/orders"] >= 90


def test_a_readme_without_figures_is_no_gate() -> None:
    with pytest.raises(ValueError, match="states no coverage"):
        stated_floors("The suite covers a lot.")


def test_files_count_to_the_package_below_their_group() -> None:
    report = _report(cli__main=(10, 9), cli__a__b=(10, 7), top=(1, 1), power__deals__x=(4, 4))

    assert by_package(report) == {
        "services": Lines(1, 1),
        "services/cli": Lines(20, 16),
        "services/power": Lines(4, 4),
    }


def test_what_is_below_its_floor_is_named_with_both_figures() -> None:
    packages = {"services/a": Lines(1000, 1000), "services/b": Lines(100, 84), "clients/c": Lines(100, 85)}

    assert problems(packages, FLOORS, packages) == [
        "84.0 % of services/b ran, less than the 85 % that README.md states"
    ]


def test_the_whole_has_a_floor_of_its_own() -> None:
    packages = {"services/a": Lines(100, 89), "clients/c": Lines(100, 90)}

    assert problems(packages, FLOORS, packages) == ["89.5 % of all lines ran, less than the 90 % that README.md states"]


def test_a_folder_that_has_to_have_more_is_held_to_it_with_all_its_packages() -> None:
    packages = {"clients/a": Lines(100, 100), "clients/b": Lines(100, 89), "services/orders": Lines(100, 91)}
    floors = stated_floors(
        "at least 90 % of all lines and 85 % of every package's, 95 % of `clients/` and\n90 % of `services/orders/`; so."
    )

    assert problems(packages, floors, packages) == ["94.5 % of clients ran, less than the 95 % that README.md states"]


def test_a_folder_of_the_readme_that_is_gone_is_not_held_in_silence() -> None:
    packages = {"services/a": Lines(10, 10), "services/orders_two": Lines(10, 10)}

    assert problems(packages, Floors(90, 85, {"services/orders": 90}), packages) == [
        "services/orders was not measured, and README.md states its share"
    ]


def test_a_package_that_the_report_does_not_know_is_missed() -> None:
    assert problems({"clients/c": Lines(10, 10)}, FLOORS, ["clients/c", "services/new"]) == [
        "services/new was not measured"
    ]


def test_a_report_of_nothing_is_not_good() -> None:
    assert problems({}, FLOORS, packages_on_disk(ROOT))


def test_every_package_of_this_tree_is_expected_and_generated_code_is_not() -> None:
    expected = packages_on_disk(ROOT)

    assert {"fastpath", "services/simulators", "clients/exchanges"} <= expected
    assert not any(name.startswith(("protos", "tests")) for name in expected)


@pytest.mark.parametrize(("run", "code"), [(95, 0), (80, 1)])
def test_the_table_is_printed_and_the_exit_code_is_true(
    run: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "services" / "a").mkdir(parents=True)
    (tmp_path / "services" / "a" / "one.py").touch()
    (tmp_path / "README.md").write_text("It holds to at least 90 % of all\nlines and 85 % of every package's.")
    (tmp_path / "report.json").write_text(json.dumps(_report(a__one=(100, run))))
    monkeypatch.setattr(coverage_gate, "ROOT", tmp_path)

    assert main([str(tmp_path / "report.json")]) == code

    shown = capsys.readouterr()
    assert f"services/a                   100 lines    {run}.0 %" in shown.out
    assert ("of services/a ran" in shown.err) == bool(code)


def test_a_file_at_the_top_counts_to_its_folder() -> None:
    assert package_of("fastpath/rules.py") == "fastpath"
    assert package_of("services/__init__.py") == "services"

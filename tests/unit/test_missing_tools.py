"""One skipped test speaks for all that need a missing tool; nothing else is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import missing_tools

pytest_plugins = ["pytester"]

SUITE = """
import pytest

@pytest.mark.needs("one")
@pytest.mark.parametrize("number", range(3))
def test_needs_one(number): pass

@pytest.mark.needs("two")
def test_needs_two(): pass

@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_on_a_database(kind): pass

def test_needs_nothing(): pass
"""
CONFTEST = """
from tests.support.missing_tools import leave_out
def pytest_configure(config): config.addinivalue_line("markers", "needs(tool): x")
def pytest_collection_modifyitems(config, items): items[:] = leave_out(items)
"""


@pytest.fixture(autouse=True)
def _nothing_is_noted_for_who_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(missing_tools.LEFT_OUT_TO, raising=False)


def _run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *absent: str) -> pytest.RunResult:
    checks = {name: (lambda name=name: f"get {name}" if name in absent else "") for name in ("one", "two", "postgres")}
    monkeypatch.setattr(missing_tools, "_CHECKS", checks)
    pytester.makepyfile(SUITE)
    pytester.makeconftest(CONFTEST)
    return pytester.runpytest_inprocess("-rs", "-p", "no:asyncio", "-p", "no:xdist", "-p", "no:cacheprovider")


def test_where_everything_is_there_everything_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(pytester, monkeypatch).assert_outcomes(passed=7)


def test_a_missing_tool_is_one_skip_that_counts_the_others(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(pytester, monkeypatch, "one")

    result.assert_outcomes(passed=4, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*get one; 2 more tests need it"])


def test_whoever_has_the_tools_can_run_all_that_was_left_out(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "left_out"
    monkeypatch.setenv(missing_tools.LEFT_OUT_TO, str(file))
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    _run(pytester, monkeypatch, "one", "postgres")
    # The workers of a run have the same tests.
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    _run(pytester, monkeypatch, "one", "postgres")

    ids = file.read_text(encoding="utf-8").splitlines()
    # Whose cases are all left out may have others where the tool is, as those that are read from recordings.
    assert [name.partition("::")[2] for name in ids] == ["test_needs_one", "test_on_a_database[postgres]"]


def test_each_missing_tool_says_so_itself(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _run(pytester, monkeypatch, "one", "two", "postgres")

    result.assert_outcomes(passed=2, skipped=3)
    result.stdout.fnmatch_lines_random(["SKIPPED*get one;*", "SKIPPED*get two", "SKIPPED*get postgres"])


# Recordings cannot be installed; what is said of them names the setting that says where they are.
@pytest.mark.parametrize("name", sorted(missing_tools._CHECKS.keys() - {"recordings"}))
def test_every_tool_says_what_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_tools, "tool", lambda name: None)
    monkeypatch.setattr(missing_tools, "chromium", lambda: None)
    monkeypatch.setattr(missing_tools, "beside_python", lambda name: Path("nowhere", name))
    monkeypatch.setattr("tests.support.postgres._binaries", lambda: None)

    assert "install" in missing_tools.missing(name)
